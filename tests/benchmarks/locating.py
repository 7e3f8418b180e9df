"""How well attribution patching agrees with the causal trace: same facts, same noise, curve by curve.

    python -m tests.benchmarks.locating --out traces
    python -m tests.benchmarks.locating --out traces --model MODEL_DIR --counterfact FILE

Without a model, the embedded one and its facts. Prints a Markdown table and leaves curves and heat maps in `--out`.
"""

from __future__ import annotations

import time
import warnings
from pathlib import Path

import torch
from scipy.stats import spearmanr

import zu_framework as zu
from tests.benchmarks.commands import parser, table
from zu_framework.config import load_config
from zu_framework.engine.opening import read_data
from zu_framework.engine.session import resolve
from zu_framework.registry.manager import installed_plugins
from zu_plugins.locators.attribution import attributed_effects
from zu_plugins.locators.causal_trace import traced_effects
from zu_plugins.locators.facts import CLASSES
from zu_plugins.locators.heatmap import draw
from zu_plugins.locators.options import TraceOptions
from zu_plugins.locators.tracing import measured


def main() -> None:
    """Print the table and leave the curves."""
    arguments = parser(__doc__)
    arguments.add_argument("--out", type=Path, required=True, help="folder of the curves and heat maps")
    arguments.add_argument("--model", default="zu:demo")
    arguments.add_argument(
        "--counterfact", help="facts in CounterFact's schema; else those of the demo world"
    )
    arguments.add_argument("--facts", type=int, default=40)
    arguments.add_argument("--samples", type=int, default=5)
    arguments.add_argument("--seed", type=int, default=0)
    asked = arguments.parse_args()
    data = ["data.name=demo"]
    if asked.counterfact:
        data = ["data.name=counterfact", f"data.path={asked.counterfact}"]
    config = load_config("demo", [*data, f"data.forget={asked.facts}", f"seed={asked.seed}"])
    requests = read_data(resolve(config, installed_plugins(), ("data",))).forget
    lm = zu.LanguageModel.from_pretrained(asked.model, dtype="float32")
    options = TraceOptions(width=1, samples=asked.samples, facts=0)
    context = zu.RunContext(seed=asked.seed, batch_size=64)
    asked.out.mkdir(parents=True, exist_ok=True)
    found, took = [], []
    for name, effects in (("causal-trace", traced_effects), ("attribution", attributed_effects)):
        start = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            curves = measured(name, effects, lm, requests, options, context)
        took.append(time.process_time() - start)
        found.append(curves)
        curves.save(asked.out / f"{name}.json", curves.picked(1))
        draw(curves, curves.picked(1), asked.out / f"{name}.png")
    trace, cheap = found
    print(
        f"{trace.facts} facts, {asked.samples} samples; clean {trace.clean:.3f}, corrupted {trace.corrupted:.3f}; "
        f"peak layers {trace.peak} and {cheap.peak}; processor seconds {took[0]:.0f} and {took[1]:.1f}\n"
    )
    for curves in found:
        listed = ", ".join(f"{100 * v:.1f}" for v in curves.site_curve.values())
        print(f"{curves.name}: MLP at the subject's last token, by layer: {listed}; notes {curves.notes}")
    rows = []
    for kind in trace.mean:
        ours, theirs = trace.mean[kind], cheap.mean[kind]
        cells = [rank_correlation(ours[:, c], theirs[:, c]) for c in range(len(CLASSES))]
        rows.append(
            (kind, *(f"{c:.2f}" for c in [*cells, rank_correlation(ours.flatten(), theirs.flatten())]))
        )
    print(f"\n{table(('state', *CLASSES, 'all cells'), rows)}")


def rank_correlation(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """Spearman's, where both have a number."""
    both = ~(ours.isnan() | theirs.isnan())
    return float(spearmanr(ours[both].numpy(), theirs[both].numpy()).statistic)


if __name__ == "__main__":
    main()
