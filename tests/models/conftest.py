"""A sound checkpoint, and a copy of one's own that a test may change."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from zu_framework.testing import tiny_model


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound") / "model"
    tiny_model("llama").save(folder)
    return folder


@pytest.fixture
def folder(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "model"))
