"""The real model's world: facts that it answers in two halves, general text, and what an edit is measured by."""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

import zu_framework as zu
from tests.benchmarks.frontier.cells import merged, plugins
from zu_framework.data import Record
from zu_framework.evaluation import Scorer, read_texts
from zu_plugins.datasets.counterfact import request_of

HELD_OUT_EVERY = 10  # of the documents: these alone serve perplexity and KL
HELD_OUT = 24
LONG = 300  # characters: a heading says little of a model

Measured = dict[str, Any]


@dataclass(frozen=True)
class World:
    """A model, what it knows of the facts in two halves, general text, and what its untouched scorer knows."""

    lm: zu.LanguageModel
    halves: tuple[tuple[zu.Request, ...], tuple[zu.Request, ...]]
    heldout: tuple[str, ...]
    background: Path
    untouched: Scorer
    warm: bool

    def drawn(self, stage: str, facts: int, seed: int) -> tuple[zu.DataSplit, tuple[zu.Request, ...]]:
        """The facts to forget and those measured as retained, of one half; and those that a method may retain."""
        first, second = self.halves
        draw = random.Random(seed)
        if stage != "choose":
            chosen = set(draw.sample(range(len(second)), min(facts, len(second) // 2)))
            forget = tuple(second[i] for i in sorted(chosen))
            asked = {r.prompt for r in forget}  # two sources may ask the same

            def others(half: Sequence[zu.Request]) -> tuple[zu.Request, ...]:
                return tuple(r for r in half if r.prompt not in asked)

            return zu.DataSplit(forget, others(second), self.heldout), others(first)
        chosen = set(draw.sample(range(len(first)), min(facts, len(first) // 3)))
        rest = tuple(r for i, r in enumerate(first) if i not in chosen)
        forget = tuple(first[i] for i in sorted(chosen))
        return zu.DataSplit(forget, rest[1::2], self.heldout), rest[0::2]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `world_of` reads, and how many threads."""
    parser.add_argument("--model", type=Path, help="folder of a checkpoint")
    parser.add_argument("--text", type=Path, help="general text, one document a line")
    parser.add_argument(
        "--facts", nargs="+", default=["world"], help="files of CounterFact records, or world"
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--documents", type=int, default=1000, help="background documents at most")
    parser.add_argument("--heldout", type=int, default=HELD_OUT, help="held-out documents at most")
    parser.add_argument("--long", type=int, default=LONG, help="characters that a document has at least")
    parser.add_argument(
        "--warm", action="store_true", help="states found once serve all; seconds are not told"
    )


def forget(
    world: World,
    config: Mapping[str, Any],
    seed: int,
    data: zu.DataSplit,
    retain: Sequence[zu.Request],
    over: Sequence[str] = (),
) -> tuple[zu.Edit, float]:
    """The edit, and its seconds a fact; nothing guards: a comparison shows damage, it does not prevent it."""
    lm = world.lm
    whole = {"base": "zerounlearn-local", "seed": seed, "guard": {"text": None, "facts": None}, **config}
    whole = merged(whole, {"background": {"name": "text", "path": str(world.background)}})
    world.untouched.score([zu.Probe(r.prompt, r.answer) for r in data.forget])  # while it is untouched
    start = time.perf_counter()
    edit = zu.unlearn(lm, lm.tokenizer, data.forget, whole, over, retain=retain, plugins=plugins())
    return edit, (time.perf_counter() - start) / len(data.forget)


def world_of(asked: argparse.Namespace) -> World:
    lm = zu.LanguageModel.from_pretrained(str(asked.model), dtype="float32", device=asked.device)
    documents = [text for text in read_texts(asked.text) if len(text) >= asked.long]
    background = asked.out / f"background-{os.getpid()}.txt"
    rest = [d for i, d in enumerate(documents) if i % HELD_OUT_EVERY != HELD_OUT_EVERY - 1]
    background.write_text("\n".join(rest[: asked.documents]) + "\n", encoding="utf-8")
    heldout = tuple(documents[HELD_OUT_EVERY - 1 :: HELD_OUT_EVERY][: asked.heldout])
    scorer = Scorer(lm, 64, max_tokens=128)
    known = _found(asked, scorer)
    random.Random(0).shuffle(known)
    half = len(known) // 2
    scorer.predict(heldout)
    return World(lm, (tuple(known[:half]), tuple(known[half:])), heldout, background, scorer, asked.warm)


def _found(asked: argparse.Namespace, scorer: Scorer) -> list[zu.Request]:
    """The facts that the untouched model answers; OUT/known.json spares the next process the asking."""
    requests = [request for source in asked.facts for request in facts_of(source)]
    held = asked.out / "known.json"
    asks = hashlib.sha256(repr((scorer.lm.fingerprint(), requests)).encode()).hexdigest()
    noted = json.loads(held.read_text(encoding="utf-8")) if held.exists() else {}
    if noted.get("asks") != asks:
        noted = {"asks": asks, "right": _right(scorer, requests)}
        held.write_text(json.dumps(noted), encoding="utf-8")
    return list(_known(requests, noted["right"]))


def facts_of(source: str) -> list[zu.Request]:
    if Path(source).is_file():
        records = json.loads(Path(source).read_text(encoding="utf-8"))
        return [request_of(Record(r, f"{source}, record {i}")) for i, r in enumerate(records, 1)]
    component = plugins().registry.get("dataset", source)
    split = component.load()(component.spec.options(), 0)
    return [*split.forget, *split.retain]


def known_of(scorer: Scorer, requests: Sequence[zu.Request]) -> list[zu.Request]:
    """The facts that a model answers, with the paraphrases and neighbours that it answers."""
    return list(_known(requests, _right(scorer, requests)))


def _right(scorer: Scorer, requests: Sequence[zu.Request]) -> list[list[bool]]:
    """Of each fact, whether the model answers its prompt, its paraphrases and its neighbours."""
    return [
        [
            score.exact
            for score in scorer.score(
                [*(zu.Probe(t, r.answer) for t in (r.prompt, *r.paraphrases)), *r.neighbours]
            )
        ]
        for r in requests
    ]


def _known(requests: Sequence[zu.Request], answers: Sequence[Sequence[bool]]) -> Iterator[zu.Request]:
    """Facts that the model answers, with the paraphrases and neighbours that it answers."""
    for r, right in zip(requests, answers, strict=True):
        if not right[0]:
            continue
        known = [text for text, ok in zip(r.paraphrases, right[1:], strict=False) if ok]
        near = [probe for probe, ok in zip(r.neighbours, right[1 + len(r.paraphrases) :], strict=True) if ok]
        yield replace(r, paraphrases=tuple(known), neighbours=tuple(near))


def measured(world: World, data: zu.DataSplit) -> Measured:
    """Percentages of what the untouched model answers; KL in nats a token; perplexity as a ratio."""
    scorer = Scorer(world.lm, 64, max_tokens=128, untouched=world.untouched)
    apart = torch.tensor([v for text in scorer.divergence(world.heldout) or () for v in text])
    nll, tokens = scorer.perplexity(world.heldout)
    nll_before, _ = world.untouched.perplexity(world.heldout)
    own = [zu.Probe(r.prompt, r.answer) for r in data.forget]
    after, before = scorer.score(own), world.untouched.score(own)
    ratios = [
        math.exp(min(a.log_probability - b.log_probability, 50)) for a, b in zip(after, before, strict=True)
    ]

    def share(probes: Sequence[zu.Probe]) -> float:
        scores = scorer.score(probes)
        return 100 * fmean(score.exact for score in scores) if scores else math.nan

    return {
        "efficacy": share(own),
        "generalization": share([zu.Probe(text, r.answer) for r in data.forget for text in r.paraphrases]),
        "specificity": share([probe for r in data.forget for probe in r.neighbours]),
        "retained": share([zu.Probe(r.prompt, r.answer) for r in data.retain]),
        "kl": float(apart.mean()),
        "kl95": float(apart.quantile(0.95)),
        "perplexity": math.exp(min((nll - nll_before) / tokens, 50)),
        "rank": float(torch.tensor([float(max(s.ranks)) for s in after]).median()),
        "ratio": float(torch.tensor(ratios).median()),
    }
