"""The commands on a run folder and checkpoints: put an edit on, take it off, export it, seal it, verify."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zu_framework.cli.terminal import say, tell

RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")]
TrustRemoteCode = Annotated[bool, typer.Option(help="Run code that the checkpoint brings along.")]


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


def export(
    run: RunFolder,
    lora: Annotated[
        Path, typer.Option("--lora", metavar="DIR", help="Write an exact PEFT LoRA adapter to DIR.")
    ],
) -> None:
    """Export a run's edit as an adapter; refused where that would not be exact."""
    from zu_framework.store.checkpoints import export_lora

    tell(f"LoRA adapter: {export_lora(run, lora)}")


def seal(
    run: RunFolder,
    key: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write the key of the facts' digests to FILE; default: print it once."
        ),
    ] = None,
    encrypt: Annotated[
        Path | None,
        typer.Option(
            metavar="KEYFILE",
            help="Encrypt what would be destroyed to the key in KEYFILE, made where it is not there (extra seal).",
        ),
    ] = None,
) -> None:
    """Destroy what could bring a run's facts back, and leave what proves their removal.

    Factors, undo record, facts in words and cached target states go; report and metrics name facts by HMAC-SHA-256
    under a key that is given to you once. manifest.json is ready to be signed; `zu verify` checks a model against it.
    """
    from zu_framework.files import write_text
    from zu_framework.sealing import seal as seal_run

    if key is not None and (key.exists() or key.absolute().is_relative_to(run.absolute())):
        raise typer.BadParameter(
            f"{key} exists, or lies in the run folder: name another file", param_hint="--key"
        )

    def deliver(found: str) -> None:
        if key is not None:
            write_text(key, f"{found}\n", private=True)
        else:
            tell(f"key of the facts' digests, shown this once: {found}")

    sealed = seal_run(run, deliver=deliver, encrypt_to=encrypt)
    for note in sealed.notes:
        say(f"note: {note}")
    tell(f"{'destroyed' if encrypt is None else 'encrypted'}: {', '.join(sealed.removed)}")
    tell(f"manifest: {sealed.manifest}")


def unseal(
    run: RunFolder,
    key_file: Annotated[Path, typer.Argument(metavar="KEYFILE", help="The key file it was encrypted to.")],
) -> None:
    """Bring back a run folder that was sealed by encryption, byte for byte."""
    from zu_framework.sealing import unseal as unseal_run

    tell(f"run folder: {unseal_run(run, key_file)}")


def verify(
    manifest: Annotated[Path, typer.Argument(metavar="MANIFEST", help="The manifest.json that a seal left.")],
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A checkpoint's folder.")],
) -> None:
    """Check, offline, that a model is the one that a sealed run left."""
    from zu_framework.sealing import verify as verify_model

    for sentence in verify_model(manifest, model):
        tell(sentence)


COMMANDS = (apply, revert, export, seal, unseal, verify)
