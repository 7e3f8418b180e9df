"""The `zu` command: its subcommands. Each returns its exit code, None for 0 (`zu_framework.errors.ExitCode`)."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated

import typer

from zu_framework import __version__
from zu_framework.cli.door import guarded
from zu_framework.cli.terminal import json_text, ready, say, tell

app = typer.Typer(
    name="zu",
    help="Remove knowledge from the weights of a language model, and prove what was done.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Config = Annotated[str, typer.Argument(metavar="CONFIG", help="A ready-made config's name, or a YAML file.")]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY=VALUE]...", help="Overrides, such as data.forget=8 or solver.name=zerounlearn-local."
    ),
]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")]
TrustRemoteCode = Annotated[bool, typer.Option(help="Run code that the checkpoint brings along.")]


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"zu_framework {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Remove knowledge from the weights of a language model, and prove what was done."""


@app.command()
def run(config: Config, overrides: Overrides = None) -> int:
    """Forget facts: load, measure, edit, measure again, and leave a run folder with the edit and its exact undo.

    Ready-made configs: demo (the embedded model), zerounlearn, zerounlearn-local, zerounlearn-gd, questions (for data
    without subjects).
    """
    from zu_framework.cli.progress import progress
    from zu_framework.cli.tables import print_result
    from zu_framework.engine.processes import rank_here
    from zu_framework.engine.run import run as run_config

    if rank_here() > 0:  # one of several processes: the first reports for all
        return run_config(config, overrides or ()).exit_code
    with progress() as report:
        result = run_config(config, overrides or (), progress=report)
    print_result(result)
    return result.exit_code


@app.command()
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


@app.command()
def check(config: Config, overrides: Overrides = None) -> None:
    """Check a config, its data and its model folder without loading weights."""
    from zu_framework.cli.tables import print_checked
    from zu_framework.engine.check import check as check_config

    print_checked(check_config(config, overrides or ()))


@app.command("eval")
def evaluate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A checkpoint folder, a hub id, or zu:demo.")],
    suite: Annotated[
        str, typer.Option("--suite", metavar="NAME", help="A suite's name, or a YAML file of one's own.")
    ],
    overrides: Overrides = None,
    base: Annotated[
        str | None,
        typer.Option("--base", metavar="MODEL", help="The model that it came from, measured beside it."),
    ] = None,
) -> int:
    """Measure any model on a suite, with intervals; nothing is edited.

    Suites: demo, counterfact, zsre, mquake, tofu, muse, wmdp, mmlu. Data and references are given by overrides, such as
    data.path=counterfact.json.
    """
    from zu_framework.cli.progress import progress
    from zu_framework.cli.tables import print_evaluation
    from zu_framework.engine.evaluate import evaluate as evaluate_model

    with progress() as report:
        result = evaluate_model(model, suite, overrides or (), base=base, progress=report)
    print_evaluation(result)
    return result.exit_code


@app.command()
def audit(
    target: Annotated[
        str, typer.Argument(metavar="RUN|MODEL", help="A run folder; or a model, with data.name=... given.")
    ],
    overrides: Overrides = None,
    preset: Annotated[
        str,
        typer.Option("--preset", metavar="NAME", help="quick, full, or a YAML file with the group `audit`."),
    ] = "quick",
    base: Annotated[
        str | None,
        typer.Option("--base", metavar="MODEL", help="The untouched model; a run folder knows its own."),
    ] = None,
    fail_over: Annotated[
        float | None,
        typer.Option(
            "--fail-over",
            metavar="POINTS",
            help="Exit 4 where an attack recovers more than this above chance.",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> int:
    """Attack an edited model in every way that is known, and say what comes back; nothing is edited.

    Beside each number stand the untouched model, a retrained twin (evaluate.reference=MODEL), facts that nobody knows
    and retained facts, all under the same attack. The same command goes on where an earlier one stopped.
    """
    from zu_framework.cli.audits import print_audit
    from zu_framework.cli.progress import progress
    from zu_framework.engine.audit import audit as audit_model
    from zu_framework.engine.audit import audit_json
    from zu_framework.reporting.audit_page import write_audit_page

    given = [*(overrides or ()), *([] if fail_over is None else [f"audit.limit={fail_over}"])]
    with progress() as report:
        result = audit_model(target, preset, given, base=base, progress=report)
    page = write_audit_page(result.folder)
    if json:
        print(json_text(audit_json(result)))
    else:
        print_audit(result, page)
    return 0 if fail_over is None else result.exit_code


@app.command()
def plugins(
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """List every component with its plugin, version, summary, options and defaults; and plugins that failed."""
    from zu_framework.cli.listing import describe, print_plugins
    from zu_framework.registry.manager import installed_plugins

    with redirect_stdout(sys.stderr):  # what a plugin prints where it is imported is no part of the list
        found = installed_plugins()
    if json:
        print(json_text(describe(found)))
    else:
        print_plugins(found)


@app.command()
def apply(
    run: RunFolder,
    model_dir: Annotated[
        Path, typer.Argument(metavar="MODEL_DIR", help="The checkpoint that the edit was made on.")
    ],
    out_dir: Annotated[
        Path, typer.Argument(metavar="OUT_DIR", help="Where the edited checkpoint goes; must not exist.")
    ],
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Put a run's edit on a saved checkpoint."""
    from zu_framework.store.checkpoints import apply as apply_edit

    for note in apply_edit(run, model_dir, out_dir, trust_remote_code=trust_remote_code):
        say(f"note: {note}")
    tell(f"edited checkpoint: {out_dir}")


@app.command()
def revert(
    run: RunFolder,
    model_dir: Annotated[Path, typer.Argument(metavar="MODEL_DIR", help="The edited checkpoint.")],
    out_dir: Annotated[
        Path, typer.Argument(metavar="OUT_DIR", help="Where the checkpoint without it goes; must not exist.")
    ],
    trust_remote_code: TrustRemoteCode = False,
    private: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="The folder that holds the run folders of later edits; default: beside RUN."
        ),
    ] = None,
) -> None:
    """Take a run's edit off a saved checkpoint.

    The last edit: every tensor is as before it, byte for byte. Any other of the checkpoint's ledger: to rounding, and
    the error is told.
    """
    from zu_framework.store.checkpoints import revert as revert_edit

    notes = revert_edit(run, model_dir, out_dir, trust_remote_code=trust_remote_code, private=private)
    for note in notes:
        say(f"note: {note}")
    tell(f"checkpoint without this edit: {out_dir}")


@app.command()
def export(
    run: RunFolder,
    lora: Annotated[
        Path, typer.Option("--lora", metavar="DIR", help="Write an exact PEFT LoRA adapter to DIR.")
    ],
) -> None:
    """Export a run's edit as an adapter; refused where that would not be exact."""
    from zu_framework.store.checkpoints import export_lora

    tell(f"LoRA adapter: {export_lora(run, lora)}")


@app.command()
def report(
    run: RunFolder,
    open: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Make a run's page anew, from the run folder alone: report.html, one file that loads nothing."""
    from zu_framework.reporting.run_page import write_run_page

    path = write_run_page(run)
    tell(f"report: {path}")
    if open:
        typer.launch(path.resolve().as_uri())


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit.

    Args:
        arguments: Those of the command line; by default the process's own.
    """
    # Only what the user should see: progress and reports are ours, the libraries' own bars would cut through them.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TQDM_DISABLE", "1")
    given = list(arguments) if arguments is not None else None
    with ready():
        code = guarded(lambda: app(args=given, standalone_mode=False))
    if code:
        sys.exit(int(code))
