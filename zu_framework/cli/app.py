"""The `zu` command: a table of its subcommands, each of which returns its exit code, or None for 0."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from typing import Annotated, Any

import typer

from zu_framework import __version__
from zu_framework.cli import checkpoints, measuring, running, sealing
from zu_framework.cli.door import guarded
from zu_framework.cli.starting import Command, Group, uncollected
from zu_framework.cli.terminal import json_text, ready

app = typer.Typer(
    name="zu",
    cls=Group,
    help="Remove knowledge from the weights of a language model, and prove what was done.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


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


def plugins(
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """List every component with its plugin, version, summary, options and defaults; and plugins that failed."""
    with uncollected():
        from zu_framework.cli.listing import describe, print_plugins
        from zu_framework.registry.manager import installed_plugins

        with redirect_stdout(sys.stderr):  # what a plugin prints where it is imported is no part of the list
            found = installed_plugins()
        if json:
            print(json_text(describe(found)))
        else:
            print_plugins(found)


# in the order of `zu --help`
COMMANDS: dict[str, Callable[..., Any]] = {
    "run": running.run,
    "bench": running.bench,
    "check": running.check,
    "eval": measuring.evaluate,
    "audit": measuring.audit,
    "plugins": plugins,
    "apply": checkpoints.apply,
    "revert": checkpoints.revert,
    "export": checkpoints.export,
    "seal": sealing.seal,
    "unseal": sealing.unseal,
    "verify": sealing.verify,
    "report": measuring.report,
}
for name, function in COMMANDS.items():
    app.command(name, cls=Command)(function)


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
