"""What a registration names is held against its contract when it is loaded, before a run calls it."""

from __future__ import annotations

import functools
import sys
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest

import zu_framework as zu
from zu_framework import (
    AuditSpec,
    BackgroundSpec,
    CollectorSpec,
    DatasetSpec,
    ExecutorSpec,
    LocatorSpec,
    MetricSpec,
    ModelSolverSpec,
    PluginError,
    Prepared,
    SectionSpec,
    SolverSpec,
    TargetSpec,
)
from zu_framework.registry import Registered, installed_plugins
from zu_framework.registry.checking import CONTRACTS
from zu_framework.specs import Spec


@dataclass
class Options:
    k: int = 1


class Half(zu.Collector):
    def __init__(self, options: Any, context: Any) -> None: ...

    def plan(self, lm: Any, requests: Any) -> Any: ...


class Unrelated:
    def __init__(self, options: Any, context: Any) -> None: ...

    def plan(self, lm: Any, requests: Any) -> Any: ...

    def collect(self, lm: Any, plan: Any, site: Any) -> Any: ...


class Narrow(zu.TargetBuilder):
    def __init__(self, options: Any) -> None: ...  # type: ignore[override]

    def prepare(self, lm: Any, plan: Any, sites: Any) -> Any: ...

    def at_site(self, state: Any, lm: Any, site: Any, index: int, representations: Any) -> Any: ...


class Short(Narrow):
    def __init__(self, options: Any, context: Any) -> None: ...

    def at_site(self, state: Any, lm: Any) -> Any: ...  # type: ignore[override]


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`loaded(SpecType, implementation, **more)` registers and loads it."""

    def load(kind: type[Spec], implementation: Any, **more: Any) -> Any:
        module = ModuleType("zz_given")
        module.it = implementation  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "zz_given", module)
        return Registered(kind("mine", "zz_given:it", "", **more), "zz_mine").load()

    return load


@pytest.mark.parametrize(
    ("kind", "implementation", "said"),
    [
        (
            LocatorSpec,
            lambda lm, requests, options: [],
            r"called with \(lm, requests, options, context\), and takes",
        ),
        (SolverSpec, lambda problem: None, r"called with \(problem, options\), and takes \(problem\)"),
        (SolverSpec, lambda problem, options, factor: None, r"called with \(problem, options\), and takes"),
        (
            ModelSolverSpec,
            lambda lm, requests, sites, options: [],
            r"called with \(lm, requests, sites, options, con",
        ),
        (BackgroundSpec, lambda: iter(()), r"called with \(options\), and takes \(\)"),
        (DatasetSpec, lambda options: None, r"called with \(options, seed\)"),
        (MetricSpec, lambda scorer: None, r"called with \(scorer, data\)"),
        (AuditSpec, lambda lm, facts: None, r"called with \(lm, facts, options, context\)"),
        (ExecutorSpec, lambda work, jobs: iter(()), r"called with \(work, jobs, options\)"),
        (SectionSpec, lambda: None, r"called with \(run\)"),
        (SectionSpec, "a text", "it cannot be called: it is a str"),
        (CollectorSpec, Half, r"it has no method collect\(lm, plan, site\); subclass zu_framework.Collector"),
        (
            CollectorSpec,
            Unrelated,
            r"it has no method retained\(requests, retain\); subclass zu_framework.Collector",
        ),
        (CollectorSpec, lambda options, context: None, "it is no class; subclass zu_framework.Collector"),
        (TargetSpec, Narrow, r"called with \(options, context\), and takes \(options: "),
        (
            TargetSpec,
            Short,
            r"at_site: it is called with \(state, lm, site, index, representations\), and takes",
        ),
    ],
)
def test_an_implementation_that_cannot_be_called_is_refused(
    loaded: Any, kind: type[Spec], implementation: Any, said: str
) -> None:
    with pytest.raises(PluginError, match=rf"'mine' of plugin 'zz_mine' breaks its contract: .*{said}"):
        loaded(kind, implementation)


def test_what_is_given_besides_is_asked_for(loaded: Any) -> None:
    def plain(scorer: Any, data: Any) -> None: ...
    def with_options(scorer: Any, data: Any, *, options: Options) -> None: ...

    assert loaded(MetricSpec, plain) is plain
    assert loaded(MetricSpec, with_options, options=Options) is with_options
    with pytest.raises(PluginError, match=r"called with \(scorer, data, options=\), and takes"):
        loaded(MetricSpec, plain, options=Options)
    with pytest.raises(PluginError, match="missing|takes"):
        loaded(MetricSpec, with_options)


def test_a_factor_is_handed_to_a_solver_that_declares_one(loaded: Any) -> None:
    def solve(problem: Any, options: Any, factor: Any) -> Any: ...
    def prepare(background: Any, weight: Any) -> Any: ...

    declared = Prepared("zz_given:it")
    assert loaded(SolverSpec, solve, prepare=Prepared("zz_given:prepare")) is solve
    with pytest.raises(PluginError, match=r"called with \(problem, options, factor\)"):
        loaded(SolverSpec, lambda problem, options: None, prepare=Prepared("zz_given:prepare"))
    loaded(SolverSpec, prepare)
    spec = SolverSpec("mine", "zz_given:solve", "", prepare=declared)
    with pytest.raises(PluginError, match=r"called with \(background, weight, options\), and takes"):
        Registered(spec, "zz_mine").load_prepare()


@pytest.mark.parametrize(
    "implementation",
    [
        functools.partial(lambda extra, problem, options: None, 1),
        lambda *given: None,
        lambda problem, options, third=None: None,
        max,  # it does not say what it takes
    ],
)
def test_any_callable_that_takes_the_call_is_fine(loaded: Any, implementation: Any) -> None:
    assert loaded(SolverSpec, implementation) is implementation


def test_every_kind_has_a_contract_and_every_shipped_component_keeps_it() -> None:
    kinds = {type(registered.spec) for registered in installed_plugins().registry}
    assert kinds <= set(CONTRACTS) and len(CONTRACTS) >= 11
    for registered in installed_plugins().registry:
        registered.load()
        registered.load_prepare()
