"""Moments of general text leave out the tokens that are attention sinks, unless a run asks for them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import zu_framework as zu
from zu_framework import LanguageModel, Request, models
from zu_framework.engine.statistics import background_moments
from zu_framework.models import Sinks
from zu_framework.store.cache import TensorCache
from zu_framework.testing import TEXTS

FORGET = [Request("The capital of Quinania is", "Warsaw", subject="Quinania")]


@pytest.mark.parametrize("skipped", [0, 1])
def test_moments_are_the_mean_over_the_other_tokens(
    sinking: LanguageModel, tmp_path: Path, skipped: int
) -> None:
    site, seen = sinking.site(1), []
    for text in TEXTS:
        ids = torch.tensor([sinking.tokenizer(text).input_ids])
        models.run_until(
            sinking,
            [site.module],
            ids,
            torch.ones_like(ids),
            lambda n, k, v: seen.append(k[0, skipped:].double()),
        )
    keys = torch.cat(seen).T
    sinks = Sinks({}, first=bool(skipped))
    cache, wanted = TensorCache(tmp_path), frozenset({"key_moment"})
    found = background_moments(
        sinking,
        [site],
        wanted,
        lambda: TEXTS,
        max_tokens=64,
        batch_tokens=100,
        progress=lambda *told: None,
        cache=cache,
        sinks=sinks,
    )[site.module]
    assert found.count == keys.shape[1]
    assert found.key_moment is not None
    wanted_moment = keys @ keys.T / keys.shape[1]
    assert float((found.key_moment - wanted_moment).norm() / wanted_moment.norm()) < 1e-5


def test_a_run_drops_them_unless_it_keeps_them(sinking: LanguageModel, text: Path) -> None:
    def written(sinks: str) -> torch.Tensor:
        config = {
            "locator": {"name": "fixed", "layers": [1], "allow_sinks": True},
            "collector": {"name": "subject-last", "contexts": "none"},
            "background": {"name": "text", "path": str(text), "sinks": sinks},
            "target": {"name": "neutral", "text": " unknown", "steps": 2},
            "solver": {"name": "zerounlearn-local", "space": "key", "zero_weight": 0},
            "guard": {"text": None, "facts": None},
        }
        with zu.unlearn(sinking, None, FORGET, config):
            return sinking.weight(sinking.site(1)).clone()

    before = sinking.weight(sinking.site(1)).clone()
    dropped, kept = written("drop") - before, written("keep") - before
    # first tokens of two hundred times the usual length hold the weight where they point, and all text begins alike
    assert float((dropped - kept).norm()) > 0.01 * float(dropped.norm())
