"""Options of the metrics. No torch here."""

from __future__ import annotations

from dataclasses import dataclass, field

from zu_framework import ConfigError
from zu_framework.options import not_negative, one_of, positive


@dataclass
class ContinuationOptions:
    """How far a model is let speak."""

    max_new_tokens: int = field(
        default=100,
        metadata={"help": "tokens that a continuation has at most; it may end before, by its EOS"},
    )

    def __post_init__(self) -> None:
        positive(self, "max_new_tokens")


@dataclass
class ContainsOptions(ContinuationOptions):
    """How far a model is let speak before its answer must have come."""

    max_new_tokens: int = field(
        default=24, metadata={"help": "tokens that a continuation has at most; it may end before, by its EOS"}
    )


@dataclass
class RougeOptions(ContinuationOptions):
    """How far a model is let answer."""

    max_new_tokens: int = field(
        default=200, metadata={"help": "tokens that an answer has at most; it may end before, by its EOS"}
    )


@dataclass
class TruthOptions:
    """How the wrong answers of a fact are taken together."""

    wrong: str = field(
        default="geometric",
        metadata={
            "help": "mean over the wrong answers' probabilities: geometric (as TOFU's code and open-unlearning "
            "compute it) or arithmetic (as the TOFU paper writes it)"
        },
    )

    def __post_init__(self) -> None:
        one_of(self, "wrong", ("geometric", "arithmetic"))


@dataclass
class UtilityOptions(TruthOptions, RougeOptions):
    """Of the truth ratio and the answers that a utility is made of."""

    def __post_init__(self) -> None:
        TruthOptions.__post_init__(self)
        RougeOptions.__post_init__(self)


@dataclass
class MinKOptions:
    """Which tokens a membership score reads."""

    k: float = field(
        default=0.4,
        metadata={"help": "share of a text's tokens, the least likely ones, that count (MUSE reads 0.4)"},
    )

    def __post_init__(self) -> None:
        if not 0 < self.k <= 1:
            raise ConfigError(f"k must be in (0, 1], got {self.k}", option="k")


@dataclass
class ChoiceOptions:
    """How choices are compared."""

    normalise: str = field(
        default="none",
        metadata={
            "help": "none: by their summed log-probability, as lm-eval's acc; token: by the mean over tokens"
        },
    )

    def __post_init__(self) -> None:
        one_of(self, "normalise", ("none", "token"))


@dataclass
class HarnessOptions:
    """What lm-eval runs."""

    tasks: list[str] = field(default_factory=list, metadata={"help": "names of lm-eval tasks or groups"})
    folder: str | None = field(
        default=None,
        metadata={"help": "folder of task files of your own (lm-eval's include_path)", "path": True},
    )
    limit: int | None = field(default=None, metadata={"help": "questions of each task at most"})
    shots: int | None = field(
        default=None,
        metadata={"help": "worked examples before each question; without it the task's own number"},
    )

    def __post_init__(self) -> None:
        if self.limit is not None:
            positive(self, "limit")
        if self.shots is not None:
            not_negative(self, "shots")
