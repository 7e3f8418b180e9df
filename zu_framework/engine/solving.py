"""A solver alone, by name: no model, no files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zu_framework.config import options_from
from zu_framework.contracts import RunContext
from zu_framework.errors import SolverError
from zu_framework.models import LanguageModel
from zu_framework.problem import EditProblem, Request, Site, Update
from zu_framework.registry.manager import Plugins, installed_plugins
from zu_framework.specs import ModelSolverSpec, SolverSpec


def solve(name: str, problem: EditProblem, *, plugins: Plugins | None = None, **options: Any) -> Update:
    """Solve one site with the solver of that name: `zu.solve("zerounlearn", problem, forget_weight=50.0)`.

    Raises `UnknownName`, `ConfigError` for an unknown or mistyped option, `SolverError` where the solver refuses.
    """
    registered = (plugins or installed_plugins()).registry.get("solver", name)
    if not isinstance(registered.spec, SolverSpec):
        raise SolverError(f"solver {name!r} needs a model, not a site's problem: use zu.run or zu.unlearn")
    chosen = options_from(registered.spec, options, where="solver")
    return solve_with(registered.spec, registered.load(), problem, chosen)


def solve_with(spec: Any, implementation: Any, problem: EditProblem, options: Any) -> Update:
    """Check that the problem carries what the solver declared, call it, and check what it returns."""
    assert isinstance(spec, SolverSpec)
    needs = spec.needs_of(options)
    for need in ("sensitive", "bare_keys", "retain_keys"):
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


def solve_model(
    spec: Any,
    implementation: Any,
    lm: LanguageModel,
    requests: Sequence[Request],
    sites: Sequence[Site],
    options: Any,
    context: RunContext,
) -> list[tuple[Site, Update]]:
    """Call a model solver and check what it answers: an update of the right shape for each parameter, named once."""
    assert isinstance(spec, ModelSolverSpec)
    answered = list(implementation(lm, requests, sites, options, context))
    seen: set[str] = set()
    for site, update in answered:
        if not isinstance(site, Site) or not isinstance(update, Update):
            raise SolverError(f"solver {spec.name!r} answered {site!r}: {update!r}, expected (Site, Update)")
        if site.name in seen:
            raise SolverError(
                f"solver {spec.name!r} answered two updates of {site.name!r}: fold them into one"
            )
        seen.add(site.name)
        wanted = tuple(lm.weight(site).shape)
        if update.shape != wanted:
            raise SolverError(
                f"solver {spec.name!r} returned an update of shape {update.shape} for W {wanted}"
            )
    return answered
