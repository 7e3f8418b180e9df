"""How many tokens a model takes, and what is said of a text that has more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zu_framework.errors import DataError

if TYPE_CHECKING:
    from zu_framework.models.language_model import LanguageModel


def longest_input(lm: LanguageModel) -> int:
    """Read how many positions a model has.

    Args:
        lm: Its config names the limit.

    Returns:
        The limit; without one, more than any text.
    """
    limit = getattr(lm.model.config.get_text_config(), "max_position_embeddings", None)
    return limit if isinstance(limit, int) and limit > 1 else 2**31


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
        shown = repr(prompt) if len(prompt) <= 60 else f"{prompt[:60]!r}..."
        raise DataError(
            f"prompt {shown} and what follows it have {tokens} tokens, the model takes {most}: shorten them, or leave "
            "the fact out"
        )
