"""What the gradient baselines train: parameters of the model, or LoRA factors around them, lent and put back."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from zu_framework import ConfigError, LanguageModel, Site, Update, ZuError
from zu_framework.linalg import product_norm
from zu_framework.models import lent
from zu_plugins.finetune.options import LORA_TAKES, TrainOptions

ADAPTER = "zu"  # name under which LoRA factors live in the model while they are trained


@dataclass
class Trained:
    """One parameter in training.

    Args:
        lm: The model that it is part of.
        site: What it changes.
        parameter: The model's own, or a LoRA factor's.
        part: None for the weight itself, else the LoRA factor "A" (r, i) or "B" (o, r).
        scale: Of the LoRA factors' product.
        master: What the optimiser moves, float32 or better.
        start: `master` before training.
    """

    lm: LanguageModel
    site: Site
    parameter: torch.nn.Parameter
    part: str | None = None
    scale: float = 1.0
    master: Tensor = field(init=False)
    start: Tensor = field(init=False)

    def __post_init__(self) -> None:
        own = self.parameter.detach()
        self.start = own.to(torch.promote_types(own.dtype, torch.float32), copy=True)
        self.master = self.start.clone().requires_grad_(True)

    def gradient(self) -> Tensor:
        """Hand the parameter's gradient to the master copy, and return it."""
        found = self.parameter.grad
        moved = torch.zeros_like(self.master) if found is None else found.to(self.master, copy=True)
        self.master.grad, self.parameter.grad = moved, None
        return moved

    @torch.no_grad()
    def settle(self, decay: float) -> None:
        """Pull towards the start, and give the model what the optimiser found."""
        if decay:
            self.master.sub_(decay * (self.master - self.start))
        self.parameter.copy_(self.master)


def chosen_sites(lm: LanguageModel, located: Sequence[Site], options: TrainOptions) -> list[Site]:
    """Return the parameters that `options.train` names.

    Raises:
        ConfigError: A pattern matches none.
    """
    if options.train == "located":
        return list(located)
    every = lm.parameter_sites()
    if options.lora_rank:
        every = [site for site in every if _takes_lora(lm, site)]
    if options.train == "all":
        return every
    found = [site for site in every if re.search(options.train, f"{site.module}.{site.parameter}")]
    if not found:
        raise ConfigError(
            f"solver.train {options.train!r} matches no parameter; names are like {located[0].module}.weight"
        )
    return found


@contextmanager
def trainable(
    lm: LanguageModel, sites: Sequence[Site], options: TrainOptions, seed: int
) -> Iterator[list[Trained]]:
    """Lend the parameters to train: the sites' own, or LoRA factors at them; all is undone when the block ends."""
    if not options.lora_rank:
        with lent(lm, sites) as parameters:
            yield [Trained(lm, site, p) for site, p in zip(sites, parameters, strict=True)]
        return
    with lent(lm, []), _adapters(lm, sites, options, seed) as trained:
        yield trained


def changes(trained: Sequence[Trained], report: dict[str, float]) -> list[tuple[Site, Update]]:
    """Return what training did to each site: dense, or the LoRA factors' product; `report` goes into every update."""
    found = []
    for first in trained:
        if first.part == "B":
            continue
        rank: int | None = None
        if first.part is None:
            dense = first.lm.as_matrix(first.site, (first.master - first.start).detach()).contiguous()
            update, size = Update(dense=dense), float(dense.norm())
        else:
            other = next(t for t in trained if t.site == first.site and t.part == "B")
            left, right = first.scale * other.master.detach(), first.master.detach().clone()
            update, size, rank = Update(left, right), product_norm(left, right), left.shape[1]
        whole = float(first.lm.weight(first.site).float().norm())
        measured: dict[str, Any] = {
            **report,
            "rank": rank,
            "relative_norm": size / whole if whole > 0 else float("inf"),
            "notes": [],
        }
        found.append((first.site, Update(update.left, update.right, 1.0, update.dense, measured)))
    return found


@contextmanager
def _adapters(
    lm: LanguageModel, sites: Sequence[Site], options: TrainOptions, seed: int
) -> Iterator[list[Trained]]:
    """LoRA factors by peft, put around the sites' modules in place and taken off again."""
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as cause:
        raise ZuError("solver.lora_rank needs peft: pip install 'zu_framework[peft]'") from cause
    for site in sites:
        if not _takes_lora(lm, site):
            raise ConfigError(f"{site.name!r} is no weight of a linear map: LoRA cannot train it")
    plain = {site.module: lm.model.get_submodule(site.module) for site in sites}
    own = set(vars(lm.model))
    alpha: Any = options.lora_alpha  # declared a whole number, used as any
    config = LoraConfig(
        r=options.lora_rank,
        lora_alpha=alpha,
        target_modules=list(plain),
        lora_dropout=0.0,
        fan_in_fan_out=any(lm.stores_transposed(site) for site in sites),
    )
    try:
        with torch.random.fork_rng():
            torch.manual_seed(seed)  # peft draws A at random; B starts at zero
            inject_adapter_in_model(config, lm.model, adapter_name=ADAPTER)
        trained = []
        for site in sites:
            module = lm.model.get_submodule(site.module)
            scale = float(module.scaling[ADAPTER])
            for part, factors in (("A", module.lora_A), ("B", module.lora_B)):
                parameter = factors[ADAPTER].weight
                parameter.requires_grad_(True)
                trained.append(Trained(lm, site, parameter, part, scale))
        yield trained
    finally:
        for name, module in plain.items():
            lm.model.set_submodule(name, module)
        for name in set(vars(lm.model)) - own:  # peft leaves its configuration behind
            delattr(lm.model, name)


def _takes_lora(lm: LanguageModel, site: Site) -> bool:
    kind = type(lm.model.get_submodule(site.module)).__name__
    return site.parameter == "weight" and kind in LORA_TAKES and site.module != lm.architecture.head
