"""MMLU (Hendrycks et al. 2021): multiple-choice questions, a csv file a subject, or the hub's tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from zu_framework import ConfigError, DataError, DataSplit, Request
from zu_framework.data import Part, Record, Source, drawn_and_rest, first_row, read_csv
from zu_plugins.datasets.choices import LETTERS, choice_request

COLUMNS = ("question", "A", "B", "C", "D", "answer")  # of the original files, which have no row of names
NOT_TEST = ("_dev", "_val")


def load(options: Any, seed: int) -> DataSplit:
    """Questions of the chosen subjects are forgotten, those of the others retained, and measured subject by subject.

    Without a choice the forget questions are drawn from all subjects, and what they leave is retained.
    """
    subjects = questions_by_subject(options.path, "data.path", options.answers, tuple(options.subjects))
    missing = [name for name in options.subjects if name not in subjects]
    if missing:
        raise ConfigError(f"data.subjects: {missing[0]!r} is none of {', '.join(sorted(subjects))}")
    chosen = options.subjects or list(subjects)
    others = {name: requests for name, requests in subjects.items() if name not in chosen}
    drawn = drawn_and_rest(
        [request for name in chosen for request in subjects[name]],
        forget=options.forget,
        retain=options.retain,
        seed=seed,
        where=options.path,
        retain_from=[r for requests in others.values() for r in requests] if others else None,
        retain_where=f"the other subjects of {options.path}",
    )
    return replace(drawn, others=others)


def questions_by_subject(
    path: str, key: str, answers: str, subjects: tuple[str, ...] = ()
) -> Mapping[str, tuple[Request, ...]]:
    """The test questions of each subject in a file, a folder or a hub data set; from there of `subjects`, if given."""
    source = Source(path, key)
    if source.on_hub or (source.file.is_dir() and source.is_clone):
        if not subjects:
            records = source.read(Part((), "all", "test"))
            names = dict.fromkeys(record.text("subject") for record in records)
            return {
                name: tuple(request_of(r, name, answers) for r in records if r.fields["subject"] == name)
                for name in names
            }
        found = {name: source.find(Part((), name, "test")) for name in subjects}
        return {n: tuple(request_of(r, n, answers) for r in rs) for n, rs in found.items() if rs is not None}
    files = [source.file]
    if source.file.is_dir():
        files = [p for p in sorted(source.file.glob("*.csv")) if not p.stem.endswith(NOT_TEST)]
        if not files:
            raise DataError(f"{path}: the folder holds no SUBJECT_test.csv")
    return {_subject(file): _questions(file, key, answers) for file in files}


def _subject(file: Path) -> str:
    return file.stem.removesuffix("_test")


def _questions(file: Path, key: str, answers: str) -> tuple[Request, ...]:
    named = "question" in [cell.strip() for cell in first_row(str(file), key)]
    records = read_csv(str(file), key, None if named else COLUMNS)
    return tuple(request_of(record, _subject(file), answers) for record in records)


def request_of(record: Record, subject: str, answers: str) -> Request:
    """A question as a request: choices A to D, choice0 to choice3 or a list; the answer a letter or counted from 0."""
    if "choices" in record.fields:
        choices = record.texts("choices")
    else:
        names = ("A", "B", "C", "D") if "A" in record.fields else ("choice0", "choice1", "choice2", "choice3")
        choices = tuple(record.text(name) for name in names)
    letter = record.fields.get("answer")
    if isinstance(letter, str) and letter.strip() in set(LETTERS):
        right = LETTERS.index(letter.strip())
    else:
        right = record.whole("answer")
    return choice_request(record, choices, right, subject.replace("_", " "), answers)
