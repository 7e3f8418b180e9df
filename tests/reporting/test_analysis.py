"""What stands behind a run's page: the lens, the spectra of changes, and the file that holds them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from zu_framework import LanguageModel, Request, Update
from zu_framework.engine.writing import SiteEdit
from zu_framework.reporting.lens import answer_lens
from zu_framework.reporting.snapshot import spaced
from zu_framework.reporting.spectra import change_spectrum
from zu_framework.testing import tiny_model


def test_the_lens_at_the_last_layer_is_the_models_own_answer() -> None:
    for family in ("llama", "gpt2", "gemma2", "opt"):
        lm = tiny_model(family)
        seen = answer_lens(lm, [Request("The capital of France is", "Paris")], 4)
        assert seen is not None and seen.agrees
        ids = lm.tokenizer("The capital of France is", return_tensors="pt").input_ids
        token = lm.tokenizer(" Paris", add_special_tokens=False).input_ids[0]
        own = lm.model(ids).logits[0, -1].softmax(0)[token]
        torch.testing.assert_close(seen.probability[0, -1], own.detach(), rtol=2e-2, atol=1e-4)
        assert seen.probability.shape == (1, lm.num_layers)


def edited(lm: LanguageModel, *steps: Update) -> tuple[SiteEdit, torch.Tensor]:
    site = lm.site(0)
    weight = lm.weight(site).clone()
    new = weight
    for step in steps:
        new = step.apply(new)
    return SiteEdit(site, weight, "", "", steps=list(steps)), new


@pytest.mark.parametrize("kind", ["factored", "two passes", "scaled", "dense"])
def test_the_spectrum_is_that_of_the_change(kind: str) -> None:
    lm = tiny_model("llama")
    rows, columns = lm.weight(lm.site(0)).shape
    torch.manual_seed(0)
    left, right = torch.randn(rows, 3), torch.randn(3, columns)
    steps = {
        "factored": [Update(left, right)],
        "two passes": [Update(left, right), Update(left[:, :1], torch.randn(1, columns))],
        "scaled": [Update(left, right, scale=1.5)],
        "dense": [Update(dense=left @ right)],
    }[kind]
    edit, new = edited(lm, *steps)
    seen = change_spectrum(edit, new)
    expected = torch.linalg.svdvals((new - edit.original).double())
    torch.testing.assert_close(seen.values[:3].double(), expected[:3], rtol=1e-4, atol=1e-6)
    assert seen.norm == pytest.approx(float(expected.norm()), rel=1e-4)
    assert seen.exact and seen.shape == (rows, columns)
    assert seen.rank == 3 if kind in ("factored", "two passes") else seen.rank is not None and seen.rank >= 3


def test_indices_are_spread_evenly() -> None:
    assert spaced(3, 5) == [0, 1, 2] and spaced(10, 5) == [0, 2, 4, 6, 8] and spaced(4, 0) == []


def test_the_analysis_names_what_it_holds(whole_run: Path) -> None:
    with safe_open(whole_run / "analysis.safetensors", "pt") as opened:
        about = json.loads(opened.metadata()["zu"])
    assert about["edited_layers"] == [0, 1] and about["lens"] == {"agrees": True}
    assert [one["rank"] for one in about["spectra"]] == [3, 3]
