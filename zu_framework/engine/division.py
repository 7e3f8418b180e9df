"""A pass's requests, divided over processes: each collects and builds for its share, and all get all columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from torch import Tensor

from zu_framework.engine.processes import Message, Processes
from zu_framework.models import LanguageModel
from zu_framework.problem import ReadPlan, Representations, Site, TargetStates, Update


@dataclass
class Division:
    """Collector and target builder at work on this process's share of a plan.

    independent: whether the builder's columns depend on their own request alone, as its registration says; where they
    do not, every process does everything. plan: of all requests.
    """

    processes: Processes
    lm: LanguageModel
    plan: ReadPlan
    collector: Any
    builder: Any
    independent: bool

    def __post_init__(self) -> None:
        count = len(self.plan.requests)
        self.divided = self.independent and self.processes.count > 1
        self.mine = self.plan.subset(self.processes.share(count)) if self.divided else self.plan
        self._own: Representations | None = None
        self._state: Any = None

    def prepare(self, sites: Sequence[Site]) -> None:
        """Let the builder prepare its share."""
        if self.mine.requests:
            self._state = self.builder.prepare(self.lm, self.mine, sites)

    def collect(self, site: Site) -> Representations:
        """Keys and values of all requests."""
        if self.mine.requests:
            self._own = self.collector.collect(self.lm, self.mine, site)
        if not self.divided:
            assert self._own is not None
            return self._own
        own = self._own
        held = {} if own is None else {f.name: getattr(own, f.name) for f in fields(own)}
        return joined_representations(self._everyone(len(self.mine.requests), held))

    def at_site(self, site: Site, index: int) -> TargetStates:
        """Target states of all requests, after `collect` at the same site."""
        own: TargetStates | None = None
        if self.mine.requests:
            own = self.builder.at_site(self._state, self.lm, site, index, self._own)
        if not self.divided:
            assert own is not None
            return own
        held = {} if own is None else {"targets": own.targets, "sensitive": own.sensitive}
        if own is not None:
            held |= {f"states.{name}": tensor for name, tensor in own.states.items()}
        return joined_states(self._everyone({} if own is None else plain(own.report), held))

    def _everyone(self, facts: Any, tensors: Mapping[str, Tensor | None]) -> list[Message]:
        given = {name: tensor for name, tensor in tensors.items() if tensor is not None}
        said = self.processes.exchange(facts, given, self.lm.device)
        return [(told, held) for told, held in said if held]  # a process without requests has nothing to add


def joined_representations(parts: Sequence[Message]) -> Representations:
    """Columns of stretches of requests, one after the other. facts: how many requests each is of."""
    columns: dict[str, list[Tensor]] = {}
    before = 0
    for count, held in parts:
        for name, tensor in held.items():
            columns.setdefault(name, []).append(tensor + before if name == "request_of" else tensor)
        before += count
    return Representations(**{name: torch.cat(held, -1) for name, held in columns.items()})


def joined_states(parts: Sequence[Message]) -> TargetStates:
    """Columns one after the other; what the reports list a request is listed for all."""
    joined = {name: torch.cat([held[name] for _, held in parts], -1) for name in parts[0][1]}
    report: dict[str, Any] = {}
    for told, _ in parts:
        for name, value in told.items():
            listed = isinstance(value, list) and isinstance(report.get(name), list)
            report[name] = report[name] + value if listed else value
    states = {name.removeprefix("states."): t for name, t in joined.items() if name.startswith("states.")}
    return TargetStates(joined["targets"], joined.get("sensitive"), report, states)


def told_updates(
    processes: Processes, found: Sequence[tuple[Site, Update]], device: torch.device
) -> list[tuple[Site, Update]]:
    """The first process's updates, everywhere, so that all write the same bits. Reports stay with the first."""
    if processes.count == 1:
        return list(found)
    facts = [[asdict(site), update.scale] for site, update in found]
    tensors = {
        f"{number}.{name}": part
        for number, (_, update) in enumerate(found)
        for name, part in (("left", update.left), ("right", update.right), ("dense", update.dense))
        if part is not None
    }
    facts, tensors = processes.send(facts, tensors, device=device)
    if processes.first:
        return list(found)
    return [
        (
            Site(**site),
            Update(
                tensors.get(f"{number}.left"), tensors.get(f"{number}.right"), scale,
                tensors.get(f"{number}.dense"),
            ),
        )
        for number, (site, scale) in enumerate(facts)
    ]  # fmt: skip


def plain(report: Mapping[str, Any]) -> dict[str, Any]:
    """A report as JSON can hold it."""

    def of(value: Any) -> Any:
        if isinstance(value, Tensor):
            return value.item() if value.ndim == 0 else value.tolist()
        if isinstance(value, Mapping):
            return {str(k): of(v) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [of(v) for v in value]
        return value

    return {str(k): of(v) for k, v in report.items()}
