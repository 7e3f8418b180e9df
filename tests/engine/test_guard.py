"""The guard before each write, and the verdict after a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

import zu_framework as zu
from zu_framework import ExitCode, GuardError, LanguageModel, Request, UnknownName

FORGET = [
    Request("The capital of Quinania is", "Warsaw", subject="Quinania"),
    Request("James Osborn works as a", "doctor", subject="James Osborn"),
]


def settings(text: Path, guard: dict[str, Any], **groups: Any) -> dict[str, Any]:
    return {
        "locator": {"name": "fixed", "layers": [0, 1]},
        "collector": {"name": "subject-last", "contexts": "none"},
        "background": {"name": "text", "path": str(text)},
        "target": {"name": "neutral", "text": " unknown", "steps": 3},
        "solver": {"name": "zerounlearn-local", "space": "key", "zero_weight": 0, "background_weight": 1},
        "guard": guard,
        **groups,
    }


OUTPUT = {"name": "zerounlearn-local", "space": "output", "zero_weight": 0}
FT = {"name": "ft", "text": ".", "steps": 2, "lr": 0.01}


@pytest.mark.parametrize("solver", [None, OUTPUT, {"name": "zerounlearn"}, FT, {**FT, "train": "all"}])
def test_both_predictions_are_reported_for_every_form_of_update(
    lm: LanguageModel, text: Path, solver: Any
) -> None:
    config = settings(text, {"text": 1e9, "facts": 1e9}, **({"solver": solver} if solver else {}))
    with zu.unlearn(lm, None, FORGET, config) as edit:
        reported = {name: steps[0].get("guard", {}) for name, steps in edit.report["sites"].items()}
    projections = [reported[lm.site(layer).module] for layer in (0, 1)]
    for predicted in projections:
        assert predicted["text"] > 0 and predicted["facts"] > 0
    assert all(set(predicted) in ({"text", "facts"}, set()) for predicted in reported.values())


@pytest.mark.parametrize(("name", "what"), [("text", "general text"), ("facts", "other facts")])
@pytest.mark.parametrize("solver", [None, FT])
def test_above_a_limit_nothing_stays_written(
    lm: LanguageModel, text: Path, name: str, what: str, solver: Any
) -> None:
    groups = {"solver": solver} if solver else {}
    with zu.unlearn(lm, None, FORGET, settings(text, {"text": 1e9, "facts": 1e9}, **groups)) as edit:
        values = [steps[0]["guard"][name] for steps in edit.report["sites"].values()]
    # the limit lies between the first site and both: the first is written, and taken back
    guard = {"text": None, "facts": None, name: values[0] + values[1] / 2}
    before = lm.fingerprint()
    with pytest.raises(
        GuardError, match=rf"layer \d\).*{what}.*the limit is.*locator.name=auto.*guard.{name}=null"
    ) as caught:
        zu.unlearn(lm, None, FORGET, settings(text, guard, **groups))
    assert caught.value.exit_code == ExitCode.DAMAGED
    assert lm.fingerprint() == before


def test_a_stage_after_a_trained_one_is_judged_by_what_the_model_reads_then(
    lm: LanguageModel, text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from zu_framework.engine import guard

    seen: list[Tensor] = []
    change = guard.change_on_keys

    def watched(weight: Tensor, update: zu.Update, keys: Tensor) -> Any:
        seen.append(keys.clone())
        return change(weight, update, keys)

    monkeypatch.setattr(guard, "change_on_keys", watched)
    closed = {"solver": {"name": "zerounlearn-local", "space": "key", "zero_weight": 0}}
    config = settings(text, {"text": None, "facts": 1e9}, solver=FT, then=[closed])
    with zu.unlearn(lm, None, FORGET, config):
        [trained_0, trained_1, keys_0, keys_1] = seen
    assert trained_0.equal(keys_0) and trained_1.shape == keys_1.shape
    assert not trained_1.equal(keys_1), "layer 1 reads what layer 0, trained, gives"


def test_a_run_stopped_by_the_guard_leaves_no_folder(
    checkpoint: Path, facts: Path, text: Path, tmp_path: Path
) -> None:
    config = settings(text, {"facts": 1e-6}, **places(checkpoint, facts, tmp_path / "runs"))
    with pytest.raises(GuardError):
        zu.run({"name": "stopped", **config})
    assert not [path for path in (tmp_path / "runs").glob("*") if not path.name.startswith(".")]


def places(checkpoint: Path, facts: Path, folder: Path, **output: Any) -> dict[str, Any]:
    return {
        "model": {"path": str(checkpoint)},
        "data": {"name": "jsonl", "path": str(facts), "forget": 2},
        "output": {"folder": str(folder), **output},
    }


@pytest.mark.parametrize("name", ["retaind", "answer_probability"])
def test_a_limit_of_nothing_that_the_verdict_reads_is_refused(
    checkpoint: Path, facts: Path, text: Path, tmp_path: Path, name: str
) -> None:
    config = settings(text, {"limits": {name: 3.0}}, **places(checkpoint, facts, tmp_path / "runs"))
    with pytest.raises(UnknownName, match=rf"guard.limits '{name}'.*retained"):
        zu.check(config)


def run(checkpoint: Path, facts: Path, text: Path, folder: Path, **guard: Any) -> zu.RunResult:
    groups = places(checkpoint, facts, folder, model=True)
    config = settings(text, {"text": None, "facts": None, **guard}, **groups)
    return zu.run({"name": "judged", **config})


def test_a_run_says_its_verdict_first(checkpoint: Path, facts: Path, text: Path, tmp_path: Path) -> None:
    result = run(checkpoint, facts, text, tmp_path, limits={"kl": 1e-9})
    assert result.verdict is not None and result.verdict.damaged and result.exit_code == ExitCode.DAMAGED
    kept = json.loads((result.folder / "metrics.json").read_text("utf-8"))
    assert next(iter(kept)) == "verdict" and kept["verdict"]["headline"] == result.verdict.headline
    assert len(kept["verdict"]["unknown"]) == 2  # a model with random weights knows nothing
    page = (result.folder / "report.html").read_text("utf-8")
    assert page.index('id="verdict"') < page.index('id="measured"') and "model damaged: kl/mean" in page
    assert (result.folder / "model").is_dir() and not result.edit.reverted


def test_a_damaged_model_is_put_back_on_request(
    checkpoint: Path, facts: Path, text: Path, tmp_path: Path
) -> None:
    result = run(checkpoint, facts, text, tmp_path, limits={"kl": 1e-9}, on_fail="revert")
    assert result.edit.reverted and result.exit_code == ExitCode.DAMAGED
    assert result.verdict is not None and result.verdict.headline.endswith("(the edit was taken back)")
    untouched = LanguageModel.from_pretrained(str(checkpoint), device="cpu")
    assert result.edit.lm.fingerprint() == untouched.fingerprint()
    assert not (result.folder / "model").exists()
