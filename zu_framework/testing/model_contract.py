"""The contract of a model solver as a test class: what it borrows it gives back, and it does what its loss asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from zu_framework.contracts import RunContext
from zu_framework.engine.in_memory import unlearn
from zu_framework.engine.solving import solve_model
from zu_framework.models import LanguageModel
from zu_framework.problem import Site, Update
from zu_framework.registry import Chosen
from zu_framework.specs import ModelSolverSpec
from zu_framework.testing.facts import FACTS, TEXTS
from zu_framework.testing.frozen import snapshot
from zu_framework.testing.installed import registered_with
from zu_framework.testing.models import tiny_model


class ModelSolverContract:
    """Subclass it and name the solver; it runs on a tiny model with random weights.

        class TestMine(ModelSolverContract):
            solver = "mine"

    What is required: updates of the shapes of the parameters, each at most once, finite; the same bits again; a report
    with `steps` above 0, `relative_norm`, and `first_loss` and `last_loss`, of which the last is the smaller; the model
    lent as it was, to the bit.

    Attributes:
        solver: Its name.
        options: As a config would give them.
        layers: What the locator gives.
        model_type: Of the tiny model.
        dtype: Of the tiny model.
    """

    solver: ClassVar[str]
    options: ClassVar[Mapping[str, Any]] = {}
    layers: ClassVar[Sequence[int]] = (0, 1)
    model_type: ClassVar[str] = "llama"
    dtype: ClassVar[torch.dtype] = torch.float32

    def model(self) -> LanguageModel:
        """Return the same tiny model on each call."""
        lm = tiny_model(self.model_type)
        return LanguageModel.wrap(lm.model.to(self.dtype), lm.tokenizer)

    def test_it_gives_back_what_it_borrows(self) -> None:
        """The model is as it was, to the bit: weights, gradients, flags, modules, mode; and so are the requests."""
        lm = self.model()
        before, asked = snapshot(lm), tuple(FACTS)
        self._updates(lm)
        assert snapshot(lm) == before
        assert asked == FACTS

    def test_the_same_run_gives_the_same_bits(self) -> None:
        """Determinism, whatever random numbers were drawn before."""
        first = self._updates(self.model())
        torch.manual_seed(99)
        again = self._updates(self.model())
        assert [site for site, _ in first] == [site for site, _ in again]
        for (_, ours), (_, theirs) in zip(first, again, strict=True):
            assert all(torch.equal(a, b) for a, b in zip(_parts(ours), _parts(theirs), strict=True))

    def test_the_loss_falls(self) -> None:
        """And the updates say so, and change something."""
        answered = self._updates(self.model())
        for site, update in answered:
            assert update.report["last_loss"] < update.report["first_loss"], site
            assert update.report["steps"] > 0
            assert all(bool(torch.isfinite(part).all()) for part in _parts(update))
        assert any(update.report["relative_norm"] > 0 for _, update in answered)

    def test_an_edit_is_undone_to_the_bit(self, tmp_path: Path) -> None:
        """Through the front door: written by the core, and taken back."""
        lm = self.model()
        before = snapshot(lm)["tensors"]
        text = tmp_path / "text.txt"
        text.write_text("\n".join(TEXTS), encoding="utf-8")
        config = {
            "locator": {"name": "fixed", "layers": list(self.layers)},
            "collector": {"name": "prompt-last"},
            "target": {"name": "neutral"},
            "background": {"name": "text", "path": str(text)},
            "solver": {"name": self.solver, **self.options},
            # the model knows nothing that could be damaged
            "guard": {"text": None, "facts": None},
        }
        with unlearn(lm, lm.tokenizer, FACTS, config):
            assert snapshot(lm)["tensors"] != before
        assert snapshot(lm)["tensors"] == before

    def _updates(self, lm: LanguageModel) -> list[tuple[Site, Update]]:
        registered, options = registered_with("solver", self.solver, self.options)
        assert isinstance(registered.spec, ModelSolverSpec)
        sites = [lm.site(layer) for layer in self.layers]
        context = RunContext(documents=lambda: iter(TEXTS), retain=FACTS[2:])
        return solve_model(Chosen(registered, options), lm, FACTS, sites, context)


def _parts(update: Update) -> list[Tensor]:
    return [part for part in (update.left, update.right, update.dense) if part is not None]
