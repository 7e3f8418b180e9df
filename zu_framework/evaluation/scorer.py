"""Scoring answers and text under a model: batched, each probe once, independent of batch size and padding.

Prompt and answer are tokenized apart and joined, as the target builders do, and answers are teacher-forced. Rows are
padded on the right under an attention mask, so the tokenizer's padding side does not matter; logits are taken at the
answers' positions alone, where the model's forward allows, and log-probabilities are computed in float32 or better.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import torch

from zu_framework.errors import DataError
from zu_framework.models import LanguageModel, Row, continuations, encode, encode_answer, encode_prompt
from zu_framework.types import Probe, Score

Progress = Callable[[str, int, int], None]

LOGITS_AT_ONCE = 2**27  # numbers: half a gigabyte in float32, whatever the vocabulary


def no_progress(label: str, done: int, total: int) -> None:
    """Report nothing."""


class Scorer:
    """Scores probes and text under `lm` as it is now; what was scored is remembered, so use a new one after an edit.

    batch_size: rows that one forward pass may hold. max_tokens: length of the windows that long texts are cut into.
    """

    def __init__(
        self,
        lm: LanguageModel,
        batch_size: int = 32,
        *,
        max_tokens: int = 256,
        progress: Progress = no_progress,
    ) -> None:
        self.lm = lm
        self.batch_size = batch_size
        self.progress = progress
        self._longest = _longest_input(lm)
        self._window = min(max_tokens, self._longest)
        self._scores: dict[Probe, Score] = {}
        self._texts: dict[tuple[str, ...], tuple[float, int]] = {}

    def score(self, probes: Sequence[Probe]) -> list[Score]:
        """One score a probe, in order; a probe met before is not scored again.

        A model that answers NaN or infinities gives an answer no probability: exact is False, log_probability -inf.
        Raises `DataError` for a probe longer than the model's positions.
        """
        new = [probe for probe in dict.fromkeys(probes) if probe not in self._scores]
        rows = [self._probe_row(probe) for probe in new]
        for index, exact, log_probability in self._forward(rows, "scoring answers"):
            self._scores[new[index]] = Score(exact, log_probability, len(rows[index].continuation))
        return [self._scores[probe] for probe in probes]

    def perplexity(self, texts: Sequence[str]) -> tuple[float, int]:
        """Summed negative log-likelihood in nats, and the number of tokens predicted.

        Each text is the tokenizer's BOS, if it has one, and its tokens, without EOS. A text longer than the window is
        cut into windows that each start with that BOS; without a BOS, windows share one token, so that every token
        but the text's first is predicted once.
        """
        key = tuple(texts)
        if key not in self._texts:
            rows = [row for text in texts for row in self._text_rows(text)]
            losses = [0.0] * len(rows)
            for index, _, log_probability in self._forward(rows, "scoring text"):
                losses[index] = -log_probability
            self._texts[key] = math.fsum(losses), sum(len(row.continuation) for row in rows)
        return self._texts[key]

    def _probe_row(self, probe: Probe) -> Row:
        prompt = encode_prompt(self.lm, probe.prompt).ids
        answer = encode_answer(self.lm, probe.answer)
        if len(prompt) + len(answer) > self._longest:
            raise DataError(
                f"probe {probe.prompt[:60]!r}... has {len(prompt) + len(answer)} tokens, the model takes "
                f"{self._longest}: shorten it, or leave it out"
            )
        return Row(prompt, len(prompt) - 1, answer)

    def _text_rows(self, text: str) -> Iterator[Row]:
        ids = encode(self.lm.tokenizer, text).ids
        begins = ids[0] == self.lm.tokenizer.bos_token_id
        step = self._window - 1
        for start in range(0, len(ids) - 1, step):
            yield Row([ids[0 if begins else start]], 0, ids[start + 1 : start + 1 + step])

    def _forward(self, rows: Sequence[Row], label: str) -> Iterator[tuple[int, bool, float]]:
        """Index, whether every scored token is the argmax, and their summed log-probability, for each row."""
        done = 0
        for indices in self._batches(rows):
            chosen = [rows[index] for index in indices]
            for index, (exact, log_probability) in zip(indices, self._score(chosen), strict=True):
                yield index, exact, log_probability
            done += len(indices)
            self.progress(label, done, len(rows))

    def _batches(self, rows: Sequence[Row]) -> Iterator[list[int]]:
        """Rows of like length together, as many as the batch size and the memory for logits allow."""
        vocabulary = self.lm.model.get_output_embeddings().weight.shape[0]
        lengths = [len(row.ids) + len(row.continuation) for row in rows]
        together: list[int] = []
        for index in sorted(range(len(rows)), key=lambda index: (lengths[index], len(rows[index].ids))):
            full = (len(together) + 1) * lengths[index] * vocabulary > LOGITS_AT_ONCE
            if together and (full or len(together) == self.batch_size):
                yield together
                together = []
            together.append(index)
        if together:
            yield together

    @torch.no_grad()
    def _score(self, rows: Sequence[Row]) -> list[tuple[bool, float]]:
        said = continuations(self.lm, rows)
        logits, wanted = said.logits, said.tokens
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        found = logits.gather(1, wanted[:, None])[:, 0] - logits.logsumexp(1)  # (m,)
        sound = found.isfinite()  # NaN has an argmax too
        exact = ((logits.argmax(1) == wanted) & sound).cpu()
        found = found.cpu().double().masked_fill(~sound.cpu(), -math.inf)
        counts = [len(row.continuation) for row in rows]
        return [
            (bool(hit.all()), float(part.sum()))
            for hit, part in zip(torch.split(exact, counts), torch.split(found, counts), strict=True)
        ]


def _longest_input(lm: LanguageModel) -> int:
    """Positions that the model has; without a limit of its own, more than any text."""
    limit = getattr(lm.model.config.get_text_config(), "max_position_embeddings", None)
    return limit if isinstance(limit, int) and limit > 1 else 2**31
