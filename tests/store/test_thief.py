"""The thief: from what is published alone nothing brings a fact back, neither its words nor the weights before."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

import zu_framework as zu
from tests.small_runs import FACTS
from tests.store.edits import contents, stored
from zu_framework.store.records import read_edit

SECRET_WORDS = [text for prompt, subject, answer in FACTS[:2] for text in (prompt, subject, answer)]


@pytest.fixture
def published(settings: dict[str, Any], checkpoint: Path, tmp_path: Path) -> tuple[Path, Path, Path]:
    """A run folder, the model/ that it saved, and what `zu apply` makes of it: all a publisher has."""
    settings["data"]["forget"] = 2
    settings["output"]["model"] = True
    run = zu.run(settings).folder
    zu.apply(run, checkpoint, tmp_path / "applied")
    return run, Path(shutil.copytree(run / "model", tmp_path / "published")), tmp_path / "applied"


def words(folder: Path) -> str:
    """All text of a folder but the tokenizer's, which knows every word."""
    found = []
    for name, raw in contents(folder).items():
        if name.startswith("tokenizer"):
            continue
        head = raw[: 8 + int.from_bytes(raw[:8], "little")] if name.endswith(".safetensors") else raw
        found.append(head.decode("utf-8", errors="replace"))
    return "\n".join(found)


def test_no_word_of_a_fact_is_published(published: tuple[Path, Path, Path]) -> None:
    run, *models = published
    assert "Quinania" in words(run), "the run folder itself holds the facts"
    for model in models:
        for secret in SECRET_WORDS:
            assert secret not in words(model)


def test_no_tensor_but_the_models_own_is_published(
    published: tuple[Path, Path, Path], checkpoint: Path
) -> None:
    for model in published[1:]:
        files = {file.name for file in model.rglob("*") if file.is_file()}
        assert files == {*contents(checkpoint), "ledger.json"}
        assert stored(model).keys() == stored(checkpoint).keys()
        with safe_open(model / "model.safetensors", "pt") as opened:
            assert opened.metadata() == {"format": "pt"}


def test_no_digest_that_follows_from_the_facts_is_published(published: tuple[Path, Path, Path]) -> None:
    """Whoever guesses the facts can compute what follows from them alone: none of that may be there to compare with."""
    run, *models = published
    about = read_edit(run / "edit.safetensors").about
    assert len(about["request_digest"]) >= 16
    for model in models:
        assert about["request_digest"][:12] not in words(model)


def test_the_published_folder_does_not_give_the_weights_back(
    published: tuple[Path, Path, Path], checkpoint: Path, tmp_path: Path
) -> None:
    run, _, applied = published
    originals = stored(checkpoint)
    sites = [site.tensor for site in read_edit(run / "edit.safetensors").sites]
    held = stored(applied)
    for site in sites:
        gap = float((held[site] - originals[site]).norm())
        assert gap > 0
        near = [
            float((t - originals[site]).norm()) for t in held.values() if t.shape == originals[site].shape
        ]
        assert min(near) >= gap, "no other tensor of the model is nearer to the original"
    thief = tmp_path / "thief"
    thief.mkdir()
    shutil.copytree(applied, thief / "model")
    for run_folder in (thief / "model", thief):
        with pytest.raises(zu.RunFolderError):
            zu.revert(run_folder, thief / "model", thief / "out")


def test_the_ledger_holds_what_it_may_and_no_more(published: tuple[Path, Path, Path]) -> None:
    kept = json.loads((published[2] / "ledger" / "ledger.json").read_text())
    assert set(kept) == {"format", "fingerprint", "edits", "digest"}
    (entry,) = kept["edits"]
    assert set(entry) == {"id", "before", "after", "edit", "sites", "exact", "stale"}
    for site in entry["sites"]:
        assert set(site) == {"name", "relative_change", "before", "after"}
    sha256 = r"[0-9a-f]{64}"
    assert all(re.fullmatch(sha256, entry[name]) for name in ("before", "after", "edit"))
    assert isinstance(entry["sites"][0]["relative_change"], float) and torch.isfinite(
        torch.tensor(entry["sites"][0]["relative_change"])
    )
