"""Options of the attacks; no torch here."""

from __future__ import annotations

from dataclasses import dataclass, field

from zu_framework import ConfigError
from zu_framework.options import not_negative, one_of, positive

SCHEMES = ("int8", "int4-32", "int4-128", "nf4", "q4_0", "q4_1", "q8_0")
TEXTS = ("unrelated", "related", "half")
WAYS = ("shots", "choice", "hint", "prefix", "long", "chat")
WORDINGS = ("paraphrases", "aliases", "spelling", "negation", "reversed", "multi_hop", "translations")


def _among(name: str, given: list[str], known: tuple[str, ...]) -> None:
    for one in given:
        if one not in known:
            raise ConfigError(f"{name}: {one!r} is unknown: use {', '.join(known)}", option=name)
    if not given:
        raise ConfigError(f"{name} is empty: give at least one of {', '.join(known)}", option=name)


@dataclass
class QuantizeOptions:
    """Which quantisers are simulated, and on which weights."""

    schemes: list[str] = field(
        default_factory=lambda: list(SCHEMES), metadata={"help": f"of {', '.join(SCHEMES)}"}
    )
    where: str = field(
        default="all",
        metadata={"help": "all (every matrix of the decoder layers) or sites (the edited ones)"},
    )

    def __post_init__(self) -> None:
        _among("schemes", self.schemes, SCHEMES)
        one_of(self, "where", ("all", "sites"))


@dataclass
class RelearnOptions:
    """What the attacker trains on, and for how long."""

    texts: list[str] = field(
        default_factory=lambda: ["related", "half"],
        metadata={
            "help": "unrelated (general text), related (facts to retain, of the same relations first), half (half of "
            "the forgotten facts; the other half is asked)"
        },
    )
    loss: str = field(
        default="answer",
        metadata={"help": "of a fact: answer (its answer's tokens) or text (all); of general text it is all"},
    )
    train: str = field(default="full", metadata={"help": "full (every weight) or lora (rank `rank`)"})
    rank: int = field(default=8, metadata={"help": "rank of the LoRA factors"})
    steps: int = field(default=40, metadata={"help": "steps of the optimiser"})
    lr: list[float] = field(
        default_factory=lambda: [1e-4, 2e-5],
        metadata={
            "help": "step size of AdamW; of several, the largest after which the untouched model still answers `keeps` "
            "of the facts that are asked; without an untouched model the smallest"
        },
    )
    keeps: float = field(default=0.9, metadata={"help": "see `lr`: a share of what it answered before"})
    rows_per_step: int = field(default=4, metadata={"help": "texts of one step"})
    max_tokens: int = field(default=64, metadata={"help": "tokens of a text that are trained on"})
    points: int = field(default=4, metadata={"help": "places of the curve where the facts are asked"})

    def __post_init__(self) -> None:
        _among("texts", self.texts, TEXTS)
        one_of(self, "loss", ("answer", "text"))
        one_of(self, "train", ("full", "lora"))
        positive(self, "rank", "steps", "rows_per_step", "points")
        if self.max_tokens < 2:
            raise ConfigError(f"max_tokens must be at least 2, got {self.max_tokens}", option="max_tokens")
        if not self.lr or any(not rate > 0 for rate in self.lr):
            raise ConfigError(f"lr: give step sizes above 0, got {self.lr}", option="lr")


@dataclass
class SampleOptions:
    """How often the model is asked, and how warm it answers."""

    k: int = field(default=8, metadata={"help": "leak@k: the chance that k completions hold the answer"})
    draws: int = field(default=32, metadata={"help": "completions drawn for each prompt, at least 4 k"})
    temperature: float = field(default=1.0, metadata={"help": "temperature of the draws"})
    tokens: int = field(default=12, metadata={"help": "tokens of a completion"})
    paraphrases: bool = field(
        default=True, metadata={"help": "paraphrases are sampled too, a variant of their own"}
    )

    def __post_init__(self) -> None:
        positive(self, "k", "temperature", "tokens")
        if self.draws < 4 * self.k:
            raise ConfigError(
                f"draws must be at least 4 k = {4 * self.k} for the estimator, got {self.draws}",
                option="draws",
            )


@dataclass
class ContextOptions:
    """What is put around the question."""

    ways: list[str] = field(
        default_factory=lambda: list(WAYS), metadata={"help": "of shots, choice, hint, prefix, long, chat"}
    )
    shots: int = field(
        default=4, metadata={"help": "facts of the same relation that stand before the question"}
    )
    choices: int = field(
        default=10, metadata={"help": "answers that choice ranks at most, the true one among them"}
    )
    tokens: int = field(default=24, metadata={"help": "chat: of the reply in which the answer is looked for"})

    def __post_init__(self) -> None:
        _among("ways", self.ways, WAYS)
        positive(self, "shots", "tokens")
        if self.choices < 2:
            raise ConfigError(f"choices must be at least 2, got {self.choices}", option="choices")


@dataclass
class WordingOptions:
    """How the question is worded."""

    ways: list[str] = field(
        default_factory=lambda: list(WORDINGS), metadata={"help": f"of {', '.join(WORDINGS)}"}
    )

    def __post_init__(self) -> None:
        _among("ways", self.ways, WORDINGS)


@dataclass
class LensOptions:
    """When the logit lens counts as having seen the answer."""

    rank: int = field(
        default=1, metadata={"help": "the answer's first token is at least this high at some layer"}
    )

    def __post_init__(self) -> None:
        positive(self, "rank")


@dataclass
class DepthOptions:
    """The Unlearning Depth Score."""

    threshold: float = field(
        default=0.05,
        metadata={"help": "nats a token: a layer that costs the answer more than this holds knowledge"},
    )

    def __post_init__(self) -> None:
        not_negative(self, "threshold")


@dataclass
class PruneOptions:
    """How much of each matrix is set to zero."""

    shares: list[float] = field(
        default_factory=lambda: [0.1, 0.3, 0.5],
        metadata={"help": "of each matrix's entries, the smallest in size"},
    )

    def __post_init__(self) -> None:
        if not self.shares or any(not 0 < share < 1 for share in self.shares):
            raise ConfigError(f"shares must lie between 0 and 1, got {self.shares}", option="shares")


@dataclass
class NoiseOptions:
    """How much noise is added."""

    sizes: list[float] = field(
        default_factory=lambda: [0.01, 0.03, 0.1],
        metadata={"help": "standard deviation of Gaussian noise, in units of each matrix's own"},
    )
    draws: int = field(default=2, metadata={"help": "seeds of the noise; a fact's number is the share"})

    def __post_init__(self) -> None:
        positive(self, "draws")
        if not self.sizes or any(not size > 0 for size in self.sizes):
            raise ConfigError(f"sizes must be above 0, got {self.sizes}", option="sizes")


@dataclass
class DetectOptions:
    """How the attacker looks for the edit, and what is taken out."""

    sites: int = field(default=3, metadata={"help": "most suspicious layers that are changed"})
    rank: int = field(default=8, metadata={"help": "directions taken out of each"})
    neighbours: int = field(
        default=2, metadata={"help": "layers on either side that a layer is compared with"}
    )

    def __post_init__(self) -> None:
        positive(self, "sites", "rank", "neighbours")
