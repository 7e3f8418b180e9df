"""Small grids through the command line: what is run, what is passed over, what fails, and what is left."""

from __future__ import annotations

import csv
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import zu_framework
from tests.commands import zu
from zu_framework.benches import load_bench, run_bench
from zu_framework.benches.planning import plan
from zu_framework.engine.guard import Guard
from zu_framework.errors import ConfigError, GuardError, RunFolderError
from zu_framework.registry.manager import installed_plugins

Write = Callable[..., str]
Rows = list[dict[str, str]]


def rows(folder: str = "benches/small") -> Rows:
    with Path(folder, "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def numbers(found: Rows) -> list[dict[str, str]]:
    """What may not depend on how the cells were run."""
    return [{k: v for k, v in row.items() if not k.startswith("seconds") and k != "command"} for row in found]


def test_every_cell_is_a_run_folder_and_the_table_holds_its_numbers(
    written: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = zu(capsys, "bench", written())
    assert code == 0 and "4 cells, 0 done already" in out
    found = rows()
    assert [(row["method"], row["seed"]) for row in found] == [
        ("MEMIT", "0"),
        ("MEMIT", "1"),
        ("local", "0"),
        ("local", "1"),
    ]
    for row in found:
        kept = json.loads(Path("benches/small/cells", row["cell"], "metrics.json").read_text())
        assert Path("benches/small/cells", row["cell"], "edit.safetensors").exists()
        for name in ("efficacy", "specificity", "answer_probability"):
            assert float(row[name]) == kept["after"][name]["value"]
            assert float(row[f"{name}_before"]) == kept["before"][name]["value"]
            assert float(row[f"{name}_numerator"]) == kept["after"][name]["numerator"]
        assert row["forget"] == "3" and row["status"] == "done"
    values = [float(row["answer_probability"]) for row in found if row["method"] == "MEMIT"]
    mean, sd = sum(values) / 2, abs(values[0] - values[1]) / 2**0.5
    table = Path("benches/small/table.md").read_text()
    line = next(line for line in table.splitlines() if line.startswith("| MEMIT"))
    assert f"{mean:.3f} ± {sd:.3f}" in line
    assert {path.name for path in Path("benches/small").iterdir()} >= {
        "table.tex",
        "report.html",
        "results.csv",
    }


def test_a_second_call_runs_nothing_and_a_new_seed_only_its_cells(
    written: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    zu(capsys, "bench", written(seeds=1))
    first = rows()
    stamp = Path("benches/small/cells", first[0]["cell"], "metrics.json").stat().st_mtime_ns
    code, out, _ = zu(capsys, "bench", written(seeds=1))
    assert code == 0 and "2 cells, 2 done already, 0 to run" in out
    assert rows() == first
    _, out, _ = zu(capsys, "bench", written(seeds=2))
    assert "4 cells, 2 done already, 2 to run" in out
    assert Path("benches/small/cells", first[0]["cell"], "metrics.json").stat().st_mtime_ns == stamp


def test_a_cell_whose_config_data_or_model_changed_is_another_cell(
    written: Write, grid: dict[str, Any]
) -> None:
    def names(*overrides: str) -> list[str]:
        bench = load_bench(written(seeds=1), overrides)
        return [cell.name for cell in plan(bench, installed_plugins())]

    first = names()
    assert names() == names("bench.title=another") == first
    changed = names("methods.MEMIT.solver.background_weight=2")
    assert changed[0] != first[0] and changed[1] == first[1]
    data = Path(grid["data"]["path"])
    data.write_text(data.read_text().replace("Warsaw", "Vienna"))
    assert not set(names()) & set(first)
    second = names()
    os.utime(Path(grid["model"]["path"]) / "model.safetensors", ns=(1, 1))
    assert not set(names()) & set(second)


def test_a_failing_cell_is_shown_with_its_error_and_the_others_are_done(
    written: Write, grid: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    empty = {"label": "empty", "solver": {"name": "alphaedit", "null_threshold": 1e-30}}
    code, out, err = zu(capsys, "bench", written(methods=[empty, grid["methods"][0]]))
    assert code == 2 and "Traceback" not in out + err
    assert "2 of 4 cells failed" in out
    found = rows()
    assert [row["status"] for row in found] == ["failed", "failed", "done", "done"]
    assert "no " in found[0]["error"] and found[0]["efficacy"] == ""
    assert "2 of 2 seeds failed" in Path("benches/small/table.md").read_text()
    assert "failed: " in Path("benches/small/report.html").read_text()
    assert not list(Path("benches/small/cells").glob(".partial*"))
    _, out, _ = zu(capsys, "bench", written(methods=[empty, grid["methods"][0]]))
    assert "2 done already, 2 to run" in out


def test_entries_lie_over_common_keys_and_overrides_find_them(written: Write) -> None:
    bench = load_bench(
        written(models=[{"label": "A", "model": {"dtype": "float64"}}, {"label": "B"}]),
        ["target.lr=0.5", "methods.local.target.lr=0.7", "methods=[local]", "seeds=[4]", "forget=[2, 3]"],
    )
    assert [(c.model, c.forget, c.seed) for c in bench.cells] == [
        ("A", 2, 4),
        ("A", 3, 4),
        ("B", 2, 4),
        ("B", 3, 4),
    ]
    assert [c.config.model.dtype for c in bench.cells] == ["float64"] * 2 + ["auto"] * 2
    assert all(c.config.stages[0].components["target"].options["lr"] == 0.7 for c in bench.cells)
    assert all(c.config.components["data"].options["forget"] == c.forget for c in bench.cells)
    assert all(c.config.output.share_targets and not c.config.output.undo for c in bench.cells)


def test_another_executor_drops_the_options_of_the_first(written: Write) -> None:
    processes = written(executor={"name": "processes", "workers": 3})
    assert load_bench(processes, ["executor.workers=4"]).executor.options == {"workers": 4}
    other = load_bench(processes, ["executor.name=ray", "executor.address=auto"]).executor
    assert (other.name, other.options) == ("ray", {"address": "auto"})
    assert load_bench(processes, ["executor=local"]).executor.options == {}


def test_the_command_of_a_cell_repeats_it(written: Write, capsys: pytest.CaptureFixture[str]) -> None:
    zu(capsys, "bench", written(seeds=1))
    row = rows()[1]
    code, _, _ = zu(capsys, *shlex.split(row["command"])[1:], "output.name=again")
    assert code == 0
    again = json.loads(Path("runs/again/metrics.json").read_text())
    assert again["after"]["answer_probability"]["value"] == float(row["answer_probability"])


def test_a_bench_at_work_keeps_a_second_one_out(written: Write) -> None:
    entered = []

    def second(*_: object) -> None:
        with pytest.raises(RunFolderError, match="another bench is at work here"):
            run_bench("small.yaml", ["seeds=1"])
        entered.append(1)

    run_bench(written(), ["seeds=1"], started=second)
    assert entered


@pytest.mark.slow
def test_two_workers_give_what_one_gives(written: Write, capsys: pytest.CaptureFixture[str]) -> None:
    assert zu(capsys, "bench", written(), "bench.name=one")[0] == 0
    assert zu(capsys, "bench", written(), "bench.name=two", "--workers", "2")[0] == 0
    assert numbers(rows("benches/one")) == numbers(rows("benches/two"))


@pytest.mark.slow
def test_a_ray_cluster_gives_what_this_process_gives(
    written: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("ray", reason="the extra ray is not installed")
    assert zu(capsys, "bench", written(seeds=1), "bench.name=here")[0] == 0
    code, out, err = zu(capsys, "bench", written(seeds=1), "bench.name=ray", "--ray", "local")
    assert code == 0, out + err
    assert numbers(rows("benches/here")) == numbers(rows("benches/ray"))


@pytest.mark.slow
@pytest.mark.parametrize("workers", [[], ["--workers", "2"]], ids=["here", "workers"])
def test_a_stopped_bench_keeps_what_is_done_and_goes_on(
    written: Write, capsys: pytest.CaptureFixture[str], workers: list[str]
) -> None:
    name = written(seeds=3)
    command = [sys.executable, "-m", "zu_framework", "bench", name, *workers]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ,
        # where the tests themselves run behind a shell's `&`, Ctrl-C is ignored, and children inherit that
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("1/6 "):
            break
    process.send_signal(signal.SIGINT)
    rest = process.stdout.read()
    assert process.wait(30) == 130, rest
    cells = [path.name for path in Path("benches/small/cells").iterdir()]
    assert 1 <= len(cells) < 6 and not any(name.startswith(".partial") for name in cells)
    code, out, _ = zu(capsys, "bench", name)
    assert code == 0 and f"6 cells, {len(cells)} done already" in out
    assert [row["status"] for row in rows()] == ["done"] * 6


@pytest.mark.slow
def test_a_killed_bench_goes_on(written: Write, capsys: pytest.CaptureFixture[str]) -> None:
    name = written(seeds=3)
    process = subprocess.Popen([sys.executable, "-m", "zu_framework", "bench", name, "--workers", "2"])
    end = time.monotonic() + 240
    while not list(Path("benches/small/cells").glob("[!.]*")) and time.monotonic() < end:
        time.sleep(0.05)
    process.kill()
    process.wait()
    code, out, _ = zu(capsys, "bench", name)
    assert code == 0 and "6 cells, 0 done" not in out
    assert [row["status"] for row in rows()] == ["done"] * 6


def test_all_facts_are_a_size_too(written: Write) -> None:
    bench = load_bench(written(forget=[2, "all"], seeds=1))
    assert [cell.forget for cell in bench.cells] == [2, 2, "all", "all"]
    assert [cell.config.components["data"].options["forget"] for cell in bench.cells] == [2, 2, "all", "all"]
    with pytest.raises(ConfigError, match="forget is a number of facts, all, or a list of these, got 0"):
        load_bench(written(forget=0))


def test_the_door_in_python_does_what_the_command_does(written: Write) -> None:
    result = zu_framework.bench(written(seeds=1))
    assert result.exit_code == 0 and not result.failed
    assert {path.name for path in result.written} >= {"results.csv", "table.md", "table.tex", "report.html"}
    assert all(path.is_file() for path in result.written)


def cut(text: str) -> str:
    return text[:100]


def nest(text: str) -> str:
    return "[" * 100_000


def change_a_number(text: str) -> str:
    return text.replace('"seconds": {', '"seconds": {"more": 7.0,')


def hold_text(text: str) -> str:
    return json.dumps({"before": {"efficacy": 3}, "after": {}, "edit": {"seconds": 1, "requests": "x"}})


@pytest.mark.parametrize("damage", [cut, nest, change_a_number, hold_text])
def test_a_cell_whose_numbers_are_damaged_is_named_and_run_anew(
    written: Write, capsys: pytest.CaptureFixture[str], damage: Callable[[str], str]
) -> None:
    zu(capsys, "bench", written(seeds=1))
    first = rows()
    damaged = Path("benches/small/cells", first[0]["cell"], "metrics.json")
    assert damage(damaged.read_text()) != damaged.read_text()
    damaged.write_text(damage(damaged.read_text()))
    code, out, err = zu(capsys, "bench", written(seeds=1))
    assert f"{first[0]['cell']} is damaged: the cell is run anew" in err
    assert code == 0 and "1 done already, 1 to run" in out and "Traceback" not in err
    assert [row["efficacy"] for row in rows()] == [row["efficacy"] for row in first]


def test_the_highest_code_of_a_cell_is_the_bench_s(written: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*given: Any) -> None:
        raise GuardError("too much")

    monkeypatch.setattr(Guard, "check", stop)
    result = run_bench(written(seeds=1))
    assert result.exit_code == 3 and len(result.failed) == 2
    assert run_bench(written(seeds=1), ["methods=[MEMIT]"]).exit_code == 3
