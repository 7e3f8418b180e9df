"""The commands that seal a run and prove what it removed: `zu seal`, `zu unseal`, `zu verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zu_framework.cli.arguments import RunFolder
from zu_framework.cli.terminal import say, tell


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
