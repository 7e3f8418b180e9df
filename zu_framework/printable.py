"""Text that is not ours, made safe to show: what would steer a terminal or turn a line around is shown as an escape."""

from __future__ import annotations

import re

__all__ = ["printable"]

# Control characters but for tab and line feed, the marks that change the direction of what follows, line separators
# that only some programs know, and halves of characters that no encoding can write.
_STEERING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)


def printable(text: str) -> str:
    r"""Return a text with control characters as escapes, such as `\x1b`.

    Args:
        text: From data, file names, a model's config, an exception.
    """
    return _STEERING.sub(
        lambda found: found[0].encode("unicode_escape", "surrogatepass").decode("ascii"), text
    )
