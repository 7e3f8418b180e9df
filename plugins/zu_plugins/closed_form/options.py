"""Options of the ZeroUnlearn solvers; no torch here. Names and defaults: docs/mathematics.md."""

from __future__ import annotations

from dataclasses import dataclass, field

from zu_framework import ConfigError
from zu_framework.options import (
    NullSpaceOptions,
    SensitiveOptions,
    SolverOptions,
    not_negative,
    one_of,
    positive,
)


@dataclass
class RemapOptions(SensitiveOptions, SolverOptions):
    """What both closed forms share."""

    background_weight: float = field(
        default=15000.0, metadata={"help": "lb: how much outputs on general text stay put"}
    )
    forget_weight: float = field(
        default=50.0, metadata={"help": "lf: how much forget inputs move to their targets"}
    )
    ridge: float = field(default=1.0, metadata={"help": "how small the change of the weight stays"})

    def __post_init__(self) -> None:
        positive(self, "background_weight", "forget_weight")
        not_negative(self, "ridge")
        SensitiveOptions.__post_init__(self)
        SolverOptions.__post_init__(self)


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
        not_negative(self, "slack")


@dataclass
class LocalOptions(RemapOptions):
    """The penalised closed form, without a global projection."""

    zero_weight: float = field(
        default=50.0,
        metadata={"help": "lz: how strongly forget outputs are driven off the sensitive directions"},
    )
    earlier_weight: float = field(
        default=50.0,
        metadata={
            "help": "le: how firmly outputs stay on the keys of edits that the model carries; 0: not at all"
        },
    )
    retain_weight: float = field(
        default=0.0,
        metadata={"help": "lk: how much outputs on the facts to retain stay put (data.retain); 0: not read"},
    )
    space: str = field(
        default="output",
        metadata={"help": "output (multiplicative change, value moment) or key (additive, key moment)"},
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        not_negative(self, "zero_weight", "retain_weight", "earlier_weight")
        one_of(self, "space", ("output", "key"))
        if self.space == "key" and self.ridge == 0:
            raise ConfigError(
                "ridge must be above 0 in space key: a key moment seldom has full rank", option="ridge"
            )


@dataclass
class GradientOptions(NullSpaceOptions, SensitiveOptions, SolverOptions):
    """The variant inside the null space of the background keys."""

    method: str = field(
        default="exact", metadata={"help": "exact (the optimum in closed form), adam or lbfgs"}
    )
    target_weight: float = field(default=100.0, metadata={"help": "a: weight of the target term"})
    norm_weight: float = field(default=0.1, metadata={"help": "b: weight of the size of the change"})
    steps: int = field(default=500, metadata={"help": "adam, lbfgs: steps at most"})
    lr: float = field(
        default=0.1, metadata={"help": "adam: step size, in units of the whitened problem; decays to 0"}
    )
    requests_per_step: int | None = field(
        default=None, metadata={"help": "adam: size of a mini-batch of requests; default: all at once"}
    )

    def __post_init__(self) -> None:
        NullSpaceOptions.__post_init__(self)
        SensitiveOptions.__post_init__(self)
        SolverOptions.__post_init__(self)
        one_of(self, "method", ("exact", "adam", "lbfgs"))
        positive(self, "target_weight", "norm_weight", "lr", "steps")
        if self.requests_per_step is not None:
            positive(self, "requests_per_step")
            if self.method != "adam":
                raise ConfigError(
                    f"requests_per_step is for method adam, method is {self.method!r}: leave it out",
                    option="requests_per_step",
                )


def local_needs(options: LocalOptions) -> frozenset[str]:
    """Return what the chosen form reads: sensitive values cost an optimisation a site."""
    moment = "key_moment" if options.space == "key" else "value_moment"
    asked = {"sensitive": options.zero_weight, "retain_keys": options.retain_weight}
    return frozenset({"keys", moment} | {need for need, weight in asked.items() if weight > 0})


def local_reads_weight(options: LocalOptions) -> bool:
    """Return whether the factor follows from W: in key space the moment alone decides it."""
    return options.space == "output"
