"""Benches that cannot be are refused before the first cell is run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.commands import zu
from zu_framework.benches import load_bench, run_bench
from zu_framework.errors import ConfigError, ZuError

Write = Callable[..., str]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"solver": {"name": "memit", "background_wieght": 1}}, "did you mean 'background_weight'"),
        ({"solver": {"name": "memti"}}, "did you mean 'memit'"),
        ({"targte": {"steps": 2}}, "did you mean 'target'"),
        ({"locator": {"layers": [7]}}, "layer 7"),
        ({"then": [{"locator": {"layers": [8]}}]}, "layer 8; this llama has layers 0 to 2 (in then.0)"),
        ({"seed": 3}, "cannot set `seed`"),
        ({"data": {"path": "nowhere.jsonl"}}, "nowhere.jsonl"),
    ],
    ids=["key", "component", "group", "layer", "stage", "seed", "file"],
)
def test_a_mistake_in_the_last_method_is_met_before_the_first_cell(
    written: Write,
    grid: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
    change: dict[str, Any],
    said: str,
) -> None:
    last = {"label": "last", "solver": {"name": "memit"}, **change}
    code, _, err = zu(capsys, "bench", written(methods=[*grid["methods"], last]))
    assert code == 2 and said in err and "Traceback" not in err
    assert not Path("benches").exists(), "nothing was run"


@pytest.mark.parametrize(
    ("changes", "overrides", "said"),
    [
        ({"seeds": "three"}, [], "seeds is how many"),
        ({"forget": [1, -1]}, [], "forget is a number of facts, all"),
        ({"methods": {"label": "x"}}, [], "is a list of"),
        ({"methods": [{"solver": "memit"}]}, [], "small.yaml, line "),
        ({"methods": [{"label": "a"}, {"label": "a"}]}, [], "stands twice"),
        ({"bench": {"forgeting": "efficacy"}}, [], "did you mean 'forgetting'"),
        ({"bench": {"retention": "utility"}}, [], "bench.retention names 'utility', which is not measured"),
        ({"output": {"folder": "x"}}, [], "a bench has bench.folder"),
        ({"executor": "clouds"}, [], "unknown executor 'clouds'"),
        ({"bench": {"name": "../../escaped"}}, [], "small.yaml, line "),
        ({}, ["bench.name=../escaped"], "no path separators"),
        ({}, ["bench.name=/tmp/escaped"], "no path separators"),
        ({}, ["methods.MEMTI.solver.relative_ridge=1"], "did you mean 'MEMIT'"),
        ({"method": []}, [], "unknown key 'method': did you mean 'methods'?"),
        ({}, ["seedz=3"], "override 'seedz=3': unknown key 'seedz': did you mean 'seeds'?"),
        ({}, ["methods=[]"], "chooses none of"),
        ({}, ["methods=[MEMIT, ROME]"], "unknown method 'ROME'"),
        ({}, ["executor.wrokers=2"], "executor"),
    ],
)
def test_a_bench_that_cannot_be_is_refused(
    written: Write, changes: dict[str, Any], overrides: list[str], said: str
) -> None:
    with pytest.raises(ZuError, match=said.replace(".", r"\.")):
        run_bench(written(**changes), overrides)
    assert not Path("benches").exists()


def test_names_that_are_no_bench_are_told_apart() -> None:
    with pytest.raises(ConfigError, match="is a run's config; a bench needs a grid"):
        load_bench("demo")
    with pytest.raises(ZuError, match="did you mean 'demo-table'"):
        load_bench("demo-tabel")


@pytest.mark.parametrize("name", ["../../escaped", "..", "a/b", "a\\b", "/tmp/x", ".hidden", "new\nline", ""])
def test_a_bench_stays_in_its_folder(written: Write, tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="bench.*no path separators"):
        run_bench(written(bench={"name": name, "folder": "here"}))
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []


def test_an_output_that_one_method_cannot_have_is_met_before_the_first_cell(
    written: Write, grid: dict[str, Any]
) -> None:
    last = {"label": "adapter", "solver": {"name": "ga"}, "output": {"adapter": True}}
    with pytest.raises(ConfigError, match="bench cell .*adapter.*trains whole weights"):
        run_bench(written(methods=[*grid["methods"], last]))
    assert not Path("benches").exists()
