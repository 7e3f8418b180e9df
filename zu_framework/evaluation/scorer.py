"""Scoring answers and text under a model: batched, each probe once, independent of batch size and padding.

Prompt and answer are tokenized apart and joined, as the target builders do, and answers are teacher-forced. Rows are
padded on the right under an attention mask, so the tokenizer's padding side does not matter; logits are taken at the
answers' positions alone, where the model's forward allows, and log-probabilities are computed in float32 or better.
What is kept of the logits is a few numbers a token (`Score`). Greedy continuations are shared in the same way.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from zu_framework.evaluation.completing import Completions
from zu_framework.evaluation.cost import Cost
from zu_framework.evaluation.predictions import Predictions, spread_places
from zu_framework.evaluation.token_scores import joined, scores_of
from zu_framework.evaluation.windows import text_windows
from zu_framework.models import (
    LanguageModel,
    Row,
    answer_row,
    batches_of,
    continuations,
    encode_answer,
)
from zu_framework.problem import Probe, Score

Progress = Callable[[str, int, int], None]

LOGITS_AT_ONCE = 2**27  # numbers: half a gigabyte in float32, whatever the vocabulary
TOKENS_AT_ONCE = 8192  # padding included


def no_progress(label: str, done: int, total: int) -> None:
    """Report nothing."""


class Scorer:
    """Scores probes and text under `lm` as it is now; what was scored is remembered, so use a new one after an edit.

    Args:
        lm: The model, or a function that loads it once something must be computed (`release` lets go of it again).
        batch_size: Rows that one forward pass may hold.
        batch_tokens: Tokens that it may hold, padding included; a longer row runs alone.
        max_tokens: Length of the windows that long texts are cut into.
        progress: `progress(label, done, total)` is called as probes are scored.
        reference: The scorer of a model retrained without the forget facts, for the metrics that compare with one.
        untouched: The scorer that measured the model before the edit, which knows what it was asked for then.
    """

    def __init__(
        self,
        lm: LanguageModel | Callable[[], LanguageModel],
        batch_size: int = 32,
        *,
        batch_tokens: int = TOKENS_AT_ONCE,
        max_tokens: int = 256,
        progress: Progress = no_progress,
        reference: Scorer | None = None,
        untouched: Scorer | None = None,
    ) -> None:
        self._load = lm if callable(lm) else None
        self._lm: LanguageModel | None = None if callable(lm) else lm
        self.batch_size = batch_size
        self.batch_tokens = batch_tokens
        self.max_tokens = max_tokens
        self.progress = progress
        self.reference = reference
        self.untouched = untouched
        self.answer_space: Mapping[str, bool] | None = None  # of a model that is loaded later
        self.cost = Cost()
        self._scores: dict[Probe, Score] = {}
        self._texts: dict[str, Score] = {}
        self._predictions: dict[tuple[str, ...], Predictions] = {}
        self._completions = Completions()

    @property
    def lm(self) -> LanguageModel:
        """The model, loaded where it was not."""
        if self._lm is None:
            assert self._load is not None
            loaded = self._load()
            known = self.answer_space is not None
            self._lm = replace(loaded, answer_space=self.answer_space) if known else loaded
        return self._lm

    def release(self) -> None:
        """Let go of a model that this scorer loaded; what was scored stays known."""
        if self._load is not None:
            self._lm = None

    def score(self, probes: Sequence[Probe]) -> list[Score]:
        """Score probes; one met before is not scored again.

        Args:
            probes: Prompts with their answers.

        Returns:
            One score a probe, in order. Where the model's logits are NaN or infinite, `exact` is False and
            `log_probability` is -inf.

        Raises:
            DataError: A probe is longer than the model's positions.
        """
        new = [probe for probe in dict.fromkeys(probes) if probe not in self._scores]
        rows = [self.row_of(probe, encode_answer(self.lm, probe.answer, probe.prompt)) for probe in new]
        for index, score, _ in self.run_rows(rows, "scoring answers"):
            self._scores[new[index]] = score
        self.cost.probes += len(new)
        return [self._scores[probe] for probe in probes]

    def row_of(self, probe: Probe, answer: Sequence[int]) -> Row:
        """Return a probe's prompt, and tokens that follow it.

        Args:
            probe: Its answer is not read.
            answer: At least one token.

        Returns:
            A row whose continuation is the answer.

        Raises:
            DataError: They are more than the model's positions.
        """
        return answer_row(self.lm, probe.prompt, answer)

    def go_on(self, lm: LanguageModel, scores: Mapping[Probe, Score]) -> None:
        """Take the same model, read in another way, in place of the one that was scored so far.

        Args:
            lm: The model. A reference's answers follow their prompts as this one's do.
            scores: What is known of it; all else is forgotten.
        """
        self._lm = lm
        self.answer_space = lm.answer_space
        self._scores = dict(scores)
        if self.reference is not None:
            self.reference.answer_space = lm.answer_space

    def score_texts(self, texts: Sequence[str]) -> list[Score]:
        """Score texts, all tokens but the first; one met before is not scored again.

        A text is the tokenizer's BOS, if it has one, and its tokens, without EOS. One longer than the window is cut
        into windows that each start with that BOS; without a BOS, windows share one token, so that every token but
        the text's first is predicted once.

        Args:
            texts: Of any length.

        Returns:
            One score a text, in order.
        """
        self._read([text for text in dict.fromkeys(texts) if text not in self._texts])
        return [self._texts[text] for text in texts]

    def predict(self, texts: Sequence[str]) -> None:
        """Score texts, and store what this model predicts in them: a later model's scorer compares with it.

        Args:
            texts: As for `score_texts`. Of long lists evenly spaced tokens are stored (see `Predictions`).
        """
        if tuple(texts) not in self._predictions:
            self._read(texts, self._kept_predictions(texts))

    def divergence(self, texts: Sequence[str]) -> list[list[float]] | None:
        """Compare this model's predictions with the untouched model's; the texts are scored on the way.

        Args:
            texts: Those that the untouched model's scorer was asked to `predict`.

        Returns:
            KL(untouched || this model) in nats at each token that the untouched model's scorer stored, by text. None
            without an untouched model, or where it was not asked for these texts.
        """
        before = None if self.untouched is None else self.untouched._predictions.get(tuple(texts))
        return None if before is None else self._read(texts, before, compare=True)

    def perplexity(self, texts: Sequence[str]) -> tuple[float, int]:
        """Sum the negative log-likelihood of texts.

        Args:
            texts: Of any length, scored as `score_texts` does.

        Returns:
            The sum in nats, and the number of tokens predicted.
        """
        scores = self.score_texts(texts)
        return -math.fsum(score.log_probability for score in scores), sum(score.tokens for score in scores)

    def completions(self, prompts: Sequence[str], max_new_tokens: int) -> list[str]:
        """Continue prompts greedily, until the model's EOS or `max_new_tokens`.

        Args:
            prompts: One met before is continued anew only where more tokens are asked of it than last time.
            max_new_tokens: At most so many tokens each.

        Returns:
            One continuation a prompt, in order, as text without special tokens.

        Raises:
            DataError: A prompt fills the model's positions.
        """
        wanted = self._completions.missing(prompts, max_new_tokens)
        begun = time.perf_counter()
        read = self._completions.compute(
            self.lm,
            wanted,
            max_new_tokens,
            batch_size=self.batch_size,
            batch_tokens=self.batch_tokens,
            progress=partial(self.progress, "continuing prompts"),
        )
        self.cost.generated_tokens += sum(len(self._completions.found[prompt].tokens) for prompt in wanted)
        self.cost.prompts += len(read)
        self.cost.tokens += sum(read.values())
        self.cost.seconds += time.perf_counter() - begun
        return [self._completions.text(self.lm, prompt, max_new_tokens) for prompt in prompts]

    def _kept_predictions(self, texts: Sequence[str]) -> Predictions:
        lengths = [
            len(row.continuation) for text in texts for row in text_windows(self.lm, text, self.max_tokens)
        ]
        kept = Predictions(spread_places(lengths, self._vocabulary))
        self._predictions[tuple(texts)] = kept
        return kept

    def _read(
        self, texts: Sequence[str], predictions: Predictions | None = None, *, compare: bool = False
    ) -> list[list[float]]:
        """Score texts, and keep their predictions or compare with those kept; returns divergences by text."""
        rows: list[Row] = []
        owner: list[int] = []
        for index, text in enumerate(texts):
            windows = list(text_windows(self.lm, text, self.max_tokens))
            rows += windows
            owner += [index] * len(windows)
        parts: dict[int, dict[int, Score]] = {index: {} for index in range(len(texts))}
        apart: list[list[float]] = [[] for _ in texts]
        for number, score, logits in self.run_rows(rows, "scoring text"):
            parts[owner[number]][number] = score
            if predictions is not None and compare:
                apart[owner[number]] += predictions.divergence(number, logits)
            elif predictions is not None:
                predictions.keep(number, logits)
        for index, text in enumerate(texts):
            self.cost.texts += text not in self._texts
            self._texts[text] = joined([score for _, score in sorted(parts[index].items())])
        return apart

    def run_rows(self, rows: Sequence[Row], label: str) -> Iterator[tuple[int, Score, Tensor]]:
        """Score rows of tokens; none is remembered.

        Args:
            rows: Prompts and what follows them.
            label: What is done, for `progress`.

        Yields:
            Index and score of each row, and the logits (t, v) that predict its continuation; short rows first.
        """
        done = 0
        if not rows:  # then no model is loaded either
            return
        tokens = min(self.batch_tokens, max(1, LOGITS_AT_ONCE // self._vocabulary))
        for indices in batches_of(rows, self.batch_size, tokens):
            begun = time.perf_counter()
            chosen = [rows[index] for index in indices]
            with torch.no_grad():
                found = continuations(self.lm, chosen)
            counts = [len(row.continuation) for row in chosen]
            scores = scores_of(found.logits, found.tokens, counts)
            self.cost.tokens += sum(len(row.ids) + len(row.continuation) for row in chosen)
            yield from zip(indices, scores, torch.split(found.logits, counts), strict=True)
            self.cost.seconds += time.perf_counter() - begun  # what is made of the logits is part of it
            done += len(indices)
            self.progress(label, done, len(rows))

    @property
    def _vocabulary(self) -> int:
        return int(self.lm.model.get_output_embeddings().weight.shape[0])
