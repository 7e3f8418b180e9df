"""MUSE (Shi et al. 2024): questions on News or Books, and texts to measure memorisation and membership on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from zu_framework import DataSplit, Request
from zu_framework.data import Part, Record, Source, drawn_and_rest
from zu_plugins.datasets.questions import requests_of

# retain2 is what the publisher's own repository calls what its hub data set calls retain
QUESTIONS = {
    name: Part(tuple(f"knowmem/{file}_qa" for file in files), "knowmem", f"{name}_qa")
    for name, files in {"forget": ("forget",), "retain": ("retain", "retain2")}.items()
}
TEXTS = {
    name: Part(tuple(f"privleak/{file}" for file in files), "privleak", name)
    for name, files in {
        "forget": ("forget",),
        "retain": ("retain", "retain2"),
        "holdout": ("holdout",),
    }.items()
}
VERBATIM = Part(("verbmem/forget",), "verbmem", "forget")


def load(options: Any, seed: int) -> DataSplit:
    """Questions of the forget and retain texts, beginnings to be continued verbatim, and the texts of `privleak`.

    Only the forget questions must be there; the rest is read where it is.
    """
    source = Source(options.path)
    forget = requests_of(source.read(QUESTIONS["forget"]), options.template)
    retain = source.find(QUESTIONS["retain"])
    drawn = drawn_and_rest(
        forget,
        forget=options.forget,
        retain=options.retain,
        seed=seed,
        where=f"forget_qa of {options.path}",
        retain_from=() if retain is None else requests_of(retain, options.template),
        retain_where=f"retain_qa of {options.path}",
    )
    verbatim = source.find(VERBATIM)
    others = {} if verbatim is None else {"forget_verbatim": tuple(map(_continued, verbatim))}
    read = {name: source.find(part) for name, part in TEXTS.items()}
    texts = {name: tuple(map(_passage, found)) for name, found in read.items() if found is not None}
    return replace(drawn, others=others, texts=texts)


def _passage(record: Record) -> str:
    return record.text("text", longest=None)


def _continued(record: Record) -> Request:
    return Request(record.text("prompt", longest=None), record.text("gt", longest=None), source=record.where)
