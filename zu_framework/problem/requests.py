"""What is asked: facts to forget and to retain, and the probes that measure them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from zu_framework.errors import DataError

# strip() leaves the invisible marks that texts bring along from web pages and editors
_EDGES = re.compile(r"\A[\s\u200b\u2060\ufeff]+|[\s\u200b\u2060\ufeff]+\Z")

# quotation marks and dashes, and the plain ones that they look like
_ALIKE = str.maketrans(
    "\u2018\u2019\u02bc\u0060\u00b4\u201c\u201d\u2010\u2011\u2012\u2013\u2014\u2212", "'''''\"\"------"
)

# Thai, Lao, Myanmar, Hangul, Khmer, kana, Han: words of these scripts stand, or take their endings, without a space
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uac00-\ud7af\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff]"
)


@dataclass(frozen=True)
class Probe:
    """A prompt, and the answer whose likelihood is measured after it.

    Args:
        prompt: The full text; white space at its end is cut, but for a line break.
        answer: The answer; white space around it is cut.
        aliases: Other texts that say the answer. Probes of equal prompt and answer are equal, whatever their aliases.
    """

    prompt: str
    answer: str
    aliases: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "prompt", prompt_text(self.prompt))
        object.__setattr__(self, "answer", stripped(self.answer))


@dataclass(frozen=True)
class Request:
    """One fact, to forget or to retain.

    Args:
        prompt: The full text that asks for it, its subject filled in; white space at its end is cut, but for a line
            break.
        answer: What the model is to forget, or to retain; white space around it is cut.
        subject: What the fact is about; None for questions without one. White space around it is cut.
        subject_start: The subject's first character in `prompt`. By default `find_subject` says where it stands.
        id: A name for the fact.
        target: A neutral text for this fact alone.
        paraphrases: Other full prompts with the same answer. Metrics read these and all that follows.
        neighbours: Probes of other facts, which must stay.
        source: Where the fact came from, for messages.
        alternative: An answer that preference metrics set against the true one (CounterFact's `target_new`).
        paraphrased_answer: A right rewording of the answer (TOFU's truth ratio).
        perturbed_answers: Wrong rewordings of the answer.
        choices: Of a multiple-choice question, the answer among them.
        implied: Questions that follow from this fact and others (MQuAKE's multi-hop questions).
        aliases: Other texts that say the answer (MQuAKE, zsRE).
        extra: What a plugin's metric reads besides, by name, as JSON holds it.

    Raises:
        DataError: Prompt, answer or subject is empty, or the subject is not in the prompt.
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
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        clean: dict[str, Any] = {"prompt": prompt_text(self.prompt), "answer": stripped(self.answer)}
        clean["paraphrases"] = tuple(map(prompt_text, self.paraphrases))
        if not clean["prompt"].strip() or not clean["answer"]:
            raise DataError(f"{self._where}: prompt and answer must not be empty")
        if self.subject is not None:
            clean |= self._placed(clean["prompt"], self.subject)
        for name, value in clean.items():
            object.__setattr__(self, name, value)

    def _placed(self, prompt: str, given: str) -> dict[str, Any]:
        """The subject without white space around it, and where it starts."""
        subject = stripped(given)
        if not subject:
            raise DataError(f"{self._where}: the subject is empty; leave it out for data without subjects")
        if self.subject_start is None:
            start = find_subject(prompt, subject)
        else:
            start = self.subject_start + given.index(subject)
        if start < 0 or not prompt.startswith(subject, start):
            raise DataError(
                f"{self._where}: subject {subject!r} does not occur in prompt {prompt!r}{nearly(prompt, subject)}"
            )
        return {"subject": subject, "subject_start": start}

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
    """What a data set yields: facts, and the texts that they are measured on.

    Args:
        forget: The facts to forget.
        retain: The facts to retain.
        heldout_texts: General text that metrics may read; it takes no part in an edit.
        others: Named sets of questions that are measured besides (TOFU's `real_authors`, `world_facts`; MMLU's
            subjects). They should stay, but for those whose names begin with `forget` (RWKU's adversarial probes) and
            for `holdout`, of which no training knew.
        texts: Named verbatim texts: `forget`, `retain`, and `holdout`, which no training saw (MUSE).
        notes: What the user should know of how the data were read, a sentence each.
    """

    forget: tuple[Request, ...]
    retain: tuple[Request, ...] = ()
    heldout_texts: tuple[str, ...] = ()
    others: Mapping[str, tuple[Request, ...]] = field(default_factory=dict)
    texts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def find_subject(prompt: str, subject: str) -> int:
    """Return the first character of the subject in a prompt, -1 where it is not in there.

    The last occurrence that is no part of a longer word counts ("Niger" in "Niger borders Nigeria" is the first word).
    Where each is part of a longer word (an ending is attached), the last one counts. In scripts that write words
    without spaces between them every occurrence stands for itself.

    Args:
        prompt: The full prompt.
        subject: The subject, without white space around it.
    """
    start = last = prompt.rfind(subject)
    while start >= 0:
        if not (inside_word(prompt, start) or inside_word(prompt, start + len(subject))):
            return start
        start = prompt.rfind(subject, 0, start + len(subject) - 1)
    return last


def nearly(prompt: str, subject: str) -> str:
    """Return a hint for a subject that a prompt holds in another spelling; "" where it does not."""
    start = prompt.casefold().find(subject.casefold())
    if start >= 0 and len(prompt.casefold()) == len(prompt):
        return f"; it is written {prompt[start : start + len(subject)]!r} there"
    forms = [unicodedata.normalize("NFC", text) for text in (prompt, subject)]
    if forms[1] in forms[0]:
        return "; the two are written in different Unicode normal forms: use NFC"
    seen = [_look(text) for text in (prompt, subject)]
    return (
        "; the two differ in look-alikes (quotes, dashes, spaces): write both alike"
        if seen[1] in seen[0]
        else ""
    )


def stripped(text: str) -> str:
    """Return a text without white space, zero-width spaces and byte order marks at its ends."""
    return _EDGES.sub("", text)


def prompt_text(text: str) -> str:
    """Return a prompt without spaces at its end, because the answer brings its own; a line break stays."""
    kept = text.rstrip()
    return kept + "".join(mark for mark in text[len(kept) :] if mark == "\n")


def _look(text: str) -> str:
    """A text as it looks: curly quotes, dashes, hard and double spaces, and wide letters as the plain ones."""
    return " ".join(unicodedata.normalize("NFKC", text).translate(_ALIKE).split()).casefold()


def inside_word(text: str, at: int) -> bool:
    """Whether the characters before and after a place belong to one word."""
    if not 0 < at < len(text):
        return False
    before, after = text[at - 1], text[at]
    if unicodedata.category(after).startswith("M"):  # an accent of the character before
        return True
    if _UNSPACED.match(before) or _UNSPACED.match(after):
        return False
    return (before.isalnum() or before == "_") and (after.isalnum() or after == "_")
