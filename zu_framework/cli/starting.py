"""Starting quickly: nothing is imported, and no garbage looked for, that a command can do without."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from typer.core import TyperCommand, TyperGroup


class _PlainHelp:
    """Gives `--help` the value False where it is not asked for: typer imports pydantic to read None as one."""

    def get_help_option(self, context: Any) -> Any:
        """Return the option, or None where the command has none."""
        option = super().get_help_option(context)  # type: ignore[misc]
        if option is not None:
            option.default = False
        return option


class Command(_PlainHelp, TyperCommand):
    """A command of `zu`."""


class Group(_PlainHelp, TyperGroup):
    """The commands of `zu`."""


@contextmanager
def uncollected() -> Iterator[None]:
    """Pause Python's search for unreachable objects while the block lasts.

    Importing torch and transformers makes a million objects that stay; to go through them again and again is a fifth of
    a start. For imports, and for commands that hold no tensors.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
