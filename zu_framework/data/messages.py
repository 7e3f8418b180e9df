"""Values, names and spellings as messages show them: shortened, and harmless to a terminal."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

JSON_NAMES = {dict: "an object", list: "a list", str: "a text", bool: "true or false", int: "a number"}
JSON_NAMES |= {float: "a number", type(None): "null"}


def described(value: Any) -> str:
    """Return a JSON value for a message.

    Args:
        value: The value.

    Returns:
        Its kind and, shortened, what it is: 'a text ("Paris")'.
    """
    try:
        shown = json.dumps(value[:60] if isinstance(value, str) else value, ensure_ascii=True, default=str)
    except (RecursionError, ValueError):  # nested too deep, in itself, or a number of thousands of digits
        shown = "..."
    name = JSON_NAMES.get(type(value), type(value).__name__)
    return f"{name} ({shown if len(shown) <= 40 else shown[:37] + '...'})"


def listed(names: Iterable[Any]) -> str:
    """Return names for a message, the first dozen, control characters escaped."""
    shown = [escaped(str(name)) for name in names]
    return ", ".join(shown[:12] + ["..."] * (len(shown) > 12)) or "nothing"


def escaped(text: str) -> str:
    """Return a text for a message: shortened, and no character of it acts on a terminal."""
    short = text if len(text) <= 60 else f"{text[:57]}..."
    return short if short.isprintable() else repr(short)[1:-1]
