"""The loop of the gradient baselines: borrow parameters, train them, put them back, answer what changed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice

import torch
from torch import Tensor

from zu_framework import (
    ConfigError,
    DataError,
    LanguageModel,
    Request,
    RunContext,
    Site,
    SolverError,
    Update,
    ZuError,
)
from zu_framework.models import Row, continuations, encode, encode_answer, encode_prompt, lent
from zu_plugins.finetune import losses
from zu_plugins.finetune.options import TrainOptions

Loss = Callable[[list[int]], Tensor]

ADAPTER = "zu"  # name under which LoRA factors live in the model while they are trained


def answer_rows(lm: LanguageModel, requests: Sequence[Request], text: str | None = None) -> list[Row]:
    """Each request's prompt, and its answer (or `text`, or the request's own neutral text) as what follows."""
    rows = []
    for request in requests:
        prompt = encode_prompt(lm, request.prompt).ids
        said = request.answer if text is None else request.target or text
        rows.append(Row(prompt, len(prompt) - 1, encode_answer(lm, said, request.prompt)))
    return rows


def neutral_text(lm: LanguageModel, text: str | None) -> str:
    """The text that the model should say instead: as given, else EOS. Raises `ConfigError` without either."""
    found = text or lm.tokenizer.eos_token
    if not found:
        raise ConfigError(
            'this tokenizer has no EOS token: give the text, for example solver.text=" unknown"'
        )
    return str(found)


def log_probabilities(lm: LanguageModel, rows: Sequence[Row], size: int) -> Tensor:
    """log pi (b,) of each row's continuation under the model as it is."""
    with torch.no_grad():
        parts = [continuations(lm, rows[i : i + size]).log_probability for i in range(0, len(rows), size)]
    return torch.cat(parts)


def train(
    lm: LanguageModel,
    sites: Sequence[Site],
    options: TrainOptions,
    context: RunContext,
    count: int,
    forget: Loss,
    retain: Loss | None = None,
    retain_count: int = 0,
) -> list[tuple[Site, Update]]:
    """Minimise `forget` (and `retain_weight` times `retain`) over mini-batches of indices; answers the changes.

    forget, retain: from indices below `count` and `retain_count` to a scalar. Half-precision parameters are trained as
    float32 copies, so that small steps are not lost. The order of batches follows from the run's seed. The model is as
    it was afterwards, to the bit. Raises `SolverError` where a loss is not finite.
    """
    trail: list[float] = []
    with _trainable(lm, chosen_sites(lm, sites, options), options, context.seed) as trained:
        optimiser = torch.optim.Adam([t.master for t in trained], lr=options.lr)
        draw = torch.Generator().manual_seed(context.seed)
        forget_batches = _batches(count, options.batch_size, draw)
        retain_batches = _batches(retain_count, options.batch_size, draw)
        for step in range(options.steps):
            with torch.enable_grad():
                loss = forget(next(forget_batches))
                total = loss
                if retain is not None:
                    total = total + options.retain_weight * retain(next(retain_batches))
            trail.append(float(loss.detach()))
            if not bool(torch.isfinite(total.detach())):
                raise SolverError(
                    f"the loss is {float(total.detach())} at step {step}: lower solver.lr ({options.lr:g}) or "
                    "solver.steps, or give solver.stop_below"
                )
            if options.stop_below is not None and trail[-1] < options.stop_below:
                break
            total.backward()
            norm = _clip([t.gradient() for t in trained], options.clip)
            optimiser.step()
            optimiser.zero_grad()
            for t in trained:
                t.settle(options.lr * options.weight_decay)
            context.progress("training", step + 1, options.steps)
        report = {"steps": len(trail), "first_loss": trail[0], "last_loss": trail[-1], "gradient_norm": norm}
        return _changes(trained, report)


def chosen_sites(lm: LanguageModel, located: Sequence[Site], options: TrainOptions) -> list[Site]:
    """The parameters that `options.train` names. Raises `ConfigError` for a pattern that matches none."""
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


def retained(lm: LanguageModel, options: TrainOptions, context: RunContext) -> tuple[Loss | None, int]:
    """The retain loss over rows of text or facts, and how many rows there are; reference distributions are kept."""
    if options.retain == "none" or options.retain_weight == 0:
        return None, 0
    rows = retain_rows(lm, options, context)
    if options.retain == "nll":

        def nll(chosen: list[int]) -> Tensor:
            said = continuations(lm, [rows[i] for i in chosen])
            return losses.likelihood(said.log_probability, said.lengths)

        return nll, len(rows)
    with (
        torch.no_grad()
    ):  # of each row, (t, v) on the CPU, in the model's own precision: no second model is kept
        reference = [continuations(lm, [row]).logits.cpu() for row in rows]

    def kl(chosen: list[int]) -> Tensor:
        logits = continuations(lm, [rows[i] for i in chosen]).logits.float()
        untouched = torch.cat([reference[i] for i in chosen]).to(logits).log_softmax(1)
        return losses.divergence(logits, untouched)

    return kl, len(rows)


