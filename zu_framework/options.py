"""What options dataclasses share: checks that name the option, and the rule of a null space. No torch here."""

from __future__ import annotations

from dataclasses import dataclass, field

from zu_framework.errors import ConfigError

__all__ = [
    "ALL",
    "Count",
    "DescentOptions",
    "NullSpaceOptions",
    "SensitiveOptions",
    "SolverOptions",
    "all_or_some",
    "not_negative",
    "one_of",
    "positive",
]

ALL = "all"
Count = int | str  # of an option that is a number above 0, or "all"
PRECISIONS = ("float64", "float32", "auto")


def positive(options: object, *names: str) -> None:
    """Refuse options that are not above 0.

    Args:
        options: The options dataclass.
        names: Of its fields.

    Raises:
        ConfigError: One is not; the message names it.
    """
    for name in names:
        if not getattr(options, name) > 0:
            raise ConfigError(f"{name} must be above 0, got {getattr(options, name)}", option=name)


def not_negative(options: object, *names: str) -> None:
    """Refuse options below 0.

    Args:
        options: The options dataclass.
        names: Of its fields.

    Raises:
        ConfigError: One is; the message names it.
    """
    for name in names:
        if not getattr(options, name) >= 0:
            raise ConfigError(f"{name} must not be negative, got {getattr(options, name)}", option=name)


def one_of(options: object, name: str, choices: tuple[str, ...]) -> None:
    """Refuse an option that is none of the choices.

    Args:
        options: The options dataclass.
        name: Of its field.
        choices: What it may be.

    Raises:
        ConfigError: It is none of them; the message lists them.
    """
    if getattr(options, name) not in choices:
        raise ConfigError(f"{name} {getattr(options, name)!r}: use {', '.join(choices)}", option=name)


def all_or_some(options: object, *names: str) -> None:
    """Refuse an option that is neither `all` nor a whole number above 0.

    Args:
        options: The options dataclass.
        names: Of its fields, of type `Count`.

    Raises:
        ConfigError: One is neither; the message names it.
    """
    for name in names:
        value = getattr(options, name)
        if value != ALL and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
            hint = f"; {name}={ALL} takes them all" if value == 0 else ""
            raise ConfigError(f"{name} must be {ALL} or a number above 0, got {value!r}{hint}", option=name)


@dataclass
class SolverOptions:
    """What every site solver has: the precision of its algebra."""

    precision: str = field(
        default="float64",
        metadata={
            "help": "of the algebra: float64, float32, or auto (moments are factored in float32 and solutions refined "
            "to float64 where the measured condition number allows: pays on GPUs)"
        },
    )

    def __post_init__(self) -> None:
        one_of(self, "precision", PRECISIONS)


@dataclass
class NullSpaceOptions:
    """Exactly one rule for the null space of a key moment; without any, the solver's published threshold."""

    null_threshold: float | None = field(
        default=None,
        metadata={
            "help": "null space: singular values of the key moment at most this (the published rule and default)"
        },
    )
    null_energy: float | None = field(
        default=None, metadata={"help": "null space: weakest directions with at most this share of the trace"}
    )
    null_rank: int | None = field(
        default=None, metadata={"help": "null space: this many of the weakest directions"}
    )

    def __post_init__(self) -> None:
        given = [n for n in ("null_threshold", "null_energy", "null_rank") if getattr(self, n) is not None]
        if len(given) > 1:
            raise ConfigError(
                f"{' and '.join(given)}: give exactly one rule for the null space", option=given[-1]
            )
        if self.null_threshold is not None:
            not_negative(self, "null_threshold")
        if self.null_energy is not None and not 0 < self.null_energy <= 1:
            raise ConfigError(f"null_energy must be in (0, 1], got {self.null_energy}", option="null_energy")
        if self.null_rank is not None and self.null_rank < 1:
            raise ConfigError(f"null_rank must be at least 1, got {self.null_rank}", option="null_rank")


@dataclass
class SensitiveOptions:
    """How the rank of the sensitive values is cut."""

    rank_tolerance: float = field(
        default=1e-5,
        metadata={"help": "singular values of the sensitive values below this share of the largest are cut"},
    )

    def __post_init__(self) -> None:
        if not 0 <= self.rank_tolerance < 1:
            raise ConfigError(
                f"rank_tolerance must be in [0, 1), got {self.rank_tolerance}", option="rank_tolerance"
            )


@dataclass
class DescentOptions:
    """How a state is optimised that makes the model say a text.

    Defaults are the hyperparameters of the implementation of arXiv 2605.18879.
    """

    lr: float = field(default=0.1, metadata={"help": "Adam's learning rate"})
    lr_unit: str = field(
        default="absolute",
        metadata={
            "help": "absolute (the published rule: lr moves each coordinate) or radius (the same however large a "
            "model's states are: a first step of lr 1 is as long as `clamp` allows the whole way to be)"
        },
    )
    steps: int = field(default=25, metadata={"help": "evaluations at most; the last takes no step"})
    loss_threshold: float = field(default=0.05, metadata={"help": "a request stops when its loss is below"})
    weight_decay: float = field(default=0.5, metadata={"help": "weight of ||delta|| / ||init||^2"})
    kl_weight: float = field(
        default=0.0625, metadata={"help": "weight of the divergence after '<subject> is a'"}
    )
    spare_weight: float = field(
        default=0.0,
        metadata={"help": "weight of the divergence after what else is asked of the subject (`others`)"},
    )
    clamp: float = field(default=0.75, metadata={"help": "||delta|| stays within this share of ||init||"})
    replay: str = field(
        default="auto",
        metadata={
            "help": "auto (only the layers above, where that is exact) or none (a full forward each step)"
        },
    )
    memory: float | None = field(
        default=None,
        metadata={
            "help": "GiB for one batch of requests; default: 2 on a CPU, half of what the model leaves of a GPU"
        },
    )
    rows_per_pass: int | None = field(
        default=None,
        metadata={
            "help": "rows a pass holds at most; default: as `memory` allows, model.batch_size in a full forward"
        },
    )

    def __post_init__(self) -> None:
        not_negative(self, "lr", "loss_threshold", "weight_decay", "kl_weight", "spare_weight")
        positive(self, "clamp")
        one_of(self, "lr_unit", ("absolute", "radius"))
        one_of(self, "replay", ("auto", "none"))
        for name in ("memory", "rows_per_pass"):
            if getattr(self, name) is not None:
                positive(self, name)
        if self.steps < 1:
            raise ConfigError(f"steps must be at least 1, got {self.steps}", option="steps")
