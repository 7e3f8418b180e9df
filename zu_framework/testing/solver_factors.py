"""What a solver's explicit factor must be: the same bits as without it, from what its registration lists alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

import pytest
import torch
from hypothesis import given
from torch import Tensor

from zu_framework.config import options_from
from zu_framework.engine.alone import prepare, solve
from zu_framework.problem import Background
from zu_framework.registry import Registered, installed_plugins
from zu_framework.specs import Prepared, SolverSpec
from zu_framework.testing.problems import Shape, edit_problem, shapes
from zu_framework.testing.solver_subject import SolverSubject, examples, parts_of


class FactorLaws(SolverSubject):
    """The laws of a registration with `prepare`; skipped, with the reason, for one without."""

    @examples
    @given(shape=shapes())
    def test_a_factor_solves_as_the_solver_alone_does(self, shape: Shape) -> None:
        """For a registration with `prepare`: to the bit, and without a moment in the problem."""
        self._prepares()
        problem = edit_problem(shape)
        alone = self._solved(problem)
        factor = prepare(self.solver, problem.background, problem.weight, **self.options)
        given = replace(problem, background=Background())
        by_factor = solve(self.solver, given, factor=factor, **self.options)
        for ours, theirs in zip(parts_of(alone), parts_of(by_factor), strict=True):
            assert torch.equal(ours, theirs)

    @examples
    @given(shape=shapes())
    def test_a_factor_follows_from_what_the_registration_lists(self, shape: Shape) -> None:
        """For a registration with `prepare`: it reads the listed options alone, and W only where it says so."""
        registered, declared = self._prepares()
        problem = edit_problem(shape)
        self._solved(problem)
        options = options_from(registered.spec, self.options, where="solver")
        background = problem.background.only(registered.spec.needs_of(options))
        seen = _Listed(options, declared.options)
        function = registered.load_prepare()
        assert function is not None
        found = function(background, problem.weight, seen)
        if not declared.reads_weight_under(options):
            other = function(background, torch.zeros_like(problem.weight), options)
            for ours, theirs in zip(_tensors(found), _tensors(other), strict=True):
                assert torch.equal(ours, theirs), "the factor follows from W: set reads_weight"

    def _prepares(self) -> tuple[Registered, Prepared]:
        registered = installed_plugins().registry.get("solver", self.solver)
        assert isinstance(registered.spec, SolverSpec)
        if registered.spec.prepare is None:
            pytest.skip(f"solver {self.solver!r} registers no `prepare`")
        return registered, registered.spec.prepare


class _Listed:
    """Options of which the listed ones alone can be read."""

    def __init__(self, options: Any, listed: tuple[str, ...]) -> None:
        self.__dict__.update({name: getattr(options, name) for name in listed})

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"prepare reads the option {name!r}, which the registration does not list")


def _tensors(factor: Any) -> Iterator[Tensor]:
    if isinstance(factor, Tensor):
        yield factor
    elif is_dataclass(factor):
        for part in fields(factor):
            yield from _tensors(getattr(factor, part.name))
