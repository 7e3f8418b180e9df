"""Consoles for tables and progress, apart from `terminal`: rich is imported where something is drawn."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from zu_framework.printable import printable


class Terminal(Console):
    """A rich console that shows the control characters of what it prints, and never sends them."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Render markup; every text that is printed or set in a table comes through here."""
        return super().render_str(printable(text), **options)

    def on_broken_pipe(self) -> None:
        """Leave it to the door of the command: whoever read us went away."""
        raise BrokenPipeError


def stdout() -> Terminal:
    """Return a console for results."""
    return Terminal()


def stderr() -> Terminal:
    """Return a console for what is not the result: progress, notes."""
    return Terminal(stderr=True)
