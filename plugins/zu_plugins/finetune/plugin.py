"""Offers the gradient baselines."""

from zu_framework import ModelSolverSpec, Register, hookimpl
from zu_plugins.finetune.options import (
    AscentOptions,
    DpoOptions,
    NeutralTrainOptions,
    PreferenceOptions,
    RetainedOptions,
    RmuOptions,
    SimnpoOptions,
    TrainOptions,
    UndialOptions,
    WgaOptions,
    needs,
)

METHODS = (
    ("ft", "ft", "fine-tuning towards a neutral text", NeutralTrainOptions),
    ("ga", "ascent", "gradient ascent on the answers", AscentOptions),
    ("graddiff", "ascent", "gradient ascent on the answers, descent on what is retained", RetainedOptions),
    ("npo", "npo", "negative preference against the untouched model (NPO)", PreferenceOptions),
    ("simnpo", "simnpo", "length-normalised negative preference without a reference (SimNPO)", SimnpoOptions),
    ("dpo", "dpo", "preference of a refusal over the answer (DPO)", DpoOptions),
    ("rmu", "rmu", "states on the facts are misdirected, on general text retained (RMU)", RmuOptions),
    ("undial", "undial", "self-distillation from lowered answer logits (UNDIAL)", UndialOptions),
    ("wga", "wga", "gradient ascent weighted by confidence (WGA)", WgaOptions),
)


def full_rank(options: TrainOptions) -> str:
    """Why an update is not low-rank: whole weights are trained, unless LoRA factors are."""
    return "" if options.lora_rank else "trains whole weights: set solver.lora_rank"


@hookimpl
def zu_register_solvers(register: Register[ModelSolverSpec]) -> None:
    """Offer one training loop, a loss each."""
    for name, function, summary, options in METHODS:
        register(
            ModelSolverSpec(
                name,
                target=f"zu_plugins.finetune.solvers:{function}",
                summary=summary,
                options=options,
                needs=needs,
                remedies={
                    "retain": "give them (data.retain, or `retain` of zu.unlearn), or use solver.retain_source=text"
                },
                check="zu_plugins.finetune.checks:check",
                full_rank=full_rank,
            )
        )
