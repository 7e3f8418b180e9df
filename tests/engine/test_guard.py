"""The guard before each write, and the verdict after a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import zu_framework as zu
from zu_framework import ExitCode, GuardError, LanguageModel, Measurement, Request, UnknownName
from zu_framework.config import GuardConfig
from zu_framework.engine.verdict import Verdict, judge
from zu_framework.specs import Limit, MetricSpec

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


METRICS = (
    MetricSpec("said", "m:a", "", better="lower", tells="forgetting", limit=Limit(10.0)),
    MetricSpec("kept", "m:a", "", better="higher", tells="damage", limit=Limit(5.0, "points")),
    MetricSpec("text", "m:a", "", better="lower", tells="damage", limit=Limit(1.05, "times")),
    MetricSpec("apart", "m:a", "", better="lower", tells="damage", limit=Limit(0.1, key="mean")),
    MetricSpec("other", "m:a", ""),
)
KNOWN = [("a", True, False), ("b", True, False)]


def one(value: float) -> Measurement:
    return Measurement(value, value, 1, "fact")


def judged(after: dict[str, float], facts: Any = KNOWN, **guard: Any) -> Verdict:
    before = {"said": one(100.0), "kept": one(90.0), "text": one(30.0)}
    found = {name: one(value) for name, value in after.items()}
    return judge(before, found, METRICS, GuardConfig(**guard), facts)


FINE = {"said": 0.0, "kept": 86.0, "text": 31.0, "apart/mean": 0.05, "other": 9e9}


def test_within_all_limits_the_model_is_intact() -> None:
    verdict = judged(FINE)
    assert verdict.headline == "forgotten, model intact" and not verdict.damaged
    assert verdict.counted == "2 of 2 known facts forgotten"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kept": 84.0}, "kept 84.00 (was 90.00; at most 5 points worse)"),
        ({"text": 32.0}, "text 32.00 (was 30.00; at most 1.05 times that)"),
        ({"text": float("inf")}, "text inf"),
        ({"text": float("nan")}, "text nan"),
        ({"apart/mean": 0.2}, "apart/mean 0.2"),
    ],
)
def test_what_passes_a_limit_is_named(change: dict[str, float], said: str) -> None:
    verdict = judged({**FINE, **change})
    assert verdict.damaged and verdict.headline.startswith(f"forgotten, model damaged: {said}")


def test_a_limit_can_be_changed_by_the_metrics_name() -> None:
    assert not judged({**FINE, "kept": 84.0}, limits={"kept": 7.0}).damaged
    assert judged(FINE, limits={"apart": 0.01}).damaged
    assert judged(FINE, limits={"apart/mean": 0.01}).damaged


@pytest.mark.parametrize("name", ["retaind", "answer_probability"])
def test_a_limit_of_nothing_that_the_verdict_reads_is_refused(
    checkpoint: Path, facts: Path, text: Path, tmp_path: Path, name: str
) -> None:
    config = settings(text, {"limits": {name: 3.0}}, **places(checkpoint, facts, tmp_path / "runs"))
    with pytest.raises(UnknownName, match=rf"guard.limits '{name}'.*retained"):
        zu.check(config)


def test_what_is_still_said_is_not_forgotten() -> None:
    verdict = judged({**FINE, "said": 50.0}, [("a", True, True), ("b", True, False)])
    assert verdict.headline == "not forgotten: said 50.00 (at most 10)"
    assert verdict.counted == "1 of 2 known facts forgotten"
    worse = judged({**FINE, "said": 50.0, "kept": 0.0}, [("a", True, True), ("b", True, False)])
    assert worse.headline.startswith("not forgotten: said 50.00 (at most 10), model damaged: kept 0")


def test_facts_that_were_not_known_are_counted_apart() -> None:
    verdict = judged(FINE, [*KNOWN, ("c", False, False), ("d", False, False)])
    assert verdict.unknown == ("c", "d")
    assert verdict.counted == "2 of 2 known facts forgotten; 2 of 4 facts were not known"
    nothing = judged(FINE, [("c", False, False)])
    assert nothing.headline == "not forgotten: none of the 1 facts was known"


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
