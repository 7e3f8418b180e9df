"""The commands that edit, or see whether one could: `zu run`, `zu bench`, `zu check`."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Annotated

import typer

from zu_framework.cli.arguments import Config, Overrides
from zu_framework.cli.starting import uncollected


def run(config: Config, overrides: Overrides = None) -> int:
    """Forget facts: load, measure, edit, measure again, and leave a run folder with the edit and its exact undo.

    Ready-made configs: demo (the embedded model), smollm2 (a real one, from PyPI), two-stages, zerounlearn-local,
    zerounlearn (as published), zerounlearn-gd, questions (for data without subjects). `zu run RUN/config.yaml` runs
    again what a run folder holds.
    """
    with uncollected():
        from zu_framework.cli.progress import progress
        from zu_framework.cli.tables import print_result
        from zu_framework.distribution import rank_here
        from zu_framework.engine.run import run as run_config

    if rank_here() > 0:  # one of several processes: the first reports for all
        return run_config(config, overrides or ()).exit_code
    with progress() as report:
        result = run_config(config, overrides or (), progress=report)
    print_result(result)
    return result.exit_code


def bench(
    config: Annotated[
        str, typer.Argument(metavar="CONFIG", help="A ready-made bench's name, or a YAML file.")
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY=VALUE]...",
            help="Overrides, such as seeds=3, model.path=./m, methods=[MEMIT] or datasets.MCF.data.path=mcf.json.",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Run N cells at a time, in processes of this machine."),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Run on the Ray cluster at ADDRESS (extra ray); auto finds it."),
    ] = None,
) -> int:
    """Compare methods: run a grid of models, data sets, methods, seeds and sizes, each cell a run folder.

    Every cell's config is checked before the first one runs. The same command goes on where an earlier one stopped:
    done cells are passed over, failed ones tried again. Leaves tables (csv, Markdown, LaTeX), report.html and, for each
    cell, the command that repeats it. Ready-made benches: demo-table (the embedded model), paper-table (any model).
    """
    if workers is not None and ray is not None:
        raise typer.BadParameter("give --workers or --ray, not both")
    from zu_framework.cli.bench import bench as run_bench

    where = [] if workers is None else ["executor.name=processes", f"executor.workers={workers}"]
    where += [] if ray is None else ["executor.name=ray", f"executor.address={ray}"]
    return run_bench(config, [*(overrides or ()), *where]).exit_code


def check(
    config: Config,
    overrides: Overrides = None,
    measure: Annotated[
        bool,
        typer.Option("--measure", help="Load the model too: its attention sinks, and what would be edited."),
    ] = False,
) -> None:
    """Check a config, its data and its model folder without loading the model."""
    with uncollected():
        from zu_framework.cli.progress import progress
        from zu_framework.cli.tables import print_checked
        from zu_framework.engine.check import check as check_config

    with progress() as report, nullcontext() if measure else uncollected():
        checked = check_config(config, overrides or (), measure=measure, progress=report)
    print_checked(checked)
