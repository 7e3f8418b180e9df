"""What a model knows of the packaged world facts: `python -m tests.benchmarks.world_known [--model M] [--write]`.

A fact, wording or neighbour is known where the model's likeliest token is the answer's at each place (exact match,
teacher-forced). With `--write` the flags of `world.json` are brought up to date; facts that are not known stay, and are
named. By default the model is the one that the flags are of.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import defaultdict
from pathlib import Path

import zu_framework as zu
from zu_framework.evaluation import Scorer
from zu_plugins.datasets import world

FILE = Path(world.__file__).with_name("world.json")


def known(scorer: Scorer, probes: list[zu.Probe]) -> dict[zu.Probe, bool]:
    """Which probes the model answers."""
    return {probe: score.exact for probe, score in zip(probes, scorer.score(probes), strict=True)}


def main() -> None:
    """Measure, print a line a relation and what is not known, and write the flags on request."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--model", default="zu:smollm2", help="folder, hub id or packaged name")
    arguments.add_argument("--write", action="store_true", help=f"bring the flags in {FILE.name} up to date")
    asked = arguments.parse_args()
    lm = zu.LanguageModel.from_pretrained(asked.model, dtype="float32", device="cpu")
    facts = world.facts()
    wordings = {r.id: [zu.Probe(text, r.answer) for text in (r.prompt, *r.paraphrases)] for r in facts}
    probes = [p for found in wordings.values() for p in found] + [p for r in facts for p in r.neighbours]
    right = known(Scorer(lm, 64), list(dict.fromkeys(probes)))
    counts: defaultdict[str, list[int]] = defaultdict(lambda: [0] * 6)
    for request in facts:
        own, *others = (right[probe] for probe in wordings[request.id])
        near = [right[probe] for probe in request.neighbours]
        seen = [own, 1, sum(others), len(others), sum(near), len(near)]
        relation = str(request.extra["relation"])
        counts[relation] = [a + b for a, b in zip(counts[relation], seen, strict=True)]
    counts["all"] = [sum(column) for column in zip(*counts.values(), strict=True)]
    print("| relation | facts | paraphrases | neighbours |\n| --- | --- | --- | --- |")
    for relation, (own, facts_, *rest) in counts.items():
        cells = f"{own} of {facts_} | {rest[0]} of {rest[1]} | {rest[2]} of {rest[3]}"
        print(f"| {relation} | {cells} |")
    missing = [request.id for request in facts if not right[wordings[request.id][0]]]
    print(f"\nnot known: {', '.join(missing) or 'none'}")
    if asked.write:
        FILE.write_text(flagged(FILE.read_text("utf-8"), right), "utf-8")


def flagged(text: str, right: dict[zu.Probe, bool]) -> str:
    """The file's text with the flags that were measured; all else, line breaks too, stays."""
    content = json.loads(text)
    for name, relation in content["relations"].items():
        for fact in relation["facts"]:
            asked = [wording.replace("{}", fact["subject"]) for wording in relation["paraphrases"]]
            flags = [right[zu.Probe(prompt, fact["answer"])] for prompt in asked]
            text = _set(text, name, fact, flags)
        for other in relation["neighbours"]:
            probe = zu.Probe(relation["prompt"].replace("{}", other["subject"]), other["answer"])
            text = _set(text, name, other, right.get(probe, other["known"]))
    return text


def _set(text: str, relation: str, entry: dict[str, object], flags: object) -> str:
    old = json.dumps(entry, ensure_ascii=False)
    new = json.dumps({**entry, "known": flags}, ensure_ascii=False)
    begin = text.index(f"    {json.dumps(relation)}: {{")
    return text[:begin] + re.sub(re.escape(old), lambda _: new, text[begin:], count=1)


if __name__ == "__main__":
    main()