def retain_rows(lm: LanguageModel, options: TrainOptions, context: RunContext) -> list[Row]:
    """Rows of what is to be kept: every token of a text but the first, or the answers of retained facts."""
    if options.retain_source == "facts":
        if not context.retain:
            raise DataError(
                "solver.retain_source=facts: the data set keeps no facts; use solver.retain_source=text"
            )
        return answer_rows(lm, context.retain[: options.retain_rows])
    if context.documents is None:
        raise DataError("solver.retain reads general text: give `background`, or solver.retain=none")
    rows = []
    for text in islice(context.documents(), options.retain_rows):
        ids = encode(lm.tokenizer, text).ids[: options.retain_tokens]
        if len(ids) > 1:
            rows.append(Row(ids[:1], 0, ids[1:]))
    if not rows:
        raise DataError("the background holds no text of two tokens or more")
    return rows


@dataclass
class _Trained:
    """One parameter in training. site: what it changes; master: what the optimiser moves, float32 or better.

    start: master before training. part: None for the weight itself, else the LoRA factor "A" (r, i) or "B" (o, r).
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
        """Hand the parameter's gradient to the master copy."""
        found = self.parameter.grad
        self.master.grad = (
            torch.zeros_like(self.master) if found is None else found.to(self.master, copy=True)
        )
        self.parameter.grad = None
        return self.master.grad

    @torch.no_grad()
    def settle(self, decay: float) -> None:
        """Pull towards the start, and give the model what the optimiser found."""
        if decay:
            self.master.sub_(decay * (self.master - self.start))
        self.parameter.copy_(self.master)


def _changes(trained: Sequence[_Trained], report: dict[str, float]) -> list[tuple[Site, Update]]:
    found = []
    for first in trained:
        if first.part == "B":
            continue
        if first.part is None:
            dense = first.lm.as_matrix(first.site, (first.master - first.start).detach()).contiguous()
            update = Update(dense=dense)
            rank, size = None, float(dense.norm())
        else:
            other = next(t for t in trained if t.site == first.site and t.part == "B")
            left, right = first.scale * other.master.detach(), first.master.detach().clone()
            update = Update(left, right)
            rank, size = left.shape[1], float(((left.T @ left) * (right @ right.T)).sum().clamp_min(0)) ** 0.5
        whole = float(first.lm.weight(first.site).float().norm())
        told = {
            **report,
            "rank": rank,
            "relative_norm": size / whole if whole > 0 else float("inf"),
            "notes": [],
        }
        found.append((first.site, Update(update.left, update.right, 1.0, update.dense, told)))
    return found


@contextmanager
def _trainable(
    lm: LanguageModel, sites: Sequence[Site], options: TrainOptions, seed: int
) -> Iterator[list[_Trained]]:
    """The parameters to train: the sites' own, or LoRA factors at them; all is undone when the block ends."""
    if not options.lora_rank:
        with lent(lm, sites) as parameters:
            yield [_Trained(lm, site, p) for site, p in zip(sites, parameters, strict=True)]
        return
    with lent(lm, []), _adapters(lm, sites, options, seed) as trained:
        yield trained


@contextmanager
def _adapters(
    lm: LanguageModel, sites: Sequence[Site], options: TrainOptions, seed: int
) -> Iterator[list[_Trained]]:
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
    config = LoraConfig(
        r=options.lora_rank, lora_alpha=options.lora_alpha, target_modules=list(plain), lora_dropout=0.0,
        fan_in_fan_out=any(lm.stores_transposed(site) for site in sites),
    )  # fmt: skip
    try:
        with torch.random.fork_rng():
            torch.manual_seed(seed)  # peft draws A at random; B starts at zero
            inject_adapter_in_model(config, lm.model, adapter_name=ADAPTER)
        trained = []
        for site in sites:
            module = lm.model.get_submodule(site.module)
            scale = float(module.scaling[ADAPTER])
            for part, held in (("A", module.lora_A), ("B", module.lora_B)):
                parameter = held[ADAPTER].weight
                parameter.requires_grad_(True)
                trained.append(_Trained(lm, site, parameter, part, scale))
        yield trained
    finally:
        for name, module in plain.items():
            lm.model.set_submodule(name, module)
        for name in set(vars(lm.model)) - own:  # peft leaves its configuration behind
            delattr(lm.model, name)


def _takes_lora(lm: LanguageModel, site: Site) -> bool:
    kind = type(lm.model.get_submodule(site.module)).__name__
    return site.parameter == "weight" and kind in ("Linear", "Conv1D") and site.module != lm.architecture.head


def _batches(count: int, size: int, draw: torch.Generator) -> Iterator[list[int]]:
    """Indices below `count`, `size` at a time, each once before any comes again."""
    while count:
        order = torch.randperm(count, generator=draw).tolist()
        for start in range(0, count, size):
            yield order[start : start + size]


def _clip(gradients: Sequence[Tensor], limit: float) -> float:
    """Scale gradients so that their common norm is at most `limit` (0: leave them); answers the norm before."""
    norm = float(torch.stack([g.norm().cpu() for g in gradients]).norm())
    if limit and norm > limit:
        for gradient in gradients:
            gradient.mul_(limit / norm)
    return norm
