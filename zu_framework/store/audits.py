"""What an audit keeps: each attack's outcomes as soon as they are known, and the whole at the end."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from zu_framework.errors import RunFolderError
from zu_framework.files import write_text, writing
from zu_framework.problem import Outcome
from zu_framework.store.digests import fingerprint

ATTACKS, RESULT_FILE, LOG = "attacks", "metrics.json", "log.jsonl"


class AttackStore:
    """Outcomes of single attacks in a folder, by a digest of all that they depend on.

    Args:
        folder: The audit's; it is made, private to its owner.
        identity: What all attacks of the audit depend on: models, facts, seed.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any]) -> None:
        self.folder = folder / ATTACKS
        self.log = folder / LOG  # for a journal
        self.identity = dict(identity)
        with writing(self.folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.folder.mkdir(mode=0o700, exist_ok=True)
            self.log.touch(mode=0o600)

    def load(self, key: Mapping[str, Any]) -> tuple[dict[str, Outcome], float] | None:
        """Return outcomes by variant and the seconds they took; None where there are none, or damaged ones."""
        path = self._path(key)
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
            return read_outcomes(kept["outcomes"]), float(kept["seconds"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None

    def save(self, key: Mapping[str, Any], outcomes: Mapping[str, Outcome], seconds: float) -> None:
        """Keep outcomes.

        Raises:
            RunFolderError: They cannot be written.
        """
        _write(self._path(key), {"outcomes": plain_outcomes(outcomes), "seconds": seconds})

    def _path(self, key: Mapping[str, Any]) -> Path:
        digest = fingerprint({"identity": self.identity, "key": json.loads(json.dumps(key, default=str))})
        return self.folder / f"{key['attack']}-{key['model']}-{digest[:12]}.json"


def plain_outcomes(outcomes: Mapping[str, Outcome], *, texts: bool = True) -> dict[str, Any]:
    """Return outcomes by variant as JSON holds them.

    Args:
        outcomes: By variant.
        texts: Whether the prompts that got facts out are among it.
    """
    found = {name: asdict(one) for name, one in outcomes.items()}
    return found if texts else {name: {**one, "prompts": {}} for name, one in found.items()}


def read_outcomes(plain: Mapping[str, Any]) -> dict[str, Outcome]:
    """Return outcomes from what `plain_outcomes` made of them."""
    return {
        name: Outcome(
            {group: tuple(values) for group, values in one["answered"].items()},
            {group: tuple(texts) for group, texts in one["prompts"].items()},
            one["curve"],
            one["report"],
        )
        for name, one in plain.items()
    }


def write_audit(folder: Path, found: Mapping[str, Any]) -> None:
    """Write an audit's metrics.json.

    Raises:
        RunFolderError: It cannot be written.
    """
    _write(folder / RESULT_FILE, found)


def read_audit(folder: Path) -> dict[str, Any] | None:
    """Return an audit's metrics.json; None where there is none.

    Raises:
        RunFolderError: It is damaged.
    """
    path = folder / RESULT_FILE
    if not path.is_file():
        return None
    try:
        found: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as cause:
        raise RunFolderError(f"{path} is damaged: {cause}; run zu audit again") from cause
    if not isinstance(found, dict):
        raise RunFolderError(f"{path} is no audit's: run zu audit again")
    listed = found.get("findings")
    if not isinstance(listed, list) or not all(isinstance(one, dict) and "variant" in one for one in listed):
        raise RunFolderError(f"{path} is no audit's: run zu audit again")
    return found


def _write(path: Path, value: Any) -> None:
    text = json.dumps(value, indent=1, ensure_ascii=False, default=str)
    write_text(path, f"{text}\n", private=True)
