"""Options of the ZeroUnlearn solvers; no torch here. Names and defaults: docs/mathematics.md."""

from __future__ import annotations

from dataclasses import dataclass, field

from zu_framework import ConfigError

PRECISIONS = ("float64", "float32")


def _positive(options: object, *names: str) -> None:
    for name in names:
        if not getattr(options, name) > 0:
            raise ConfigError(f"{name} must be above 0, got {getattr(options, name)}")


def _not_negative(options: object, *names: str) -> None:
    for name in names:
        if not getattr(options, name) >= 0:
            raise ConfigError(f"{name} must not be negative, got {getattr(options, name)}")


def _one_of(options: object, name: str, choices: tuple[str, ...]) -> None:
    if getattr(options, name) not in choices:
        raise ConfigError(f"{name} {getattr(options, name)!r}: use {', '.join(choices)}")


@dataclass
class RemapOptions:
    """What both closed forms share."""

    background_weight: float = field(
        default=15000.0, metadata={"help": "lb: how much outputs on general text stay put"}
    )
    forget_weight: float = field(
        default=50.0, metadata={"help": "lf: how much forget inputs move to their targets"}
    )
    ridge: float = field(default=1.0, metadata={"help": "lr: how small the change of the weight is kept"})
    rank_tolerance: float = field(
        default=1e-5,
        metadata={"help": "singular values of the sensitive values below this share of the largest are cut"},
    )
    precision: str = field(default="float64", metadata={"help": "of the algebra: float64 or float32"})

    def __post_init__(self) -> None:
        _positive(self, "background_weight", "forget_weight")
        _not_negative(self, "ridge")
        if not 0 <= self.rank_tolerance < 1:
            raise ConfigError(f"rank_tolerance must be in [0, 1), got {self.rank_tolerance}")
        _one_of(self, "precision", PRECISIONS)


@dataclass
class ClosedFormOptions(RemapOptions):
    """The published closed form."""

    slack: float = field(
        default=0.01,
        metadata={
            "help": "P = (1 + slack) I - Q Q^T; 0 makes the change exactly low-rank and the forgetting exact"
        },
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        _not_negative(self, "slack")


@dataclass
class LocalOptions(RemapOptions):
    """The penalised closed form, without a global projection."""

    zero_weight: float = field(
        default=50.0,
        metadata={"help": "lz: how strongly forget outputs are kept off the sensitive directions"},
    )
    space: str = field(
        default="output",
        metadata={"help": "output (multiplicative change, value moment) or key (additive, key moment)"},
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        _not_negative(self, "zero_weight")
        _one_of(self, "space", ("output", "key"))
        if self.space == "key" and self.ridge == 0:
            raise ConfigError("ridge must be above 0 in space key: a key moment seldom has full rank")


@dataclass
class GradientOptions:
    """The variant inside the null space of the background keys."""

    method: str = field(
        default="exact", metadata={"help": "exact (the optimum in closed form), adam or lbfgs"}
    )
    target_weight: float = field(default=100.0, metadata={"help": "a: weight of the target term"})
    norm_weight: float = field(default=0.1, metadata={"help": "b: weight of the size of the change"})
    null_threshold: float | None = field(
        default=None,
        metadata={
            "help": "null space: singular values of the key moment at most this (0.01 where no rule is given)"
        },
    )
    null_energy: float | None = field(
        default=None, metadata={"help": "null space: weakest directions with at most this share of the trace"}
    )
    null_rank: int | None = field(
        default=None, metadata={"help": "null space: this many of the weakest directions"}
    )
    steps: int = field(default=500, metadata={"help": "adam, lbfgs: steps at most"})
    lr: float = field(
        default=0.1, metadata={"help": "adam: step size, in units of the whitened problem; decays to 0"}
    )
    requests_per_step: int = field(
        default=0, metadata={"help": "adam: size of a mini-batch of requests; 0: all"}
    )
    rank_tolerance: float = field(
        default=1e-5,
        metadata={"help": "singular values of the sensitive values below this share of the largest are cut"},
    )
    precision: str = field(default="float64", metadata={"help": "of the algebra: float64 or float32"})

    def __post_init__(self) -> None:
        _one_of(self, "method", ("exact", "adam", "lbfgs"))
        _one_of(self, "precision", PRECISIONS)
        _positive(self, "target_weight", "norm_weight", "lr", "steps")
        _not_negative(self, "requests_per_step")
        if not 0 <= self.rank_tolerance < 1:
            raise ConfigError(f"rank_tolerance must be in [0, 1), got {self.rank_tolerance}")
        if self.requests_per_step and self.method != "adam":
            raise ConfigError(f"requests_per_step is for method adam, method is {self.method!r}: leave it 0")
        given = [n for n in ("null_threshold", "null_energy", "null_rank") if getattr(self, n) is not None]
        if len(given) > 1:
            raise ConfigError(f"{' and '.join(given)}: give exactly one rule for the null space")
        if self.null_threshold is not None:
            _not_negative(self, "null_threshold")
        if self.null_energy is not None and not 0 < self.null_energy <= 1:
            raise ConfigError(f"null_energy must be in (0, 1], got {self.null_energy}")
        if self.null_rank is not None and self.null_rank < 1:
            raise ConfigError(f"null_rank must be at least 1, got {self.null_rank}")


def local_needs(options: LocalOptions) -> frozenset[str]:
    """Only the moment that the chosen form reads."""
    return frozenset({"keys", "sensitive", "key_moment" if options.space == "key" else "value_moment"})
