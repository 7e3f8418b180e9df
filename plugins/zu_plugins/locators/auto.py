"""`auto`: the layers where an edit spills least onto other facts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from zu_framework import LanguageModel, ReadPlan, ReadPrompt, Request, RunContext, Site, other_facts
from zu_framework.models import TEXTS, Sinks, measure_sinks, read_states, text_keys
from zu_plugins.locators.options import AutoOptions
from zu_plugins.locators.price import Price, cheapest_window, price


def auto(
    lm: LanguageModel, requests: Sequence[Request], options: AutoOptions, context: RunContext
) -> list[Site]:
    """Price every layer that writes no attention sink, and choose the cheapest ones side by side.

    Three passes read the facts, other facts and some general text at all layers, and one solve a layer does the rest:
    nothing is optimised, no random number is drawn.

    Args:
        lm: The model before any write.
        requests: The facts to forget.
        options: Of the price, and how many layers.
        context: Says which layers write sinks, and what general text holds; without a run, built-in sentences serve.

    Returns:
        The sites, shallowest first.

    Raises:
        ConfigError: Every layer writes an attention sink.
    """
    sites = [lm.site(layer) for layer in sorted(lm.architecture.projections)]
    if not sites:
        lm.site(0)  # says why
    sinks = context.sinks(lm) if context.sinks else measure_sinks(lm, sites, TEXTS)
    sites = [site for site in sites if not sinks.writes(site)]
    prices = priced(lm, sites, sinks, requests, options, context)
    chosen = cheapest_window({site.layer: prices[site.layer] for site in sites}, options.width)
    layers = _listed(prices, sinks, lm)
    kept = {"locator": "auto", "picked": chosen, "layers": layers}
    context.keep("prices.json", lambda folder: _write(folder / "prices.json", kept))
    context.keep("prices.png", lambda folder: _draw(folder / "prices.png", layers, chosen))
    return [lm.site(layer) for layer in chosen]


def priced(
    lm: LanguageModel,
    sites: Sequence[Site],
    sinks: Sinks,
    requests: Sequence[Request],
    options: AutoOptions,
    context: RunContext,
) -> dict[int, Price]:
    """Price the layers of sites."""
    others = other_facts(requests, context.retain, options.others)
    keys, beside = (_keys(lm, sites, some, context) for some in (requests, others))
    text = context.text_keys(lm, sites) if context.text_keys else text_keys(lm, sites, TEXTS, sinks)
    weights = (options.background_weight, options.forget_weight, options.ridge)
    found = {}
    for done, site in enumerate(sites):
        context.progress("pricing layers", done, len(sites))
        sample = text[site.module]
        moment = sample @ sample.T / sample.shape[1]
        found[site.layer] = price(keys[site.module], beside[site.module], moment, weights)
    context.progress("pricing layers", len(sites), len(sites))
    return found


def _keys(
    lm: LanguageModel, sites: Sequence[Site], requests: Sequence[Request], context: RunContext
) -> dict[str, Tensor]:
    """Keys (i, n) of facts at sites, read where the stage's collector reads them."""
    plan: ReadPlan | None = context.plan(lm, requests) if context.plan else None
    prompts = [row[0] for row in plan.prompts] if plan else [_at_subject(request) for request in requests]
    read = read_states(lm, [site.module for site in sites], prompts, context.batch_size, outputs=False)
    return {module: keys for module, (keys, _) in read.items() if keys is not None}


def _at_subject(request: Request) -> ReadPrompt:
    if request.subject_end is None:
        return ReadPrompt(request.prompt, len(request.prompt), at_end=True)
    return ReadPrompt(request.prompt, request.subject_end)


def _listed(prices: dict[int, Price], sinks: Sinks, lm: LanguageModel) -> list[dict[str, Any]]:
    """The curve, a layer each, for the report."""
    layers: list[dict[str, Any]] = []
    for layer, module in sorted(lm.architecture.projections.items()):
        found, sink = prices.get(layer), sinks.sites.get(module)
        layers.append(
            {
                "layer": layer,
                "sink_ratio": None if sink is None else sink.ratio,
                "sink": sink is not None and sink.written,
                "spill": None if found is None else found.spill,
                "fit": None if found is None else found.fit,
                "price": None if found is None else found.value,
            }
        )
    return layers


def _write(path: Path, kept: dict[str, Any]) -> None:
    path.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


def _draw(path: Path, layers: Sequence[dict[str, Any]], chosen: Sequence[int]) -> None:
    from zu_plugins.locators.curve import draw  # matplotlib takes a while to import

    draw(layers, chosen, path)
