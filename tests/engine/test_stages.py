"""`then`: further stages on the model that the first one left, one edit and one undo for all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import zu_framework as zu
from zu_framework import ConfigError, LanguageModel, Request, SolverError
from zu_framework.config import load_config
from zu_framework.engine.check import check
from zu_framework.problem import EditProblem, Update
from zu_framework.registry.components import Registered
from zu_framework.registry.manager import Plugins, load_plugins
from zu_framework.specs import SolverSpec

Settings = dict[str, Any]

FORGET = [
    Request("The capital of Quinania is", "Warsaw", subject="Quinania"),
    Request("James Osborn works as a", "doctor", subject="James Osborn"),
]
ELSEWHERE: Settings = {
    "locator": {"layers": [0]},
    "collector": {"name": "prompt-last", "contexts": "generated"},
    "target": {"clamp": 0.5},
    "solver": {"space": "key", "zero_weight": 0, "background_weight": 3},
}


def first(settings: Settings) -> Settings:
    return {**settings, "locator": {"name": "fixed", "layers": [1]}}


def second(settings: Settings, stage: Settings) -> Settings:
    """The second stage as a configuration of its own."""
    return {
        group: stage[group]
        if "name" in stage.get(group, {})
        else {**first(settings)[group], **stage.get(group, {})}
        for group in ("locator", "collector", "background", "target", "solver")
    }


def weights(lm: LanguageModel) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in lm.model.named_parameters()}


def same(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor], tolerance: float) -> bool:
    return all(torch.allclose(ours[name], theirs[name], rtol=0, atol=tolerance) for name in theirs)


@pytest.mark.parametrize(
    ("stage", "tolerance"),
    [
        pytest.param(ELSEWHERE, 0.0, id="another layer, another place"),
        pytest.param({"target": {"clamp": 0.5}}, 1e-5, id="the same site once more"),
    ],
)
def test_two_stages_are_two_edits_one_after_the_other(
    settings: Settings, lm: LanguageModel, stage: Settings, tolerance: float
) -> None:
    untouched = weights(lm)
    ones = [zu.unlearn(lm, lm.tokenizer, FORGET, first(settings))]
    middle = weights(lm)
    ones.append(zu.unlearn(lm, lm.tokenizer, FORGET, second(settings, stage)))
    wanted = weights(lm)
    assert not same(wanted, middle, 1e-4)
    for edit in reversed(ones):
        edit.revert()

    edit = zu.unlearn(lm, lm.tokenizer, FORGET, {**first(settings), "then": [stage]})
    assert same(weights(lm), wanted, tolerance)
    assert sum(len(site.steps) for site in edit.sites) == 2
    edit.revert()
    assert same(weights(lm), untouched, 0.0)


def test_a_stage_is_laid_over_the_one_before_it() -> None:
    config = load_config(
        {
            "base": "zerounlearn-local",
            "locator": {"name": "fixed", "layers": [1]},
            "then": [{"target": {"clamp": 0.3}}, {"collector": "prompt-last", "locator": {"layers": [2]}}],
        },
        ["then.1.target.clamp=0.2", "then.0.solver.name=memit"],
    )
    zero, one, two = config.stages
    assert one.components["target"].options["clamp"] == 0.3
    assert two.components["target"].options["clamp"] == 0.2
    assert dict(one.components["collector"].options) == dict(zero.components["collector"].options)
    assert two.components["collector"].name == "prompt-last"
    assert [stage.components["locator"].options["layers"] for stage in config.stages] == [[1], [1], [2]]
    assert [stage.components["solver"].name for stage in config.stages] == [
        "zerounlearn-local",
        "memit",
        "memit",
    ]


@pytest.mark.parametrize(
    ("then", "said"),
    [
        ("{target: {clamp: 1}}", "line 3: `then` is a list of stages"),
        ("[{}]", "line 3: then.0 is a stage"),
        ("[{data: demo}]", "line 3: then.0.data: a stage may change locator, collector, target, solver"),
        ("\n- {target: {clmp: 1}}", "line 4: unknown key 'target.clmp': did you mean 'clamp'"),
        ("[{solver: unheard-of}]", "unheard-of"),
        (
            "[{locator: {name: fixed, layers: [9]}}]",
            "layer 9; this llama has layers 0 to 2 (in then.0)",
        ),
    ],
)
def test_a_stage_that_cannot_be_is_refused_before_anything_starts(
    settings: Settings, lm: LanguageModel, tmp_path: Path, then: str, said: str
) -> None:
    path = tmp_path / "stages.yaml"
    path.write_text(f"base: zerounlearn-local\nlocator: {{name: fixed, layers: [1]}}\nthen: {then}\n")
    with pytest.raises(zu.ZuError) as refused:
        check(
            path,
            [
                f"model.path={settings['model']['path']}",
                f"data.path={settings['data']['path']}",
                "data.name=jsonl",
                f"background.path={settings['background']['path']}",
            ],
        )
    assert said in str(refused.value)


def test_an_override_of_a_stage_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"then\.1: `then` has 1 entries"):
        load_config({"base": "zerounlearn-local", "then": [{"target": {"clamp": 1}}]}, ["then.1.seed=1"])


@pytest.mark.parametrize("override", ["then.0=5", "then.0=null", "then.0=memit", "then.x.solver=memit"])
def test_an_override_that_makes_no_stage_is_refused(override: str) -> None:
    with pytest.raises(ConfigError, match=r"^then\."):
        load_config({"base": "zerounlearn-local", "then": [{"target": {"clamp": 1}}]}, [override])


def test_a_stage_that_is_not_there_cannot_be_changed() -> None:
    with pytest.raises(ConfigError, match="override 'then.0.target.clamp=1': `then` is a list of stages"):
        load_config("zerounlearn-local", ["then.0.target.clamp=1"])
    assert len(load_config("two-stages", ["then=[]"]).stages) == 1


def test_another_solver_leaves_the_options_of_the_old_one_behind_in_later_stages_too() -> None:
    _, later = load_config("two-stages", ["solver.name=memit", "then.0.solver.background_weight=7"]).stages
    assert later.components["solver"].name == "memit"
    assert dict(later.components["solver"].options) == {"background_weight": 7}
    assert later.components["target"].options["clamp"] == 0.3
    own = {"base": "zerounlearn-local", "then": [{"solver": {"name": "zerounlearn-local", "space": "key"}}]}
    _, kept = load_config(own, ["solver.name=memit"]).stages
    assert dict(kept.components["solver"].options) == {"space": "key"}


def test_an_error_says_which_stage_it_is_about(settings: Settings, lm: LanguageModel) -> None:
    for stage, said in (
        ({"target": {"clmp": 1}}, r"target\.clmp.*\(in then\.0\)"),
        ({"locator": {"layers": []}}, r"layers is empty.*\(in then\.0\)"),
        ({"solver": {"retain_weight": 5}}, r"there are none.*\(in then\.0\)"),
    ):
        before = weights(lm)
        with pytest.raises(ConfigError, match=said):
            zu.unlearn(lm, lm.tokenizer, FORGET, {**first(settings), "then": [stage]})
        assert same(weights(lm), before, 0.0)


def test_moments_are_those_of_the_untouched_model_and_read_in_one_sweep(
    settings: Settings, lm: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    from zu_framework.engine import loop, solving

    seen: dict[int, list[torch.Tensor]] = {}
    sweeps: list[int] = []
    solve, sweep = solving.solve_with, loop.background_moments

    def watched(solver: Registered, problem: EditProblem, options: Any, factor: Any) -> Update:
        seen.setdefault(len(seen), []).append(problem.value_moment.clone())
        return solve(solver, problem, options, factor)

    def counted(*given: Any, **named: Any) -> Any:
        sweeps.append(len(given[1]))
        return sweep(*given, **named)

    monkeypatch.setattr(solving, "solve_with", watched)
    monkeypatch.setattr(loop, "background_moments", counted)
    below = {**settings, "locator": {"name": "fixed", "layers": [0]}}
    with zu.unlearn(lm, lm.tokenizer, FORGET, {**below, "then": [{"locator": {"layers": [1]}}]}):
        pass
    assert sweeps == [2]
    with zu.unlearn(lm, lm.tokenizer, FORGET, first(settings)):
        pass
    assert torch.equal(seen[1][0], seen[2][0])


def test_a_stage_after_a_trained_one_reads_the_weight_as_training_left_it(
    settings: Settings, lm: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    from zu_framework.engine import solving

    seen: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
    solve = solving.solve_with

    def watched(solver: Registered, problem: EditProblem, options: Any, factor: Any) -> Update:
        seen.append((problem.weight.double().clone(), problem.key_moment, problem.value_moment))
        return solve(solver, problem, options, factor)

    monkeypatch.setattr(solving, "solve_with", watched)
    trained = {"name": "ga", "train": "all", "steps": 2, "lr": 0.01}
    local = {"name": "zerounlearn-local", "background_weight": 10}
    before = lm.weight(lm.site(1)).clone()
    config = {**first(settings), "locator": {"name": "fixed", "layers": [0]}, "solver": trained}
    then = [{"locator": {"layers": [1]}, "solver": local}]
    with zu.unlearn(lm, lm.tokenizer, FORGET, {**config, "then": then}):
        ((weight, keys, values),) = seen
        assert not torch.equal(weight.float(), before)
        assert torch.allclose(values, weight @ keys @ weight.T)
    assert torch.equal(lm.weight(lm.site(1)), before)


def broken(problem: EditProblem, options: Any) -> Update:
    return Update(dense=torch.full_like(problem.weight, float("nan")))


def with_broken() -> Plugins:
    plugins = load_plugins()

    class Here(Registered):
        def load(self) -> Any:
            return broken

    plugins.registry.add(Here(SolverSpec("broken", target="here:solve", summary="of a test"), "here"))
    return plugins


def test_a_stage_that_fails_takes_the_first_back(settings: Settings, lm: LanguageModel) -> None:
    untouched = weights(lm)
    config = {**first(settings), "then": [{"solver": "broken"}]}
    with pytest.raises(SolverError, match="NaN"):
        zu.unlearn(lm, lm.tokenizer, FORGET, config, plugins=with_broken())
    assert same(weights(lm), untouched, 0.0)


def test_a_run_of_two_stages_is_applied_and_reverted_as_one(settings: Settings, tmp_path: Path) -> None:
    settings["output"] |= {"model": True}
    result = zu.run({**first(settings), "then": [{**ELSEWHERE, "solver": {"name": "memit"}}]})
    original = str(settings["model"]["path"])
    assert result.edit.about["solver"] == "zerounlearn-local then memit"
    assert {e.site.layer for e in result.edit.sites} == {0, 1}
    assert "stage 2: collector" in (result.folder / "report.html").read_text()
    zu.apply(result.folder, original, tmp_path / "edited")
    zu.revert(result.folder, tmp_path / "edited", tmp_path / "back")
    fingerprints = [
        LanguageModel.from_pretrained(str(path), device="cpu").fingerprint()
        for path in (tmp_path / "edited", result.folder / "model", tmp_path / "back", original)
    ]
    assert fingerprints[0] == fingerprints[1]
    assert fingerprints[2] == fingerprints[3] != fingerprints[0]
