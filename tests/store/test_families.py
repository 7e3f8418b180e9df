"""A checkpoint of each family gets an edit on its files, and comes back byte for byte."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import zu_framework as zu
from tests.store.edits import contents, differing, run_on
from zu_framework import LanguageModel
from zu_framework.testing import tiny_model
from zu_framework.testing.models import FAMILIES, NO_SITES


@pytest.mark.slow
@pytest.mark.parametrize("family", sorted(set(FAMILIES) - set(NO_SITES)))
def test_families(tmp_path: Path, family: str) -> None:
    lm = tiny_model(family, dtype=torch.bfloat16)
    folder = tmp_path / "model"
    lm.save(folder)
    layers = sorted(lm.architecture.projections)[:2]
    if not layers:
        pytest.skip("it offers no site")
    for made_in in ("bf16", "f32"):
        run = run_on(folder, tmp_path / f"run-{made_in}", made_in, layers)
        zu.apply(run, folder, tmp_path / f"on-{made_in}")
        assert len(differing(folder, tmp_path / f"on-{made_in}")) == len(layers)
        assert zu.revert(run, tmp_path / f"on-{made_in}", tmp_path / f"off-{made_in}") == []
        assert contents(tmp_path / f"off-{made_in}") == contents(folder)
        again = LanguageModel.from_pretrained(str(tmp_path / f"on-{made_in}"), device="cpu")
        assert again.model_type == lm.model_type
