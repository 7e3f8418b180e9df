"""What the model predicts for requests whose states are moved: run whole, or its layers above the module alone.

Both give the same numbers; the first is the reference that the second is checked against.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from zu_framework.models import (
    LanguageModel,
    Readout,
    Replay,
    Row,
    add_at,
    batch,
    capture,
    logits_at,
    run_until,
)
from zu_framework.states.captures import Captures


@dataclass(frozen=True)
class Task:
    """One request's rows.

    Args:
        rows: Its contexts, each with the text's tokens but the last.
        wanted: The text's tokens.
        anchor: The row whose next-token distribution should stay where it is moved, if there is one.
        spared: Rows moved at their positions, whose next-token distributions at their ends should stay.
    """

    rows: list[Row]
    wanted: list[int]
    anchor: Row | None
    spared: list[Row] = field(default_factory=list)

    @property
    def anchors(self) -> list[Row]:
        """The anchor, cut after its read position (nothing later is looked at), then what is spared."""
        if self.anchor is None:
            return self.spared
        at = self.anchor.position
        return [Row(self.anchor.ids[: at + 1], at), *self.spared]

    @property
    def all_rows(self) -> list[Row]:
        """The contexts' rows, then the anchors'."""
        return [*self.rows, *self.anchors]

    @property
    def width(self) -> int:
        """Tokens of its longest row."""
        return max(len(row.ids) + len(row.continuation) for row in self.rows)

    @property
    def window(self) -> int:
        """Tokens of its longest row from where that is moved: all that a replay runs."""
        return max(len(row.ids) + len(row.continuation) - row.position for row in self.all_rows)


@dataclass(frozen=True)
class Layout:
    """The rows of m tasks, one task after the other, and where what counts is predicted.

    Args:
        rows: b rows.
        first: Each task's first row, and the number of rows at the end.
        owner: (b,) whose a row is.
        row: (p,) the row in which a text token is predicted.
        position: (p,) the place in it.
        wanted: (p,) the token.
        of: (p,) whose it is.
        anchor_row: (a,) the row of an anchor.
        anchor_position: (a,) its last place, where it is looked at.
        anchor_of: (a,) whose it is.
        anchor_share: (a,) its weight among those that its task spares; 0 for the anchor itself.
    """

    rows: list[Row]
    first: list[int]
    owner: Tensor
    row: Tensor
    position: Tensor
    wanted: Tensor
    of: Tensor
    anchor_row: Tensor
    anchor_position: Tensor
    anchor_of: Tensor
    anchor_share: Tensor

    @classmethod
    def made_of(cls, tasks: Sequence[Task], device: torch.device) -> Layout:
        """Lay tasks out."""
        rows: list[Row] = []
        first, owner, places, anchors, shares = [0], [], [], [], []
        for number, task in enumerate(tasks):
            for row in task.rows:
                start = len(row.ids) - 1
                places += [(len(rows), start + k, token, number) for k, token in enumerate(task.wanted)]
                rows.append(row)
            shares += [0.0] * (task.anchor is not None) + [1 / len(task.spared) for _ in task.spared]
            for anchor in task.anchors:
                anchors.append((len(rows), len(anchor.ids) - 1, number))
                rows.append(anchor)
            owner += [number] * (len(rows) - first[-1])
            first.append(len(rows))
        place = torch.tensor(places, dtype=torch.long, device=device).reshape(-1, 4)
        anchored = torch.tensor(anchors, dtype=torch.long, device=device).reshape(-1, 3)
        share = torch.tensor(shares, dtype=torch.float32, device=device)
        row, position, wanted, of = place.T
        anchor_row, anchor_position, anchor_of = anchored.T
        return cls(
            rows=rows,
            first=first,
            owner=torch.tensor(owner, device=device),
            row=row,
            position=position,
            wanted=wanted,
            of=of,
            anchor_row=anchor_row,
            anchor_position=anchor_position,
            anchor_of=anchor_of,
            anchor_share=share,
        )

    @property
    def places(self) -> tuple[Tensor, Tensor]:
        """Row and position of what counts: where text tokens are predicted, then the anchors."""
        return (
            torch.cat([self.row, self.anchor_row]),
            torch.cat([self.position, self.anchor_position]),
        )

    def moved(self, delta: Tensor, active: Sequence[int]) -> Tensor:
        """Return what each row is moved by (b, o), of delta (n, o), where these are the active of n tasks."""
        return delta[torch.tensor(active, device=delta.device)][self.owner.to(delta.device)]

    def mean(self, nll: Tensor) -> Tensor:
        """Return the mean over rows of the NLL per token (m,), of `nll` (p,); rows of a task have equally many."""
        of = self.of.to(nll.device)
        total = torch.zeros(len(self.first) - 1, dtype=nll.dtype, device=nll.device).index_add(0, of, nll)
        return total / torch.bincount(of, minlength=len(total))

    def of_anchors(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Return values (a,) as the tasks': of the anchors (m,), and the mean of what is spared (m,); zero without."""
        zeros = torch.zeros(len(self.first) - 1, dtype=values.dtype, device=values.device)
        of, share = self.anchor_of.to(values.device), self.anchor_share.to(values)
        return zeros.index_add(0, of, values * (share == 0)), zeros.index_add(0, of, values * share)


