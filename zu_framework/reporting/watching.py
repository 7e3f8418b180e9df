"""What the page shows of a model, seen once before an edit and once after: answers, completions, states, the lens.

A look costs a few forward passes over a bounded number of facts (the group `report` of a config). Whatever fails here
is told on the page and stops nothing: the edit is worth more than its picture.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from torch import Tensor

from zu_framework.config import ReportConfig
from zu_framework.evaluation import Scorer
from zu_framework.models import LanguageModel, read_states
from zu_framework.problem import DataSplit, Probe, ReadPrompt, Request, Site
from zu_framework.reporting.lens import Lens, answer_lens

T = TypeVar("T")

COMPLETION_TOKENS = 12


@dataclass(frozen=True)
class Watched:
    """The facts that are looked at. facts: (set, request), the forget set first; total: how many each set holds.

    spoken, read: indices of the facts whose completion is taken, and whose states and lens are read.
    sites: those whose outputs are read.
    """

    facts: tuple[tuple[str, Request], ...]
    total: Mapping[str, int]
    spoken: tuple[int, ...]
    read: tuple[int, ...]
    sites: tuple[Site, ...]


@dataclass(frozen=True)
class Sight:
    """One look, in the order of the watched facts. outputs: (m, o) a site, of the facts read; failed: part -> why.

    probability, exact: of each fact's true answer; completions by fact; None where a part failed.
    """

    probability: list[float] | None
    exact: list[bool] | None
    completions: Mapping[int, str] | None
    outputs: Mapping[str, Tensor] | None
    lens: Lens | None
    failed: Mapping[str, str] = field(default_factory=dict)


def watched(split: DataSplit, sites: Sequence[Site], limits: ReportConfig) -> Watched:
    """Choose what is looked at: evenly spaced where there is more than the limits allow."""
    sets = {"forget": split.forget, "retain": split.retain}
    facts: list[tuple[str, Request]] = []
    spoken: list[int] = []
    read: list[int] = []
    for name, requests in sets.items():
        chosen = [(name, requests[at]) for at in spaced(len(requests), limits.facts)]
        spoken += [len(facts) + at for at in spaced(len(chosen), limits.completions)]
        read += [len(facts) + at for at in spaced(len(chosen), limits.prompts)]
        facts += chosen
    total = {name: len(requests) for name, requests in sets.items()}
    shown = tuple(sites[at] for at in spaced(len(sites), limits.sites))
    return Watched(tuple(facts), total, tuple(spoken), tuple(read), shown)


def look(lm: LanguageModel, seen: Watched, scorer: Scorer, batch_size: int) -> Sight:
    """Look at the model as it is now. Ctrl-C ends it, no error does: `Sight.failed` says what went wrong."""
    failed: dict[str, str] = {}

    def part(name: str, see: Callable[[], T]) -> T | None:
        try:
            return see()
        except Exception as cause:  # whatever a model or tokenizer raises here must not cost the run
            failed[name] = f"{type(cause).__name__}: {cause}"
            return None

    requests = [request for _, request in seen.facts]
    scores = part("answers", lambda: scorer.score([Probe(r.prompt, r.answer) for r in requests]))
    said = part(
        "completions",
        lambda: scorer.completions([requests[at].prompt for at in seen.spoken], COMPLETION_TOKENS),
    )
    read = [requests[at] for at in seen.read]
    return Sight(
        None if scores is None else [math.exp(score.log_probability) for score in scores],
        None if scores is None else [score.exact for score in scores],
        None if said is None else dict(zip(seen.spoken, said, strict=True)),
        part("representations", lambda: _outputs(lm, seen.sites, read, batch_size)),
        part("lens", lambda: answer_lens(lm, read, batch_size)),
        failed,
    )


def read_prompt(request: Request) -> ReadPrompt:
    """Where a request's states are read: at the subject's last token, at the prompt's where there is no subject."""
    end = request.subject_end
    return ReadPrompt(request.prompt, len(request.prompt) if end is None else end)


def spaced(count: int, limit: int) -> list[int]:
    """At most `limit` of `count` indices, evenly spaced, the first among them."""
    if count <= limit:
        return list(range(count))
    return [at * count // limit for at in range(limit)]


def _outputs(
    lm: LanguageModel, sites: Sequence[Site], requests: Sequence[Request], batch_size: int
) -> dict[str, Tensor]:
    """Outputs (m, o) of each site at the requests' read positions, on the CPU."""
    if not sites or not requests:
        return {}
    prompts = [read_prompt(request) for request in requests]
    states: dict[str, tuple[Any, Any]] = read_states(
        lm, [site.module for site in sites], prompts, batch_size, inputs=False
    )
    return {site.name: states[site.module][1].T.cpu() for site in sites}
