"""Facts to retain reach a solver that reads them, and no other."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import zu_framework as zu
from zu_framework import LanguageModel, Request
from zu_framework.models import read_states
from zu_framework.problem import ReadPrompt

FORGET = [Request("The capital of Quinania is", "Warsaw", subject="Quinania")]
RETAIN = [
    Request("The mother tongue of Anna Norton is", "Italian", subject="Anna Norton"),
    Request("James Osborn works as a", "doctor", subject="James Osborn"),
]


def retaining(settings: dict[str, Any], weight: float) -> dict[str, Any]:
    solver = {"name": "zerounlearn-local", "space": "key", "background_weight": 1, "zero_weight": 0}
    return {
        **settings,
        "locator": {"name": "fixed", "layers": [1]},
        "solver": {**solver, "retain_weight": weight},
    }


def moved(lm: LanguageModel, settings: dict[str, Any], weight: float) -> float:
    """By how much the site's output moves at the facts to retain."""
    site = lm.site(1)
    prompts = [ReadPrompt(r.prompt, r.subject_end or 0) for r in RETAIN]
    keys = read_states(lm, [site.module], prompts)[site.module][0]
    assert keys is not None
    before = lm.weight(site).clone()
    with zu.unlearn(lm, None, FORGET, retaining(settings, weight), retain=RETAIN):
        return float(((lm.weight(site) - before) @ keys).norm())


def test_what_is_retained_hardly_moves(lm: LanguageModel, settings: dict[str, Any]) -> None:
    free, held = moved(lm, settings, 0.0), moved(lm, settings, 1e6)
    assert free > 0
    assert held < 1e-2 * free


def test_a_run_says_that_what_it_counts_was_solved_for(lm: LanguageModel, settings: dict[str, Any]) -> None:
    for weight, said in ((0.0, False), (1.0, True)):
        with zu.unlearn(lm, None, FORGET, retaining(settings, weight), retain=RETAIN) as edit:
            ((step,),) = edit.report["sites"].values()
            assert any("2 prompts of facts to retain" in n for n in step["targets"].get("notes", ())) is said


def test_substitutes_retain_what_a_forget_prompt_says_of_others(
    lm: LanguageModel, settings: dict[str, Any]
) -> None:
    site = lm.site(1)
    asked = [FORGET[0].prompt.replace("Quinania", str(r.subject)) for r in RETAIN]
    keys = read_states(lm, [site.module], [ReadPrompt(p, len(p)) for p in asked])[site.module][0]
    assert keys is not None
    before = lm.weight(site).clone()

    def change(substitutes: int) -> float:
        collector = {"name": "prompt-last", "contexts": "none", "substitutes": substitutes}
        config = {**retaining(settings, 1e6), "collector": collector}
        with zu.unlearn(lm, None, FORGET, config, retain=RETAIN):
            return float(((lm.weight(site) - before) @ keys).norm())

    assert change(2) < 1e-2 * change(0)


def test_retaining_without_facts_to_retain_is_refused_and_the_model_stays(
    lm: LanguageModel, settings: dict[str, Any]
) -> None:
    before = lm.weight(lm.site(1)).clone()
    with pytest.raises(zu.ConfigError, match=r"there are none: give them \(data.retain.*retain_weight"):
        zu.unlearn(lm, None, FORGET, retaining(settings, 1.0))
    assert torch.equal(before, lm.weight(lm.site(1)))