class Evaluator(Protocol):
    """The loss of tasks; `init` (o, n) is the module's clean output at each task's first row, float32 or better."""

    init: Tensor

    def losses(self, active: Sequence[int], delta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the active tasks' NLL a text token, divergence after the anchor and mean of those spared, (m,) each.

        They are moved by delta (n, o). A divergence is from what the first call predicted, which is why the first call
        is of all tasks and moves nothing.
        """
        ...

    def predicted(self, active: Sequence[int], delta: Tensor) -> tuple[Tensor, Tensor]:
        """Return NLL a text token (m,), with gradient, and log-probabilities after the anchors (a, v)."""
        ...


class FullForward:
    """The whole model, each time."""

    def __init__(self, lm: LanguageModel, module: str, tasks: Sequence[Task]) -> None:
        self.lm, self.module, self.tasks = lm, module, tasks
        self.init = _clean_states(lm, module, tasks)
        self._clean: Tensor | None = None  # (a, v), of all tasks' anchors

    def losses(self, active: Sequence[int], delta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return them as the protocol has it."""
        layout, nll, after = self._run(active, delta)
        if self._clean is None:
            self._clean = after.detach()
        clean = self._clean[_anchors_of(self.tasks, active, after.device)]
        return nll, *layout.of_anchors((after.exp() * (after - clean)).sum(1))

    def predicted(self, active: Sequence[int], delta: Tensor) -> tuple[Tensor, Tensor]:
        """Return them as the protocol has it."""
        return self._run(active, delta)[1:]

    def _run(self, active: Sequence[int], delta: Tensor) -> tuple[Layout, Tensor, Tensor]:
        layout = Layout.made_of([self.tasks[i] for i in active], self.lm.device)
        made = batch(layout.rows, self.lm.device)
        with add_at(self.lm, self.module, made.positions, layout.moved(delta, active)):
            logits = logits_at(self.lm, made.input_ids, made.attention_mask, *layout.places)
        log_probabilities = logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(-1)
        count = len(layout.row)
        nll = -log_probabilities[:count].gather(1, layout.wanted.to(logits.device)[:, None])[:, 0]
        return layout, layout.mean(nll), log_probabilities[count:]


class Replayed:
    """The layers above the module, from the read positions on; norm and head at the places that count."""

    def __init__(
        self,
        lm: LanguageModel,
        module: str,
        tasks: Sequence[Task],
        readout: Readout,
        captures: Captures,
        *,
        whole: bool = False,
    ) -> None:
        self.tasks, self.readout = tasks, readout
        self._layout = Layout.made_of(tasks, lm.device)
        found = captures.find(lm, module, self._layout.rows, whole)
        if found is None:
            self._replay = capture(lm, module, self._layout.rows, whole=whole)
            self.init = self._replay.init[self._layout.first[:-1]].T.contiguous()  # (o, n)
            captures.hold(lm, module, self._layout.rows, whole, self._replay)
        else:
            self._replay, self.init = found, _clean_states(lm, module, tasks)
        self._active = tuple(range(len(tasks)))
        self._now = self._layout, self._replay
        self._clean: Tensor | None = None  # (a, v), of all tasks' anchors

    def losses(self, active: Sequence[int], delta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return them as the protocol has it."""
        layout, nll, after = self._run(active, delta)
        if not len(layout.anchor_row):
            return nll, torch.zeros_like(nll), torch.zeros_like(nll)
        if self._clean is None:
            self._clean = self.readout.log_probabilities(after)
        clean = self._clean[_anchors_of(self.tasks, active, self._clean.device)]
        return nll, *layout.of_anchors(self.readout.divergence(after, clean))

    def predicted(self, active: Sequence[int], delta: Tensor) -> tuple[Tensor, Tensor]:
        """Return them as the protocol has it."""
        _, nll, after = self._run(active, delta)
        return nll, self.readout.log_probabilities(after)

    def _run(self, active: Sequence[int], delta: Tensor) -> tuple[Layout, Tensor, Tensor]:
        """NLL a text token (m,), and the last states (a, d) at the anchors."""
        layout, replay = self._narrowed(tuple(active))
        states = replay.last_states(layout.moved(delta, active), *layout.places)
        count = len(layout.row)
        return layout, layout.mean(self.readout.nll(states[:count], layout.wanted)), states[count:]

    def _narrowed(self, active: tuple[int, ...]) -> tuple[Layout, Replay]:
        """Layout and replay of the active tasks alone."""
        if active != self._active:
            first = self._layout.first
            rows = [row for task in active for row in range(first[task], first[task + 1])]
            layout = Layout.made_of([self.tasks[i] for i in active], self._layout.owner.device)
            self._now = layout, self._replay.of(torch.tensor(rows, device=layout.owner.device))
            self._active = active
        return self._now


def _anchors_of(tasks: Sequence[Task], active: Sequence[int], device: torch.device) -> Tensor:
    """Indices of some tasks' anchors among those of all."""
    first = [0]
    for task in tasks:
        first.append(first[-1] + len(task.anchors))
    return torch.tensor([a for i in active for a in range(first[i], first[i + 1])], device=device)


def _clean_states(lm: LanguageModel, module: str, tasks: Sequence[Task]) -> Tensor:
    """The module's output (o, n) at each task's first row, in float32 or better."""
    bare = batch([Row(task.rows[0].ids, task.rows[0].position) for task in tasks], lm.device)
    at = torch.arange(len(tasks), device=lm.device), bare.positions
    work = torch.promote_types(lm.dtype, torch.float32)
    found: list[Tensor] = []

    def keep(_: str, __: Tensor, output: Tensor) -> None:
        here = at[0].to(output.device), at[1].to(output.device)
        found.append(output[here].to(lm.device, work).T.contiguous())

    run_until(lm, [module], bare.input_ids, bare.attention_mask, keep)
    return found[0]
