"""WMDP (Li et al. 2024): multiple-choice questions on hazardous knowledge, with MMLU as what must stay."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from zu_framework import DataSplit, Request
from zu_framework.data import Part, Record, Source, drawn_and_rest, read_file
from zu_framework.options import ALL
from zu_plugins.datasets.choices import choice_request
from zu_plugins.datasets.mmlu import questions_by_subject

TOPICS = {"bio": "biology", "chem": "chemistry", "cyber": "cybersecurity"}


def load(options: Any, seed: int) -> DataSplit:
    """Questions of the chosen subsets are forgotten; the other subsets, and MMLU where it is given, measured besides.

    Nothing is retained: hazardous questions that the draw leaves are not facts to retain, and MMLU is a test.
    """
    source = Source(options.path)
    forget: list[Request] = []
    others: dict[str, tuple[Request, ...]] = {}
    if source.file.is_file():
        records = read_file(options.path, "data.path")
        forget = [request_of(record, options.subsets[0], options.answers) for record in records]
    else:
        for name in TOPICS:
            part = Part((f"{name}_questions", f"wmdp-{name}"), f"wmdp-{name}", "test")
            found = source.read(part) if name in options.subsets else source.find(part)
            requests = tuple(request_of(record, name, options.answers) for record in found or ())
            if name in options.subsets:
                forget += requests
            elif requests:
                others[f"wmdp-{name}"] = requests
    if options.mmlu:
        for name, requests in questions_by_subject(options.mmlu, "data.mmlu", options.answers).items():
            others[f"mmlu-{name}"] = requests
    drawn = drawn_and_rest(
        forget,
        forget=options.forget,
        retain=ALL,
        seed=seed,
        where=options.path,
        retain_from=(),
        retain_where="",
    )
    return replace(drawn, others=others)


def request_of(record: Record, subset: str, answers: str) -> Request:
    """A question as a request; the answer is counted from 0."""
    return choice_request(record, record.texts("choices"), record.whole("answer"), TOPICS[subset], answers)
