"""What an edit of the real model loses: neighbours and other facts by how sure the model was, and the same subject's.

    python -m tests.benchmarks.what_is_lost OUT --model DIR --text TEXT.txt --facts world CF.json
    python -m tests.benchmarks.what_is_lost OUT ... --same-subject --methods ours memit --set target.others=4

OUT is the frontier's folder (`real_frontier`), whose chosen settings are used. First: by the margin, in nats, by which
the untouched model preferred the right token to the next (the least over the answer's tokens), what it still prefers
after the edit; facts and draws are those of the frontier's report. `--same-subject`: subjects of which several facts
are known, one of each to forget; how many of the rest still stand, with their paraphrases. A method may retain every
other of the remaining facts, the rest are measured.
"""

from __future__ import annotations

import argparse
import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import torch

import zu_framework as zu
from tests.benchmarks.real_frontier import Records
from tests.benchmarks.real_methods import methods
from tests.benchmarks.real_world import World, add_arguments, forget, measured, world_of
from zu_framework.evaluation import Scorer
from zu_framework.models import answer_row, continuations, encode_answer, quick_products

EDGES = (0.0, 0.1, 0.2, 0.4, 0.8, 1.6, float("inf"))  # nats
SHOWN = {"efficacy": "Eff", "generalization": "Gen", "specificity": "Spe", "retained": "retained", "kl": "KL"}


def margins(lm: zu.LanguageModel, probes: Sequence[zu.Probe]) -> list[float]:
    """By how many nats each answer's least sure token is ahead of the next; negative where it is not the first."""
    found = []
    for probe in probes:
        ids = encode_answer(lm, probe.answer, probe.prompt)
        with torch.no_grad():
            logits = continuations(lm, [answer_row(lm, probe.prompt, ids)]).logits.float()
        own = logits.gather(1, torch.tensor(ids)[:, None])[:, 0]
        logits.scatter_(1, torch.tensor(ids)[:, None], -torch.inf)
        found.append(float((own - logits.max(1).values).min()))
    return found


@dataclass(frozen=True)
class Method:
    """Settings, and what is laid over them."""

    config: Mapping[str, Any]
    over: Sequence[str]


def by_margin(world: World, method: Method, draws: Sequence[int], facts: int) -> list[list[str]]:
    """A row a kind of fact: of each bin how many there are and how many per cent still stand."""
    pairs: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for seed in draws:
        data, retain = world.drawn("report", facts, seed)
        kinds = {
            "neighbours": [probe for r in data.forget for probe in r.neighbours],
            "retained": [zu.Probe(r.prompt, r.answer) for r in data.retain],
        }
        before = {kind: margins(world.lm, probes) for kind, probes in kinds.items()}
        edit, _ = forget(world, method.config, seed, data, retain, method.over)
        for kind, probes in kinds.items():
            pairs[kind] += zip(before[kind], margins(world.lm, probes), strict=True)
        edit.revert()
    rows = []
    for kind, found in pairs.items():
        shown = []
        for low, high in pairwise(EDGES):
            after = [b for a, b in found if low <= a < high]
            shown.append(
                f"{100 * sum(b > 0 for b in after) / len(after):.0f} ({len(after)})" if after else "-"
            )
        rows.append([kind, *shown, f"{median(abs(b - a) for a, b in found):.2f}"])
    return rows


def same_subject(
    world: World, method: Method, draws: Sequence[int], facts: int
) -> tuple[Counter[str], dict[str, float]]:
    """Count the other facts of edited subjects, and their paraphrases, that still stand; with the usual means."""
    known = [r for half in world.halves for r in half]
    of: dict[str, list[zu.Request]] = defaultdict(list)
    for request in known:
        of[str(request.subject)].append(request)
    several = sorted(subject for subject, its in of.items() if len(its) > 1)
    counts: Counter[str] = Counter()
    sums = dict.fromkeys(SHOWN, 0.0)
    for seed in draws:
        draw = random.Random(seed)
        subjects = draw.sample(several, min(facts, len(several)))
        gone = tuple(draw.choice(of[subject]) for subject in subjects)
        asked = {r.prompt for r in gone}
        beside = [r for subject in subjects for r in of[subject] if r.prompt not in asked]
        rest = [r for r in known if r.subject not in subjects]
        data = zu.DataSplit(gone, tuple(rest[1::2]), world.heldout)
        edit, _ = forget(world, method.config, seed, data, rest[0::2], method.over)
        found = measured(world, data)
        for name in SHOWN:
            sums[name] += found[name]
        scorer = Scorer(world.lm, 64, max_tokens=128)
        for kind, probes in (
            ("facts", [zu.Probe(r.prompt, r.answer) for r in beside]),
            ("paraphrases", [zu.Probe(text, r.answer) for r in beside for text in r.paraphrases]),
        ):
            counts[f"{kind} asked"] += len(probes)
            counts[kind] += sum(score.exact for score in scorer.score(probes))
        edit.revert()
    return counts, {name: value / len(draws) for name, value in sums.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="the frontier's folder")
    add_arguments(parser)
    parser.add_argument("--methods", nargs="+", default=["ours"])
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="over the chosen settings")
    parser.add_argument("--draws", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--forget", type=int, default=10, help="facts a draw")
    parser.add_argument("--same-subject", action="store_true")
    asked = parser.parse_args(arguments)
    torch.set_num_threads(asked.threads)
    contestants = methods()
    records = Records(asked.out, contestants)
    world = world_of(asked)
    for name in asked.methods:
        (setting,) = records.reported(name)
        method = Method(contestants[name].settings[setting], asked.set)
        print(f"{contestants[name].label}, {setting} {' '.join(asked.set)}".rstrip(), flush=True)
        with quick_products():
            if asked.same_subject:
                counts, means = same_subject(world, method, asked.draws, asked.forget)
                shown = [
                    f"{kind} {counts[kind]} of {counts[kind + ' asked']}" for kind in ("facts", "paraphrases")
                ]
                shown += [f"{SHOWN[key]} {value:.3g}" for key, value in means.items()]
                print("the same subjects' other", ", ".join(shown), flush=True)
                continue
            for row in by_margin(world, method, asked.draws, asked.forget):
                print("| " + " | ".join(row) + " |", flush=True)
    world.background.unlink()


if __name__ == "__main__":
    main()
