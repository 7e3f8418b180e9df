"""Factors: computed once a run, read by the next, told apart by all that they follow from, within the limit."""

from __future__ import annotations

import importlib
import os
import sys
import textwrap
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor

from zu_framework import Background, ConfigError, Prepared, SolverSpec
from zu_framework.linalg import Factor, NullSpace
from zu_framework.registry import Registered, load_plugins
from zu_framework.store import factors
from zu_framework.store.factors import Factors
from zu_plugins.closed_form.editor_options import AlphaEditOptions, MemitOptions
from zu_plugins.closed_form.factors import OutputFactor
from zu_plugins.closed_form.options import ClosedFormOptions, LocalOptions

WEIGHT = torch.arange(144.0).reshape(12, 12).cos()


@pytest.fixture(autouse=True)
def small_ones_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(factors, "LEAST_BYTES", 0)


def moment(size: int = 12, seed: int = 0) -> Tensor:
    keys = torch.randn(size, 5 * size, generator=torch.Generator().manual_seed(seed)).double()
    return keys @ keys.T / keys.shape[1]


def background(seed: int = 0) -> Background:
    return Background(moment(seed=seed))


def registered(solver: str) -> Registered:
    return load_plugins(disabled="").registry.get("solver", solver)


def entries(folder: Path) -> list[Path]:
    return sorted((folder / "factors").glob("*.safetensors"))


def unread(folder: Path) -> None:
    """Make whatever reads an entry from now on visible: all were last used long ago."""
    for path in entries(folder):
        os.utime(path, (0, 0))


def read(folder: Path) -> int:
    return sum(path.stat().st_mtime > 0 for path in entries(folder))


@pytest.mark.parametrize(
    ("solver", "options"),
    [
        ("memit", MemitOptions()),
        ("memit", MemitOptions(precision="auto")),
        ("zerounlearn", ClosedFormOptions()),
        ("zerounlearn-local", LocalOptions(space="output", precision="auto")),
        ("zerounlearn-local", LocalOptions(space="key")),
        ("alphaedit", AlphaEditOptions(null_rank=9)),
    ],
)
def test_the_next_run_reads_what_the_first_computed(tmp_path: Path, solver: str, options: object) -> None:
    chosen, at = registered(solver), background().only(registered(solver).spec.needs_of(options))
    made = Factors(tmp_path).of(chosen, options, at, WEIGHT)
    unread(tmp_path)
    again = Factors(tmp_path).of(chosen, options, at, WEIGHT)
    assert read(tmp_path) == len(entries(tmp_path)) == 1
    assert type(again) is type(made)
    right = torch.ones(12, 2).double()

    def applied(found: Factor | NullSpace | OutputFactor) -> Tensor:
        if isinstance(found, NullSpace):
            return found.project(right)
        return (found if isinstance(found, Factor) else found.moment).solve(right)

    assert torch.equal(applied(again), applied(made))
    assert repr(again) == repr(made)


def test_solvers_and_runs_share_what_follows_from_the_same(tmp_path: Path) -> None:
    for solver, options in (("memit", MemitOptions()), ("memit", MemitOptions(background_weight=3.0))):
        Factors(tmp_path).of(registered(solver), options, background(), WEIGHT)
    Factors(tmp_path).of(registered("emmet"), MemitOptions(), background(), WEIGHT + 1)
    assert len(entries(tmp_path)) == 1


def test_another_moment_weight_option_or_version_is_another_factor(tmp_path: Path) -> None:
    solver, options = registered("zerounlearn"), ClosedFormOptions()
    Factors(tmp_path).of(solver, options, background(), WEIGHT)
    for count, (chosen, given, at, weight) in enumerate(
        [
            (solver, ClosedFormOptions(ridge=2.0), background(), WEIGHT),
            (solver, options, background(1), WEIGHT),
            (solver, options, background(), WEIGHT + 1),
            (solver, options, replace(background(), digests={"key_moment": "named"}), WEIGHT),
            (replace(solver, version="9"), options, background(), WEIGHT),
        ],
        2,
    ):
        Factors(tmp_path).of(chosen, given, at, weight)
        assert len(entries(tmp_path)) == count


def test_a_written_weight_leaves_the_factors_of_the_moments_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Passes of one run share what the moments alone decide; factors of an edited weight stay off the disk."""
    calls: list[str] = []

    def counted(solver: Registered) -> Registered:
        prepare = solver.load_prepare()
        assert prepare is not None

        def count(*given: object) -> object:
            calls.append(solver.spec.name)
            return prepare(*given)  # type: ignore[arg-type]

        count.__module__ = prepare.__module__
        monkeypatch.setattr(type(solver), "load_prepare", lambda _: count)
        return solver

    kept, weight = Factors(tmp_path), WEIGHT.clone()
    for solver, options in (("memit", MemitOptions()), ("zerounlearn", ClosedFormOptions())):
        chosen = counted(registered(solver))
        for number in range(3):
            at = background().only(chosen.spec.needs_of(options))
            for _ in range(2):  # the same weight again
                kept.of(chosen, options, at, weight, written=number > 0)
            weight.add_(1)
        monkeypatch.undo()
        monkeypatch.setattr(factors, "LEAST_BYTES", 0)
    assert calls == ["memit", *["zerounlearn"] * 3]
    assert len(entries(tmp_path)) == 2
    assert len(kept._held) == 2, "factors of weights that were written over are let go of"


PLUGIN = """
from zu_framework import Prepared, SolverSpec, hookimpl

