"""A solver alone, by name: no model, no files."""

from __future__ import annotations

from typing import Any

from zu_framework.config import options_from
from zu_framework.engine.plugins import Plugins, installed_plugins
from zu_framework.errors import SolverError
from zu_framework.specs import SolverSpec
from zu_framework.types import EditProblem, Update


def solve(name: str, problem: EditProblem, *, plugins: Plugins | None = None, **options: Any) -> Update:
    """Solve one site with the solver of that name: `zu.solve("zerounlearn", problem, forget_weight=50.0)`.

    Raises `UnknownName`, `ConfigError` for an unknown or mistyped option, `SolverError` where the solver refuses.
    """
    registered = (plugins or installed_plugins()).registry.get("solver", name)
    chosen = options_from(registered.spec, options, where="solver")
    return solve_with(registered.spec, registered.load(), problem, chosen)


def solve_with(spec: Any, implementation: Any, problem: EditProblem, options: Any) -> Update:
    """Check that the problem carries what the solver declared, call it, and check what it returns."""
    assert isinstance(spec, SolverSpec)
    needs = spec.needs_of(options)
    for need in ("sensitive", "bare_keys"):
        if need in needs and getattr(problem, need) is None:
            raise SolverError(f"solver {spec.name!r} needs `{need}`, which this problem does not carry")
    update = implementation(problem, options)
    if not isinstance(update, Update):
        raise SolverError(f"solver {spec.name!r} returned {type(update).__name__}, expected an Update")
    outputs, inputs = problem.weight.shape
    shape = update.shape
    if shape != (outputs, inputs):
        raise SolverError(f"solver {spec.name!r} returned an update of shape {shape} for W {outputs, inputs}")
    return update
