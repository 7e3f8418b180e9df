"""The nouns of the framework: requests, sites, representations, edit problems, backgrounds, updates.

Shapes are in the notation of the documentation: a site's weight W is (o, i), n is the number of requests, columns
are requests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

import torch
from torch import Tensor

from zu_framework.errors import DataError, SolverError

T = TypeVar("T")


# ---------------------------------------------------------------------------------------------- what is asked


@dataclass(frozen=True)
class Probe:
    """A prompt and the answer whose likelihood is measured after it; aliases: other texts that say the same."""

    prompt: str
    answer: str
    aliases: tuple[str, ...] = field(
        default=(), compare=False
    )  # a probe is what is scored: prompt and answer


@dataclass(frozen=True)
class Request:
    """One fact to forget.

    prompt: the full text that asks for it, subject filled in, without a trailing space. answer: the sensitive answer.
    subject, subject_start: the subject and its character offset in `prompt` (default: its last occurrence);
    None for question/answer data without a subject. target: a neutral text for this request alone.
    source: where it came from, for messages. All else is read by metrics only. paraphrases: other prompts with the same
    answer; neighbours: probes of other facts that must stay. alternative: an answer that preference metrics set against
    the true one (CounterFact's `target_new`); paraphrased_answer, perturbed_answers: right and wrong rewordings of it
    (TOFU's truth ratio); choices: of a multiple-choice question, the answer among them; implied: questions that follow
    from this fact and others (MQuAKE's multi-hop questions); aliases: other texts that say the answer (MQuAKE, zsRE).
    """

    prompt: str
    answer: str
    subject: str | None = None
    subject_start: int | None = None
    id: str = ""
    target: str | None = None
    paraphrases: tuple[str, ...] = ()
    neighbours: tuple[Probe, ...] = ()
    source: str = ""
    alternative: str | None = None
    paraphrased_answer: str | None = None
    perturbed_answers: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    implied: tuple[Probe, ...] = ()
    aliases: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.prompt or not self.answer.strip():
            raise DataError(f"{self._where}: prompt and answer must not be empty")
        if self.subject is None:
            return
        if not self.subject:
            raise DataError(f"{self._where}: the subject is empty; leave it out for data without subjects")
        start = self.prompt.rfind(self.subject) if self.subject_start is None else self.subject_start
        if start < 0 or not self.prompt.startswith(self.subject, start):
            raise DataError(
                f"{self._where}: subject {self.subject!r} does not occur in prompt {self.prompt!r}"
            )
        object.__setattr__(self, "subject_start", start)

    @property
    def _where(self) -> str:
        return self.source or f"request {self.id or self.prompt!r}"

    @property
    def subject_end(self) -> int | None:
        """One past the subject's last character in `prompt`."""
        if self.subject is None or self.subject_start is None:
            return None
        return self.subject_start + len(self.subject)


@dataclass(frozen=True)
class DataSplit:
    """What a data set yields: the facts to forget, the facts to keep, and text that perplexity may be measured on.

    others: named sets of questions that are measured besides (TOFU's `real_authors`, `world_facts`; MMLU's subjects).
    They should stay, but for those whose names begin with `forget` (RWKU's adversarial probes) and for `holdout`, of
    which no training knew.
    texts: named verbatim texts: `forget`, `retain`, and `holdout`, which no training saw (MUSE).
    """

    forget: tuple[Request, ...]
    retain: tuple[Request, ...] = ()
    heldout_texts: tuple[str, ...] = ()
    others: Mapping[str, tuple[Request, ...]] = field(default_factory=dict)
    texts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


# ---------------------------------------------------------------------------------------------- where


@dataclass(frozen=True)
class Architecture:
    """Where a decoder keeps its parts, as module names relative to the model.

    layers: the ModuleList of decoder layers. projections: layer index -> name of its MLP output projection.
    final_norm, head: "" when there is none. scaled_branch: layer index -> True when a norm or a factor stands
    between the projection and the residual stream (gemma2, olmo2 ...): there a residual of the stream cannot be added
    to V.
    refused: layer index -> why the layer offers no site (routed experts).
    """

    layers: str
    projections: Mapping[int, str]
    final_norm: str
    head: str
    scaled_branch: Mapping[int, bool] = field(default_factory=dict)
    refused: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Site:
    """One weight that is edited. module: its name in the model; layer: its decoder layer; block: that layer's name.

    residual_stream: the projection's output is added to the residual stream as it is. parameter: which of the module's
    parameters; a locator's sites are weights of linear maps, a model solver may change any (layer -1, block "").
    """

    module: str
    layer: int
    block: str
    residual_stream: bool = True
    parameter: str = "weight"

    @property
    def name(self) -> str:
        """The module, or module and parameter where that is not the weight: one name for each parameter."""
        return self.module if self.parameter == "weight" else f"{self.module}.{self.parameter}"

    def __str__(self) -> str:
        return self.name


# ---------------------------------------------------------------------------------------------- what is read


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


# ---------------------------------------------------------------------------------------------- the problem


class FactorKeeper(Protocol):
    """Where factors outlive the run: by moments, by the weight (None: it plays no part), and by a key."""

    def load(self, key: str, weight: Tensor | None, device: torch.device) -> Any | None:
        """What is kept, or None."""

    def store(self, key: str, weight: Tensor | None, value: Any) -> None:
        """Keep it."""


class Background:
    """Second moments of a site on general text: `key_moment` (i, i) = E[k k^T], `value_moment` (o, o) = E[v v^T].

    Raw, not centred, divided by the token count, computed when first read. With only the key moment, the value
    moment is `W C W^T` (values are without bias). Factors that solvers derive from them are kept by `cached`, and
    beyond the run by `store`, where the engine gives one.
    """

    def __init__(
        self,
        *,
        key_moment: Callable[[], Tensor] | None = None,
        value_moment: Callable[[], Tensor] | None = None,
        mean_value: Callable[[], Tensor] | None = None,
        count: int | None = None,
        store: FactorKeeper | None = None,
    ) -> None:
        self._sources = {"key_moment": key_moment, "value_moment": value_moment, "mean_value": mean_value}
        self._known: dict[str, Tensor] = {}
        self._factors: dict[Any, Any] = {}
        self._lasting: dict[Any, Any] = {}  # factors that no write of the weight makes stale
        self._weight: Tensor | None = None
        self._version = -1
        self._bound: Background | None = None
        self._store = store
        self._edited = False  # bound to a weight that this run has written: its factors are of no later use
        self.count = count

    @classmethod
    def from_moments(
        cls, key_moment: Tensor | None = None, value_moment: Tensor | None = None, count: int | None = None
    ) -> Background:
        """Wrap moments that are at hand: key_moment (i, i), value_moment (o, o), count: tokens they were taken over."""
        return cls(
            key_moment=None if key_moment is None else lambda: key_moment,
            value_moment=None if value_moment is None else lambda: value_moment,
            count=count,
        )

    def bound_to(self, weight: Tensor) -> Background:
        """This background at a site with this weight; the same object while the weight is the same and unwritten."""
        if self._weight is weight and self._version == weight._version:
            return self
        if self._weight is not None:  # bound already, to another weight: start from what was given
            fresh = self._fresh({k: v for k, v in self._known.items() if self._sources[k]})
            fresh._edited = True
            return fresh.bound_to(weight)
        bound = self._bound
        if bound is None or bound._weight is not weight or bound._version != weight._version:
            again = self._fresh(self._known.copy())
            again._weight, again._version = weight, weight._version
            again._edited = self._edited or bound is not None
            self._bound = bound = again
        return bound

    def _fresh(self, known: dict[str, Tensor]) -> Background:
        """The same sources and lasting factors, with these moments known, bound to no weight."""
        fresh = Background(count=self.count, store=self._store)
        fresh._sources, fresh._known, fresh._lasting = self._sources, known, self._lasting
        return fresh

    @property
    def given(self) -> frozenset[str]:
        """The names of the moments that it was given; the others follow from these, or are not there."""
        return frozenset(name for name, source in self._sources.items() if source is not None)

    @property
    def key_moment(self) -> Tensor:
        """C (i, i)."""
        return self._read("key_moment")

    @property
    def value_moment(self) -> Tensor:
        """M0 (o, o)."""
        return self._read("value_moment")

    @property
    def mean_value(self) -> Tensor:
        """E[v] (o,), for targets without optimisation."""
        return self._read("mean_value")

    def cached(self, key: Any, compute: Callable[[], T], *, of_weight: bool = True) -> T:
        """The factor stored under `key` for this site and weight, computed on first use.

        of_weight: False for what the moments alone decide: it then serves the site whatever is written to its weight.
        key: values whose `repr` tells one factor from another, across runs too.
        """
        held = self._factors if of_weight else self._lasting
        if key not in held:
            held[key] = self._kept(repr(key), compute, self._weight if of_weight else None)
        value: T = held[key]
        return value

    def _kept(self, key: str, compute: Callable[[], Any], weight: Tensor | None) -> Any:
        if self._store is None or self._weight is None or (self._edited and weight is not None):
            return compute()
        found = self._store.load(key, weight, self._weight.device)
        if found is None:
            found = compute()
            self._store.store(key, weight, found)
        return found

    def _read(self, name: str) -> Tensor:
        if name not in self._known:
            source = self._sources[name]
            if source is not None:
                self._known[name] = source()
            elif (
                name == "value_moment"
                and self._sources["key_moment"] is not None
                and self._weight is not None
            ):
                weight = self._weight.detach().to(torch.float64)
                self._known[name] = weight @ self.key_moment.to(weight) @ weight.T  # (o, o)
            else:
                raise SolverError(
                    f"this background holds no {name}: give it, or declare it in the solver's needs"
                )
        return self._known[name]


@dataclass(frozen=True)
class EditProblem:
    """Everything a solver sees of one site.

    weight (o, i); keys (i, n); values (o, n) = weight @ keys; targets (o, n); sensitive (o, n) or None;
    earlier_keys (i, m) of edits already in the model; bare_keys (i, n); retain_keys (i, m) of facts to keep.
    Outputs, targets, sensitive values and the value moment are all without the bias. Raises `SolverError` where
    shapes, dtypes or finiteness are off.
    """

    weight: Tensor
    keys: Tensor
    values: Tensor
    targets: Tensor
    sensitive: Tensor | None
    background: Background
    earlier_keys: Tensor | None = None
    bare_keys: Tensor | None = None
    retain_keys: Tensor | None = None

    def __post_init__(self) -> None:
        if self.weight.ndim != 2:
            raise SolverError(f"weight must be a matrix (o, i), got shape {tuple(self.weight.shape)}")
        outputs, inputs = self.weight.shape
        if self.keys.ndim != 2 or self.keys.shape[1] == 0:
            raise SolverError(f"keys must be (i, n) with n >= 1, got shape {tuple(self.keys.shape)}")
        n = self.keys.shape[1]
        wanted = {
            "keys": (inputs, n),
            "values": (outputs, n),
            "targets": (outputs, n),
            "sensitive": (outputs, n),
            "bare_keys": (inputs, n),
        }
        for name, shape in wanted.items():
            tensor = getattr(self, name)
            if tensor is not None and tuple(tensor.shape) != shape:
                raise SolverError(
                    f"{name} has shape {tuple(tensor.shape)}, expected {shape} for W {outputs, inputs}"
                )
        for name in ("earlier_keys", "retain_keys"):
            tensor = getattr(self, name)
            if tensor is not None and (tensor.ndim != 2 or tensor.shape[0] != inputs):
                raise SolverError(f"{name} has shape {tuple(tensor.shape)}, expected ({inputs}, m)")
        for name in ("weight", "retain_keys", *wanted):
            tensor = getattr(self, name)
            if tensor is not None and not _finite(tensor):
                raise SolverError(
                    f"{name} holds NaN or infinite entries: the model or its targets are broken"
                )
        object.__setattr__(self, "background", self.background.bound_to(self.weight))


def _finite(tensor: Tensor) -> bool:
    """Whether every entry is finite. A sum meets every NaN and infinity, twenty times faster than a mask does.

    A sum that is not finite may have overflowed: the mask then decides.
    """
    return bool(torch.isfinite(tensor.sum())) or bool(torch.isfinite(tensor).all())


# ---------------------------------------------------------------------------------------------- the answer


@dataclass(frozen=True)
class Update:
    """`W' = scale * W + left @ right` (left (o, r), right (r, i)), or `W' = W + dense` (dense (o, i)).

    report: what the solver measured and what it added (residual, condition number, rank, relative norm, ridge ...).
    """

    left: Tensor | None = None
    right: Tensor | None = None
    scale: float = 1.0
    dense: Tensor | None = None
    report: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        factored = self.left is not None and self.right is not None
        if factored == (self.dense is not None) or (self.left is None) != (self.right is None):
            raise SolverError("an Update holds either left and right, or dense")
        if self.dense is not None and self.scale != 1.0:
            raise SolverError("a dense Update has scale 1: fold the scaling into it")
        if self.left is not None and self.right is not None and self.left.shape[1] != self.right.shape[0]:
            raise SolverError(
                f"left {tuple(self.left.shape)} and right {tuple(self.right.shape)} do not share their inner size"
            )

    @property
    def shape(self) -> tuple[int, int]:
        """(o, i) of the weight that it fits."""
        if self.dense is not None:
            return self.dense.shape[0], self.dense.shape[1]
        assert self.left is not None and self.right is not None
        return self.left.shape[0], self.right.shape[1]

    @property
    def exactly_low_rank(self) -> bool:
        """Whether `W' - W` is `left @ right` and nothing else (what a LoRA adapter can hold)."""
        return self.dense is None and self.scale == 1.0

    @property
    def kind(self) -> Literal["factored", "dense"]:
        """How the change is held."""
        return "factored" if self.dense is None else "dense"

    def apply(self, weight: Tensor, *, out: Tensor | None = None) -> Tensor:
        """W' (o, i) in the weight's dtype and on its device; computed in float64 for float64 weights, else float32.

        out: where W' is written, like `weight`, or `weight` itself; without it a new tensor is made.
        """
        work = torch.float64 if weight.dtype == torch.float64 else torch.float32
        if out is None:
            return self.applied(weight, work).to(weight.dtype)
        if self.left is not None and self.right is not None and out.dtype == weight.dtype == work:
            base = weight.detach()
            return torch.addmm(
                base, self.left.to(base), self.right.to(base), beta=self.scale, out=out.detach()
            )
        return out.detach().copy_(self.applied(weight, work))

    def applied(self, weight: Tensor, dtype: torch.dtype) -> Tensor:
        """W' (o, i) computed and returned in `dtype`, before any rounding to the weight's own."""
        base = weight.detach().to(dtype)
        if self.dense is not None:
            return base + self.dense.to(base)
        assert self.left is not None and self.right is not None
        return torch.addmm(base, self.left.to(base), self.right.to(base), beta=self.scale)  # (o, i)

    def undone(self, weight: Tensor) -> Tensor:
        """W (o, i) from W', in the precision of `weight`: `(W' - left @ right) / scale`, or `W' - dense`."""
        if self.dense is not None:
            return weight - self.dense.to(weight)
        assert self.left is not None and self.right is not None
        if self.scale == 0.0:
            raise SolverError(
                "this update left nothing of the weight (scale 0): only its original can undo it"
            )
        return torch.addmm(weight, self.left.to(weight), self.right.to(weight), alpha=-1.0) / self.scale

    def delta(self, weight: Tensor) -> Tensor:
        """`W' - W` (o, i) in float64, before any rounding."""
        base = weight.detach().to(torch.float64)
        if self.dense is not None:
            return self.dense.to(base)
        assert self.left is not None and self.right is not None
        return torch.addmm(base, self.left.to(base), self.right.to(base), beta=self.scale - 1.0)


# ---------------------------------------------------------------------------------------------- measurements


@dataclass(frozen=True)
class Measurement:
    """One number and what it is made of. value = numerator / denominator times `factor`, or as `definition` says.

    grain: what one unit of the denominator is ("fact", "probe", "token"). unit: "%", "" ...
    low, high: bounds of the value's bootstrap 95 % interval over facts, where there is one.
    """

    value: float
    numerator: float
    denominator: float
    grain: str
    unit: str = ""
    definition: str = ""
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Score:
    """What the model thinks of an answer or a text: every token the argmax, summed log-probability, number of tokens.

    Of each token: hits: whether it is the argmax; token_log_probabilities, in nats; expected, deviations: mean and
    standard deviation of the log-probability of a token drawn from what the model predicts there.
    """

    exact: bool
    log_probability: float
    tokens: int
    hits: tuple[bool, ...] = ()
    token_log_probabilities: tuple[float, ...] = ()
    expected: tuple[float, ...] = ()
    deviations: tuple[float, ...] = ()

    @property
    def per_token(self) -> float:
        """Mean log-probability of a token; its exp is the geometric mean of the tokens' probabilities."""
        return self.log_probability / self.tokens if self.tokens else 0.0


# ---------------------------------------------------------------------------------------------- the run


@dataclass(frozen=True)
class Remembered:
    """What a component computed and may find again: tensors by name, and facts about them that JSON holds."""

    tensors: Mapping[str, Tensor]
    facts: Mapping[str, Any] = field(default_factory=dict)


Remember = Callable[[str, Callable[[], Mapping[str, Any]], Callable[[], Remembered]], Remembered]


def compute_anew(
    kind: str, depends_on: Callable[[], Mapping[str, Any]], compute: Callable[[], Remembered]
) -> Remembered:
    """Remember nothing."""
    return compute()


@dataclass(frozen=True)
class RunContext:
    """What components may know of the run. needs: of the solver. batch_size: rows a forward pass may hold.

    progress(label, done, total): report progress on anything slow. documents(): the background's texts, streamed
    afresh, or None where the run has none. retain: facts to keep, where the data set has them. artifacts: a folder of
    the run for what a component wants kept (curves, plots), or None where nothing is kept.
    remember(kind, depends_on, compute): what `compute()` answers, or what an earlier run with an equal `depends_on()`
    (JSON values: all that the answer follows from) kept; always computed unless `output.share_targets` is set.
    """

    seed: int = 0
    batch_size: int = 32
    needs: frozenset[str] = frozenset()
    progress: Callable[[str, int, int], None] = lambda label, done, total: None
    backgrounds: Mapping[str, Background] = field(default_factory=dict)
    documents: Callable[[], Iterable[str]] | None = None
    retain: tuple[Request, ...] = ()
    artifacts: Path | None = None
    remember: Remember = compute_anew
