"""The causal trace: corrupt the subject, put one clean state back, see how much of the answer returns.

Source: Meng et al. 2022 (arXiv 2202.05262), section 2. Ours differs in two ways: the answer is all its tokens, and
tokens before the subject are not tried, since no state there can differ.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from itertools import product

import torch
from torch import Tensor

from zu_framework import LanguageModel
from zu_framework.models import batch, continuations, replaced, run_until
from zu_plugins.locators.facts import Fact, corrupted
from zu_plugins.locators.parts import Parts, restored_together

Place = tuple[tuple[str, ...], tuple[int, ...]]  # modules and token positions whose clean states are put back


def traced_effects(
    lm: LanguageModel, fact: Fact, parts: Parts, noise: Tensor, window: int, batch_size: int
) -> tuple[dict[str, Tensor], float]:
    """Indirect effect by kind, (layers, tokens): probability with one state restored less the corrupted one.

    noise (samples, subject tokens, d); effects are means over samples; NaN where nothing was tried. Answers the
    corrupted probability too. MLP and attention outputs are restored in `window` layers around each, as ROME does.
    """
    clean = clean_states(lm, fact, parts.modules)
    places: list[Place] = []
    at: list[tuple[str, int, int]] = []
    for kind, layer in parts.places():
        modules = restored_together(parts, kind, layer, window)
        for position in fact.positions:
            places.append((modules, (position,)))
            at.append((kind, layer, position))
    probabilities = restored(lm, fact, clean, noise, [((), ()), *places], batch_size).mean(1)
    bottom = float(probabilities[0])
    effects = {kind: parts.empty(len(fact.row.ids)) for kind in parts.by_kind}
    for (kind, layer, position), probability in zip(at, probabilities[1:].tolist(), strict=True):
        effects[kind][layer, position] = probability - bottom
    return effects, bottom


def restored(
    lm: LanguageModel,
    fact: Fact,
    clean: Mapping[str, Tensor],
    noise: Tensor,
    places: Sequence[Place],
    batch_size: int,
) -> Tensor:
    """Probability of the whole answer (places, samples), corrupted, with the clean states of one place put back."""
    runs = list(product(range(len(places)), range(len(noise))))
    found = []
    for start in range(0, len(runs), batch_size):
        some = runs[start : start + batch_size]
        put: dict[str, list[tuple[int, int]]] = {}
        for row, (place, _) in enumerate(some):
            for module, position in product(*places[place]):
                put.setdefault(module, []).append((row, position))
        with ExitStack() as stack, torch.no_grad():
            stack.enter_context(corrupted(lm, fact, noise[[sample for _, sample in some]]))
            for module, where in put.items():
                rows, positions = torch.tensor(where, device=lm.device).T
                stack.enter_context(
                    replaced(lm, module, len(some), _restore(rows, positions, clean[module][positions]))
                )
            found.append(continuations(lm, [fact.row] * len(some)).log_probability.exp().cpu())
    return torch.cat(found).reshape(len(places), len(noise)).to(torch.float64)


def clean_states(lm: LanguageModel, fact: Fact, modules: Sequence[str]) -> dict[str, Tensor]:
    """Outputs (prompt tokens, d) of modules in the uncorrupted run."""
    made = batch([fact.row], lm.device)
    kept: dict[str, Tensor] = {}

    def keep(name: str, _: Tensor, left: Tensor) -> None:
        kept[name] = left[0, : len(fact.row.ids)].clone()

    run_until(lm, modules, made.input_ids, made.attention_mask, keep)
    return kept


def _restore(rows: Tensor, positions: Tensor, states: Tensor) -> Callable[[Tensor], Tensor]:
    def change(now: Tensor) -> Tensor:
        new = now.clone()
        new[rows, positions] = states
        return new

    return change
