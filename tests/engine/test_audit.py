"""`zu audit`: of a run folder and of any model, resumed, with its verdict, page and exit code."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import zu_framework as zu
from zu_framework.cli import main
from zu_framework.config import read_layer
from zu_framework.engine import audit as audit_module
from zu_framework.sealing.leftovers import cached_targets
from zu_plugins.audits.plugin import AUDITS

ATTACKS = [
    "audit.attacks=[quantize,lens,relearn]",
    "audit.options.quantize.schemes=[q8_0]",
    "audit.options.relearn={steps: 2, texts: [half], points: 1}",
    "audit.forget=3",
    "audit.retain=2",
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A quick run on the demo: no optimisation to speak of."""
    folder = tmp_path_factory.mktemp("runs")
    quick = ["target.steps=6", "output.report=true", "evaluate.metrics=[efficacy]", "data.forget=4"]
    return zu.run("demo", [*quick, f"output.folder={folder}", "output.name=one"]).folder


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "one"))


def test_a_run_is_attacked_beside_its_references(run: Path) -> None:
    report = zu.audit(run, overrides=[*ATTACKS, "evaluate.reference=zu:demo-twin"])
    assert [one.variant for one in report.findings] == ["q8_0", "lens", "relearn half"]
    assert report.asked == 3 and report.known == 3
    first = report.findings[0]
    assert first.references["untouched"].value == 100 and first.references["twin"].value == 0
    assert {"never known", "retained"} <= set(first.references)
    assert report.verdict.startswith("holds under") and report.folder == run / "audit"
    kept = json.loads((run / "audit" / "metrics.json").read_text("utf-8"))
    assert kept["verdict"] == report.verdict and len(kept["findings"]) == 3
    assert oct((run / "audit").stat().st_mode)[-3:] == "700"


def test_an_attack_that_compares_is_given_the_untouched_model(run: Path) -> None:
    told = ["audit.attacks=[depth]", "audit.forget=3", "audit.retain=2", "evaluate.reference=zu:demo-twin"]
    (found,) = zu.audit(run, overrides=told).findings
    # its own states cost the untouched model nothing, the edited ones something
    assert found.references["untouched"].value == pytest.approx(100)
    assert found.references["twin"].value == pytest.approx(0)
    assert found.answered is not None and found.answered.value < 99.99


def test_what_was_attacked_before_is_not_attacked_again(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = zu.audit(run, overrides=ATTACKS)
    kept = next((run / "audit" / "attacks").glob("lens-edited-*.json"))
    kept.write_text("damaged", "utf-8")
    made: list[str] = []

    def watched(label: str, done: int, total: int) -> None:
        if label.endswith("model"):
            made.append(label)

    again = zu.audit(run, overrides=ATTACKS, progress=watched)
    assert made == ["lens on the edited model"]
    assert [one.share for one in again.findings] == [one.share for one in first.findings]


def test_what_a_reference_answers_serves_every_edit_of_it(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZU_CACHE", str(tmp_path / "cache"))
    told = [*ATTACKS, "evaluate.reference=zu:demo-twin", "output.share_targets=true"]
    first = zu.audit(run, overrides=told)
    other = shutil.copytree(run, tmp_path / "other")
    shutil.rmtree(other / "audit")
    made: list[str] = []

    def watched(label: str, done: int, total: int) -> None:
        if label.endswith("model"):
            made.append(label)

    again = zu.audit(other, overrides=told, progress=watched)
    assert made == [f"{name} on the edited model" for name in ("quantize", "lens", "relearn")]
    assert [one.references for one in again.findings] == [one.references for one in first.findings]
    entries = list((tmp_path / "cache" / "audits").glob("*.safetensors"))
    assert len(entries) == 6  # three attacks on the untouched model and on the twin
    prompts = [fact["prompt"] for fact in json.loads((run / "facts.json").read_text("utf-8"))["facts"]]
    assert not any(prompt.encode() in entry.read_bytes() for prompt in prompts for entry in entries)
    logged = {path.name for path in cached_targets(other)}
    assert {entry.name for entry in entries} <= logged
    shutil.rmtree(other / "audit")
    zu.audit(other, overrides=[*told, "seed=1"])
    assert len(list((tmp_path / "cache" / "audits").glob("*.safetensors"))) == 12


def test_an_attack_that_cannot_be_made_is_a_note(run: Path) -> None:
    told = ["audit.attacks=[wording,quantize]", "audit.options.wording.ways=[translations]", *ATTACKS[1:2]]
    report = zu.audit(run, overrides=told)
    assert [one.attack for one in report.findings] == ["quantize"]
    assert report.notes == ["wording: the facts have no text for translations"]


def test_an_attack_that_leaves_the_model_changed_is_not_counted(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from zu_plugins.audits import lens

    def vandal(lm: zu.LanguageModel, *given: object) -> dict[str, zu.Outcome]:
        lm.weight(lm.site(0)).add_(1)
        return {"lens": zu.Outcome({"forget": (1.0, 1.0, 1.0)})}

    monkeypatch.setattr(lens, "audit", vandal)
    with pytest.raises(zu.ZuError, match="did not leave the model as it was"):
        zu.audit(run, overrides=["audit.attacks=[lens]", "audit.forget=3"])


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["audit.attacks=[]"], "audit.attacks is empty"),
        (["audit.attacks=[lense]"], "did you mean 'lens'"),
        (["audit.options.lens.rnk=2"], "rnk"),
        (["audit.limit=x"], "audit.limit"),
    ],
)
def test_mistakes_are_met_at_the_door(run: Path, overrides: list[str], said: str) -> None:
    with pytest.raises(zu.ZuError, match=said):
        zu.audit(run, overrides=overrides)
    assert not (run / "audit").exists()


