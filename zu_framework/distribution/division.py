"""The one place where an edit is divided over processes: each does its share, and all hold the whole.

The loop asks it for columns, updates and agreement; with a single process it hands everything through.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from torch import Tensor

from zu_framework.contracts import Collector, TargetBuilder
from zu_framework.distribution.processes import Message, Processes
from zu_framework.models import LanguageModel
from zu_framework.problem import ReadPlan, Representations, Site, TargetStates, Update
from zu_framework.problem.reports import plain
from zu_framework.store.digests import fingerprint


@dataclass(frozen=True)
class Division:
    """Divides an edit over the processes that make it together.

    Args:
        processes: This process among them.
        device: Where what the others send is put.
    """

    processes: Processes
    device: torch.device

    def agree(self, what: str, value: str) -> None:
        """Check that all processes hold the same.

        Raises:
            ProcessError: One holds another; raised in all of them.
        """
        self.processes.agree(what, value)

    def agree_on(self, plan: ReadPlan) -> None:
        """Check that all processes read the same texts at the same places."""
        if self.processes.count > 1:
            asked = [[[p.text, p.read_end] for p in prompts] for prompts in plan.prompts]
            self.agree("set of contexts", fingerprint({"prompts": asked}))

    def columns(
        self,
        lm: LanguageModel,
        plan: ReadPlan,
        collector: Collector,
        builder: TargetBuilder,
        independent: bool,
    ) -> Columns:
        """Return collector and target builder, at work on this process's share of a plan.

        Args:
            lm: The model.
            plan: Of all requests of the pass.
            collector: Reads keys and values.
            builder: Builds target states.
            independent: Whether the builder's columns depend on their own request alone; where they do not, every
                process does everything.
        """
        return Columns(self, lm, plan, collector, builder, independent and self.processes.count > 1)

    @property
    def solves(self) -> bool:
        """Whether this process solves: the first does, for all."""
        return self.processes.first

    def everywhere(self, found: list[tuple[Site, Update]]) -> list[tuple[Site, Update]]:
        """Return what the first process solved, everywhere, so that all write the same bits.

        Reports stay with the first; what the others give is not read.
        """
        if self.processes.count == 1:
            return found
        facts = [[asdict(site), update.scale] for site, update in found]
        tensors = {
            f"{number}.{name}": part
            for number, (_, update) in enumerate(found)
            for name, part in (("left", update.left), ("right", update.right), ("dense", update.dense))
            if part is not None
        }
        facts, tensors = self.processes.send(facts, tensors, device=self.device)
        if self.processes.first:
            return found
        received = []
        for number, (site, scale) in enumerate(facts):
            left, right, dense = (tensors.get(f"{number}.{name}") for name in ("left", "right", "dense"))
            received.append((Site(**site), Update(left, right, scale, dense)))
        return received


class Columns:
    """Collector and target builder of one pass: columns of all requests, each process having made its share."""

    def __init__(
        self,
        division: Division,
        lm: LanguageModel,
        plan: ReadPlan,
        collector: Collector,
        builder: TargetBuilder,
        divided: bool,
    ) -> None:
        self._division, self._lm, self._divided = division, lm, divided
        self._collector, self._builder = collector, builder
        share = division.processes.share(len(plan.requests))
        self._mine = plan.subset(share) if divided else plan
        self._read: Representations | None = None
        self._state: Any = None

    def prepare(self, sites: Sequence[Site]) -> None:
        """Let the builder prepare its share."""
        if self._mine.requests:
            self._state = self._builder.prepare(self._lm, self._mine, sites)

    def collect(self, site: Site) -> Representations:
        """Return keys and values of all requests."""
        if self._mine.requests:
            self._read = self._collector.collect(self._lm, self._mine, site)
        read = self._read
        if not self._divided:
            assert read is not None
            return read
        held = {} if read is None else {f.name: getattr(read, f.name) for f in fields(read)}
        return joined_representations(self._everyone(len(self._mine.requests), held))

    def at_site(self, site: Site, index: int) -> TargetStates:
        """Return target states of all requests, after `collect` at the same site."""
        own: TargetStates | None = None
        if self._mine.requests:
            assert self._read is not None
            own = self._builder.at_site(self._state, self._lm, site, index, self._read)
        if not self._divided:
            assert own is not None
            return own
        held: dict[str, Tensor | None] = {}
        if own is not None:
            states = {f"states.{name}": tensor for name, tensor in own.states.items()}
            held = {"targets": own.targets, "sensitive": own.sensitive, **states}
        return joined_states(self._everyone({} if own is None else plain(own.report), held))

    def _everyone(self, facts: Any, tensors: Mapping[str, Tensor | None]) -> list[Message]:
        given = {name: tensor for name, tensor in tensors.items() if tensor is not None}
        shares = self._division.processes.exchange(facts, given, self._division.device)
        # a process without requests has nothing to add
        return [(told, held) for told, held in shares if held]


def joined_representations(parts: Sequence[Message]) -> Representations:
    """Return the columns of stretches of requests, one after the other.

    Args:
        parts: Of each process, how many requests its columns are of, and the columns by name.
    """
    columns: dict[str, list[Tensor]] = {}
    before = 0
    for count, held in parts:
        for name, tensor in held.items():
            columns.setdefault(name, []).append(tensor + before if name == "request_of" else tensor)
        before += count
    return Representations(**{name: torch.cat(held, -1) for name, held in columns.items()})


def joined_states(parts: Sequence[Message]) -> TargetStates:
    """Return columns one after the other; what the reports list a request is listed for all."""
    joined = {name: torch.cat([held[name] for _, held in parts], -1) for name in parts[0][1]}
    report: dict[str, Any] = {}
    for told, _ in parts:
        for name, value in told.items():
            listed = isinstance(value, list) and isinstance(report.get(name), list)
            report[name] = report[name] + value if listed else value
    states = {name.removeprefix("states."): t for name, t in joined.items() if name.startswith("states.")}
    return TargetStates(joined["targets"], joined.get("sensitive"), report, states)
