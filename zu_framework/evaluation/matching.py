"""Whether what a model wrote holds an answer."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

# scripts that put no space between words: Thai to Myanmar, Khmer, kana, CJK; there a word has no visible ends
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")


def stands_in(answers: Sequence[str], text: str) -> bool:
    """Look for answers in a text, as words of their own, case and accents folded.

    In a script without spaces an answer may stand anywhere.

    Args:
        answers: Texts that count; an empty one is found nowhere.
        text: What was written.

    Returns:
        Whether one of them stands there.
    """
    folded = fold(text)
    for answer in answers:
        wanted = fold(answer)
        if not wanted:
            continue
        before = "" if _UNSPACED.match(wanted[0]) else r"(?<!\w)"
        after = "" if _UNSPACED.match(wanted[-1]) else r"(?!\w)"
        if re.search(f"{before}{re.escape(wanted)}{after}", folded):
            return True
    return False


def fold(text: str) -> str:
    """Fold a text for comparison.

    Args:
        text: Of any script.

    Returns:
        The text without case, accents and outer white space.
    """
    parts = unicodedata.normalize("NFKD", text.casefold())
    return "".join(c for c in parts if not unicodedata.combining(c)).strip()
