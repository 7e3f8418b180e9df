"""Implementations against their contracts: each method is there, and can be called as the core calls it."""

from __future__ import annotations

import inspect
from abc import ABC
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from zu_framework import contracts
from zu_framework.specs import (
    AuditSpec,
    BackgroundSpec,
    CollectorSpec,
    DatasetSpec,
    ExecutorSpec,
    LocatorSpec,
    MetricSpec,
    ModelSolverSpec,
    SectionSpec,
    SolverSpec,
    Spec,
    TargetSpec,
)

CONTRACTS: Mapping[type[Spec], type[Any]] = {
    LocatorSpec: contracts.Locator,
    CollectorSpec: contracts.Collector,
    TargetSpec: contracts.TargetBuilder,
    SolverSpec: contracts.Solver,
    ModelSolverSpec: contracts.ModelSolver,
    BackgroundSpec: contracts.BackgroundSource,
    DatasetSpec: contracts.Dataset,
    MetricSpec: contracts.Metric,
    AuditSpec: contracts.Audit,
    ExecutorSpec: contracts.Executor,
    SectionSpec: contracts.ReportSection,
}


def contract_fault(spec: Spec, implementation: Any, target: str) -> str:
    """Return how something that a registration names breaks its contract.

    Args:
        spec: The registration.
        implementation: What the target names.
        target: Which of the registration's targets.

    Returns:
        "it has no method plan(lm, requests)", or "" where it can be called as the contract says.
    """
    if target != spec.target:
        declared = contracts.Check if target == getattr(spec, "check", "") else contracts.Prepare
        return call_fault(implementation, declared.__call__)
    contract = contract_of(spec)
    if contract is None:
        return ""
    if not issubclass(contract, ABC):
        return call_fault(implementation, contract.__call__, named=_named(spec, contract))
    if not isinstance(implementation, type):
        return f"it is no class; subclass zu_framework.{contract.__name__}"
    return next(_method_faults(implementation, contract), "")


def contract_of(spec: Spec) -> type[Any] | None:
    """Return the contract that a registration's implementation keeps; None for a kind that has none.

    Args:
        spec: The registration.

    Returns:
        A class of `zu_framework.contracts`.
    """
    if isinstance(spec, SolverSpec) and spec.prepare is not None:
        return contracts.PreparedSolver
    if isinstance(spec, BackgroundSpec) and _written(spec):
        return contracts.WrittenBackground
    if isinstance(spec, MetricSpec) and fields(spec.options):
        return contracts.MetricWithOptions
    return CONTRACTS.get(type(spec))


def call_fault(function: Any, declared: Any, *, named: tuple[str, ...] = ()) -> str:
    """Return why a function cannot be called as a contract's method is.

    Args:
        function: A function, a class, or an object with `__call__`.
        declared: The contract's own method.
        named: Parameters that are given besides, by name.

    Returns:
        "it is called with (problem, options), and takes (problem)", or "".
    """
    if not callable(function):
        return f"it cannot be called: it is a {type(function).__name__}"
    given = [name for name in inspect.signature(declared).parameters if name not in {"self", *named}]
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # written in C: it does not say what it takes
        return ""
    try:
        signature.bind(*given, **dict.fromkeys(named))
    except TypeError:
        listed = ", ".join([*given, *(f"{name}=" for name in named)])
        return f"it is called with ({listed}), and takes {signature}"
    return ""


def _method_faults(implementation: type[Any], contract: type[Any]) -> Iterator[str]:
    for name, declared in vars(contract).items():
        if not inspect.isfunction(declared) or (name.startswith("_") and name != "__init__"):
            continue
        given = getattr(implementation, name, None)
        taken = ", ".join(list(inspect.signature(declared).parameters)[1:])
        if given is None or getattr(given, "__isabstractmethod__", False):
            yield f"it has no method {name}({taken}); subclass zu_framework.{contract.__name__}"
        elif name == "__init__":
            yield from filter(None, [call_fault(implementation, declared)])
        else:
            fault = call_fault(_unbound(given), declared)
            if fault:
                yield f"{name}: {fault}"


def _unbound(method: Any) -> Any:
    """The method without its first parameter, as a call on an object has it."""
    if not inspect.isfunction(method):
        return method
    signature = inspect.signature(method)
    first, *rest = signature.parameters.values()
    if first.kind is first.VAR_POSITIONAL:
        return method

    def bound(*_: Any) -> None: ...

    bound.__signature__ = signature.replace(parameters=rest)  # type: ignore[attr-defined]
    return bound


def _written(spec: BackgroundSpec) -> bool:
    """Whether the model writes the text; that may not depend on options."""
    return not callable(spec.needs) and "model" in spec.needs


def _named(spec: Spec, contract: type[Any]) -> tuple[str, ...]:
    """Parameters that the core gives by name: those that the contract puts behind its "/"."""
    parameters = inspect.signature(contract.__call__).parameters.values()
    named = tuple(one.name for one in parameters if one.kind is not one.POSITIONAL_ONLY)
    return (*named, "declared") if isinstance(spec, DatasetSpec) and spec.open_fields else named
