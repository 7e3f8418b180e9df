"""`causal-trace` and `attribution`: layers found by what restoring, or nudging, their states brings back."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from torch import Tensor

from zu_framework import ConfigError, LanguageModel, Request, RunContext, Site
from zu_plugins.locators.attribution import attributed_effects
from zu_plugins.locators.causal_trace import traced_effects
from zu_plugins.locators.curves import Curves, averaged, by_class
from zu_plugins.locators.facts import Fact, known_facts, noise_of, noise_scale
from zu_plugins.locators.options import TraceOptions
from zu_plugins.locators.parts import Parts, parts_of, window_of

Effects = Callable[[LanguageModel, Fact, Parts, Tensor, int, int], tuple[dict[str, Tensor], float]]


def causal_trace(
    lm: LanguageModel, requests: Sequence[Request], options: TraceOptions, context: RunContext
) -> list[Site]:
    """The layers around the peak of the causal trace: one forward pass for each sample, layer, kind and token.

    Raises `DataError` where no request can be traced, `ConfigError` where the noise does not touch the answer.
    """
    return _sites(
        lm, measured("causal-trace", traced_effects, lm, requests, options, context), options, context
    )


def attribution(
    lm: LanguageModel, requests: Sequence[Request], options: TraceOptions, context: RunContext
) -> list[Site]:
    """The layers around the peak of attribution patching: one forward and one backward pass a sample.

    Raises as `causal_trace` does.
    """
    return _sites(
        lm, measured("attribution", attributed_effects, lm, requests, options, context), options, context
    )


def measured(
    name: str,
    effects_of: Effects,
    lm: LanguageModel,
    requests: Sequence[Request],
    options: TraceOptions,
    context: RunContext,
) -> Curves:
    """The curves of one method over the requests that can be traced; the rest are told by a warning."""
    parts = parts_of(lm)
    window = window_of(lm.num_layers, options.window)
    facts, notes = known_facts(lm, requests, options.facts, context.batch_size)
    for note in notes:
        warnings.warn(f"locator {name!r}: {note}", stacklevel=2)
    scale = noise_scale(lm, facts, options.noise)
    each, bottoms = [], []
    for done, fact in enumerate(facts):
        context.progress(name, done, len(facts))
        noise = noise_of(lm, fact, options.samples, scale, context.seed)
        effects, bottom = effects_of(lm, fact, parts, noise, window, context.batch_size)
        each.append(by_class(fact, effects))
        bottoms.append(bottom)
    context.progress(name, len(facts), len(facts))
    mean, error = averaged(each)
    settings = {
        "noise": options.noise,
        "noise_scale": scale,
        "samples": options.samples,
        "window": window,
        "seed": context.seed,
    }
    clean = math.fsum(fact.clean for fact in facts) / len(facts)
    bottom = math.fsum(bottoms) / len(facts)
    return Curves(name, mean, error, clean, bottom, len(facts), settings, tuple(notes))


def _sites(lm: LanguageModel, curves: Curves, options: TraceOptions, context: RunContext) -> list[Site]:
    sinks = context.sinks(lm) if context.sinks else None
    barred = [n for n in curves.site_curve if sinks is not None and sinks.writes(lm.site(n))]
    picked = curves.picked(options.width, barred)
    if not curves.site_curve[curves.peak] > 0 or not curves.clean > curves.corrupted:
        raise ConfigError(
            f"locator {curves.name!r}: no MLP brings the answer back at the subject's last token (its probability is "
            f"{100 * curves.clean:.1f} % clean and {100 * curves.corrupted:.1f} % corrupted): raise locator.noise, or "
            "choose layers yourself, locator.name=fixed 'locator.layers=[...]'"
        )
    context.keep(f"{curves.name}.json", lambda folder: curves.save(folder / f"{curves.name}.json", picked))
    context.keep(f"{curves.name}.png", lambda folder: _draw(curves, picked, folder))
    return [lm.site(layer) for layer in picked]


def _draw(curves: Curves, picked: Sequence[int], folder: Path) -> None:
    from zu_plugins.locators.heatmap import draw  # matplotlib takes a while to import

    draw(curves, picked, folder / f"{curves.name}.png")
