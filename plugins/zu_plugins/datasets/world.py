"""Plain facts of the world that a small real model knows, packaged: nothing to download, nothing to choose.

`world.json` holds, by relation, facts with three further wordings each, and other subjects of the relation as
neighbours, none of which is ever a fact to forget. Its flags say which wordings and neighbours SmolLM2-135M-Instruct
answers; `python -m tests.benchmarks.world_known` measures them again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from importlib.resources import files
from typing import Any

from zu_framework import DataSplit, Probe, Request
from zu_framework.data import Record, by_protocol, filled

NEIGHBOURS = 5


def load(options: Any, seed: int) -> DataSplit:
    """The facts, drawn by the protocol; with `probes: known` without the wordings and neighbours that are not known."""
    requests = [_known(request) if options.probes == "known" else request for request in facts()]
    return by_protocol(requests, options.protocol, options.forget, options.retain, seed, "the packaged world")


def facts() -> list[Request]:
    """All facts, each relation spread evenly over the list, so that each half of it holds every relation."""
    path = files("zu_plugins.datasets") / "world.json"
    relations = Record(json.loads(path.read_text("utf-8")), "world.json").inside("relations")
    placed = []
    for name in relations.fields:
        found = list(_of(name, relations.inside(name)))
        placed += [((number + 0.5) / len(found), name, request) for number, request in enumerate(found)]
    return [request for _, _, request in sorted(placed, key=lambda item: item[:2])]


def _of(name: str, relation: Record) -> Iterator[Request]:
    """The facts of a relation, in the order of the file."""
    prompt, wordings = relation.text("prompt"), relation.texts("paraphrases")
    others = relation.objects("neighbours")
    for number, fact in enumerate(relation.objects("facts")):
        subject, answer = fact.text("subject"), fact.text("answer")
        # from another place each time, so that no neighbour is measured for all facts
        turned = (*others[number % len(others) :], *others[: number % len(others)])
        near = [other for other in turned if other.text("answer") != answer][:NEIGHBOURS]
        text, start = filled(fact, "prompt", prompt, subject)
        yield Request(
            prompt=text,
            answer=answer,
            subject=subject,
            subject_start=start,
            id=f"{name}: {subject}",
            paraphrases=tuple(filled(fact, "paraphrases", wording, subject)[0] for wording in wordings),
            neighbours=tuple(
                Probe(filled(other, "prompt", prompt, other.text("subject"))[0], other.text("answer"))
                for other in near
            ),
            source=f"world.json, {name} of {subject}",
            alternative=near[0].text("answer"),
            extra={
                "relation": name,
                "known_paraphrases": fact.items("known"),
                "known_neighbours": [other.fields["known"] for other in near],
            },
        )


def _known(request: Request) -> Request:
    """A fact with the wordings and neighbours alone that the untouched model answers."""
    wordings = zip(request.paraphrases, request.extra["known_paraphrases"], strict=True)
    neighbours = zip(request.neighbours, request.extra["known_neighbours"], strict=True)
    return replace(
        request,
        paraphrases=tuple(text for text, known in wordings if known),
        neighbours=tuple(probe for probe, known in neighbours if known),
    )
