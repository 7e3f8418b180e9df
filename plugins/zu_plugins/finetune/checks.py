"""Which options cannot work on a model, told before its weights are loaded."""

from __future__ import annotations

import re
from importlib.util import find_spec

from zu_framework import ConfigError
from zu_framework.models import CheckpointInfo
from zu_plugins.finetune.options import (
    LORA_TAKES,
    DpoOptions,
    NeutralTrainOptions,
    RmuOptions,
    TrainOptions,
)


def check(options: TrainOptions, model: CheckpointInfo) -> None:
    """Check that there is something to train, something to say, and the package and the layer that are asked for."""
    if options.lora_rank and find_spec("peft") is None:
        raise ConfigError("solver.lora_rank needs peft: pip install 'zu_framework[peft]'")
    if options.train not in ("located", "all") and model.parameters:
        _check_pattern(options, model)
    if isinstance(options, NeutralTrainOptions | DpoOptions) and not options.text and not model.has_eos:
        raise ConfigError(
            "this model's tokenizer has no EOS token, which is said where solver.text is not given: give it, for "
            'example solver.text=" unknown"'
        )
    if isinstance(options, RmuOptions) and options.layer is not None:
        last = model.num_layers - 1
        if not 0 <= options.layer <= last:
            raise ConfigError(
                f"solver.layer is {options.layer}; this {model.model_type} has layers 0 to {last}: choose one of them"
            )
        model.check_site(options.layer)


def _check_pattern(options: TrainOptions, model: CheckpointInfo) -> None:
    names, what = list(model.parameters), "parameter"
    if options.lora_rank:
        what = "weight of a linear map, which LoRA trains"
        names = [n for n, kind in model.parameters.items() if n.endswith(".weight") and kind in LORA_TAKES]
    if not any(re.search(options.train, name) for name in names):
        raise ConfigError(
            f"solver.train {options.train!r} matches no {what}; names are like {names[len(names) // 2]}"
        )
