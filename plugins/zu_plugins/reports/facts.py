"""Each fact: what the model says after its prompt, and how probable its true answer is, before and after."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup, escape

from zu_framework.reporting import RunReport, fill

# (set, true answer matched before, after) -> what became of the fact
OUTCOMES: Mapping[tuple[str, bool, bool], str] = {
    ("forget", True, False): "forgotten",
    ("forget", True, True): "still known",
    ("retain", True, True): "retained",
    ("retain", True, False): "lost",
}


def section(run: RunReport) -> Markup:
    """Return the table; of a run without facts.json, the completions that it printed."""
    if run.facts is None:
        return fill("facts_missing.html", "zu_plugins.reports", completions=run.completions)
    rows = [{**fact, "shown": _prompt(fact), "outcome": outcome(fact)} for fact in run.facts["facts"]]
    total = run.facts["total"]
    shown = Counter(row["set"] for row in rows)
    return fill(
        "facts.html",
        "zu_plugins.reports",
        rows=rows,
        sets=[name for name in total if shown[name]],
        outcomes=list(dict.fromkeys(row["outcome"] for row in rows)),
        left_out=[
            f"{shown[name]} of {count} {name} facts" for name, count in total.items() if shown[name] < count
        ],
        failed=run.facts["failed"],
    )


def outcome(fact: Mapping[str, Any]) -> str:
    """What became of a fact: the true answer counts as known where every token of it is the most likely one."""
    before, after = fact["before"]["exact"], fact["after"]["exact"]
    if before is None or after is None:
        return "not scored"
    return OUTCOMES.get((fact["set"], before, after), "learnt" if after else "never known")


def _prompt(fact: Mapping[str, Any]) -> Markup:
    """The prompt with its subject in bold."""
    prompt, subject = fact["prompt"], fact["subject"]
    if subject is None:
        return escape(prompt)
    start, end = subject
    return Markup("{}<b>{}</b>{}").format(prompt[:start], prompt[start:end], prompt[end:])
