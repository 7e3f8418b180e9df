"""Names of models: what leads nowhere is said at once, by the key that was given, and the hub is asked once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from zu_framework import LanguageModel, ModelError
from zu_framework.models import check_folder, places
from zu_framework.models.places import find_source, local_path


def test_a_home_folder_is_a_home_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder.parent))
    assert local_path("~/model") == str(folder)
    assert check_folder("~/model").model_type == "llama"
    LanguageModel.from_pretrained("~/model")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("", "model.path is empty"),
        ("a\0b", "holds a NUL byte"),
        ("x" * 5000, "model.path"),
        ("~nosuchuser/x", "model.path '~nosuchuser/x'"),
        ("./nothing", "no such folder or file"),
        ("a/b/c", "no such folder or file"),
        ("a.gguf", "no such folder or file"),
        ("a b", "no such folder or file"),
        ("zu:smol", "did you mean 'zu:smollm2'.*zu:demo, zu:demo-twin, zu:smollm2"),
    ],
)
def test_a_name_that_leads_nowhere_is_said(path: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        check_folder(path)


def test_the_key_that_was_given_is_named(folder: Path) -> None:
    with pytest.raises(ModelError, match=r"^evaluate.reference './nothing'"):
        check_folder("./nothing", key="evaluate.reference")
    with pytest.raises(ModelError, match=r"model.safetensors' is a file: give the folder"):
        check_folder(str(folder / "model.safetensors"))


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("bf16", "bfloat16"), ("fp16", "float16"), ("torch.half", "float16"), ("floot32", "float32")],
)
def test_a_misspelt_dtype_gets_a_suggestion(name: str, wanted: str, folder: Path) -> None:
    with pytest.raises(ModelError, match=f"model.dtype '{name}': did you mean {wanted}\\?"):
        check_folder(str(folder), dtype=name)
    with pytest.raises(ModelError, match=f"^dtype '{name}': did you mean {wanted}"):
        LanguageModel.from_pretrained(str(folder), dtype=name)


def hub(monkeypatch: pytest.MonkeyPatch, answer: Callable[[], Any]) -> list[float]:
    """A hub that is asked once, with a timeout, and answers so."""
    asked: list[float] = []

    def ask(url: str, *, timeout: float) -> Any:
        asked.append(timeout)
        return answer()

    monkeypatch.setattr("huggingface_hub.get_hf_file_metadata", ask)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *a, **k: None)
    return asked


def unreachable() -> Any:
    raise ConnectionError("Name or service not known")


def test_a_mistyped_folder_is_not_sent_to_the_hub_for_half_a_minute(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = hub(monkeypatch, unreachable)
    monkeypatch.chdir(folder.parent)
    with pytest.raises(
        ModelError, match=r"model.path 'modle': no such folder, and the hub .*; did you mean 'model'\?$"
    ):
        check_folder("modle")
    assert asked == [places.HUB_TIMEOUT]  # once, seconds: transformers tries five times


def test_what_the_hub_has_is_left_to_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = hub(monkeypatch, lambda: None)
    assert find_source("owner/name").is_local is False and asked
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *a, **k: "/cached/config.json")
    asked.clear()
    # what is there already is not asked for
    assert find_source("owner/name").path == "owner/name" and not asked
