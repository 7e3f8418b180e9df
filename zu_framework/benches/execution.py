"""Running a bench: cells that are done are passed over, one that fails is noted, and what is done stays done."""

from __future__ import annotations

import gc
import os
import shutil
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from zu_framework.benches.grid import Bench, load_bench
from zu_framework.benches.planning import Planned, config_yaml, plan
from zu_framework.benches.records import CellResult, read_results
from zu_framework.config import Layer, escaped, lay_over, load_config, options_from, typed_config
from zu_framework.engine.audit import audit
from zu_framework.engine.run import run
from zu_framework.errors import ExitCode, PluginError, RunFolderError, ZuError, described
from zu_framework.files import write_json, write_text
from zu_framework.registry.manager import Plugins, installed_plugins
from zu_framework.specs import ExecutorSpec, Finished, MetricSpec


@dataclass(frozen=True)
class Ended:
    """A cell that has just ended.

    Args:
        planned: The cell.
        number: How many have ended with it.
        total: How many were to run.
        seconds: What it took.
        error: Why there is no result; "" where it is done.
    """

    planned: Planned
    number: int
    total: int
    seconds: float
    error: str


@dataclass(frozen=True)
class BenchResult:
    """A finished bench.

    Args:
        bench: The grid.
        folder: Where everything of it lies.
        cells: Each cell in the grid's order.
        better: The wanted direction of each metric.
        skipped: Cells that were done before.
        side_by_side: Whether cells ran at the same time.
        written: Tables, numbers and page.
    """

    bench: Bench
    folder: Path
    cells: list[CellResult]
    better: Mapping[str, str]
    skipped: int
    side_by_side: bool = False
    written: Sequence[Path] = ()

    @property
    def exit_code(self) -> ExitCode:
        """What `zu bench` exits with: the highest code of a cell that failed, else 0."""
        return max((cell.exit_code for cell in self.cells), default=ExitCode.DONE)

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

    A cell that failed in an earlier call is tried again; what a cell raises is its own failure.

    Args:
        source: A ready-made bench by name, a YAML file or a mapping.
        overrides: Such as `["seeds=3", "methods=[MEMIT]"]`.
        plugins: Who offers components; by default all that are installed.
        started: `started(bench, cells, done already)` is called once all is checked.
        ended: Called after each cell.

    Returns:
        Each cell's measurements or error; no table is written.

    Raises:
        ZuError: Whatever can be known before the first cell runs.
    """
    plugins = plugins or installed_plugins()
    bench = load_bench(source, overrides, plugins=plugins)
    executor = plugins.registry.get(ExecutorSpec.kind, bench.executor.name)
    options = options_from(executor.spec, bench.executor.options, where="executor")
    execute = executor.load()
    planned = plan(bench, plugins)
    with _held(bench.folder):
        for cell in planned:
            write_text(cell.config, config_yaml(cell.cell.config))
        waiting = [cell for cell in planned if not cell.done]
        for cell in waiting:
            if not cell.edited and os.path.lexists(cell.folder):
                warnings.warn(f"{cell.folder} is damaged: the cell is run anew", stacklevel=2)
                shutil.rmtree(cell.folder, ignore_errors=True)
        started(bench, len(planned), len(planned) - len(waiting))
        jobs = [_job(cell) for cell in waiting]
        finished = iter(execute(run_cell, jobs, options)) if jobs else iter(())
        for number, one in enumerate(_each_once(finished, len(jobs), executor.spec.name), 1):
            cell = waiting[one.index]
            error = _note(cell, one)
            seconds = float((one.answer or {}).get("seconds", 0.0))
            ended(Ended(cell, number, len(waiting), seconds, error))
        cells = read_results(planned)
    specs = _metric_specs(bench, plugins)
    better = {name: spec.better for name, spec in specs.items()} | {"audit": "lower"}
    config = replace(
        bench.config,
        forgetting=bench.config.forgetting or _first(specs.values(), "forgetting"),
        retention=bench.config.retention or _first(specs.values(), "damage"),
    )
    skipped = len(planned) - len(waiting)
    together = isinstance(executor.spec, ExecutorSpec) and executor.spec.side_by_side
    return BenchResult(replace(bench, config=config), bench.folder, cells, better, skipped, together)


def run_cell(job: Mapping[str, Any]) -> dict[str, Any]:
    """Run one cell, wherever this is; an error is returned too, so that only a dying worker returns nothing.

    Args:
        job: `config` (a YAML file), `folder` and `name` of its run folder, `directory` that relative paths start from,
            `edited` where the edit is there, and `audits` to make.

    Returns:
        `seconds`, or `error`, `kind`, `traceback` and `exit_code`.
    """
    try:
        os.chdir(job["directory"])
        alone = load_config(job["config"])
        place = Layer({"output": {"folder": escaped(job["folder"]), "name": job["name"]}})
        seconds = 0.0
        if not job.get("edited"):
            result = run(typed_config(alone.name, lay_over(alone.layer, place)))
            seconds = sum(result.seconds.values())
            del result  # with the model
            gc.collect()
        if job.get("audits"):
            attacked = audit(Path(job["folder"]) / job["name"], {"audit": {"attacks": list(job["audits"])}})
            seconds += attacked.seconds
        return {"seconds": seconds}
    except ZuError as error:
        return _failure(str(error), type(error).__name__, error.exit_code)
    except Exception as error:  # whatever a method raises is that cell's failure; the others go on
        return _failure(described(error), type(error).__name__, story=traceback.format_exc())


def _failure(error: str, kind: str, code: int = ExitCode.INPUT, story: str = "") -> dict[str, Any]:
    return {"error": error, "kind": kind, "traceback": story, "exit_code": int(code)}


def _job(cell: Planned) -> dict[str, Any]:
    return {
        "config": str(cell.config.resolve()),
        "folder": str(cell.folder.parent.resolve()),
        "name": cell.name,
        "edited": cell.edited,
        "audits": list(cell.audits),
        "directory": os.getcwd(),
    }


def _note(cell: Planned, finished: Finished) -> str:
    """Keep a failure beside the cells, or forget an earlier one; return the error, "" where there is none."""
    answer = finished.answer
    if answer is None:
        failure = _failure(finished.lost, "WorkerLost")
    elif "error" in answer:
        failure = dict(answer)
    elif not cell.done:
        failure = _failure(
            f"its folder {cell.folder} is not seen here: all machines must share the bench's folder",
            "RunFolderError",
        )
    else:
        cell.failure.unlink(missing_ok=True)
        return ""
    cell.failure.parent.mkdir(parents=True, exist_ok=True)
    write_json(cell.failure, failure)
    return str(failure["error"])


def _each_once(finished: Iterator[Finished], count: int, executor: str) -> Iterator[Finished]:
    """Yield what the executor says, checked: every job ends once; its workers are stopped when we leave."""
    open_jobs = set(range(count))
    try:
        for one in finished:
            if not isinstance(one, Finished) or one.index not in open_jobs:
                raise PluginError(f"executor {executor!r} yielded {one!r}: it must yield one Finished a job")
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
    """Make the bench's folder, and hold it against a second bench. Raises `RunFolderError`."""
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


def _metric_specs(bench: Bench, plugins: Plugins) -> dict[str, Any]:
    names = dict.fromkeys(name for cell in bench.cells for name in cell.config.evaluate.metrics)
    return {name: plugins.registry.get("metric", name).spec for name in names}


def _first(specs: Iterable[MetricSpec], tells: str) -> str:
    """The first measurement that tells of forgetting, or of damage; "" where none does."""
    return next((spec.limited for spec in specs if spec.tells == tells), "")
