"""How many tokens a model takes and which ones, and what is said of a text that has others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from zu_framework.errors import DataError
from zu_framework.models.tokens import beginning_of, encode_all
from zu_framework.problem import Request

if TYPE_CHECKING:
    from zu_framework.models.language_model import LanguageModel


UNLIMITED = 2**31  # positions, where a config names no limit


def longest_input(lm: LanguageModel) -> int:
    """Read how many positions a model has.

    Args:
        lm: Its config names the limit.

    Returns:
        The limit; without one, more than any text.
    """
    return positions_of(lm.model.config)


def positions_of(config: Any) -> int:
    """Return how many positions a transformers config names; more than any text where it names none."""
    limit = getattr(config.get_text_config(), "max_position_embeddings", None)
    return limit if isinstance(limit, int) and limit > 1 else UNLIMITED


def check_facts_fit(tokenizer: Any, requests: Iterable[Request], most: int) -> None:
    """Refuse a fact whose prompt and answer alone have more tokens than a model's positions.

    Args:
        tokenizer: The model's.
        requests: The facts.
        most: How many positions the model has.

    Raises:
        DataError: There is one; its place is named.
    """
    for request in requests:
        text = f"{request.prompt} {request.answer}"
        tokens = len(tokenizer(text, add_special_tokens=False).input_ids)
        if tokens > most:
            where = request.source or f"fact {_shown(request.prompt)}"
            raise DataError(
                f"{where}: prompt and answer have {tokens} tokens, the model takes {most}: shorten them, or leave "
                "the fact out"
            )


def check_length(lm: LanguageModel, prompt: str, tokens: int) -> None:
    """Refuse a prompt that does not fit a model's positions.

    Args:
        lm: The model.
        prompt: For the message.
        tokens: How many it has, what follows it included.

    Raises:
        DataError: They are more than the model's positions.
    """
    most = longest_input(lm)
    if tokens > most:
        raise DataError(
            f"prompt {_shown(prompt)} and what follows it have {tokens} tokens, the model takes {most}: "
            "shorten them, or leave the fact out"
        )


def check_tokens(lm: LanguageModel, text: str, ids: Sequence[int]) -> None:
    """Refuse a text with a special token that the tokenizer has and the embedding lacks.

    Args:
        lm: The model.
        text: For the message.
        ids: Its tokens.

    Raises:
        DataError: A token has no row.
    """
    rows = len(lm.model.get_input_embeddings().weight)
    if ids and max(ids) >= rows:
        token = lm.tokenizer.convert_ids_to_tokens(max(ids))
        raise DataError(
            f"text {_shown(text)} holds the special token {token!r} ({max(ids)}), the model's embedding has {rows} "
            "rows: take it out of the text"
        )


def beginnings(lm: LanguageModel, texts: Iterable[str], most: int) -> list[list[int]]:
    """Tokenize what texts begin with; the rest is never tokenized.

    Args:
        lm: The model.
        texts: General text, not empty each; no more of a text is held than its beginning.
        most: Tokens of each that are wanted; the model's positions bound them.

    Returns:
        Token ids of each text.

    Raises:
        DataError: A token has no row in the model's embedding.
    """
    most = min(most, longest_input(lm))
    found = []
    cut = [beginning_of(lm.tokenizer, text, most) for text in texts]
    for text, encoding in zip(cut, encode_all(lm.tokenizer, cut), strict=True):
        found.append(encoding.ids[:most])
        check_tokens(lm, text, found[-1])
    return found


def _shown(text: str) -> str:
    return repr(text) if len(text) <= 60 else f"{text[:60]!r}..."
