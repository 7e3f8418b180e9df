"""Registrations of what makes an edit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, ClassVar, Literal, get_args

from zu_framework.specs.base import CheckedSpec, Needs, unknown_names

Law = Literal["objective", "order-free", "orthogonality"]


LAWS: frozenset[str] = frozenset(get_args(Law))


@dataclass(frozen=True)
class LocatorSpec(CheckedSpec):
    """Registers a `Locator`.

    It needs "subject" where it reads there; one fact that has one is enough.

    Args:
        may_write_sinks: Says of the options whether a site that writes an attention sink may be chosen; None for never.
    """

    may_write_sinks: Callable[[Any], bool] | None = None
    kind: ClassVar[str] = "locator"
    known_needs: ClassVar[frozenset[str]] = frozenset({"documents", "subject"})


@dataclass(frozen=True)
class CollectorSpec(CheckedSpec):
    """Registers a `Collector`, by its class.

    It needs "subject" where it reads there.
    """

    kind: ClassVar[str] = "collector"
    known_needs: ClassVar[frozenset[str]] = frozenset({"subject"})


@dataclass(frozen=True)
class TargetSpec(CheckedSpec):
    """Registers a `TargetBuilder`, by its class.

    Args:
        independent: A request's columns depend on that request alone, so that processes may divide the requests.
    """

    independent: bool = False
    kind: ClassVar[str] = "target"
    known_needs: ClassVar[frozenset[str]] = frozenset({"key_moment", "mean_value"})


@dataclass(frozen=True)
class Prepared:
    """What a solver computes once for a site and its background, and solves every edit with.

    Args:
        target: `"module:attr"` of a `Prepare`.
        options: Names of the options that it reads.
        reads_weight: Whether it reads the weight; a function of the options where it depends on them.
    """

    target: str
    options: tuple[str, ...] = ()
    reads_weight: bool | Callable[[Any], bool] = True

    def reads_weight_under(self, options: Any) -> bool:
        """Return whether the weight is read under these options.

        Args:
            options: The options dataclass of the registration.

        Returns:
            True where the factor follows from the weight too.
        """
        return self.reads_weight(options) if callable(self.reads_weight) else self.reads_weight


@dataclass(frozen=True)
class AnySolverSpec(CheckedSpec):
    """What the registrations of both kinds of solvers say.

    Args:
        group_size: Requests per complete pass; None takes all at once.
        full_rank: Why an update is not exactly `W + left @ right`.
    """

    group_size: int | None = None
    full_rank: str | Callable[[Any], str] = ""
    kind: ClassVar[str] = "solver"

    def full_rank_under(self, options: Any) -> str:
        """Return why an update under these options is not exactly low-rank.

        Args:
            options: The options dataclass of the registration.

        Returns:
            A clause to be read after "solver NAME"; "" where every update is low-rank.
        """
        return self.full_rank(options) if callable(self.full_rank) else self.full_rank


@dataclass(frozen=True)
class SolverSpec(AnySolverSpec):
    """Registers a `Solver`.

    Args:
        needs: The tensors of the problem and the moments that it reads.
        laws: What the contract test checks. `objective`: the slope of its objective vanishes at the solution;
            `order-free`: the order of requests does not matter; `orthogonality`: the edited output on forget keys is
            orthogonal to the sensitive values (up to its declared slack).
        group_size: Requests per complete pass (collect, solve, write); None takes all at once.
        prepare: Its factor, where it has one.
        full_rank: Why an update is not exactly `W + left @ right`, to be read after "solver NAME", and the way out:
            "scales the whole weight: set solver.slack to 0". A function of the options where it depends on them; ""
            where every update is.
    """

    needs: Needs = frozenset({"keys"})
    laws: frozenset[str] = frozenset()
    prepare: Prepared | None = None
    known_needs: ClassVar[frozenset[str]] = frozenset(
        {"keys", "bare_keys", "retain_keys", "sensitive", "key_moment", "value_moment"}
    )

    def faults(self) -> Iterator[str]:
        """Yield what is wrong with this registration."""
        yield from super().faults()
        yield from unknown_names("laws", self.laws, LAWS)
        if self.prepare is not None and ":" not in self.prepare.target:
            yield f"prepare names {self.prepare.target!r}, which is no 'module:attribute'"
        if self.prepare is not None and is_dataclass(self.options):
            yield from unknown_names(
                "options that prepare reads",
                frozenset(self.prepare.options),
                frozenset(option.name for option in fields(self.options)),
            )


@dataclass(frozen=True)
class ModelSolverSpec(AnySolverSpec):
    """Registers a `ModelSolver`.

    Its names share one namespace with site solvers: `solver.name` chooses either. It needs "documents" where it reads
    general text, "retain" where it reads facts to retain.

    Args:
        group_size: As a site solver's; a model solver takes all requests at once.
        full_rank: As a site solver's.
    """

    full_rank: str | Callable[[Any], str] = "trains whole weights"
    known_needs: ClassVar[frozenset[str]] = frozenset({"documents", "retain"})
