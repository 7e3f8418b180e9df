"""Options of the editors; no torch here. Names and defaults: docs/mathematics.md."""

from __future__ import annotations

from dataclasses import dataclass, field

from zu_framework.options import (
    NullSpaceOptions,
    SensitiveOptions,
    SolverOptions,
    not_negative,
    one_of,
    positive,
)


@dataclass
class MomentOptions(SolverOptions):
    """What is solved with the key moment."""

    relative_ridge: float = field(
        default=0.0,
        metadata={"help": "added to the key moment's diagonal, in units of its mean; published: 0"},
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        not_negative(self, "relative_ridge")


@dataclass
class RomeOptions(MomentOptions):
    """One rank-one change a request."""

    key: str = field(
        default="averaged",
        metadata={
            "help": "averaged (one key in both places) or mixed (the original: bare key in the denominator)"
        },
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of(self, "key", ("averaged", "mixed"))


@dataclass
class MemitOptions(MomentOptions):
    """Ridge regression onto the targets under the background's moment."""

    background_weight: float = field(
        default=15000.0, metadata={"help": "w: how much outputs on general text stay put"}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(self, "background_weight")


@dataclass
class AlphaEditOptions(NullSpaceOptions, SolverOptions):
    """Ridge regression inside the null space of the background's keys."""

    l2: float = field(default=10.0, metadata={"help": "weight of the size of the change"})

    def __post_init__(self) -> None:
        NullSpaceOptions.__post_init__(self)
        SolverOptions.__post_init__(self)
        positive(self, "l2")


@dataclass
class EraseOptions(SensitiveOptions, SolverOptions):
    """Erasure of the sensitive subspace, without a target."""

    projection: str = field(
        default="orthogonal",
        metadata={"help": "orthogonal (I - Q Q^T) or oblique (LEACE: least change on general text)"},
    )
    relative_ridge: float = field(
        default=0.0,
        metadata={"help": "oblique: added to the value moment's diagonal, in units of its mean"},
    )

    def __post_init__(self) -> None:
        SensitiveOptions.__post_init__(self)
        SolverOptions.__post_init__(self)
        one_of(self, "projection", ("orthogonal", "oblique"))
        not_negative(self, "relative_ridge")


def rome_needs(options: RomeOptions) -> frozenset[str]:
    """Return the needs: the original's mixture reads the bare prompt's key too."""
    return frozenset({"keys", "key_moment"} | ({"bare_keys"} if options.key == "mixed" else set()))


def erase_needs(options: EraseOptions) -> frozenset[str]:
    """Return the needs: only the oblique form reads statistics."""
    return frozenset({"sensitive"} | ({"value_moment"} if options.projection == "oblique" else set()))