@hookimpl
def zu_register_solvers(register):
    register(SolverSpec("scaled", target="zz_scaled.formula:solve", summary="", needs=frozenset({"key_moment"}),
                        prepare=Prepared("zz_scaled.formula:prepare", reads_weight=False)))
"""
FORMULA = """
from zz_scaled.scale import SCALE

def prepare(background, weight, options):
    return SCALE * background.key_moment + 0.0

def solve(problem, options, factor): ...
"""


@pytest.fixture
def scaled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Tensor]:
    """A stranger's package on disk: call with the text of its files to change, and get its factor in a new process."""
    package = tmp_path / "zz_scaled"
    package.mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    for name, text in {"__init__": "", "plugin": PLUGIN, "formula": FORMULA, "scale": "SCALE = 2"}.items():
        (package / f"{name}.py").write_text(textwrap.dedent(text))

    def factor(**changed: str) -> Tensor:
        for name, text in changed.items():
            (package / f"{name}.py").write_text(textwrap.dedent(text))
        for name in [name for name in sys.modules if name.startswith("zz_scaled")]:
            monkeypatch.delitem(sys.modules, name)
        importlib.invalidate_caches()
        plugins = load_plugins([EntryPoint("zz_scaled", "zz_scaled.plugin", "zu_framework")], "")
        solver = plugins.registry.get("solver", "scaled")
        found: Tensor = Factors(tmp_path).of(solver, solver.spec.options(), background(), WEIGHT)
        return found

    return factor


def test_a_changed_formula_never_meets_an_old_factor(scaled: Callable[..., Tensor], tmp_path: Path) -> None:
    assert torch.equal(scaled(), 2 * moment())
    unread(tmp_path)
    assert torch.equal(scaled(), 2 * moment()) and read(tmp_path) == 1, "unchanged, it is read"
    assert torch.equal(scaled(formula=FORMULA.replace("+ 0.0", "+ 1.0")), 2 * moment() + 1)
    assert torch.equal(scaled(scale="SCALE = 3"), 3 * moment() + 1), (
        "a module that the formula's package shares"
    )
    assert len(entries(tmp_path)) == 3


def test_changed_algebra_of_the_core_never_meets_an_old_factor(
    scaled: Callable[..., Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scaled()
    elsewhere = ModuleType("zu_framework.linalg")
    elsewhere.__file__ = str(tmp_path / "linalg.py")
    (tmp_path / "linalg.py").write_text("")
    monkeypatch.setattr(factors, "linalg", elsewhere)
    scaled()
    assert len(entries(tmp_path)) == 2


def test_what_comes_from_no_file_stays_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A solver of a notebook: nothing tells its code of today from that of tomorrow."""
    module = ModuleType("zz_notebook")
    exec("def prepare(background, weight, options):\n    return background.key_moment + 1", vars(module))
    monkeypatch.setitem(sys.modules, "zz_notebook", module)
    spec = SolverSpec("noted", "zz_notebook:solve", "", prepare=Prepared("zz_notebook:prepare"))
    solver, kept = Registered(spec, "zz_notebook"), Factors(tmp_path)
    first = kept.of(solver, spec.options(), background(), WEIGHT)
    assert kept.of(solver, spec.options(), background(), WEIGHT) is first
    assert not entries(tmp_path)


def test_a_factor_that_no_file_can_hold_stays_in_memory(
    scaled: Callable[..., Tensor], tmp_path: Path
) -> None:
    assert scaled(formula="def prepare(background, weight, options):\n    return {'a': [1.0]}") == {
        "a": [1.0]
    }
    assert not entries(tmp_path)


def test_the_folder_keeps_to_its_limit_and_forgets_the_longest_unused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = 60 * 60 * 8
    monkeypatch.setenv(factors.LIMIT_VARIABLE, str(3.9 * size / 2**30))
    solver, options = registered("memit"), MemitOptions()
    counts = []
    for seed in range(4):
        Factors(tmp_path).of(solver, options, Background(moment(60, seed)), WEIGHT)
        counts.append(len(entries(tmp_path)))
    assert counts[0] == 1 and counts[-1] < 4
    assert sum(path.stat().st_size for path in entries(tmp_path)) <= 3.9 * size
    unread(tmp_path)
    Factors(tmp_path).of(solver, options, Background(moment(60, 3)), WEIGHT)
    assert read(tmp_path) == 1, "the last one is still there"
    for limit in (0, 1):
        monkeypatch.setenv(factors.LIMIT_VARIABLE, str(limit))
        Factors(tmp_path / str(limit)).of(solver, options, background(), WEIGHT)
        assert len(entries(tmp_path / str(limit))) == limit
    for wrong in ("much", "inf"):
        monkeypatch.setenv(factors.LIMIT_VARIABLE, wrong)
        with pytest.raises(ConfigError, match=f"ZU_FACTORS_GIB='{wrong}'"):
            Factors(tmp_path).of(solver, options, background(), WEIGHT)


def test_small_factors_are_quicker_computed_than_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(factors, "LEAST_BYTES", 1 << 20)
    Factors(tmp_path).of(registered("memit"), MemitOptions(), background(), WEIGHT)
    assert not entries(tmp_path)
