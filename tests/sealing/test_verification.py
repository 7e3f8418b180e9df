"""A manifest says whether a model is the one that a sealed run left, offline."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import zu_framework as zu
from tests.sealing.sealed_runs import sealed
from tests.store.edits import contents, rewrite, run_on, stored
from zu_framework import ModelError, RunFolderError


def test_the_manifest_is_canonical_and_checked(run: Path) -> None:
    sealed(run)
    path = run / "manifest.json"
    raw = path.read_bytes()
    assert raw == json.dumps(json.loads(raw), sort_keys=True, separators=(",", ":")).encode() + b"\n"
    assert zu.verify(path, run / "model")[0].endswith("files beside the manifest are those that were sealed")
    path.write_text(json.dumps(json.loads(raw), indent=1))
    with pytest.raises(RunFolderError, match="not in its canonical form"):
        zu.verify(path, run / "model")


def change_metrics(run: Path, model: Path) -> None:
    path = run / "metrics.json"
    path.write_text(path.read_text().replace("0", "1", 1))


def change_an_edited_weight(run: Path, model: Path) -> None:
    tensors = stored(model)
    tensors["model.layers.0.mlp.down_proj.weight"][0, 0] += 1
    rewrite(model, tensors)


def change_another_weight(run: Path, model: Path) -> None:
    tensors = stored(model)
    tensors["model.layers.2.mlp.up_proj.weight"][0, 0] += 1
    rewrite(model, tensors)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (change_metrics, "metrics.json is not what was sealed"),
        (change_an_edited_weight, r"is not the model that the sealed run left: .*edited weights are others"),
        (change_another_weight, r"is not the model that the sealed run left"),
    ],
)
def test_verify_refuses_what_is_not_the_sealed_model(
    run: Path, change: Callable[[Path, Path], None], said: str
) -> None:
    sealed(run)
    change(run, run / "model")
    with pytest.raises(zu.ZuError, match=said):
        zu.verify(run / "manifest.json", run / "model")


def test_verify_tells_the_original_model_apart(run: Path, checkpoint: Path) -> None:
    sealed(run)
    with pytest.raises(
        ModelError, match="still holds what the edit removed: 2 of 2 edited weights are as they were"
    ):
        zu.verify(run / "manifest.json", checkpoint)


@pytest.mark.parametrize("dtype", ["f32", "bf16"])
def test_verify_knows_a_model_by_its_files(checkpoint: Path, tmp_path: Path, dtype: str) -> None:
    made = run_on(checkpoint, tmp_path / "run", dtype)
    zu.apply(made, checkpoint, tmp_path / "edited")
    sealed(made)
    manifest = tmp_path / "manifest.json"
    shutil.move(made / "manifest.json", manifest)
    assert zu.verify(manifest, tmp_path / "edited") == [
        f"all 30 tensors of {tmp_path / 'edited'} are those of the sealed run, 2 edited weights among them"
    ]
    if dtype == "f32":  # other names and another layout, the same model
        rewrite(tmp_path / "edited", {f"x.{n}": t for n, t in stored(tmp_path / "edited").items()}, shards=2)
        assert "30 of 30 tensors" in zu.verify(manifest, tmp_path / "edited")[0]


def test_verify_asks_no_network_and_writes_nothing(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealed(run)
    before = contents(run)

    def refuse(*given: Any, **more: Any) -> Any:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.snapshot_download", only_from_here)
    assert zu.verify(run / "manifest.json", run / "model")
    with pytest.raises(ModelError, match="'somebody/model' is not on this machine: give its folder"):
        zu.verify(run / "manifest.json", "somebody/model")
    for name in ("a" * 300, "nobody\0", "no/such/folder"):
        with pytest.raises(ModelError):
            zu.verify(run / "manifest.json", name)
    assert contents(run) == before


def only_from_here(name: str, *, local_files_only: bool = False, **more: Any) -> str:
    """What the hub's own function does with an id that was never downloaded."""
    from huggingface_hub.errors import LocalEntryNotFoundError

    assert local_files_only, "the network was asked"
    raise LocalEntryNotFoundError(name)
