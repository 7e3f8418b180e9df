"""What every test may use: optional reference data, a private cache, small Hypothesis profiles, one thread."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Set before anything imports torch or transformers; commands that tests start inherit it.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"  # torch takes its thread count from here; workers run side by side
os.environ["MKL_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ.pop("ZU_DISABLE", None)

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "quick", deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.register_profile("ci", settings.get_profile("quick"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "quick")

pytest_plugins = ["tests.small_runs"]

Golden = Callable[[str], tuple[Any, dict[str, Any]]]


@pytest.fixture(scope="session", autouse=True)
def private_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Statistics computed by tests go to a temporary folder, never to the user's cache."""
    folder = tmp_path_factory.mktemp("zu-cache")
    os.environ["ZU_CACHE"] = str(folder)
    return folder


@pytest.fixture(scope="session")
def shared() -> Path:
    """Reference data and models: the folder that ZU_SHARED names, or `shared` beside the checkout; else skip."""
    given = os.environ.get("ZU_SHARED")
    folder = Path(given) if given else Path(__file__).resolve().parents[2] / "shared"
    if not (folder / "golden").is_dir():
        pytest.skip(f"reference data not found at {folder}: point ZU_SHARED at them")
    return folder


@pytest.fixture(scope="session")
def golden(shared: Path) -> Golden:
    """`golden(name)`: the manifest of a recorded result, and its tensors by name (none for a manifest alone)."""

    def load(name: str) -> tuple[Any, dict[str, Any]]:
        from safetensors.torch import load_file

        manifest = json.loads((shared / "golden" / f"{name}.json").read_text("utf-8"))
        tensors = shared / "golden" / f"{name}.safetensors"
        return manifest, load_file(tensors) if tensors.exists() else {}

    return load
