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
        """Continue prompts, rows of one length together.

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
        groups: dict[int, list[str]] = {}
        for prompt, ids in rows.items():
            groups.setdefault(len(ids), []).append(prompt)
        done = 0
        for length, group in sorted(groups.items()):
            check_length(lm, group[0], length + 1)
            most = min(limit, longest_input(lm) - length)
            together = max(1, min(batch_size, batch_tokens // (length + most)))
            for start in range(0, len(group), together):
                some = group[start : start + together]
                for prompt, tokens in zip(
                    some, greedy_tokens(lm, [rows[p] for p in some], most), strict=True
                ):
                    text = lm.tokenizer.decode(tokens, skip_special_tokens=True)
                    self.found[prompt] = Continued(tokens, text, limit)
                done += len(some)
                progress(done, len(rows))
        return {prompt: len(ids) for prompt, ids in rows.items()}

    def text(self, lm: LanguageModel, prompt: str, limit: int) -> str:
        """Return a prompt's continuation, `limit` tokens of it at most."""
        known = self.found[prompt]
        if len(known.tokens) <= limit:
            return known.text
        return str(lm.tokenizer.decode(list(known.tokens[:limit]), skip_special_tokens=True))
