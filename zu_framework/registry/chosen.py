"""A component that a configuration chose, with its options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from zu_framework.registry.components import Registered


@dataclass(frozen=True)
class Chosen:
    """One component that the configuration chose.

    Args:
        registered: The component and the plugin that offers it.
        options: Its options dataclass.
    """

    registered: Registered
    options: Any

    @property
    def spec(self) -> Any:
        """Its registration."""
        return self.registered.spec

    @property
    def name(self) -> str:
        """Its name."""
        return self.registered.spec.name

    @property
    def needs(self) -> frozenset[str]:
        """What it needs under its options."""
        return self.registered.spec.needs_of(self.options)

    def load(self) -> Any:
        """Return its implementation, imported on first use."""
        return self.registered.load()

    def remedy(self, need: str) -> str:
        """Return the way out where a need cannot be met, as its registration words it; "" without one."""
        said = self.registered.spec.remedies.get(need, "")
        return f": {said}" if said else ""
