"""Running a bench: cells that are done are passed over, one that fails is noted, and what is done stays done."""

from __future__ import annotations

import gc
import os
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from zu_framework.bench.grid import Bench, load_bench
from zu_framework.bench.planning import Planned, config_yaml, plan
from zu_framework.bench.records import CellResult, read_results
from zu_framework.config import Layer, escaped, lay_over, load_config, options_from, typed_config
from zu_framework.engine.run import run
from zu_framework.errors import PluginError, RunFolderError, ZuError
from zu_framework.registry.manager import Plugins, installed_plugins
from zu_framework.specs import ExecutorSpec, Finished
from zu_framework.store.run_folder import write_json


@dataclass(frozen=True)
class Ended:
    """A cell that has just ended. number: how many have, of `total` that were to run; error: "" where it is done."""

    planned: Planned
    number: int
    total: int
    seconds: float
    error: str


@dataclass(frozen=True)
class BenchResult:
    """A finished bench: its folder, each cell in the grid's order, and the names of the better direction by metric."""

    bench: Bench
    folder: Path
    cells: list[CellResult]
    better: Mapping[str, str]
    skipped: int

    @property
    def failed(self) -> list[CellResult]:
        """The cells without a result."""
        return [cell for cell in self.cells if cell.error]


def run_bench(
    source: str | Path | Mapping[str, Any],
    overrides: Sequence[str] = (),
    *,
    plugins: Plugins | None = None,
    started: Callable[[Bench, int, int], None] = lambda bench, total, done: None,
    ended: Callable[[Ended], None] = lambda ended: None,
) -> BenchResult:
    """Check every cell, run those that are not done, and read what all of them measured.

    started(bench, cells, done already) is called once all is checked, ended(...) after each cell. A cell that failed in
    an earlier call is tried again. Raises a `ZuError` before the first cell for whatever can be known then; what a cell
    raises is its own failure.
    """
    plugins = plugins or installed_plugins()
    bench = load_bench(source, overrides, plugins=plugins)
    executor = plugins.registry.get(ExecutorSpec.kind, bench.executor.name)
    options = options_from(executor.spec, bench.executor.options, where="executor")
    execute = executor.load()
    planned = plan(bench, plugins)
    with _held(bench.folder):
        for cell in planned:
            _write(cell.config, config_yaml(cell.cell.config))
        waiting = [cell for cell in planned if not cell.done]
        started(bench, len(planned), len(planned) - len(waiting))
        jobs = [_job(cell) for cell in waiting]
        finished = iter(execute(run_cell, jobs, options)) if jobs else iter(())
        for number, one in enumerate(_each_once(finished, len(jobs), executor.spec.name), 1):
            cell = waiting[one.index]
            error = _note(cell, one)
            seconds = float((one.answer or {}).get("seconds", 0.0))
            ended(Ended(cell, number, len(waiting), seconds, error))
        cells = read_results(planned)
    better = {name: spec.better for name, spec in _metric_specs(bench, plugins).items()}
    return BenchResult(bench, bench.folder, cells, better, len(planned) - len(waiting))


def run_cell(job: Mapping[str, Any]) -> dict[str, Any]:
    """Run one cell, wherever this is; errors are answered, so that only a dying worker has no answer.

    job: `config` (a YAML file), `folder` and `name` of its run folder, `directory` that relative paths start from.
    """
    try:
        os.chdir(job["directory"])
        alone = load_config(job["config"])
        place = Layer({"output": {"folder": escaped(job["folder"]), "name": job["name"]}})
        result = run(typed_config(alone.name, lay_over(alone.layer, place)))
        seconds = sum(result.seconds.values())
        del result  # with the model
        gc.collect()
        return {"seconds": seconds}
    except ZuError as error:
        return {"error": str(error), "kind": type(error).__name__, "traceback": ""}
    except Exception as error:  # whatever a method raises is that cell's failure; the others go on
        return {
            "error": f"{type(error).__name__}: {error}",
            "kind": type(error).__name__,
            "traceback": traceback.format_exc(),
        }


def _job(cell: Planned) -> dict[str, Any]:
    return {
        "config": str(cell.config.resolve()),
        "folder": str(cell.folder.parent.resolve()),
        "name": cell.name,
        "directory": os.getcwd(),
    }


def _note(cell: Planned, finished: Finished) -> str:
    """Store a failure beside the cells, or remove an earlier one; return the error, "" where there is none."""
    answer = finished.answer
    if answer is None:
        said = {"error": finished.lost, "kind": "WorkerLost", "traceback": ""}
    elif "error" in answer:
        said = {key: str(answer[key]) for key in ("error", "kind", "traceback")}
    elif not cell.done:
        said = {
            "error": f"its folder {cell.folder} is not seen here: all machines must share the bench's folder",
            "kind": "RunFolderError",
            "traceback": "",
        }
    else:
        cell.failure.unlink(missing_ok=True)
        return ""
    cell.failure.parent.mkdir(parents=True, exist_ok=True)
    write_json(cell.failure, said)
    return said["error"]


def _each_once(finished: Iterator[Finished], count: int, executor: str) -> Iterator[Finished]:
    """What the executor says, checked: every job ends once. Its workers are stopped when we leave, for any reason."""
    open_jobs = set(range(count))
    try:
        for one in finished:
            if not isinstance(one, Finished) or one.index not in open_jobs:
                raise PluginError(f"executor {executor!r} answered {one!r}: it must yield one Finished a job")
            open_jobs.discard(one.index)
            yield one
    finally:
        close = getattr(finished, "close", None)
        if close is not None:
            close()
    if open_jobs:
        raise PluginError(
            f"executor {executor!r} ended with {len(open_jobs)} of {count} jobs not accounted for"
        )


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """The bench's folder, made and held against a second bench in it. Raises `RunFolderError`."""
    try:
        for part in ("cells", "configs"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock")
        lock.acquire(timeout=0)
    except Timeout as cause:
        raise RunFolderError(
            f"{folder}: another bench is at work here; wait for it, or give bench.name"
        ) from cause
    except OSError as cause:
        raise RunFolderError(
            f"bench folder {str(folder)!r} cannot be written: {cause.strerror}; choose another with bench.folder=..."
        ) from cause
    try:
        yield
    finally:
        lock.release()


def _write(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)


def _metric_specs(bench: Bench, plugins: Plugins) -> dict[str, Any]:
    names = dict.fromkeys(name for cell in bench.cells for name in cell.config.evaluate.metrics)
    return {name: plugins.registry.get("metric", name).spec for name in names}
