"""TOFU (Maini et al. 2024): questions on fictitious authors. Forget and retain sets are the publisher's own splits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from zu_framework import DataSplit, Request
from zu_framework.data import Part, Record, Source, drawn_and_rest
from zu_plugins.datasets.questions import requests_of

RETAIN = {"forget01": "retain99", "forget05": "retain95", "forget10": "retain90"}
HOLDOUT = {"forget01": "holdout01", "forget05": "holdout05", "forget10": "holdout10"}


def load(options: Any, seed: int) -> DataSplit:
    """A forget split and its retain split, with the rewordings of their perturbed parts, real authors and world facts.

    Only the forget split and a retain split must be there; the rest is measured where it is.
    """
    source = Source(options.path)
    forget = _joined(source, options.part, f"{options.part}_perturbed", options.template)
    retain = _joined(source, RETAIN[options.part], "retain_perturbed", options.template)
    drawn = drawn_and_rest(
        forget,
        forget=options.forget,
        retain=options.retain,
        seed=seed,
        where=f"{options.part} of {options.path}",
        retain_from=retain,
        retain_where=f"{RETAIN[options.part]} of {options.path}",
    )
    others = {}
    for name, parts in {
        "real_authors": ("real_authors_perturbed", "real_authors"),
        "world_facts": ("world_facts_perturbed", "world_facts"),
        "holdout": (HOLDOUT[options.part],),
    }.items():
        found = next((r for part in parts if (r := source.find(_part(part))) is not None), None)
        if found is not None:
            others[name] = requests_of(found, options.template)
    return replace(drawn, others=others)


def _part(name: str) -> Part:
    return Part((name,), config=name, split="train")


def _joined(source: Source, name: str, perturbed: str, template: str) -> tuple[Request, ...]:
    """The requests of a split; those that its perturbed part has too come with the rewordings given there.

    A forget split may be there as its perturbed part alone. Every record of either is checked.
    """
    plain = source.find(_part(name))
    reworded = source.find(_part(perturbed))
    if plain is None:
        # retain_perturbed holds a part of its split
        whole = perturbed.startswith(name) and reworded is not None
        return requests_of(reworded if whole and reworded is not None else source.read(_part(name)), template)
    more = (
        {}
        if reworded is None
        else dict(zip(map(_question, reworded), requests_of(reworded, template), strict=True))
    )
    requests = []
    for record, request in zip(plain, requests_of(plain, template), strict=True):
        found = more.get(_question(record))
        requests.append(
            request if found is None else replace(found, answer=request.answer, source=record.where)
        )
    return tuple(requests)


def _question(record: Record) -> str:
    return record.text("question").strip()
