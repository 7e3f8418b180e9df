"""What is read of a model for an edit: texts, keys and values at a site, target states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from zu_framework.problem.requests import Request


@dataclass(frozen=True)
class ReadPrompt:
    """A text and the character before which it is read: the token that holds character `read_end - 1`.

    at_end: it is read at the last token instead, where the model is about to answer: under a chat template that is not
    the text's own.
    """

    text: str
    read_end: int
    at_end: bool = False


@dataclass(frozen=True)
class ReadPlan:
    """Which texts are read for each request, drawn once before any write and shared by collector and targets.

    prompts[r][c]: request r in context c; context 0 is the bare prompt. weights (c,): they sum to one.
    anchors[r]: the row "<subject> is a" whose next-token distribution a target state should keep; None without subject.
    """

    requests: tuple[Request, ...]
    prompts: tuple[tuple[ReadPrompt, ...], ...]
    weights: tuple[float, ...]
    anchors: tuple[ReadPrompt | None, ...]

    def subset(self, indices: Sequence[int]) -> ReadPlan:
        """The plan of some of the requests, in the order given."""
        return replace(
            self,
            requests=tuple(self.requests[i] for i in indices),
            prompts=tuple(self.prompts[i] for i in indices),
            anchors=tuple(self.anchors[i] for i in indices),
        )


@dataclass(frozen=True)
class Representations:
    """keys (i, m), values (o, m): `values = W @ keys`, without bias; bare_*: of the bare prompts, (i, n) and (o, n).

    Averaged over contexts, m = n: a column a request. Otherwise a column a context: request_of (m,) says whose it is,
    scale (m,) what the column was multiplied with (the root of its weight), so that squared errors weigh as asked.
    """

    keys: Tensor
    values: Tensor
    bare_keys: Tensor
    bare_values: Tensor
    request_of: Tensor | None = None
    scale: Tensor | None = None

    def spread(self, per_request: Tensor) -> Tensor:
        """A quantity of each request (d, n) at each column (d, m), scaled as the column is."""
        columns = per_request if self.request_of is None else per_request[:, self.request_of]
        return columns if self.scale is None else columns * self.scale.to(columns)


@dataclass(frozen=True)
class TargetStates:
    """targets (o, n): the outputs wanted; sensitive (o, n) or None: outputs that say the answer; all without bias.

    report: what the builder measured, for the log. states: named (o, n) tensors worth keeping (`z`).
    """

    targets: Tensor
    sensitive: Tensor | None = None
    report: Mapping[str, Any] = field(default_factory=dict)
    states: Mapping[str, Tensor] = field(default_factory=dict)
