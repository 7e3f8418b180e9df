"""The steps of the optimisation: how long they are, in either unit."""

from __future__ import annotations

import pytest
import torch

from tests.plugins.targets.test_neutral import OPTIONS
from tests.states.three_requests import run
from zu_framework import ConfigError, LanguageModel
from zu_framework.testing import tiny_model
from zu_plugins.targets.options import NeutralOptions


@pytest.fixture(scope="module")
def lm() -> LanguageModel:
    return tiny_model("llama")


def test_a_first_step_goes_its_share_of_what_clamp_allows(lm: LanguageModel) -> None:
    found = run(lm, "model.layers.1", lr=0.3, lr_unit="radius", clamp=0.5, steps=2, loss_threshold=0.0)
    moved = (found.states - found.init).norm(dim=0) / found.init.norm(dim=0)
    assert moved.tolist() == pytest.approx([0.15] * 3, rel=1e-3)


def test_steps_in_either_unit_are_the_same_steps(lm: LanguageModel) -> None:
    """Of one request: three have states of different lengths, and one absolute step."""
    options = {"clamp": 0.5, "steps": 6, "loss_threshold": 0.0}
    relative = run(lm, "model.layers.1", lr=0.3, lr_unit="radius", **options)
    for request in range(3):
        size = float(relative.init[:, request].norm())
        absolute = run(lm, "model.layers.1", lr=0.3 * 0.5 * size / relative.init.shape[0] ** 0.5, **options)
        assert torch.allclose(absolute.states[:, request], relative.states[:, request], rtol=1e-4, atol=1e-5)
        assert absolute.trace[request] == pytest.approx(relative.trace[request], rel=1e-4)


def test_another_unit_is_refused() -> None:
    with pytest.raises(ConfigError, match="lr_unit 'share': use absolute, radius"):
        NeutralOptions(lr_unit="share")
    assert OPTIONS.lr_unit == "absolute"  # as published
