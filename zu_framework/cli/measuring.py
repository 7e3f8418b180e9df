"""The commands that look at a model or a run: `zu eval`, `zu audit`, `zu report`."""

from __future__ import annotations

from typing import Annotated

import typer

from zu_framework.cli.arguments import Overrides, RunFolder
from zu_framework.cli.terminal import json_text, tell


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

    Suites: facts (your own), demo, counterfact, zsre, mquake, tofu, muse, wmdp, mmlu. Give data and references by
    overrides, such as data.path=counterfact.json.
    """
    from zu_framework.cli.progress import progress
    from zu_framework.cli.tables import print_evaluation
    from zu_framework.engine.evaluate import evaluate as evaluate_model

    with progress() as report:
        result = evaluate_model(model, suite, overrides or (), base=base, progress=report)
    print_evaluation(result)
    return result.exit_code


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
