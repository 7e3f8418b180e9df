"""Components by name, as a run finds them: what contract tests enter by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zu_framework.config import options_from
from zu_framework.registry import Registered, installed_plugins


def registered_with(kind: str, name: str, given: Mapping[str, Any]) -> tuple[Registered, Any]:
    """Return an installed component and its options.

    Args:
        kind: As its spec has it.
        name: Of the component.
        given: Options, as a config would give them.

    Returns:
        The registration, and the options dataclass.
    """
    found = installed_plugins().registry.get(kind, name)
    return found, options_from(found.spec, given, where=kind)
