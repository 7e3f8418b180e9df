"""What a page is drawn from beside the metrics: `facts.json` and `analysis.safetensors`, a few kilobytes each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zu_framework.engine.edit import Edit
from zu_framework.errors import RunFolderError, described
from zu_framework.files import write_json
from zu_framework.reporting.snapshot import Selection, Snapshot
from zu_framework.reporting.spectra import change_spectrum
from zu_framework.store.tensor_files import load_tensors, save_tensors

FACTS_FILE = "facts.json"
ANALYSIS_FILE = "analysis.safetensors"
FORMAT = 1


@dataclass(frozen=True)
class Analysis:
    """`analysis.safetensors` as read back.

    Args:
        tensors: By name.
        about: What the metadata says of them.
    """

    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)


def write_analysis(
    folder: Path, selection: Selection, before: Snapshot, after: Snapshot, edit: Edit, sites: int
) -> None:
    """Write both files.

    Args:
        folder: The run folder.
        selection: What the snapshots show.
        before: Of the untouched model.
        after: Of the edited model.
        edit: Still in the model.
        sites: Of how many edited weights, those changed most, the spectrum is computed.
    """
    snapshots = {"before": before, "after": after}
    failed = {f"{part}, {when}": why for when, one in snapshots.items() for part, why in one.failed.items()}
    tensors: dict[str, Tensor] = {}
    about: dict[str, Any] = {"format": FORMAT, "read": list(selection.read), "outputs": [], "spectra": []}
    for site in selection.sites:
        if before.outputs and after.outputs:
            about["outputs"].append(
                {"site": site.name, "layer": site.layer}
                | _projected(tensors, site.name, before.outputs[site.name], after.outputs[site.name])
            )
    if before.lens is not None and after.lens is not None:
        tensors |= {"lens/before": before.lens.probability, "lens/after": after.lens.probability}
        about["lens"] = {"agrees": before.lens.agrees and after.lens.agrees}
    changed = sorted(edit.sites, key=lambda one: -one.relative_change)
    for one in changed[:sites]:
        try:
            spectrum = change_spectrum(one, edit.lm.weight(one.site))
        except Exception as cause:  # a decomposition that does not converge must not cost the run
            failed[f"singular values of {one.site.name}"] = described(cause)
            continue
        tensors[f"spectrum/{one.site.name}"] = spectrum.values
        about["spectra"].append(
            {
                "site": one.site.name,
                "shape": list(spectrum.shape),
                "rank": spectrum.rank,
                "norm": spectrum.norm,
                "exact": spectrum.exact,
            }
        )
    about["edited_layers"] = sorted({one.site.layer for one in edit.sites if one.site.layer >= 0})
    save_tensors(folder / ANALYSIS_FILE, tensors or {"none": torch.zeros(0)}, about)
    parameters = sum(p.numel() for p in edit.lm.model.parameters())
    write_json(
        folder / FACTS_FILE,
        {
            "format": FORMAT,
            "model": {"parameters": parameters, "layers": edit.lm.num_layers},
            "total": dict(selection.total),
            "failed": failed,
            "facts": [
                {
                    "set": name,
                    "id": request.id,
                    "prompt": request.prompt,
                    "subject": [request.subject_start, request.subject_end] if request.subject else None,
                    "answer": request.answer,
                    "before": _fact(before, at),
                    "after": _fact(after, at),
                }
                for at, (name, request) in enumerate(selection.facts)
            ],
        },
    )


def read_facts(folder: Path) -> Mapping[str, Any] | None:
    """Return `facts.json`, or None where the run has none.

    Raises:
        RunFolderError: It is damaged, or newer than this version reads.
    """
    path = folder / FACTS_FILE
    if not path.is_file():
        return None
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        _known(path, found["format"])
    except (ValueError, KeyError, TypeError, OSError, RecursionError) as cause:
        raise RunFolderError(f"{path} is damaged: {cause}") from cause
    return found


def read_analysis(folder: Path) -> Analysis | None:
    """Return `analysis.safetensors`, or None where the run has none."""
    path = folder / ANALYSIS_FILE
    if not path.is_file():
        return None
    tensors, fields = load_tensors(path)
    _known(path, fields.values.get("format"))
    return Analysis(tensors, fields.values)


def _known(path: Path, found: Any) -> None:
    if found != FORMAT:
        raise RunFolderError(f"{path} has format {found!r}, this version reads {FORMAT}: update zu_framework")


def _fact(snapshot: Snapshot, at: int) -> dict[str, Any]:
    return {
        "probability": None if snapshot.probability is None else snapshot.probability[at],
        "exact": None if snapshot.exact is None else snapshot.exact[at],
        "completion": None if snapshot.completions is None else snapshot.completions.get(at),
    }


def _projected(tensors: dict[str, Tensor], name: str, before: Tensor, after: Tensor) -> dict[str, Any]:
    """Put the outputs' (m, o) first two principal components, of both snapshots together, and how far each moved."""
    from sklearn.decomposition import PCA  # a second to import, which runs without a page need not pay

    both = torch.cat([before, after]).double().numpy()  # (2m, o)
    fitted = PCA(n_components=min(2, *both.shape), svd_solver="full").fit(both)
    placed = np.zeros((len(both), 2))
    placed[:, : fitted.n_components_] = fitted.transform(both)
    moved = (after - before).norm(dim=1) / before.norm(dim=1).clamp_min(1e-30)
    tensors[f"outputs/{name}/before"] = torch.from_numpy(placed[: len(before)]).float()
    tensors[f"outputs/{name}/after"] = torch.from_numpy(placed[len(before) :]).float()
    tensors[f"outputs/{name}/moved"] = moved.float()
    return {"explained": _shares(fitted.explained_variance_ratio_)}


def _shares(ratios: Sequence[float]) -> list[float]:
    """Shares of the variance; none where nothing varies."""
    return [float(ratio) if np.isfinite(ratio) else 0.0 for ratio in ratios]
