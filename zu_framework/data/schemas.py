"""Facts as others write them: chat messages, questions, instructions and completions, KnowEdit's records, tables.

Each becomes a record of a fact's own fields; messages still call a field what the file calls it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from zu_framework.data.fields import FIELDS, PROBES, SPELLINGS, TEXTS, spelled
from zu_framework.data.messages import described
from zu_framework.data.records import Record
from zu_framework.data.text import parsed
from zu_framework.problem.requests import stripped

TURNS = {"messages": ("role", "content"), "conversations": ("from", "value")}
HALVES = ("prompt", "completion")  # of a conversation, where both are lists of messages
ASKS, ANSWERS, SETS = ("user", "human"), ("assistant", "gpt"), ("system", "developer")
KNOWEDIT = ("rephrase_prompt", "rephrase", "portability", "locality", "target_new", "ground_truth")
COLUMNS = frozenset({*FIELDS, *SPELLINGS, *TURNS, *KNOWEDIT, "answers", "instruction", "input"})
SEPARATED = {
    *TEXTS,
    *PROBES,
    "answers",
    *(name for name, own in SPELLINGS.items() if own in (*TEXTS, *PROBES)),
}
JSON_BEGINS = re.compile(r'\[|\{\s*"')  # and not {}, which stands for the subject
SEVERAL = {*SEPARATED, *TURNS, *KNOWEDIT}  # fields that a table's cell may hold as JSON
# fields that a publisher's schema alone has, and the data set that reads them
PUBLISHED = {"requested_rewrite": "counterfact (or mquake)", "src": "zsre", "query": "rwku"}


def own_fields(record: Record) -> Record:
    """Return a record with a fact's own field names, whichever of the accepted schemas it is in.

    Raises:
        DataError: Two fields say the same, or the record is a publisher's, which has a data set of its own.
    """
    for name, dataset in PUBLISHED.items():
        if name in record.fields and name not in FIELDS:
            raise record.error(name, f"is of a publisher's schema, which data.name={dataset} reads")
    if all(isinstance(record.fields.get(name), list) for name in HALVES):
        record = _from_halves(record)
    if turns := next((name for name in TURNS if record.has(name)), None):
        return spelled(_from_messages(record, turns))
    if record.has("instruction"):
        record = _from_instruction(record)
    if "answer" not in record.fields and (record.has("ground_truth") or record.has("target_new")):
        return spelled(_from_knowedit(record))
    if "answer" not in record.fields and record.has("answers"):
        return spelled(_from_answers(record))
    return spelled(record)


def unfolded(record: Record, separator: str) -> Record:
    """Return a row of a table with the cells for several texts as lists.

    Args:
        record: Its values are texts. A cell that begins as a JSON list or object does is read as JSON.
        separator: Between the texts of any other cell.
    """
    fields = dict(record.fields)
    for name in SEVERAL & fields.keys():
        cell = fields[name]
        if JSON_BEGINS.match(cell):
            fields[name] = parsed(cell, f"{record.where}, field '{name}'")
        elif name in SEPARATED:
            fields[name] = [part for part in map(stripped, cell.split(separator)) if part]
    return Record(fields, record.where, record.prefix, record.called)


def system_message(record: Record) -> str:
    """Return the system message of a record of chat messages, which is no part of its fact; "" where it has none."""
    name = next((name for name in TURNS if record.has(name)), None)
    turns = [] if name is None else _turns(record, name)
    return next((text for role, text in turns if role in SETS), "")


def _changed(
    record: Record, out: tuple[str, ...], fields: Mapping[str, Any], called: Mapping[str, str]
) -> Record:
    """A record with some fields taken out, and others put in."""
    rest = {name: value for name, value in record.fields.items() if name not in out}
    for name in fields:
        if rest.get(name) is not None:
            raise record.error(name, f"says what {called.get(name, name)!r} says: keep one of them")
    return Record({**rest, **fields}, record.where, record.prefix, called)


def _turns(record: Record, name: str) -> list[tuple[str, str]]:
    """Who says what, in order. A content may be a list of parts, all of them text."""
    who, what = TURNS[name]
    turns = []
    for turn in record.objects(name):
        content = turn.fields.get(what)
        if isinstance(content, list):
            texts = [part.fields.get("text") for part in turn.objects(what)]
            if not all(isinstance(text, str) for text in texts):
                raise turn.error(what, "holds a part that is no text")
            turn = Record({**turn.fields, what: "".join(map(str, texts))}, turn.where, turn.prefix)
        turns.append((turn.text(who).strip().lower(), turn.text(what)))
    return turns


def _from_halves(record: Record) -> Record:
    """The question under `prompt` and its answer under `completion`, both as messages (TRL's conversational form)."""
    turns = [turn for name in HALVES for turn in record.items(name)]
    return _changed(record, HALVES, {"messages": turns}, {"messages": HALVES[0]})


def _from_messages(record: Record, name: str) -> Record:
    """One question of the user, and one answer of the assistant."""
    said = [(role, text) for role, text in _turns(record, name) if role not in SETS]
    roles = [role for role, _ in said]
    if len(said) != 2 or roles[0] not in ASKS or roles[1] not in ANSWERS:
        shown = ", ".join(roles[:6]) or "nobody"
        raise record.error(
            name, f"a fact is one message of {ASKS[0]} and one of {ANSWERS[0]}; here speak: {shown}"
        )
    called = {"prompt": name, "answer": name}
    return _changed(record, (name,), {"prompt": said[0][1], "answer": said[1][1]}, called)


def _from_instruction(record: Record) -> Record:
    """An instruction, and below it the input that it is about, where there is one."""
    given = record.fields.get("input")
    parts = [record.text("instruction"), *([record.text("input")] if given not in (None, "") else [])]
    return _changed(record, ("instruction", "input"), {"prompt": "\n".join(parts)}, {"prompt": "instruction"})


def _from_answers(record: Record) -> Record:
    """Several answers: the first is the fact's, the others are aliases."""
    first, *others = _nonempty(record, "answers")
    called = {"answer": "answers", "aliases": "answers"}
    fields: dict[str, Any] = {"answer": first}
    if others:
        fields["aliases"] = others
    return _changed(record, ("answers",), fields, called)


def _from_knowedit(record: Record) -> Record:
    """KnowEdit (Zhang et al. 2024): what is known is forgotten, `target_new` is set against it.

    A record without `ground_truth` adds knowledge: its `target_new` is the fact. Locality questions are neighbours, and
    portability questions are implied, with the answers that the file gives.
    """
    fields: dict[str, Any] = {}
    called: dict[str, str] = {}
    if record.has("ground_truth"):
        fields["answer"], *others = _nonempty(record, "ground_truth")
        called["answer"] = called["aliases"] = "ground_truth"
        if others:
            fields["aliases"] = others
        if record.has("target_new"):
            fields["alternative"], called["alternative"] = record.text("target_new"), "target_new"
    else:
        fields["answer"], called["answer"] = record.text("target_new"), "target_new"
    rewordings = [name for name in ("rephrase_prompt", "rephrase") if record.has(name)]
    if rewordings:
        fields["paraphrases"] = [text for name in rewordings for text in record.one_or_several(name)]
        called["paraphrases"] = rewordings[0]
    for own, name in (("neighbours", "locality"), ("implied", "portability")):
        if record.has(name):
            fields[own], called[own] = list(_questions(record.inside(name))), name
    return _changed(record, KNOWEDIT, fields, called)


def _questions(groups: Record) -> Iterator[dict[str, Any]]:
    """The questions of `locality` or `portability`, whose answers are lists of lists of equal sayings."""
    for kind in groups.fields:
        if not groups.has(kind):
            continue
        for question in groups.objects(kind):
            answers = _nonempty(question, "ground_truth")
            yield {"prompt": question.text("prompt"), "answer": answers[0], "aliases": answers[1:]}


def _nonempty(record: Record, name: str) -> list[str]:
    """The texts of a field that holds one, a list, or lists of lists, in order and each once; at least one."""
    found: list[str] = []
    value = record.fields.get(name)
    for item in value if isinstance(value, list | tuple) else (value,):
        for text in item if isinstance(item, list | tuple) else (item,):
            if not isinstance(text, str):
                raise record.error(name, f"expected texts, got {described(text)}")
            found.append(record.checked(name, text))
    if not found:
        raise record.error(name, "is empty: the first text is the answer")
    return list(dict.fromkeys(found))
