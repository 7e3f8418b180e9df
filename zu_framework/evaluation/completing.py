"""Greedy continuations of prompts, remembered: a prompt is continued again only where more tokens are asked of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from zu_framework.models import LanguageModel, check_length, encode_prompt, greedy_tokens, longest_input


@dataclass(frozen=True)
class Continued:
    """A prompt's continuation.

    Args:
        tokens: Of the continuation.
        text: The same as text.
        asked: How many tokens it could have.
    """

    tokens: Sequence[int]
    text: str
    asked: int

    def serves(self, limit: int) -> bool:
        """Return whether it is known as far as `limit` tokens: it ended by itself, or was asked for as many."""
        return len(self.tokens) < self.asked or self.asked >= limit


@dataclass
class Completions:
    """What one model says after prompts.

    Args:
        found: By prompt.
    """

    found: dict[str, Continued] = field(default_factory=dict)

    def missing(self, prompts: Sequence[str], limit: int) -> list[str]:
        """Return the prompts that must be continued, each once."""
        return [p for p in dict.fromkeys(prompts) if p not in self.found or not self.found[p].serves(limit)]

    def compute(
        self,
        lm: LanguageModel,
        prompts: Sequence[str],
        limit: int,
        *,
        batch_size: int,
        batch_tokens: int,
        progress: Callable[[int, int], None],
    ) -> Mapping[str, int]:
        """Continue prompts, rows of about one length together.

        Args:
            lm: The model.
            prompts: Of `missing`.
            limit: Tokens each, at most.
            batch_size: Rows that one forward pass may hold.
            batch_tokens: Tokens that it may hold.
            progress: `progress(done, total)`.

        Returns:
            The tokens of each prompt.

        Raises:
            DataError: A prompt fills the model's positions.
        """
        rows = {prompt: encode_prompt(lm, prompt).ids for prompt in prompts}
        waiting, room = sorted(rows, key=lambda prompt: len(rows[prompt])), longest_input(lm)
        while waiting:
            shortest = len(rows[waiting[0]])
            check_length(lm, waiting[0], shortest + 1)
            # further apart, two batches are quicker; without room for `limit`, a row's own length says how many it gets
            reach = max(shortest, min(shortest + limit, room - limit))
            some = [p for p in waiting if len(rows[p]) <= reach][:batch_size]
            some = some[: max(1, batch_tokens // (len(rows[some[-1]]) + limit))]
            most = min(limit, room - len(rows[some[-1]]))
            drawn = greedy_tokens(lm, [rows[p] for p in some], most)
            for prompt, tokens in zip(some, drawn, strict=True):
                text = lm.tokenizer.decode(tokens, skip_special_tokens=True)
                self.found[prompt] = Continued(tokens, text, limit)
            waiting = waiting[len(some) :]
            progress(len(rows) - len(waiting), len(rows))
        return {prompt: len(ids) for prompt, ids in rows.items()}

    def text(self, lm: LanguageModel, prompt: str, limit: int) -> str:
        """Return a prompt's continuation, `limit` tokens of it at most."""
        known = self.found[prompt]
        if len(known.tokens) <= limit:
            return known.text
        return str(lm.tokenizer.decode(list(known.tokens[:limit]), skip_special_tokens=True))
