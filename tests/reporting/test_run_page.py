"""The page of a run: what it says, that old and broken runs have one, and that sections are plugins shut in."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from markupsafe import Markup
from safetensors.torch import load_file

from tests.reporting.conftest import FACTS, HOSTILE
from tests.reporting.test_page import Tags
from zu_framework import SectionSpec, ZuError, hookimpl
from zu_framework.cli.app import main
from zu_framework.registry.manager import load_plugins
from zu_framework.reporting.run_page import write_run_page

SHIPPED = ["verdict", "asked", "measured", "facts", "edit", "representations", "lens", "cost", "revert"]


def html(folder: Path) -> str:
    return (folder / "report.html").read_text("utf-8")


def anchors(said: str) -> list[str]:
    return re.findall(r'<section id="([^"]+)"', said)


def test_a_run_leaves_a_page_with_every_section(whole_run: Path) -> None:
    said = html(whole_run)
    assert anchors(said) == SHIPPED
    assert "could not be made" not in said and 'class="missing"' not in said
    metrics = json.loads((whole_run / "metrics.json").read_text())
    seen = Tags(said)
    for fingerprint in ("fingerprint_before", "fingerprint_after"):
        assert metrics["edit"][fingerprint] in seen.text
    assert f"zu revert {whole_run} EDITED_DIR ORIGINAL_DIR" in seen.text
    for site in metrics["edit"]["sites"]:
        assert site in seen.text
    assert len(re.findall(r'<svg class="plot"', said)) == 1 + 2 + 2  # spectra, two sites, two lens panels


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (("solver.name=ga", "solver.steps=2", "solver.train=all"), "model.embed_tokens"),
        (("solver.group_size=2", "output.undo=false"), "output.undo=false"),
        (
            ("report.prompts=0", "report.completions=0", "report.facts=0", "evaluate.metrics=[]"),
            "report.prompts",
        ),
    ],
    ids=["a model solver", "several passes, no undo", "nothing looked at"],
)
def test_every_kind_of_run_has_a_page(
    run_with: Callable[..., Path], overrides: tuple[str, ...], said: str
) -> None:
    page = html(run_with(*overrides))
    assert anchors(page) == SHIPPED and 'class="failed"' not in page and "could not be made" not in page
    assert said in Tags(page).text


def test_a_look_that_fails_costs_its_part_alone(
    run_with: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("no lens today")

    monkeypatch.setattr("zu_framework.reporting.snapshot.answer_lens", broken)
    page = html(run_with())
    assert "no lens today" in Tags(page).text and anchors(page) == SHIPPED


def test_a_hostile_fact_is_text(whole_run: Path) -> None:
    seen = Tags(html(whole_run))
    assert seen.tags.count("script") == 1 and "img" not in seen.tags
    assert HOSTILE in seen.text and "<img src=x onerror=alert(2)>" in seen.text


def test_facts_hold_what_the_model_says_of_them(whole_run: Path) -> None:
    held = json.loads((whole_run / "facts.json").read_text())
    assert sorted(fact["prompt"] for fact in held["facts"]) == sorted(prompt for prompt, _, _ in FACTS)
    assert [fact["set"] for fact in held["facts"]] == ["forget"] * 3 + ["retain"] * 2
    assert held["total"] == {"forget": 3, "retain": 2} and held["failed"] == {}
    metrics = json.loads((whole_run / "metrics.json").read_text())
    for when in ("before", "after"):
        shares = [fact[when]["probability"] for fact in held["facts"] if fact["set"] == "forget"]
        assert sum(shares) / 3 == pytest.approx(metrics[when]["answer_probability"]["value"], rel=1e-4)


def test_what_the_page_shows_is_small_and_beside_the_run(whole_run: Path) -> None:
    sizes = [(whole_run / name).stat().st_size for name in ("facts.json", "analysis.safetensors")]
    assert max(sizes) < 20_000
    tensors = load_file(whole_run / "analysis.safetensors")
    assert tensors["lens/before"].shape == (5, 3)
    # forget outputs move at an edited site; the untouched embedding below would not
    assert float(tensors["outputs/model.layers.0.mlp.down_proj/moved"][:3].min()) > 0


def test_the_page_is_rebuilt_from_the_folder_alone(
    run_copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = html(run_copy)
    (run_copy / "report.html").unlink()
    main(["report", str(run_copy)])
    assert f"report: {run_copy / 'report.html'}" in capsys.readouterr().out
    assert str(run_copy) in html(run_copy)
    assert anchors(html(run_copy)) == anchors(first)
    assert [p.name for p in run_copy.iterdir() if "partial" in p.name] == []


def test_a_run_without_the_analysis_has_a_page_that_says_what_is_missing(run_copy: Path) -> None:
    for name in ("facts.json", "analysis.safetensors", "log.jsonl", "config.yaml", "undo.safetensors"):
        (run_copy / name).unlink()
    write_run_page(run_copy)
    said = html(run_copy)
    assert anchors(said) == SHIPPED and "could not be made" not in said
    for name in ("facts.json", "analysis.safetensors", "log.jsonl", "config.yaml", "undo.safetensors"):
        assert re.search(rf'class="missing">[^<]*{re.escape(name)}', said), name


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        ("nowhere", "does not exist"),
        ("no metrics", "holds no metrics.json"),
        ("cut", "metrics.json is damaged"),
        ("other json", "metrics.json is not one of a run"),
        ("another number", "metrics.json is damaged: its description is not what was written"),
        ("facts", "facts.json"),
        ("format", "facts.json"),
    ],
)
def test_what_is_no_run_folder_is_told_in_one_message(
    run_copy: Path, capsys: pytest.CaptureFixture[str], spoil: str, why: str
) -> None:
    metrics, facts, folder = run_copy / "metrics.json", run_copy / "facts.json", run_copy
    match spoil:
        case "nowhere":
            folder = run_copy / "nowhere"
        case "no metrics":
            metrics.unlink()
        case "cut":
            metrics.write_bytes(metrics.read_bytes()[:100])
        case "other json":
            metrics.write_text('{"before": 1}')
        case "another number":
            metrics.write_text(metrics.read_text().replace('"value": ', '"value": 1', 1))
        case "facts":
            facts.write_text("[]")
        case "format":
            facts.write_text(facts.read_text().replace('"format": 1', '"format": 99'))
    before = (run_copy / "report.html").read_bytes()
    with pytest.raises(SystemExit) as left:
        main(["report", str(folder)])
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and str(folder.name) in said and "Traceback" not in said
    assert why in " ".join(said.split())
    assert (run_copy / "report.html").read_bytes() == before


def offering(*specs: SectionSpec) -> Any:
    """The installed plugins and one that offers these sections."""
    from importlib.metadata import EntryPoint, entry_points

    class Point(EntryPoint):
        def load(self) -> Any:
            plugin = ModuleType("strange")
            plugin.zu_register_report_sections = hookimpl(  # type: ignore[attr-defined]
                specname="zu_register_report_sections"
            )(lambda register: [register(spec) for spec in specs])
            return plugin

    points = [*entry_points(group="zu_framework"), Point("strange", "strange", "zu_framework")]
    return load_plugins(points)


def trusted(run: Any) -> Markup:
    return Markup("<em>{}</em>").format(run.name)


def plain(run: Any) -> str:
    return "<script>alert(3)</script>"


def nothing(run: Any) -> None:
    return None


def raising(run: Any) -> str:
    raise ValueError("<b>broke</b>")


def wrong(run: Any) -> int:
    return 3


def test_sections_of_strangers_stand_in_their_order_and_a_broken_one_costs_only_itself(
    run_copy: Path,
) -> None:
    here = "tests.reporting.test_run_page"
    names = {"trusted": 5, "plain": 15, "nothing": 25, "raising": 35, "wrong": 45}
    specs = [SectionSpec(n, f"{here}:{n}", "of a test", order=order) for n, order in names.items()]
    specs.append(SectionSpec("gone", "no.such.module:section", "of a test", order=99))
    write_run_page(run_copy, plugins=offering(*specs))
    said = html(run_copy)
    wanted = [
        "trusted",
        "verdict",
        "asked",
        "plain",
        "measured",
        "facts",
        "raising",
        "edit",
        "wrong",
        *SHIPPED[5:],
        "gone",
    ]
    assert anchors(said) == wanted
    assert said.count("could not be made") == 3
    seen = Tags(said)
    assert "em" in seen.tags and seen.tags.count("script") == 1
    assert "<script>alert(3)</script>" in seen.text and "ValueError: <b>broke</b>" in seen.text


def test_a_name_that_two_plugins_offer_belongs_to_neither(run_copy: Path) -> None:
    write_run_page(run_copy, plugins=offering(SectionSpec("lens", "x:y", "of a test", order=60)))
    assert "is offered by &#39;zu_reports&#39; and &#39;strange&#39;" in html(run_copy)


def test_what_a_component_kept_for_itself_costs_no_page(run_copy: Path) -> None:
    (run_copy / "theirs.json").write_text("[1, 2]", "utf-8")
    assert write_run_page(run_copy).is_file()
    (run_copy / "theirs.json").write_text("{", "utf-8")
    with pytest.raises(ZuError, match="theirs.json is damaged"):
        write_run_page(run_copy)


def test_a_run_folder_that_is_missing_raises_for_python_too(tmp_path: Path) -> None:
    with pytest.raises(ZuError, match="does not exist"):
        write_run_page(tmp_path / "none")


def test_the_verdict_and_what_it_follows_from_stand_above_all(whole_run: Path) -> None:
    head = html(whole_run).partition("<nav")[0]
    verdict = json.loads((whole_run / "metrics.json").read_text())["verdict"]["headline"]
    assert str(Markup.escape(verdict)) in head
    for name in ("efficacy", "retained", "perplexity", "kl/mean"):
        assert f'<span class="name">{name}' in head
