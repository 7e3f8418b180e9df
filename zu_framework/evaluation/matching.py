"""Whether what a model wrote holds an answer."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

# scripts that put no space between words: Thai to Myanmar, Khmer, kana, CJK; there a word has no visible ends
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")


def stands_in(answers: Sequence[str], text: str) -> bool:
    """Return whether an answer stands in a text as a word of its own, case and accents folded.

    In a script without spaces it may stand anywhere.

    Args:
        answers: Texts that count; an empty one is found nowhere.
        text: What was written.
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
    """Return a text without case, accents and outer white space.

    Args:
        text: Of any script.
    """
    parts = unicodedata.normalize("NFKD", text.casefold())
    return "".join(c for c in parts if not unicodedata.combining(c)).strip()
