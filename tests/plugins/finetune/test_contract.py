"""Every gradient baseline under the contract of model solvers, and each way of training under it once."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from zu_framework import ConfigError, LanguageModel, unlearn
from zu_framework.testing import ModelSolverContract, tiny_model
from zu_framework.testing.model_contract import FACTS

QUICK: dict[str, Any] = {"steps": 4, "lr": 1e-2}


def taught() -> LanguageModel:
    """A model that believes its answers: there is nothing to weigh by confidence, or to distil, in random weights."""
    return deepcopy(_taught())


@cache
def _taught() -> LanguageModel:
    lm = tiny_model("llama")
    lesson = [replace(fact, target=fact.answer) for fact in FACTS]
    config = {
        "locator": {"name": "fixed", "layers": [0]},
        "collector": {"name": "prompt-last"},
        "target": {"name": "neutral"},
        "guard": {"text": None, "facts": None},
        "solver": {"name": "ft", "train": "all", "steps": 30, "lr": 1e-2},
    }
    unlearn(lm, lm.tokenizer, lesson, config)
    return lm


class TestFt(ModelSolverContract):
    solver = "ft"
    options: ClassVar[dict[str, Any]] = {**QUICK, "text": " school"}


class TestGa(ModelSolverContract):
    solver = "ga"
    options: ClassVar[dict[str, Any]] = QUICK


class TestGraddiff(ModelSolverContract):
    solver = "graddiff"
    options: ClassVar[dict[str, Any]] = QUICK


class TestNpo(ModelSolverContract):
    solver = "npo"
    options: ClassVar[dict[str, Any]] = QUICK


class TestSimnpo(ModelSolverContract):
    solver = "simnpo"
    options: ClassVar[dict[str, Any]] = QUICK


class TestDpo(ModelSolverContract):
    solver = "dpo"
    options: ClassVar[dict[str, Any]] = {**QUICK, "text": " school"}


class TestRmu(ModelSolverContract):
    solver = "rmu"
    options: ClassVar[dict[str, Any]] = {**QUICK, "train": "layers\\.[01]\\.mlp"}


class TestUndial(ModelSolverContract):
    solver = "undial"
    options: ClassVar[dict[str, Any]] = QUICK

    def model(self) -> LanguageModel:
        return taught()


class TestWga(ModelSolverContract):
    solver = "wga"
    options: ClassVar[dict[str, Any]] = QUICK

    def model(self) -> LanguageModel:
        return taught()


class TestEveryParameter(ModelSolverContract):
    """Norms, embeddings and tied heads among them."""

    solver = "ga"
    options: ClassVar[dict[str, Any]] = {**QUICK, "train": "all"}


class TestTransposedWeights(ModelSolverContract):
    solver = "npo"
    options: ClassVar[dict[str, Any]] = QUICK
    model_type = "gpt2"


class TestHalfPrecision(ModelSolverContract):
    solver = "ga"
    options: ClassVar[dict[str, Any]] = {**QUICK, "retain": "kl"}
    dtype = torch.bfloat16


class TestAdapter(ModelSolverContract):
    solver = "npo"
    options: ClassVar[dict[str, Any]] = {**QUICK, "lora_rank": 2}


class TestAdapterOnTransposedWeights(ModelSolverContract):
    solver = "graddiff"
    options: ClassVar[dict[str, Any]] = {**QUICK, "lora_rank": 2, "train": "mlp", "retain": "nll"}
    model_type = "gpt2"


class TestRetainedFacts(ModelSolverContract):
    solver = "graddiff"
    options: ClassVar[dict[str, Any]] = {
        **QUICK,
        "retain": "kl",
        "retain_source": "facts",
        "weight_decay": 0.1,
    }

    def test_an_edit_is_undone_to_the_bit(self, tmp_path: Path) -> None:
        """`zu.unlearn` is given no facts to retain: it says so, and the model stays as it was."""
        with pytest.raises(
            ConfigError, match="reads facts to retain under these options, and there are none"
        ):
            super().test_an_edit_is_undone_to_the_bit(tmp_path)
