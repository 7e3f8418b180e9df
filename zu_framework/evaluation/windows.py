"""Long text in windows that a model can take."""

from __future__ import annotations

from collections.abc import Iterator

from zu_framework.models import LanguageModel, Row, check_tokens, encode, longest_input

CHARACTERS = 2**21  # of a text that are read at most: memory is bounded, whatever a line holds


def text_windows(lm: LanguageModel, text: str, most: int) -> Iterator[Row]:
    """Cut a text into windows that together predict each of its tokens but the first, once.

    Where the tokenizer has a BOS each window starts with it; else windows share one token.

    Args:
        lm: Says how the text is tokenized, and how much it takes.
        text: Of any length; the first `CHARACTERS` are read.
        most: Tokens that a window may have.

    Yields:
        A row a window.
    """
    ids = encode(lm.tokenizer, text[:CHARACTERS]).ids
    check_tokens(lm, text, ids)
    begins = ids[0] == lm.tokenizer.bos_token_id
    step = min(most, longest_input(lm)) - 1
    for start in range(0, len(ids) - 1, step):
        yield Row([ids[0 if begins else start]], 0, ids[start + 1 : start + 1 + step])
