"""What the model predicts for requests whose states are moved: run whole, or its layers above the module alone.

Both give the same numbers; the first is the reference that the second is checked against.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

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
    entry_of,
    logits_at,
    run_until,
)


@dataclass(frozen=True)
class Task:
    """One request's rows.

    Args:
        rows: Its contexts, each with the text's tokens but the last.
        wanted: The text's tokens.
        anchor: The row whose next-token distribution should stay, where there is one.
    """

    rows: list[Row]
    wanted: list[int]
    anchor: Row | None

    @property
    def all_rows(self) -> list[Row]:
        """The contexts' rows, then the anchor's, cut after its read position: nothing later is looked at."""
        if self.anchor is None:
            return self.rows
        at = self.anchor.position
        return [*self.rows, Row(self.anchor.ids[: at + 1], at)]

    @property
    def width(self) -> int:
        """Tokens of its longest row."""
        return max(len(row.ids) + len(row.continuation) for row in self.rows)


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
        anchor_position: (a,) its place in it.
        anchor_of: (a,) whose it is.
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

    @classmethod
    def made_of(cls, tasks: Sequence[Task], device: torch.device) -> Layout:
        """Lay tasks out."""
        rows: list[Row] = []
        first, owner, places, anchors = [0], [], [], []
        for number, task in enumerate(tasks):
            for row in task.rows:
                start = len(row.ids) - 1
                places += [(len(rows), start + k, token, number) for k, token in enumerate(task.wanted)]
                rows.append(row)
            for anchor in task.all_rows[len(task.rows) :]:
                anchors.append((len(rows), anchor.position, number))
                rows.append(anchor)
            owner += [number] * (len(rows) - first[-1])
            first.append(len(rows))
        place = torch.tensor(places, dtype=torch.long, device=device).reshape(-1, 4)
        anchored = torch.tensor(anchors, dtype=torch.long, device=device).reshape(-1, 3)
        return cls(rows, first, torch.tensor(owner, device=device), *place.T, *anchored.T)

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

    def of_anchors(self, values: Tensor) -> Tensor:
        """Return values of the anchors (a,) as the tasks' (m,), zero for a task without one."""
        zeros = torch.zeros(len(self.first) - 1, dtype=values.dtype, device=values.device)
        return zeros.index_add(0, self.anchor_of.to(values.device), values)


class Evaluator(Protocol):
    """The loss of tasks; `init` (o, n) is the module's clean output at each task's first row, float32 or better."""

    init: Tensor

    def losses(self, active: Sequence[int], delta: Tensor) -> tuple[Tensor, Tensor]:
        """Return NLL a text token (m,) and divergence after the anchor (m,) of the active tasks, moved by delta (n, o).

        The divergence is from what the first call predicted, which is why the first call moves nothing.
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
        self._clean: Tensor | None = None  # (n, v)

    def losses(self, active: Sequence[int], delta: Tensor) -> tuple[Tensor, Tensor]:
        """Return them as the protocol has it."""
        layout, nll, after = self._run(active, delta)
        here = torch.tensor(active, device=after.device)[layout.anchor_of.to(after.device)]
        if self._clean is None:
            self._clean = torch.zeros(len(self.tasks), after.shape[1], dtype=after.dtype, device=after.device)
            self._clean[here] = after.detach()
        return nll, layout.of_anchors((after.exp() * (after - self._clean[here])).sum(1))

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


@dataclass
class Captures:
    """Captures that another text at the same layer may use, as long as nobody writes to the model.

    Args:
        room: Bytes that may be held yet.
    """

    room: float = 0.0
    _held: dict[Any, Replay] = field(default_factory=dict)

    def find(self, lm: LanguageModel, module: str, rows: Sequence[Row], whole: bool) -> Replay | None:
        """Return a capture that fits: of these very rows, moved at the same place.

        Args:
            lm: The model that it was captured from.
            module: Whose output is moved.
            rows: In their order.
            whole: Whether the windows are whole rows.

        Returns:
            The capture; None where none fits.
        """
        return self._held.get(self._key(lm, module, rows, whole))

    def hold(self, lm: LanguageModel, module: str, rows: Sequence[Row], whole: bool, replay: Replay) -> None:
        """Hold a capture, where there is room.

        Args:
            lm: The model that it was captured from.
            module: Whose output is moved.
            rows: In their order.
            whole: Whether the windows are whole rows.
            replay: The capture.
        """
        if replay.nbytes <= self.room:
            self.room -= replay.nbytes
            self._held[self._key(lm, module, rows, whole)] = replay

    def _key(self, lm: LanguageModel, module: str, rows: Sequence[Row], whole: bool) -> Any:
        read = tuple((tuple(row.ids), row.position, tuple(row.continuation)) for row in rows)
        return entry_of(lm, module), whole, read


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
        self._clean: Tensor | None = None  # (n, v)

    def losses(self, active: Sequence[int], delta: Tensor) -> tuple[Tensor, Tensor]:
        """Return them as the protocol has it."""
        layout, nll, after = self._run(active, delta)
        if not len(layout.anchor_row):
            return nll, torch.zeros_like(nll)
        here = torch.tensor(active, device=nll.device)[layout.anchor_of.to(nll.device)]
        if self._clean is None:
            clean = self.readout.log_probabilities(after)
            self._clean = clean.new_zeros(len(self.tasks), clean.shape[1])
            self._clean[here] = clean
        return nll, layout.of_anchors(self.readout.divergence(after, self._clean[here]))

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
