"""Whether an answer follows its prompt after a space: by the prompt's end, where the model was not asked."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

# scripts that are written without spaces between words, as Unicode names their letters
_UNSPACED = (
    "CJK",
    "HIRAGANA",
    "KATAKANA",
    "BOPOMOFO",
    "YI ",
    "THAI",
    "LAO",
    "KHMER",
    "MYANMAR",
    "TIBETAN",
    "FULLWIDTH",
    "IDEOGRAPHIC",
)
_OPENING = ("Ps", "Pi", "Sc", "Pd", "Pc")  # brackets, quotation marks, currencies, dashes, low lines
_JOINING = "/\\#@~^=*"


@dataclass(frozen=True)
class AnswerSpace:
    """How the answer follows one prompt.

    Args:
        prompt: The prompt.
        answer: The answer that was asked for.
        space: Whether a space comes between them: the likelier way.
        with_space: log p of the whole answer after a space, in nats, under the untouched model.
        without_space: The same, without the space; where its first token alone is less likely than the answer after a
            space, that token's: the whole cannot be likelier.
    """

    prompt: str
    answer: str
    space: bool
    with_space: float
    without_space: float


def puts_space(known: Mapping[str, bool] | None, prompt: str) -> bool:
    """Return whether an answer follows a prompt after a space.

    Args:
        known: Prompt -> what was decided; another prompt goes by `wants_space`. None: one space always.
        prompt: As it stands in the data.

    Returns:
        True where it does.
    """
    if known is None:
        return True
    decided = known.get(prompt)
    return wants_space(prompt) if decided is None else decided


def wants_space(prompt: str) -> bool:
    """Return whether most writers would put a space between a prompt and what follows it.

    Not after white space, an opening quotation mark or bracket, a currency or a joining sign, nor in scripts that have
    no spaces between words (Chinese, Japanese, Thai ...).

    Args:
        prompt: The text that an answer follows.

    Returns:
        True where they would.
    """
    last = prompt[-1:]
    if not last or last.isspace() or last in _JOINING or unicodedata.category(last) in _OPENING:
        return False
    if last in "\"'`":  # opens where nothing, or white space, or an opening bracket stands before it
        before = prompt[-2:-1]
        return bool(before) and not before.isspace() and unicodedata.category(before) not in _OPENING
    return not unicodedata.name(last, "").startswith(_UNSPACED)
