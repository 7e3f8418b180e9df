"""The frontier on a real model: forgetting against damage, ours and the rivals, a line of JSON a cell.

    python -m tests.benchmarks.real_frontier OUT --model DIR --text TEXT.txt --facts world CF.json --stage choose
    python -m tests.benchmarks.real_frontier OUT --model DIR --text TEXT.txt --facts world CF.json --stage report
    python -m tests.benchmarks.real_frontier OUT --table

Facts are CounterFact records; `world` names the packaged set. Only what the untouched model answers counts: facts,
paraphrases, neighbours. Settings are chosen on the first half of the pooled facts, reported on the second; a method may
retain or train on facts of the first half alone. What OUT/*.jsonl holds is not run again. `--shard 0/8` to `7/8` run
side by side; `--device cuda` there. It needs torch, transformers and the pure Python packages of zu_framework.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import torch

import zu_framework as zu
from tests.benchmarks.frontier import once
from tests.benchmarks.frontier.cells import merged, plugins
from tests.benchmarks.real_methods import Method, cost, methods
from zu_framework.data import Record
from zu_framework.evaluation import Scorer, read_texts
from zu_plugins.datasets.counterfact import request_of

HELD_OUT_EVERY = 10  # of the documents: these alone serve perplexity and KL
HELD_OUT = 24
LONG = 300  # characters: a heading says little of a model
COLUMNS = ("efficacy", "generalization", "specificity", "retained", "kl", "kl95", "perplexity", "seconds")
HEADS = ("Eff", "Gen", "Spe", "retained", "KL", "KL 95 %", "PPL x", "s a fact")
PLACES = (1, 1, 1, 1, 3, 3, 3, 2)

Cell = tuple[str, int, int, str, str]  # stage, facts, draw, method, setting
Measured = dict[str, Any]


@dataclass(frozen=True)
class World:
    """A model, what it knows of the facts in two halves, general text, and what its untouched scorer knows."""

    lm: zu.LanguageModel
    halves: tuple[tuple[zu.Request, ...], tuple[zu.Request, ...]]
    heldout: tuple[str, ...]
    background: Path
    untouched: Scorer

    def drawn(self, stage: str, facts: int, seed: int) -> tuple[zu.DataSplit, tuple[zu.Request, ...]]:
        """The facts to forget and those measured as retained, of one half; and those that a method may retain."""
        first, second = self.halves
        draw = random.Random(seed)
        if stage == "report":
            chosen = set(draw.sample(range(len(second)), min(facts, len(second) // 2)))
            rest = tuple(r for i, r in enumerate(second) if i not in chosen)
            return zu.DataSplit(tuple(second[i] for i in sorted(chosen)), rest, self.heldout), first
        chosen = set(draw.sample(range(len(first)), min(facts, len(first) // 3)))
        rest = tuple(r for i, r in enumerate(first) if i not in chosen)
        forget = tuple(first[i] for i in sorted(chosen))
        return zu.DataSplit(forget, rest[1::2], self.heldout), rest[0::2]


def world_of(asked: argparse.Namespace) -> World:
    lm = zu.LanguageModel.from_pretrained(str(asked.model), dtype="float32", device=asked.device)
    documents = [text for text in read_texts(asked.text) if len(text) >= asked.long]
    background = asked.out / f"background-{os.getpid()}.txt"
    rest = [d for i, d in enumerate(documents) if i % HELD_OUT_EVERY != HELD_OUT_EVERY - 1]
    background.write_text("\n".join(rest[: asked.documents]) + "\n", encoding="utf-8")
    heldout = tuple(documents[HELD_OUT_EVERY - 1 :: HELD_OUT_EVERY][: asked.heldout])
    scorer = Scorer(lm, 64, max_tokens=128)
    requests = [request for source in asked.facts for request in _facts(source)]
    known = list(_known(scorer, requests))
    random.Random(0).shuffle(known)
    half = len(known) // 2
    scorer.predict(heldout)
    return World(lm, (tuple(known[:half]), tuple(known[half:])), heldout, background, scorer)


def _facts(source: str) -> list[zu.Request]:
    if Path(source).is_file():
        records = json.loads(Path(source).read_text(encoding="utf-8"))
        return [request_of(Record(r, f"{source}, record {i}")) for i, r in enumerate(records, 1)]
    component = plugins().registry.get("dataset", source)
    split = component.load()(component.spec.options(), 0)
    return [*split.forget, *split.retain]


def _known(scorer: Scorer, requests: Sequence[zu.Request]) -> Iterator[zu.Request]:
    """Facts that the model answers, with the paraphrases and neighbours that it answers."""
    for r in requests:
        probes = [zu.Probe(text, r.answer) for text in (r.prompt, *r.paraphrases)] + list(r.neighbours)
        right = [score.exact for score in scorer.score(probes)]
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


def run_cell(world: World, cell: Cell, config: Mapping[str, Any]) -> Measured:
    """Forget, measure, revert; a refusal is a result too."""
    stage, facts, seed, _, _ = cell
    data, retain = world.drawn(stage, facts, seed)
    # a comparison shows damage, it does not prevent it
    config = {"base": "zerounlearn-local", "seed": seed, "guard": {"text": None, "facts": None}, **config}
    config = merged(config, {"background": {"name": "text", "path": str(world.background)}})
    if stage == "report":
        once.forget()  # seconds then hold all that a method does
    start = time.perf_counter()
    try:
        edit = zu.unlearn(world.lm, world.lm.tokenizer, data.forget, config, retain=retain, plugins=plugins())
    except zu.ZuError as refusal:
        return {"refused": str(refusal)}
    seconds = (time.perf_counter() - start) / len(data.forget)
    try:
        return {**measured(world, data), "seconds": seconds}
    finally:
        edit.revert()


class Records:
    """What OUT/*.jsonl holds; new lines go to this process's own file."""

    def __init__(self, folder: Path, contestants: Mapping[str, Method], shard: int = 0) -> None:
        self.contestants = contestants
        self.own = folder / f"cells-{shard}.jsonl"
        self.found: dict[Cell, Measured] = {}
        for path in sorted(folder.glob("cells-*.jsonl")):
            for line in path.read_text(encoding="utf-8").splitlines():
                record = json.loads(line)
                self.found[tuple(record["cell"])] = record["measured"]

    def add(self, cell: Cell, found: Measured) -> None:
        self.found[cell] = found
        with self.own.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"cell": cell, "measured": found}) + "\n")

    def of(self, stage: str, facts: int, method: str, setting: str) -> list[Measured]:
        wanted = (stage, facts, method, setting)
        held = {c[2]: m for c, m in self.found.items() if (c[0], c[1], c[3], c[4]) == wanted}
        return [held[seed] for seed in sorted(held) if "refused" not in held[seed]]

    def costs(self, method: str) -> dict[str, float]:
        """Mean cost of the settings that were tried and never refused."""
        tried: dict[str, list[float]] = {}
        for (stage, _, _, name, setting), found in self.found.items():
            if stage == "choose" and name == method:
                tried.setdefault(setting, []).append(math.inf if "refused" in found else cost(found))
        return {s: fmean(c) for s, c in tried.items() if math.isfinite(fmean(c))}

    def chosen(self, method: str) -> str | None:
        settings, costs = list(self.contestants[method].settings), self.costs(method)
        return min(costs, key=lambda s: (costs[s], settings.index(s))) if costs else None


def cells(asked: argparse.Namespace, records: Records) -> list[Cell]:
    """What is asked for and not there yet, this shard's share of it."""
    wanted: list[Cell] = []
    for size in asked.sizes:
        for name in asked.methods or records.contestants:
            settings: Sequence[str] = list(records.contestants[name].settings)
            if asked.stage == "report":
                chosen = records.chosen(name) if len(settings) > 1 else settings[0]
                settings = [chosen] if chosen else []
            elif len(settings) == 1:
                continue
            wanted += [(asked.stage, size, draw, name, s) for s in settings for draw in asked.draws]
    part, parts = map(int, asked.shard.split("/"))
    return [cell for cell in wanted if cell not in records.found][part::parts]


def tables(records: Records) -> str:
    """Markdown: the report for each number of facts, then what was tried when choosing."""
    parts = []
    for size in sorted({cell[1] for cell in records.found if cell[0] == "report"}):
        rows = [f"| method | setting | {' | '.join(HEADS)} |", "| --- " * (len(HEADS) + 2) + "|"]
        for name, method in records.contestants.items():
            for setting in method.settings:
                if found := records.of("report", size, name, setting):
                    rows.append(f"| {method.label} | {setting} | {' | '.join(map(str, _shown(found)))} |")
        parts.append(f"{size} facts, mean ± standard deviation over draws\n\n" + "\n".join(rows))
    rows = ["| method | setting | cost | " + " | ".join(HEADS) + " |", "| --- " * (len(HEADS) + 3) + "|"]
    for name, method in records.contestants.items():
        for setting, value in sorted(records.costs(name).items(), key=lambda pair: pair[1]):
            mark = " (chosen)" if setting == records.chosen(name) else ""
            sizes = sorted({c[1] for c in records.found if c[0] == "choose" and c[3] == name})
            found = [m for size in sizes for m in records.of("choose", size, name, setting)]
            rows.append(f"| {method.label} | {setting}{mark} | {value:.1f} | {' | '.join(_shown(found))} |")
    return "\n\n".join([*parts, "Settings tried on the choosing half\n\n" + "\n".join(rows)])


def _shown(found: Sequence[Measured]) -> list[str]:
    shown = []
    for column, places in zip(COLUMNS, PLACES, strict=True):
        values = [m[column] for m in found if not math.isnan(m[column])]
        mean, spread = fmean(values), stdev(values) if len(values) > 1 else 0.0
        text = f"{mean:.{places}f}" if mean < 1000 else f"{mean:.1e}"
        shown.append(text if column == "seconds" else f"{text} ± {spread:.{places}f}")
    return shown


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="folder of the results")
    parser.add_argument("--model", type=Path, help="folder of a checkpoint")
    parser.add_argument("--text", type=Path, help="general text, one document a line")
    parser.add_argument(
        "--facts", nargs="+", default=["world"], help="files of CounterFact records, or world"
    )
    parser.add_argument("--stage", choices=("choose", "report"), default="choose")
    parser.add_argument("--sizes", type=int, nargs="+", default=[10])
    parser.add_argument("--draws", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--methods", nargs="+", help="default: all")
    parser.add_argument("--layers", type=int, nargs="+", default=[4, 5, 6], help="that editors edit")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--shard", default="0/1", help="i/n: every n-th missing cell, from the i-th")
    parser.add_argument("--documents", type=int, default=1000, help="background documents at most")
    parser.add_argument("--heldout", type=int, default=HELD_OUT, help="held-out documents at most")
    parser.add_argument("--long", type=int, default=LONG, help="characters that a document has at least")
    parser.add_argument("--table", action="store_true", help="print what OUT holds")
    asked = parser.parse_args(arguments)
    asked.out.mkdir(parents=True, exist_ok=True)
    contestants = methods(asked.layers)
    records = Records(asked.out, contestants, int(asked.shard.split("/")[0]))
    if asked.table:
        print(tables(records))
        return
    missing = cells(asked, records)
    if not missing:
        return
    torch.set_num_threads(1)
    world = world_of(asked)
    print(f"known facts: {[len(half) for half in world.halves]}; cells to run: {len(missing)}", flush=True)
    for cell in missing:
        begun = time.perf_counter()
        found = run_cell(world, cell, contestants[cell[3]].settings[cell[4]])
        records.add(cell, found)
        shown = " ".join(f"{k} {v:.3g}" if isinstance(v, float) else str(v) for k, v in found.items())
        print(f"{' '.join(map(str, cell))} ({time.perf_counter() - begun:.0f} s): {shown}", flush=True)
    world.background.unlink()


if __name__ == "__main__":
    main()
