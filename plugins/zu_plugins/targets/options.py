"""Options of the target builders; no torch here."""

from __future__ import annotations

from dataclasses import dataclass, field

from zu_framework import ConfigError
from zu_framework.options import not_negative, one_of, positive


@dataclass
class NeutralOptions:
    """The optimisation of a target state.

    Defaults are the published implementation's hyperparameters.
    """

    text: str | None = field(
        default=None,
        metadata={
            "help": "what the model should say instead; eos: the tokenizer's EOS; default: of a short list, what the "
            "untouched model is readiest to say after the prompts"
        },
    )
    lr: float = field(default=0.1, metadata={"help": "Adam's learning rate"})
    steps: int = field(default=25, metadata={"help": "evaluations at most; the last takes no step"})
    loss_threshold: float = field(default=0.05, metadata={"help": "a request stops when its loss is below"})
    weight_decay: float = field(default=0.5, metadata={"help": "weight of ||delta|| / ||init||^2"})
    kl_weight: float = field(
        default=0.0625, metadata={"help": "weight of the divergence after '<subject> is a'"}
    )
    clamp: float = field(default=0.75, metadata={"help": "||delta|| stays within this share of ||init||"})
    at: str = field(
        default="stream",
        metadata={
            "help": "stream (the last edited layer's output) or site (each site's own output, as ROME has it)"
        },
    )
    spread: str = field(
        default="even",
        metadata={
            "help": "share of the residual at layer j of L: even 1/(L - j), or root 1/sqrt(L - j), as PMET has it"
        },
    )
    replay: str = field(
        default="auto",
        metadata={
            "help": "auto (only the layers above, where that is exact) or none (a full forward each step)"
        },
    )
    memory: float | None = field(
        default=None,
        metadata={
            "help": "GiB for one batch of requests; default: 2 on a CPU, half of what the model leaves of a GPU"
        },
    )
    rows_per_pass: int | None = field(
        default=None,
        metadata={
            "help": "rows a pass holds at most; default: as `memory` allows, model.batch_size in a full forward"
        },
    )

    def __post_init__(self) -> None:
        not_negative(self, "lr", "loss_threshold", "weight_decay", "kl_weight")
        one_of(self, "at", ("stream", "site"))
        one_of(self, "spread", ("even", "root"))
        one_of(self, "replay", ("auto", "none"))
        if self.memory is not None:
            positive(self, "memory")
        if not self.clamp > 0:
            raise ConfigError(f"clamp must be positive, got {self.clamp}", option="clamp")
        if self.steps < 1:
            raise ConfigError(f"steps must be at least 1, got {self.steps}", option="steps")
        if self.rows_per_pass is not None and self.rows_per_pass < 1:
            raise ConfigError(
                f"rows_per_pass must be at least 1, got {self.rows_per_pass}", option="rows_per_pass"
            )
        if self.text is not None and not self.text.strip():
            raise ConfigError(
                "text is empty: give the words that the model should say, or leave it out",
                option="text",
            )


@dataclass
class FixedOptions:
    """A target without optimisation."""

    value: str = field(
        default="mean", metadata={"help": "mean: the site's mean output on general text; zero: no output"}
    )

    def __post_init__(self) -> None:
        if self.value not in ("mean", "zero"):
            raise ConfigError(f"value {self.value!r}: use mean or zero", option="value")


def fixed_needs(options: FixedOptions) -> frozenset[str]:
    """Return the needs: the mean output alone is measured on general text."""
    return frozenset({"mean_value"} if options.value == "mean" else set())
