"""Options of the gradient baselines; no torch here."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from zu_framework import ConfigError
from zu_framework.options import not_negative, one_of, positive

LORA_TAKES = ("Linear", "Conv1D")  # classes of modules whose weights LoRA trains


@dataclass
class TrainOptions:
    """The loop that all share: which parameters, how long, how fast, and what is retained meanwhile."""

    train: str = field(
        default="located",
        metadata={"help": "located (the locator's weights), all, or a regular expression of parameter names"},
    )
    lora_rank: int = field(
        default=0,
        metadata={"help": "above 0: train LoRA factors of the chosen matrices instead (extra peft)"},
    )
    lora_alpha: float = field(default=16.0, metadata={"help": "LoRA's scale is lora_alpha / lora_rank"})
    lr: float = field(default=1e-3, metadata={"help": "Adam's learning rate"})
    steps: int = field(default=50, metadata={"help": "optimiser steps at most"})
    requests_per_step: int = field(default=16, metadata={"help": "requests of a mini-batch"})
    clip: float = field(default=1.0, metadata={"help": "gradient norm at most; 0: not clipped"})
    weight_decay: float = field(
        default=0.0,
        metadata={"help": "decay towards the weights as they were, as Adam's learning rate has it"},
    )
    stop_below: float | None = field(
        default=None, metadata={"help": "stop once the forget loss of a step is below; default: never"}
    )
    retain: str = field(default="none", metadata={"help": "loss on what is retained: none, nll or kl"})
    retain_weight: float = field(default=1.0, metadata={"help": "weight of that loss"})
    retain_source: str = field(
        default="text",
        metadata={"help": "text (the background's) or facts (the data set's, which are also measured)"},
    )
    retain_rows: int = field(default=128, metadata={"help": "texts or facts that are retained"})
    retain_tokens: int = field(default=48, metadata={"help": "tokens of each text at most"})

    def __post_init__(self) -> None:
        positive(self, "lr", "steps", "requests_per_step", "lora_alpha", "retain_rows")
        not_negative(self, "lora_rank", "clip", "weight_decay", "retain_weight")
        one_of(self, "retain", ("none", "nll", "kl"))
        one_of(self, "retain_source", ("text", "facts"))
        if self.retain_tokens < 2:
            raise ConfigError(
                f"retain_tokens must be at least 2, got {self.retain_tokens}", option="retain_tokens"
            )
        if self.train not in ("located", "all"):
            try:
                re.compile(self.train)
            except re.error as cause:
                raise ConfigError(
                    f"train {self.train!r}: use located, all, or a regular expression ({cause})",
                    option="train",
                ) from cause


@dataclass
class NeutralTrainOptions(TrainOptions):
    """Training towards a text."""

    text: str | None = field(
        default=None, metadata={"help": "what the model should say instead; default: the tokenizer's EOS"}
    )


@dataclass
class AscentOptions(TrainOptions):
    """Gradient ascent.

    It has no floor: `stop_below`, `steps` and `clip` are what end it.
    """


@dataclass
class RetainedOptions(TrainOptions):
    """A method that has a retain loss by its definition."""

    retain: str = field(default="nll", metadata={"help": "loss on what is retained: none, nll or kl"})


@dataclass
class PreferenceOptions(TrainOptions):
    """Methods that compare with the untouched model."""

    beta: float = field(
        default=0.1, metadata={"help": "sharpness of the preference; towards 0: gradient ascent"}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(self, "beta")


@dataclass
class DpoOptions(PreferenceOptions):
    """Preference of a refusal over the answer."""

    text: str | None = field(
        default=None, metadata={"help": "the preferred answer; default: the tokenizer's EOS"}
    )


@dataclass
class SimnpoOptions(TrainOptions):
    """Length-normalised preference without a reference."""

    beta: float = field(default=2.5, metadata={"help": "sharpness of the preference"})
    gamma: float = field(default=0.0, metadata={"help": "margin"})

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(self, "beta")


@dataclass
class RmuOptions(TrainOptions):
    """Misdirected representations."""

    layer: int | None = field(
        default=None, metadata={"help": "whose output is steered; default: the last located layer"}
    )
    coefficient: float = field(
        default=2.0,
        metadata={"help": "length of the random direction, in units of the layer's mean output norm"},
    )
    retain_weight: float = field(default=1.0, metadata={"help": "weight of retaining states on general text"})

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(self, "coefficient")
        if self.retain != "none":
            raise ConfigError(
                "retain: rmu retains states, not losses; leave it none and use retain_weight", option="retain"
            )


@dataclass
class UndialOptions(TrainOptions):
    """Self-distillation from adjusted logits."""

    strength: float = field(default=10.0, metadata={"help": "by how much the answer's logits are lowered"})

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(self, "strength")


@dataclass
class WgaOptions(TrainOptions):
    """Gradient ascent weighted by the model's own confidence."""

    beta: float = field(default=1.0, metadata={"help": "exponent of the confidence; 0: gradient ascent"})

    def __post_init__(self) -> None:
        super().__post_init__()
        not_negative(self, "beta")


def needs(options: TrainOptions) -> frozenset[str]:
    """Return the needs: general text or facts, where they are retained."""
    retains = options.retain != "none" or isinstance(options, RmuOptions)
    if not retains or options.retain_weight == 0:
        return frozenset()
    return frozenset({"documents" if options.retain_source == "text" else "retain"})
