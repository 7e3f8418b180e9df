"""The commands that put an edit on a saved checkpoint, and take it off: `zu apply`, `zu revert`, `zu export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zu_framework.cli.arguments import RunFolder, TrustRemoteCode
from zu_framework.cli.terminal import say, tell


def apply(
    run: RunFolder,
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="What the edit was made on: a checkpoint folder, a GGUF file, a hub id, zu:demo.",
        ),
    ],
    out_dir: Annotated[
        Path, typer.Argument(metavar="OUT_DIR", help="Where the edited checkpoint goes; must not exist.")
    ],
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Put a run's edit on a saved checkpoint."""
    from zu_framework.store.checkpoints import apply as apply_edit

    for note in apply_edit(run, model, out_dir, trust_remote_code=trust_remote_code):
        say(f"note: {note}")
    tell(f"edited checkpoint: {out_dir}")


def revert(
    run: RunFolder,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The edited checkpoint, a folder.")],
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

    notes = revert_edit(run, model, out_dir, trust_remote_code=trust_remote_code, private=private)
    for note in notes:
        say(f"note: {note}")
    tell(f"checkpoint without this edit: {out_dir}")


def export(
    run: RunFolder,
    lora: Annotated[
        Path, typer.Option("--lora", metavar="DIR", help="Write an exact PEFT LoRA adapter to DIR.")
    ],
) -> None:
    """Export a run's edit as an adapter; refused where that would not be exact."""
    from zu_framework.store.checkpoints import export_lora

    tell(f"LoRA adapter: {export_lora(run, lora)}")
