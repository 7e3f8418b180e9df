"""Options of the target builders; no torch here."""

from __future__ import annotations

from dataclasses import dataclass, field

from zu_framework import ConfigError
from zu_framework.options import DescentOptions, not_negative, one_of


@dataclass
class NeutralOptions(DescentOptions):
    """The optimisation of a target state, and how it is spread over the sites."""

    text: str | None = field(
        default=None,
        metadata={
            "help": "what the model should say instead; eos: the tokenizer's EOS; default: of a short list, what the "
            "untouched model is readiest to say after the prompts"
        },
    )
    prompts: int | None = field(
        default=None,
        metadata={
            "help": "texts of a request that its state is optimised on, the bare prompt first; others take the same "
            "shift; default: all"
        },
    )
    others: int = field(
        default=0,
        metadata={
            "help": "what else is asked of each subject, so many questions, whose answers a state should leave "
            "(`spare_weight`): the wordings of other facts, to forget and to retain, with this subject"
        },
    )
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

    def __post_init__(self) -> None:
        super().__post_init__()
        not_negative(self, "others")
        if self.prompts is not None and self.prompts < 1:
            raise ConfigError(f"prompts must be at least 1, got {self.prompts}", option="prompts")
        one_of(self, "at", ("stream", "site"))
        one_of(self, "spread", ("even", "root"))
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