@pytest.mark.parametrize("target", ["nowhere", "."])
def test_what_is_no_run_folder_is_called_so(target: str) -> None:
    with pytest.raises(
        zu.ConfigError, match=f"^{target} is no run folder .*; of a model, give the facts too: data"
    ):
        zu.audit(target, overrides=ATTACKS)


def test_another_base_is_refused(run: Path) -> None:
    with pytest.raises(zu.ModelError, match="not the model"):
        zu.audit(run, overrides=ATTACKS, base="zu:demo-twin")


def test_any_model_is_attacked_with_a_data_set(tmp_path: Path) -> None:
    where = [f"output.folder={tmp_path}", "output.name=twin", "data.name=demo"]
    report = zu.audit("zu:demo-twin", overrides=[*ATTACKS, *where], base="zu:demo")
    assert report.known == 3 and report.lost == 3
    assert report.findings[0].recovered is not None and report.findings[0].recovered.value == 0
    assert (tmp_path / "twin" / "metrics.json").is_file()
    alone = zu.audit("zu:demo", overrides=[*ATTACKS, *where[:1], "output.name=alone", where[2]])
    assert alone.known is None and alone.findings[0].recovered is None
    assert alone.findings[0].answered is not None and alone.findings[0].answered.value == 100


def test_the_command_prints_the_verdict_and_exits_by_the_limit(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["audit", str(run), *ATTACKS, "--fail-over", "-1"])
    assert stopped.value.code == 4
    said = capsys.readouterr().out
    assert said.splitlines()[0].startswith("holds under") and "audit.html" in said.replace("\n", "")
    page = (run / "audit" / "audit.html").read_text("utf-8")
    assert "Attack by attack" in page and "<script" in page
    main(["audit", str(run), *ATTACKS, "--json"])
    assert json.loads(capsys.readouterr().out)["asked"] == 3


def test_the_page_of_the_run_shows_its_audit(run: Path) -> None:
    zu.audit(run, overrides=ATTACKS[:2] + ATTACKS[3:])
    main(["report", str(run)])
    assert "Under attack" in (run / "report.html").read_text("utf-8")


def test_presets_name_attacks_that_there_are_and_full_names_all() -> None:
    assert set(audit_module.audits()) == {"quick", "full"}
    shipped = {spec.name for spec in AUDITS}
    quick, full = (read_layer(name, audit_module.audits())[1].tree["audit"] for name in ("quick", "full"))
    assert (
        set(full["attacks"]) == shipped > set(quick["attacks"]) == set(quick["options"]) | {"lens", "depth"}
    )


@pytest.mark.slow
def test_the_full_preset_makes_every_attack(run: Path) -> None:
    report = zu.audit(run, "full", ["audit.forget=3", "audit.retain=4"])
    full = read_layer("full", audit_module.audits())[1].tree["audit"]["attacks"]
    assert list(dict.fromkeys(one.attack for one in report.findings)) == full and report.known == 3
    relearnt = [one for one in report.findings if one.attack == "relearn"]
    assert all(one.curve["step"] == [0, 10, 20, 30, 40] for one in relearnt)
    assert all(one.references["untouched"].value > 0 for one in report.findings if one.attack == "prune")
