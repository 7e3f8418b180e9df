"""What the page shows of a model, once before an edit and once after: answers, completions, states, the lens.

A snapshot costs a few forward passes over a bounded number of facts (the group `report` of a config). A part of it that
fails is named on the page, and stops nothing: the edit is worth more than its picture.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from torch import Tensor

from zu_framework.config import ReportConfig
from zu_framework.errors import described
from zu_framework.evaluation import Scorer
from zu_framework.models import LanguageModel, read_states
from zu_framework.problem import DataSplit, Probe, ReadPrompt, Request, Site
from zu_framework.reporting.lens import Lens, answer_lens

T = TypeVar("T")

COMPLETION_TOKENS = 12


@dataclass(frozen=True)
class Selection:
    """Which facts and sites the page shows.

    Args:
        facts: (set, request), the forget set first.
        total: How many facts each set holds.
        completed: Indices of the facts that are completed.
        read: Indices of the facts whose states and lens are read.
        sites: Those whose outputs are read.
    """

    facts: tuple[tuple[str, Request], ...]
    total: Mapping[str, int]
    completed: tuple[int, ...]
    read: tuple[int, ...]
    sites: tuple[Site, ...]


@dataclass(frozen=True)
class Snapshot:
    """What one model says of a selection; None where that part failed.

    Args:
        probability: Of each fact's true answer.
        exact: Whether each fact's true answer is what the model says.
        completions: Greedy continuations, by fact.
        outputs: Outputs (m, o) of each site at the facts read.
        lens: The logit lens of the facts read.
        failed: Why a part failed, by its name.
    """

    probability: list[float] | None
    exact: list[bool] | None
    completions: Mapping[int, str] | None
    outputs: Mapping[str, Tensor] | None
    lens: Lens | None
    failed: Mapping[str, str] = field(default_factory=dict)


def select(split: DataSplit, sites: Sequence[Site], limits: ReportConfig) -> Selection:
    """Return what is shown: evenly spaced facts and sites where there are more than the limits allow."""
    sets = {"forget": split.forget, "retain": split.retain}
    facts: list[tuple[str, Request]] = []
    completed: list[int] = []
    read: list[int] = []
    for name, requests in sets.items():
        chosen = [(name, requests[at]) for at in spaced(len(requests), limits.facts)]
        completed += [len(facts) + at for at in spaced(len(chosen), limits.completions)]
        read += [len(facts) + at for at in spaced(len(chosen), limits.prompts)]
        facts += chosen
    total = {name: len(requests) for name, requests in sets.items()}
    shown = tuple(sites[at] for at in spaced(len(sites), limits.sites))
    return Selection(tuple(facts), total, tuple(completed), tuple(read), shown)


def take_snapshot(scorer: Scorer, selection: Selection) -> Snapshot:
    """Return what the scorer's model says of a selection; Ctrl-C ends it, no error does."""
    lm, batch_size = scorer.lm, scorer.batch_size
    failed: dict[str, str] = {}

    def part(name: str, see: Callable[[], T]) -> T | None:
        try:
            return see()
        except Exception as cause:  # whatever a model or tokenizer raises here must not cost the run
            failed[name] = described(cause)
            return None

    requests = [request for _, request in selection.facts]
    scores = part("answers", lambda: scorer.score([Probe(r.prompt, r.answer) for r in requests]))
    completions = part(
        "completions",
        lambda: scorer.completions([requests[at].prompt for at in selection.completed], COMPLETION_TOKENS),
    )
    read = [requests[at] for at in selection.read]
    return Snapshot(
        None if scores is None else [math.exp(score.log_probability) for score in scores],
        None if scores is None else [score.exact for score in scores],
        None if completions is None else dict(zip(selection.completed, completions, strict=True)),
        part("representations", lambda: _outputs(lm, selection.sites, read, batch_size)),
        part("lens", lambda: answer_lens(lm, read, batch_size)),
        failed,
    )


def read_prompt(request: Request) -> ReadPrompt:
    """Return where a request's states are read: at its subject's last token, without one at the prompt's."""
    end = request.subject_end
    return ReadPrompt(request.prompt, len(request.prompt) if end is None else end)


def spaced(count: int, limit: int) -> list[int]:
    """Return at most `limit` of `count` indices, evenly spaced, the first among them."""
    if count <= limit:
        return list(range(count))
    return [at * count // limit for at in range(limit)]


def _outputs(
    lm: LanguageModel, sites: Sequence[Site], requests: Sequence[Request], batch_size: int
) -> dict[str, Tensor]:
    """Return outputs (m, o) of each site at the requests' read positions, on the CPU."""
    if not sites or not requests:
        return {}
    prompts = [read_prompt(request) for request in requests]
    states: dict[str, tuple[Any, Any]] = read_states(
        lm, [site.module for site in sites], prompts, batch_size, inputs=False
    )
    return {site.name: states[site.module][1].T.cpu() for site in sites}
