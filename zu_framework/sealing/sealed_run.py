"""Sealing a run folder, and undoing that where it was encrypted.

What will be left is made first, in `.sealed/` of the run folder; its manifest is written last. From then on the seal is
only carried out: a call that was killed is finished by the next one.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import zu_framework
from zu_framework.errors import RunFolderError
from zu_framework.files import write_text, writing
from zu_framework.registry import Plugins
from zu_framework.sealing.encryption import decrypt, encrypt, key_from
from zu_framework.sealing.leftovers import cached_targets, destroy, remove_empty
from zu_framework.sealing.manifest import manifest_json
from zu_framework.sealing.rewriting import rewritten
from zu_framework.store.fields import Fields
from zu_framework.store.run_edit import SEAL_FILE, load_edit
from zu_framework.store.tensor_files import canonical

STAGED, ENCRYPTED, ENDING = ".sealed", "sealed", ".enc"
STAYS = ("model", "ledger")  # parts that hold nothing but what may be published


@dataclass(frozen=True)
class Sealed:
    """A sealed run.

    Args:
        manifest: What proves the removal.
        removed: Files that were destroyed, or encrypted.
        notes: What a user should know, a sentence each.
    """

    manifest: Path
    removed: tuple[str, ...]
    notes: tuple[str, ...] = ()


def seal(
    run: str | Path,
    *,
    deliver: Callable[[str], None],
    encrypt_to: str | Path | None = None,
    plugins: Plugins | None = None,
) -> Sealed:
    """Destroy, or encrypt, what could bring the facts back, and leave what proves their removal.

    Factors, undo record, facts in words, intermediates and this run's cached target states go. Config, metrics, log and
    page are rewritten without the data's texts: a fact is HMAC-SHA-256 of `[prompt, answer]` under a random key, which
    is delivered once and stored nowhere. Overwriting is the best that a program can do: copies that a file system, a
    snapshot or a backup keeps are beyond it.

    Args:
        run: The run folder; `model/` in it stays.
        deliver: Called with the key of the facts' digests, in hexadecimal, before anything is destroyed.
        encrypt_to: A key file outside the run folder, made where it does not exist: everything is then encrypted to it
            instead of destroyed (extra `seal`), and `unseal` brings it back.
        plugins: Whose sections the page shows; the installed ones where None.

    Returns:
        What was left and what is gone.

    Raises:
        RunFolderError: The folder is no run, is damaged, or cannot be written; nothing was destroyed then.
    """
    run = Path(run)
    if (run / STAGED / SEAL_FILE).is_file():
        return _carried_out(run, ("an earlier seal was finished; its key was delivered then",))
    record = load_edit(run)
    going, targets = sorted(_private(run)), cached_targets(run)
    mac = secrets.token_bytes(32)
    texts, metrics, facts = rewritten(run, mac, plugins)
    key = None if encrypt_to is None else key_from(_outside(run, Path(encrypt_to)))
    with writing(run):
        shutil.rmtree(run / STAGED, ignore_errors=True)
        (run / STAGED).mkdir(mode=0o700)
    for name, text in texts.items():
        with writing(run):
            (run / STAGED / name).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_text(run / STAGED / name, text, private=True)
    manifest = manifest_json(
        record,
        run,
        metrics,
        facts,
        {name: hashlib.sha256(text.encode()).hexdigest() for name, text in texts.items()},
        {"destroyed" if key is None else "encrypted": going, "cached_targets": len(targets)},
        {"date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), "sealed_by": zu_framework.__version__},
    )
    if key is not None:
        for name in going:
            place = run / STAGED / ENCRYPTED / f"{name}{ENDING}"
            with writing(run):
                place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            encrypt(run / name, place, name, key)
    deliver(mac.hex())
    write_text(run / STAGED / SEAL_FILE, canonical(manifest).decode() + "\n", private=True)
    return _carried_out(run, ())


def unseal(run: str | Path, key_file: str | Path) -> Path:
    """Bring back a run folder that was encrypted, byte for byte.

    Args:
        run: The sealed run folder.
        key_file: The key file that it was encrypted to.

    Returns:
        The run folder.

    Raises:
        RunFolderError: It was not encrypted, the key is another, or a file is damaged; nothing was changed then.
    """
    run = Path(run)
    names = sorted(name.removesuffix(ENDING) for name in _files(run / ENCRYPTED))
    if not names:
        raise RunFolderError(f"{run} holds nothing that was encrypted: what was destroyed does not come back")
    if not Path(key_file).is_file():
        raise RunFolderError(f"{key_file} does not exist: give the key file that {run} was encrypted to")
    key, opened = key_from(Path(key_file)), run / ".unsealed"
    with writing(run):
        shutil.rmtree(opened, ignore_errors=True)
        for name in names:
            (opened / name).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        for name in names:
            decrypt(run / ENCRYPTED / f"{name}{ENDING}", opened / name, name, key)
        for name in names:
            with writing(run):
                (run / name).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                os.replace(opened / name, run / name)
    finally:
        shutil.rmtree(opened, ignore_errors=True)
    with writing(run):
        (run / SEAL_FILE).unlink(missing_ok=True)
        shutil.rmtree(run / ENCRYPTED)
    return run


def _carried_out(run: Path, notes: tuple[str, ...]) -> Sealed:
    """Put the staged files into their places and destroy the rest; again and again, until all is done."""
    staged = run / STAGED
    manifest = Fields.read(staged / SEAL_FILE)
    targets = cached_targets(run)
    missing = sum(not path.exists() for path in targets)
    with writing(run):
        for path in targets:
            destroy(path)
        for name in sorted(_files(staged) - {SEAL_FILE}):
            (run / name).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            destroy(run / name)
            os.replace(staged / name, run / name)
        linked = [
            name for name in sorted(_private(run) - set(manifest.texts("files"))) if not destroy(run / name)
        ]
        remove_empty(run)
        os.replace(staged / SEAL_FILE, run / SEAL_FILE)
        shutil.rmtree(staged)
    if missing:
        notes = (
            *notes,
            f"{missing} cached target states are not in this cache: look for them where ZU_CACHE was",
        )
    if linked:
        notes = (*notes, f"other hard links to these files keep what they held: {', '.join(linked)}")
    return Sealed(
        run / SEAL_FILE, tuple(manifest.listed("destroyed", []) or manifest.listed("encrypted", [])), notes
    )


def _private(run: Path) -> set[str]:
    """Every file of a run folder but those that may be published, and those of a seal."""
    own = (*STAYS, STAGED, ENCRYPTED)
    return {name for name in _files(run) if Path(name).parts[0] not in own and name != SEAL_FILE}


def _files(folder: Path) -> set[str]:
    """Every file below a folder, and every link, by its name relative to it."""
    found = set()
    for root, folders, files in os.walk(folder):
        links = [name for name in folders if Path(root, name).is_symlink()]
        found |= {str(Path(root, name).relative_to(folder)) for name in (*files, *links)}
    return found


def _outside(run: Path, key_file: Path) -> Path:
    if key_file.absolute().is_relative_to(run.absolute()):
        raise RunFolderError(f"{key_file} lies in the run folder: keep the key elsewhere")
    return key_file
