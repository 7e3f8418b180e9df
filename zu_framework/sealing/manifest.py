"""What proves a removal: digests before and after, metrics, verdict; canonical JSON, ready to be signed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zu_framework.errors import RunFolderError
from zu_framework.models.fingerprint import Fingerprint
from zu_framework.store.fields import Fields
from zu_framework.store.originals import PATTERN
from zu_framework.store.records import EditRecord, digest_in, digests_in
from zu_framework.store.tensor_files import canonical, check_description, described, with_digest

KIND, FORMAT = "zu-seal", 1


@dataclass(frozen=True)
class SealedSite:
    """One edited weight: the parameter's name, and its digests before and after in the run's dtype."""

    name: str
    tensor: str
    before: str
    after: str


@dataclass(frozen=True)
class Manifest:
    """A manifest as read back.

    Args:
        path: Where it lies.
        edit: The edit's id.
        before: Digests of the model's tensors before the edit, in memory; `config` is empty.
        files: Digests of the checkpoint's files before; None where the run knew none.
        sites: The edited weights.
        published: Of each checkpoint of another dtype that the edit was put on, the digests of what was written.
        sealed: SHA-256 of each file of the run folder that was left.
    """

    path: Path
    edit: str
    before: Fingerprint
    files: Fingerprint | None
    sites: tuple[SealedSite, ...]
    published: tuple[Mapping[str, str], ...]
    sealed: Mapping[str, str]

    @classmethod
    def read(cls, path: Path) -> Manifest:
        """Read a manifest.

        Args:
            path: The file.

        Returns:
            The manifest.

        Raises:
            RunFolderError: It is missing, damaged, or written otherwise than canonically.
        """
        fields = Fields.read(path)
        if fields.text("kind") != KIND or fields.whole("format") != FORMAT:
            raise RunFolderError(f"{path} is no manifest of a sealed run that this version reads")
        if path.read_bytes() != canonical(fields.values) + b"\n":
            raise RunFolderError(
                f"{path} is not in its canonical form: it was written anew, and a signature would not fit"
            )
        check_description(fields)
        model = fields.inner("model")
        files = None if model.values.get("files") is None else Fingerprint(digests_in(model, "files"))
        sites = tuple(
            SealedSite(s.text("name"), s.text("tensor"), digest_in(s, "before"), digest_in(s, "after"))
            for s in fields.objects("sites")
        )
        if not sites:
            raise fields.wrong("sites", "is empty: no weight was edited")
        published = tuple(digests_in(one, "after") for one in fields.objects("published"))
        return cls(
            path,
            fields.text("edit"),
            Fingerprint(digests_in(model, "tensors")),
            files,
            sites,
            published,
            fields.texts("files"),
        )


def manifest_json(
    record: EditRecord,
    run: Path,
    metrics: Mapping[str, Any],
    facts: Sequence[Mapping[str, str]],
    sealed: Mapping[str, str],
    removed: Mapping[str, Any],
    about: Mapping[str, str],
) -> dict[str, Any]:
    """What a manifest says.

    Args:
        record: The edit.
        run: Its folder, for what it was put on.
        metrics: Without words.
        facts: Of each fact its set and its keyed digest.
        sealed: SHA-256 of each file that is left.
        removed: What was destroyed or encrypted.
        about: When, and by which version.

    Returns:
        JSON whose canonical form is the manifest.
    """
    sites = [
        {
            "name": site.site.name,
            "tensor": site.tensor,
            "before": site.before,
            "after": site.after,
            "relative_change": site.relative_change,
        }
        for site in record.sites
    ]
    measured = {name: metrics[name] for name in ("before", "after", "verdict") if name in metrics}
    whole = {
        "kind": KIND,
        "format": FORMAT,
        "edit": record.id,
        "model": {
            "path": record.about.get("model", ""),
            "type": record.about.get("model_type", ""),
            "dtype": record.about.get("dtype", ""),
            "fingerprint_before": record.fingerprint_before,
            "fingerprint_after": record.fingerprint_after,
            "tensors": dict(record.before.tensors),
            "files": None if record.files is None else dict(record.files.tensors),
        },
        "sites": sites,
        "published": [
            {name: file.values[name] for name in ("before", "fingerprint_after", "after")}
            for file in map(described, sorted(run.glob(PATTERN)))
        ],
        "solver": record.about.get("solver", ""),
        "versions": dict(record.about.get("versions", {})),
        "requests": record.about.get("requests", 0),
        "facts": list(facts),
        "metrics": measured,
        "files": dict(sealed),
        **removed,
        **about,
    }
    return with_digest(whole)
