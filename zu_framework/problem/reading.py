"""What is read of a model for an edit: texts, keys and values at a site, target states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from zu_framework.problem.requests import Request


@dataclass(frozen=True)
class ReadPrompt:
    """A text, and where it is read.

    Args:
        text: As it is tokenized.
        read_end: One past the character whose token is read.
        at_end: Read at the last token instead, where the model is about to answer: under a chat template that is not
            the text's own.
    """

    text: str
    read_end: int
    at_end: bool = False


@dataclass(frozen=True)
class ReadPlan:
    """Which texts are read for each request, drawn once before any write and shared by collector and targets.

    Args:
        requests: n facts.
        prompts: A row a request, all of equally many contexts; the first of each row is the bare prompt.
        weights: One a context; they sum to one.
        anchors: One a request: the row "<subject> is a", whose next-token distribution a target state should not
            change; None without a subject.
        notes: What a user should know of the choice of texts, a sentence each.
        others: A row a request: what else is asked of its subject, whose next-token distribution at the text's end a
            target state should not change; empty where nothing is spared.
    """

    requests: tuple[Request, ...]
    prompts: tuple[tuple[ReadPrompt, ...], ...]
    weights: tuple[float, ...]
    anchors: tuple[ReadPrompt | None, ...]
    notes: tuple[str, ...] = ()
    others: tuple[tuple[ReadPrompt, ...], ...] = ()

    def subset(self, indices: Sequence[int]) -> ReadPlan:
        """Return the plan of some of the requests.

        Args:
            indices: Of the requests, in the order wanted.

        Returns:
            The plan, with the same contexts and weights.
        """
        return replace(
            self,
            requests=tuple(self.requests[i] for i in indices),
            prompts=tuple(self.prompts[i] for i in indices),
            anchors=tuple(self.anchors[i] for i in indices),
            others=tuple(self.others[i] for i in indices) if self.others else (),
        )

    def bare(self) -> ReadPlan:
        """Return the plan of the bare prompts alone.

        Returns:
            The plan, with one context.
        """
        return replace(self, prompts=tuple(row[:1] for row in self.prompts), weights=(1.0,))


@dataclass(frozen=True)
class Representations:
    """What a site reads and gives for n requests: a column a request (m = n), or a column a request and context.

    Args:
        keys: (i, m).
        values: (o, m) = W @ keys, without the bias.
        bare_keys: (i, n), of the bare prompts.
        bare_values: (o, n), of the bare prompts.
        request_of: (m,), whose column it is; None where m = n.
        scale: (m,), what a column was multiplied with (the root of its weight), so that squared errors weigh as asked;
            None for 1.
    """

    keys: Tensor
    values: Tensor
    bare_keys: Tensor
    bare_values: Tensor
    request_of: Tensor | None = None
    scale: Tensor | None = None

    def spread(self, per_request: Tensor) -> Tensor:
        """Spread a quantity of each request over its columns.

        Args:
            per_request: (d, n).

        Returns:
            (d, m), scaled as the columns are.
        """
        columns = per_request if self.request_of is None else per_request[:, self.request_of]
        return columns if self.scale is None else columns * self.scale.to(columns)


@dataclass(frozen=True)
class TargetStates:
    """What a site should give, a column for each of the representations; without the bias.

    Args:
        targets: (o, m), the outputs wanted.
        sensitive: (o, m), outputs that make the model say the answer; None where the solver does not need them.
        report: What the builder measured, for the log.
        states: Named tensors (o, n) worth storing, such as `z`.
    """

    targets: Tensor
    sensitive: Tensor | None = None
    report: Mapping[str, Any] = field(default_factory=dict)
    states: Mapping[str, Tensor] = field(default_factory=dict)
