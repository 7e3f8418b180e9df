"""Layers by their price: the formula by hand, the choice, and what a run leaves of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import zu_framework as zu
from zu_framework import ConfigError, LanguageModel, Request, RunContext
from zu_framework.models import Sink, Sinks
from zu_framework.testing import tiny_model
from zu_plugins.locators.auto import auto, priced
from zu_plugins.locators.options import AutoOptions
from zu_plugins.locators.price import Price, cheapest_window, price

FORGET = [
    Request("The capital of Quinania is", "Warsaw", subject="Quinania"),
    Request("James Osborn works as a", "doctor", subject="James Osborn"),
]

REFUSED = r"layer 1 \(.*down_proj\): its largest output is \d+ times.*allow_sinks=true"


def test_the_price_is_where_the_residuals_of_the_closed_form_land() -> None:
    draw = torch.Generator().manual_seed(0)
    keys, others = (torch.randn(8, n, generator=draw, dtype=torch.float64) for n in (3, 5))
    text = torch.randn(8, 40, generator=draw, dtype=torch.float64)
    moment = text @ text.T / 40
    lb, lf, ridge = 30.0, 50.0, 2.0
    found = price(keys, others, moment, (lb, lf, ridge))
    # Delta = lf R K^T (lb C + ridge I + lf K K^T)^-1 for unit residuals R = I, on keys K and k_r
    system = lb * moment + ridge * torch.eye(8, dtype=torch.float64) + lf * keys @ keys.T
    delta = lf * keys.T @ torch.linalg.inv(system)
    assert found.spill == pytest.approx(float((delta @ others).norm(dim=0).mean()), rel=1e-9)
    assert found.fit == pytest.approx(float((delta @ keys).diagonal().mean()), rel=1e-9)
    assert found.value == pytest.approx(found.spill / found.fit)


def test_the_cheapest_layers_side_by_side_are_chosen() -> None:
    prices = {layer: Price(spill, 1.0) for layer, spill in enumerate([1, 0.1, 5, 3, 2, 2, 3])}
    assert cheapest_window(prices, 1) == [1]
    assert cheapest_window(prices, 2) == [0, 1]
    assert cheapest_window({n: p for n, p in prices.items() if n != 4}, 3) == [0, 1, 2]
    assert cheapest_window({0: prices[0], 2: prices[2], 4: prices[4]}, 3) == [0]  # no two side by side
    with pytest.raises(ConfigError, match="attention sink"):
        cheapest_window({}, 3)


def test_a_layer_where_the_edit_does_not_take_is_not_cheap() -> None:
    assert cheapest_window({0: Price(0.2, 1.0), 1: Price(0.1, 0.1)}, 1) == [0]


def test_a_curve_that_cannot_be_written_costs_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    failed: list[str] = []
    context = RunContext(artifacts=tmp_path / "file", part_failed=lambda name, why: failed.append(name))
    assert auto(tiny_model("llama"), FORGET, AutoOptions(width=1), context)
    assert failed == ["prices.json", "prices.png"]


def test_layers_that_write_sinks_are_left_out() -> None:
    lm = tiny_model("llama")
    cheapest = [site.layer for site in auto(lm, FORGET, AutoOptions(width=1), RunContext())]
    written = Sink(500.0, 0, "The", 500.0, 1.0)
    context = RunContext(sinks=lambda lm: Sinks({lm.site(cheapest[0]).module: written}))
    assert [site.layer for site in auto(lm, FORGET, AutoOptions(width=1), context)] != cheapest


def test_nothing_is_drawn_and_the_model_stays_as_it_was() -> None:
    lm = tiny_model("llama")
    before, state = lm.fingerprint(), torch.random.get_rng_state()
    first, second = (auto(lm, FORGET, AutoOptions(width=2), RunContext(seed=seed)) for seed in (0, 1))
    assert first == second and lm.fingerprint() == before
    assert torch.equal(torch.random.get_rng_state(), state)


def test_facts_to_retain_stand_for_other_facts() -> None:
    lm = tiny_model("llama")
    sites = [lm.site(layer) for layer in range(3)]
    alike = tuple(Request(r.prompt + " now", "x", subject=r.subject) for r in FORGET)
    made_up, near = (
        priced(lm, sites, Sinks({}), FORGET, AutoOptions(others=2), RunContext(retain=retain))
        for retain in ((), tuple(Request(r.prompt, r.answer) for r in alike))
    )
    assert made_up != near


def settings(text: Path, **groups: Any) -> dict[str, Any]:
    return {
        "collector": {"name": "subject-last", "contexts": "none"},
        "background": {"name": "text", "path": str(text)},
        "target": {"name": "neutral", "text": " unknown", "steps": 2},
        "solver": {"name": "zerounlearn-local", "space": "key", "zero_weight": 0},
        "guard": {"text": None, "facts": None},
        **groups,
    }


def test_fixed_refuses_a_layer_that_writes_a_sink_and_says_the_way_out(
    sinking: LanguageModel, text: Path
) -> None:
    config, before = settings(text, locator={"name": "fixed", "layers": [0, 1]}), sinking.fingerprint()
    with pytest.raises(ConfigError, match=REFUSED):
        zu.unlearn(sinking, None, FORGET, config)
    assert sinking.fingerprint() == before
    config["locator"]["allow_sinks"] = True
    with zu.unlearn(sinking, None, FORGET, config) as edit:
        assert [site.site.layer for site in edit.sites] == [0, 1]


def test_a_subject_on_the_first_token_is_read_behind_a_context(sinking: LanguageModel, text: Path) -> None:
    facts = [Request("The is the capital of", "France", subject="The"), FORGET[1]]
    config = settings(text, locator={"name": "auto", "width": 1})
    with zu.unlearn(sinking, None, facts, config) as edit:
        (steps,) = edit.report["sites"].values()
        assert [site.site.layer for site in edit.sites] != [1]
    assert any("begin with their subject" in note for note in steps[0]["targets"]["notes"])


def test_a_run_keeps_the_curve_and_shows_it(
    checkpoint: Path, facts: Path, text: Path, tmp_path: Path
) -> None:
    config = settings(
        text,
        locator={"name": "auto", "width": 1},
        model={"path": str(checkpoint)},
        data={"name": "jsonl", "path": str(facts), "forget": 2},
        output={"folder": str(tmp_path)},
    )
    result = zu.run({"name": "priced", **config})
    kept = json.loads((result.folder / "prices.json").read_text("utf-8"))
    assert [layer["layer"] for layer in kept["layers"]] == [0, 1, 2]
    cheapest = min(kept["layers"], key=lambda layer: layer["price"])
    assert kept["picked"] == [cheapest["layer"]] == [site.site.layer for site in result.edit.sites]
    assert (result.folder / "prices.png").stat().st_size > 0
    page = (result.folder / "report.html").read_text("utf-8")
    assert "Why these layers" in page
