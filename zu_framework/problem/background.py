"""Second moments of a site on general text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from zu_framework.errors import SolverError

T = TypeVar("T")


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
