"""What is asked: facts to forget and to retain, and the probes that measure them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from zu_framework.errors import DataError


@dataclass(frozen=True)
class Probe:
    """A prompt and the answer whose likelihood is measured after it; aliases: other texts that say the same."""

    prompt: str
    answer: str
    aliases: tuple[str, ...] = field(
        default=(), compare=False
    )  # a probe is what is scored: prompt and answer


@dataclass(frozen=True)
class Request:
    """One fact to forget.

    prompt: the full text that asks for it, subject filled in, without a trailing space. answer: the sensitive answer.
    subject, subject_start: the subject and its character offset in `prompt` (default: its last occurrence);
    None for question/answer data without a subject. target: a neutral text for this request alone.
    source: where it came from, for messages. All else is read by metrics only. paraphrases: other prompts with the same
    answer; neighbours: probes of other facts that must stay. alternative: an answer that preference metrics set against
    the true one (CounterFact's `target_new`); paraphrased_answer, perturbed_answers: right and wrong rewordings of it
    (TOFU's truth ratio); choices: of a multiple-choice question, the answer among them; implied: questions that follow
    from this fact and others (MQuAKE's multi-hop questions); aliases: other texts that say the answer (MQuAKE, zsRE).
    """

    prompt: str
    answer: str
    subject: str | None = None
    subject_start: int | None = None
    id: str = ""
    target: str | None = None
    paraphrases: tuple[str, ...] = ()
    neighbours: tuple[Probe, ...] = ()
    source: str = ""
    alternative: str | None = None
    paraphrased_answer: str | None = None
    perturbed_answers: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    implied: tuple[Probe, ...] = ()
    aliases: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.prompt or not self.answer.strip():
            raise DataError(f"{self._where}: prompt and answer must not be empty")
        if self.subject is None:
            return
        if not self.subject:
            raise DataError(f"{self._where}: the subject is empty; leave it out for data without subjects")
        start = self.prompt.rfind(self.subject) if self.subject_start is None else self.subject_start
        if start < 0 or not self.prompt.startswith(self.subject, start):
            raise DataError(
                f"{self._where}: subject {self.subject!r} does not occur in prompt {self.prompt!r}"
            )
        object.__setattr__(self, "subject_start", start)

    @property
    def _where(self) -> str:
        return self.source or f"request {self.id or self.prompt!r}"

    @property
    def subject_end(self) -> int | None:
        """One past the subject's last character in `prompt`."""
        if self.subject is None or self.subject_start is None:
            return None
        return self.subject_start + len(self.subject)


@dataclass(frozen=True)
class DataSplit:
    """What a data set yields: the facts to forget, the facts to keep, and text that perplexity may be measured on.

    others: named sets of questions that are measured besides (TOFU's `real_authors`, `world_facts`; MMLU's subjects).
    They should stay, but for those whose names begin with `forget` (RWKU's adversarial probes) and for `holdout`, of
    which no training knew.
    texts: named verbatim texts: `forget`, `retain`, and `holdout`, which no training saw (MUSE).
    """

    forget: tuple[Request, ...]
    retain: tuple[Request, ...] = ()
    heldout_texts: tuple[str, ...] = ()
    others: Mapping[str, tuple[Request, ...]] = field(default_factory=dict)
    texts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
