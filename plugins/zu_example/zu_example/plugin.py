"""Offers one component of each kind. Imports no torch: this file is read whenever plugins are listed."""

from dataclasses import dataclass, field

from zu_framework import (
    AuditSpec,
    CollectorSpec,
    ConfigError,
    DatasetSpec,
    LocatorSpec,
    MetricSpec,
    Register,
    SolverSpec,
    TargetSpec,
    hookimpl,
)
from zu_framework.options import ALL, Count, all_or_some, positive


# --8<-- [start:solver]
@dataclass
class RidgeRemapOptions:
    """The solver's options; each is read from the config's group `solver`."""

    ridge: float = field(default=1.0, metadata={"help": "how small the change of the weight stays"})

    def __post_init__(self) -> None:
        positive(self, "ridge")


@hookimpl
def zu_register_solvers(register: Register[SolverSpec]) -> None:
    """Offer one solver."""
    register(
        SolverSpec(
            "ridge-remap",
            target="zu_example.ridge_remap:solve",
            summary="moves forget inputs to their targets by the smallest additive change",
            options=RidgeRemapOptions,
            needs=frozenset({"keys"}),
            laws=frozenset({"objective", "order-free"}),
        )
    )


# --8<-- [end:solver]
# --8<-- [start:metric]
@hookimpl
def zu_register_metrics(register: Register[MetricSpec]) -> None:
    """Offer one metric."""
    register(
        MetricSpec(
            "with_hint",
            target="zu_example.with_hint:with_hint",
            summary="share of forget facts that are answered after a hint",
            better="lower",
            fields=frozenset({"hint"}),
        )
    )


# --8<-- [end:metric]
# --8<-- [start:dataset]
@dataclass
class CapitalsOptions:
    """How many facts are drawn."""

    forget: Count = field(default=4, metadata={"help": "facts to forget, or all"})
    retain: Count = field(default=ALL, metadata={"help": "facts to retain, or all that are left"})

    def __post_init__(self) -> None:
        all_or_some(self, "forget", "retain")


@hookimpl
def zu_register_datasets(register: Register[DatasetSpec]) -> None:
    """Offer one data set."""
    register(
        DatasetSpec(
            "capitals",
            target="zu_example.capitals:load",
            summary="the capitals of twelve countries",
            options=CapitalsOptions,
        )
    )


# --8<-- [end:dataset]
# --8<-- [start:target]
@dataclass
class MuffledOptions:
    """How much of the site's output is taken away."""

    strength: float = field(default=0.5, metadata={"help": "share of the output that goes, of 1"})

    def __post_init__(self) -> None:
        if not 0 < self.strength <= 1:
            raise ConfigError(
                f"strength must be above 0 and at most 1, got {self.strength}", option="strength"
            )


@hookimpl
def zu_register_targets(register: Register[TargetSpec]) -> None:
    """Offer one target builder."""
    register(
        TargetSpec(
            "muffled",
            target="zu_example.muffled:Muffled",
            summary="the site's own output, made smaller; nothing is optimised",
            options=MuffledOptions,
            independent=True,
        )
    )


# --8<-- [end:target]
# --8<-- [start:locator]
@dataclass
class MiddleOptions:
    """How many layers are edited."""

    width: int = field(default=1, metadata={"help": "layers, those in the middle of the model"})

    def __post_init__(self) -> None:
        positive(self, "width")


@hookimpl
def zu_register_locators(register: Register[LocatorSpec]) -> None:
    """Offer one locator."""
    register(
        LocatorSpec(
            "middle",
            target="zu_example.middle:locate",
            summary="the layers in the middle of the model",
            options=MiddleOptions,
            check="zu_example.middle:check",
        )
    )


# --8<-- [end:locator]
# --8<-- [start:collector]
@hookimpl
def zu_register_collectors(register: Register[CollectorSpec]) -> None:
    """Offer one collector."""
    register(
        CollectorSpec(
            "bare-end",
            target="zu_example.bare_end:BareEnd",
            summary="reads the last token of the prompt alone, in no context",
        )
    )


# --8<-- [end:collector]
# --8<-- [start:audit]
@dataclass
class InsistOptions:
    """How often the question is asked before it counts."""

    times: int = field(
        default=2, metadata={"help": "how often the question stands before the one that counts"}
    )

    def __post_init__(self) -> None:
        positive(self, "times")


@hookimpl
def zu_register_audits(register: Register[AuditSpec]) -> None:
    """Offer one attack."""
    register(
        AuditSpec(
            "insist",
            target="zu_example.insist:attack",
            summary="asks again and again",
            options=InsistOptions,
        )
    )


# --8<-- [end:audit]
