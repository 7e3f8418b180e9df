"""A fact's own fields, and the request that a record of them becomes."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from zu_framework.data.messages import described, escaped
from zu_framework.data.records import Record
from zu_framework.data.text import parsed
from zu_framework.errors import did_you_mean
from zu_framework.problem import Probe, Request
from zu_framework.problem.requests import find_subject, nearly, prompt_text, stripped

# fields that hold one text
ONE = ("prompt", "answer", "subject", "target", "alternative", "paraphrased_answer")
TEXTS = ("paraphrases", "perturbed_answers", "choices", "aliases")  # fields that hold several
PROBES = ("neighbours", "implied")  # fields that hold probes
FIELDS = (*ONE, *TEXTS, *PROBES, "id", "subject_start", "extra")
# other names of a fact's own fields
SPELLINGS = {
    "neighbors": "neighbours",
    "question": "prompt",
    "completion": "answer",
    "response": "answer",
    "output": "answer",
    "paraphrased_question": "paraphrases",
    "perturbed_answer": "perturbed_answers",
}
# other ways to write {}, the place of the subject
PLACES = re.compile(r"\{\{\s*subject\s*\}\}|\{subject\}")
PROBE_FIELDS = ("prompt", "answer", "subject", "aliases")


def request_of(record: Record, declared: Collection[str] = ()) -> Request:
    """Return a record of a fact's own fields as a request.

    Every `{}` of the prompt, the paraphrases and the probes is where the subject goes; it is read at the prompt's last
    one. A prompt without `{}` holds the subject itself: `find_subject` says where. A text stands for a list of one.

    Args:
        record: Its fields are among `FIELDS` and `declared`.
        declared: Fields that plugins' metrics read; they go to `Request.extra`.

    Returns:
        The request.

    Raises:
        DataError: A field is missing, unknown or of another kind, or the subject is not in the prompt.
    """
    refuse_unknown(record, (*FIELDS, *declared), SPELLINGS)
    answer, subject = record.stripped("answer"), record.stripped_or_none("subject")
    prompt, start = _placed(record, record.text("prompt"), subject)
    choices = record.one_or_several("choices")
    if choices and answer not in map(stripped, choices):
        raise record.error(
            "choices", f"the answer {answer!r} is none of them: write the whole choice as answer"
        )
    target = record.text_or_none("target")
    if target is not None and stripped(target) == answer:
        raise record.error("target", f"is the answer {answer!r} itself: give a text that does not say it")
    extra = dict(_extra(record)) | {name: record.fields[name] for name in declared if record.has(name)}
    return Request(
        prompt=prompt,
        answer=answer,
        subject=subject,
        subject_start=start,
        id=record.label("id", ""),
        target=target,
        source=record.where,
        alternative=record.stripped_or_none("alternative"),
        paraphrased_answer=record.stripped_or_none("paraphrased_answer"),
        paraphrases=tuple(
            filled(record, f"paraphrases[{index}]", text, subject)[0]
            for index, text in enumerate(record.one_or_several("paraphrases"))
        ),
        perturbed_answers=tuple(map(stripped, record.one_or_several("perturbed_answers"))),
        choices=tuple(map(stripped, choices)),
        aliases=tuple(map(stripped, record.one_or_several("aliases"))),
        neighbours=_probes(record, "neighbours", answer, subject),
        implied=_probes(record, "implied", answer, subject),
        extra=extra,
    )


def filled(record: Record, name: str, template: str, subject: str | None) -> tuple[str, int | None]:
    """Return a template with the subject at each `{}`.

    By joining: prompts and subjects may hold braces that `str.format` would read.

    Args:
        record: The record, for messages.
        name: The template's field, for messages.
        template: A text in which `{}` (or `{subject}`) stands for the subject, or which holds the subject itself.
        subject: The subject, None where the fact has none.

    Returns:
        The text, and the character at which the last subject put in starts; None where the template holds no `{}`.

    Raises:
        DataError: The template holds `{}`, and there is no subject.
    """
    parts = PLACES.sub("{}", prompt_text(template)).split("{}")
    if len(parts) == 1:
        return parts[0], None
    if subject is None:
        raise record.error("subject", f"missing, while {escaped(name)} holds {{}} for it")
    text = subject.join(parts)
    return text, len(text) - len(parts[-1]) - len(subject)


def spelled(record: Record) -> Record:
    """Return a record with a fact's own names for fields that may be spelled otherwise.

    Raises:
        DataError: Two of its fields say the same.
    """
    fields = dict(record.fields)
    called = dict(record.called)
    for name, own in SPELLINGS.items():
        if name not in fields:
            continue
        if fields.get(own) is not None:
            raise record.error(name, f"says what {called.get(own, own)!r} says: keep one of them")
        fields[own] = fields.pop(name)
        called[own] = name
    return Record(fields, record.where, record.prefix, called)


def refuse_unknown(record: Record, known: Collection[str], also: Collection[str] = ()) -> None:
    """Raise `DataError` for the first field that is none of `known`, with the one of them or `also` that was meant."""
    for name, value in record.fields.items():
        if name in known:
            continue
        hint = did_you_mean(str(name), (*known, *also), most=1)
        if isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
            hint = "it holds objects: if they are the facts, save that list alone; "
        raise record.error(
            escaped(str(name)),
            f"unknown field: {hint}fields: {', '.join(known)}; what a plugin's metric reads stands under `extra`",
        )


def place_of(record: Record, prompt: str, subject: str) -> int:
    """Return the character at which a subject starts in a full prompt.

    The last occurrence that is no part of a longer word counts, else the last one.

    Args:
        record: The record, for messages.
        prompt: The full prompt.
        subject: The subject, without white space around it.

    Returns:
        The character.

    Raises:
        DataError: It is not in there.
    """
    start = find_subject(prompt, subject)
    if start < 0:
        hint = nearly(prompt, subject)
        raise record.error(
            "subject", f"{subject!r} does not occur in the prompt {prompt!r}, nor does {{}}{hint}"
        )
    return start


def _placed(record: Record, template: str, subject: str | None) -> tuple[str, int | None]:
    """The prompt with its subject, and where the subject starts."""
    text, start = filled(record, "prompt", template, subject)
    if subject is None:
        return text, None
    if record.has("subject_start"):
        start = record.whole("subject_start")
        if not text.startswith(subject, start):
            raise record.error(
                "subject_start", f"{subject!r} does not stand at character {start} of {text!r}"
            )
    return text, place_of(record, text, subject) if start is None else start


def _probes(record: Record, name: str, answer: str, subject: str | None) -> tuple[Probe, ...]:
    """Prompts with answers: texts that share the record's own, or objects with prompt and answer."""
    value = record.fields.get(name)
    if value is None:
        return ()
    alone, called = isinstance(value, str | Mapping | Probe), record.called.get(name, name)
    probes = []
    for index, item in enumerate([value] if alone else record.items(name)):
        where = name if alone else f"{name}[{index}]"
        if isinstance(item, Probe):
            probes.append(item)
        elif isinstance(item, str):
            text, _ = filled(record, where, record.checked(where, item), subject)
            probes.append(Probe(text, answer))
        elif isinstance(item, Mapping):
            inner = Record(item, record.where, f"{record.prefix}{where.replace(name, called)}.")
            probes.append(_probe(inner, subject))
        else:
            raise record.error(
                where, f"expected a text, or an object with prompt and answer, got {described(item)}"
            )
    return tuple(probes)


def _probe(record: Record, subject: str | None) -> Probe:
    record = spelled(record)
    refuse_unknown(record, PROBE_FIELDS)
    text, _ = filled(record, "prompt", record.text("prompt"), record.stripped_or_none("subject") or subject)
    return Probe(text, record.text("answer"), tuple(map(stripped, record.one_or_several("aliases"))))


def _extra(record: Record) -> Mapping[str, Any]:
    """What metrics of plugins read: an object, or its JSON text in a table's cell."""
    value = record.fields.get("extra")
    if isinstance(value, str):
        value = parsed(value, f"{record.where}, field 'extra'")
    if value is not None and not isinstance(value, Mapping):
        raise record.error("extra", f"expected an object, got {described(value)}")
    return value or {}
