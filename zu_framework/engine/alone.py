"""A solver alone, by name or as a function: no model, no files."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from types import SimpleNamespace
from typing import Any, get_type_hints

from torch import Tensor

from zu_framework.config import options_from, structured
from zu_framework.engine.solving import checked_update, solve_with
from zu_framework.errors import ConfigError, SolverError
from zu_framework.problem import Background, EditProblem, Update
from zu_framework.registry import Plugins, Registered, installed_plugins
from zu_framework.specs import MOMENTS, SolverSpec


def solve(
    solver: str | Callable[..., Update],
    problem: EditProblem,
    *,
    factor: Any = None,
    plugins: Plugins | None = None,
    **options: Any,
) -> Update:
    """Solve one site: `zu.solve("zerounlearn", problem, forget_weight=50.0)`.

    Args:
        solver: The name of a site solver, or a function of `(problem)`, `(problem, options)` or
            `(problem, options, factor)`. A function gets its options as the dataclass that its parameter is annotated
            with, else as attributes of a plain object.
        problem: The site. Nothing of it is written to.
        factor: What `zu.prepare` returned for the site's background, weight and these options; computed where it is
            None.
        plugins: Where the name is looked up; the installed plugins where it is None.
        options: Of the solver.

    Returns:
        The update, of the shape of the site's weight, with the solver's report.

    Raises:
        UnknownName: No solver of that name.
        ConfigError: An option is unknown or has a wrong value.
        SolverError: The problem lacks what the solver needs, or cannot be solved as asked.
    """
    if not isinstance(solver, str):
        return _solve_with_function(solver, problem, options, factor)
    registered, chosen = _site_solver(solver, options, plugins)
    if factor is None:
        factor = _prepared(registered, problem.background, problem.weight, chosen)
    return solve_with(registered, problem, chosen, factor)


def prepare(
    solver: str,
    background: Background,
    weight: Tensor,
    *,
    plugins: Plugins | None = None,
    **options: Any,
) -> Any:
    """Compute what every edit of a site is solved with, once: `zu.solve(..., factor=zu.prepare(...))`.

    Args:
        solver: The name of a site solver.
        background: Moments of general text at the site.
        weight: W (o, i).
        plugins: Where the name is looked up; the installed plugins where it is None.
        options: Of the solver, as they will be given to `zu.solve`.

    Returns:
        The factor; None for a solver that has none.

    Raises:
        UnknownName: No solver of that name.
        ConfigError: An option is unknown or has a wrong value.
        SolverError: The background lacks a moment, or it is singular.
    """
    registered, chosen = _site_solver(solver, options, plugins)
    return _prepared(registered, background, weight, chosen)


def _site_solver(name: str, options: Mapping[str, Any], plugins: Plugins | None) -> tuple[Registered, Any]:
    registered = (plugins or installed_plugins()).registry.get("solver", name)
    if not isinstance(registered.spec, SolverSpec):
        raise SolverError(f"solver {name!r} needs a model, not a site's problem: use zu.run or zu.unlearn")
    return registered, options_from(registered.spec, options, where="solver")


def _prepared(solver: Registered, background: Background, weight: Tensor, options: Any) -> Any:
    """What the solver's `prepare` returns for the moments that it declared, which must be there."""
    function = solver.load_prepare()
    if function is None:
        return None
    needs = solver.spec.needs_of(options)
    for moment in sorted(needs & MOMENTS - background.only(needs).given - {"value_moment"}):
        raise SolverError(
            f"solver {solver.spec.name!r} needs `{moment}`, which this background does not hold"
        )
    return function(background.only(needs), weight, options)


def _solve_with_function(
    function: Callable[..., Update], problem: EditProblem, options: Mapping[str, Any], factor: Any
) -> Update:
    name = f"solver {getattr(function, '__name__', function)!r}"
    taken = [
        p.name
        for p in inspect.signature(function).parameters.values()
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    if options and len(taken) < 2:
        raise ConfigError(f"{name} takes the problem alone; options were given: {', '.join(sorted(options))}")
    given: list[Any] = [problem]
    if len(taken) > 1:
        kind = _hints(function).get(taken[1])
        if isinstance(kind, type) and is_dataclass(kind):
            given.append(structured(kind, options, "solver", name, {}))
        else:
            given.append(SimpleNamespace(**options))
    if len(taken) > 2:
        given.append(factor)
    return checked_update(function(*given), problem, name)


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return get_type_hints(function)
    except NameError:  # an annotation that is there for type checkers alone
        return {}
