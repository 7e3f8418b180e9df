"""The core's groups of a configuration: keys, types, defaults.

What the metadata of an option may say: `help`, its text in the reference; `least`, its smallest value; `path`, that a
leading `~` is expanded; `spellings`, what others call its values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from zu_framework.options import one_of, positive

# group of the config -> kind of component
COMPONENT_GROUPS: Mapping[str, str] = {
    "data": "dataset",
    "locator": "locator",
    "collector": "collector",
    "background": "background",
    "target": "target",
    "solver": "solver",
}
# what each stage has of its own, and an entry of `then` may change; all read the same model, data and general text
STAGE_GROUPS = ("locator", "collector", "target", "solver")
SHARED_GROUPS = ("data", "background")


SPELLINGS = {"bf16": "bfloat16", "fp16": "float16", "half": "float16", "fp32": "float32", "float": "float32"}


@dataclass
class ModelConfig:
    """Which model, and how it is loaded."""

    path: str = field(
        default="", metadata={"help": "folder of a Hugging Face checkpoint, or a hub id", "path": True}
    )
    dtype: Literal["auto", "float32", "float64", "bfloat16", "float16"] = field(
        default="auto", metadata={"help": "auto: the checkpoint's own", "spellings": SPELLINGS}
    )
    device: str = field(
        default="auto", metadata={"help": "auto (cuda where there is one), cpu, cuda, cuda:1 ..."}
    )
    device_map: Any = field(
        default=None,
        metadata={
            "help": "spread the layers over devices by accelerate (its extra): auto, balanced, sequential, or a "
            "mapping of module names to devices; model.device is not read then"
        },
    )
    revision: str | None = field(default=None, metadata={"help": "branch, tag or commit of a hub id"})
    trust_remote_code: bool = field(
        default=False, metadata={"help": "run code that the checkpoint brings along"}
    )
    batch_size: int = field(default=64, metadata={"help": "rows that one forward pass may hold", "least": 1})
    chat: bool = field(
        default=False,
        metadata={"help": "for instruct models: prompts are read in the tokenizer's chat template"},
    )
    system: str = field(default="", metadata={"help": "with chat: the system prompt, none where empty"})
    answer_space: Literal["auto", "always"] = field(
        default="auto",
        metadata={
            "help": "whether an answer follows its prompt after a space: auto (the likelier way under the untouched "
            "model, fact by fact, recorded in metrics.json) or always (as published)"
        },
    )
    batch_tokens: int = field(
        default=8192,
        metadata={
            "help": "tokens, padding included, that one forward pass over background text may hold",
            "least": 1,
        },
    )


@dataclass
class EvaluateConfig:
    """What is measured before and after."""

    metrics: list[str] = field(
        default_factory=list,
        metadata={
            "help": "names of metrics, in the table's order; where the key is absent, those whose registrations "
            "say so; [] measures nothing"
        },
    )
    options: dict[str, Any] = field(
        default_factory=dict,
        metadata={"help": "options of single metrics: evaluate.options.NAME.OPTION, such as mia_min_k.k"},
    )
    reference: str | None = field(
        default=None,
        metadata={
            "help": "a model retrained without the forget facts (folder, hub id, zu:demo-twin), for the metrics that "
            "compare with one; loaded as `model` is, once",
            "path": True,
        },
    )
    text: str | None = field(
        default=None,
        metadata={
            "help": "text file for metrics that read held-out text, a document a line; without it the data set's own, "
            "and where it has none every tenth document of the background, which is then kept out of the moments",
            "path": True,
        },
    )
    text_label: str = field(
        default="", metadata={"help": "what a reader must know of that text, shown in the table"}
    )
    documents: int = field(
        default=200, metadata={"help": "documents of that text that are read at most", "least": 1}
    )
    max_tokens: int = field(
        default=256, metadata={"help": "tokens a document is cut into windows of", "least": 2}
    )
    completions: int = field(
        default=3, metadata={"help": "facts whose completion is shown before and after", "least": 0}
    )


@dataclass
class OutputConfig:
    """What the run leaves behind."""

    folder: str = field(default="runs", metadata={"help": "folder that holds run folders", "path": True})
    name: str | None = field(
        default=None, metadata={"help": "name of the run folder; default: config and time"}
    )
    undo: bool = field(
        default=True, metadata={"help": "keep the original tensors (without them revert is not exact)"}
    )
    intermediates: bool = field(default=False, metadata={"help": "write sites/SITE.safetensors"})
    model: bool = field(
        default=False, metadata={"help": "write model/, a checkpoint that from_pretrained loads"}
    )
    adapter: bool = field(
        default=False, metadata={"help": "write adapter/, a PEFT LoRA adapter, where it is exact"}
    )
    share_targets: bool = field(
        default=False,
        metadata={
            "help": "keep target states, and what references answer under attack, in the cache, for runs that need the "
            "same (a bench does)"
        },
    )
    report: bool = field(
        default=True, metadata={"help": "write report.html; the group `report` bounds what it costs"}
    )


@dataclass
class ReportConfig:
    """How much is looked at for the page of a run, before and after: the bounds of its cost."""

    facts: int = field(
        default=500,
        metadata={
            "help": "facts of each set (forget, retain) in the page's table, evenly spaced among more",
            "least": 0,
        },
    )
    completions: int = field(
        default=20,
        metadata={"help": "of those, how many of each set are completed, before and after", "least": 0},
    )
    prompts: int = field(
        default=64,
        metadata={"help": "of those, how many of each set are read for states and logit lens", "least": 0},
    )
    sites: int = field(
        default=4,
        metadata={
            "help": "sites whose outputs are drawn, and edited weights whose singular values are taken",
            "least": 0,
        },
    )


@dataclass
class GuardConfig:
    """What counts as damage: before a write, by prediction, and at the end of a run, as measured."""

    text: float | None = field(
        default=0.75,
        metadata={
            "help": "predicted change of outputs on general text, relative, summed over the edited sites, above which "
            "nothing is written; null: not looked at"
        },
    )
    facts: float | None = field(
        default=0.75,
        metadata={
            "help": "the same on other facts: those to retain, else made-up questions; null: not looked at"
        },
    )
    limits: dict[str, float] = field(
        default_factory=dict,
        metadata={
            "help": "how far single metrics may move before the verdict says damaged (or not forgotten), in place of "
            "what the metric says: guard.limits.METRIC=3"
        },
    )
    on_fail: str = field(
        default="keep", metadata={"help": "keep or revert: what happens to an edit whose verdict is damaged"}
    )

    def __post_init__(self) -> None:
        one_of(self, "on_fail", ("keep", "revert"))
        positive(self, *(name for name in ("text", "facts") if getattr(self, name) is not None))


@dataclass
class AuditConfig:
    """How an edited model is attacked, and when the audit counts as failed."""

    attacks: list[str] = field(
        default_factory=list, metadata={"help": "names of audits, in the order they are made; [] makes none"}
    )
    options: dict[str, Any] = field(
        default_factory=dict,
        metadata={"help": "options of single audits: audit.options.NAME.OPTION, such as relearn.steps"},
    )
    forget: int = field(default=50, metadata={"help": "facts to forget that are asked at most", "least": 1})
    retain: int = field(
        default=20, metadata={"help": "facts to retain that are asked at most, evenly spaced", "least": 0}
    )
    limit: float = field(
        default=10.0,
        metadata={"help": "percentage points above chance up to which an attack counts as withstood"},
    )


@dataclass
class LedgerConfig:
    """The edits that the model carries already."""

    private: str | None = field(
        default=None,
        metadata={
            "help": "folder that holds the run folders of earlier edits, whose keys some solvers retain; without it "
            "they are looked for beside this run and the model; none goes on without them"
        },
    )


CORE_GROUPS: Mapping[str, type[Any]] = {
    "model": ModelConfig,
    "evaluate": EvaluateConfig,
    "output": OutputConfig,
    "report": ReportConfig,
    "guard": GuardConfig,
    "audit": AuditConfig,
    "ledger": LedgerConfig,
}


# group -> kind of component, and the key that lists those whose options stand under `options`
NAMED_OPTIONS: Mapping[str, tuple[str, str]] = {
    "evaluate": ("metric", "metrics"),
    "audit": ("audit", "attacks"),
}


@dataclass(frozen=True)
class CoreOption:
    """An option of a component group that is the core's, whichever component it names."""

    group: str
    key: str
    default: int | str
    meaning: str
    choices: tuple[str, ...] = ()

    def takes(self, value: object) -> bool:
        """Whether a value is one of the choices; without any, a number above 0, or `all` where that is the default."""
        if self.choices:
            return value in self.choices
        if isinstance(value, int) and not isinstance(value, bool):
            return value > 0
        return value == "all" == self.default


CORE_OPTIONS = (
    CoreOption("solver", "group_size", "all", "the number of requests that one pass takes, or `all`"),
    CoreOption("background", "max_tokens", 512, "the number of tokens of a document that are read at most"),
    CoreOption(
        "background",
        "sinks",
        "drop",
        "keep or drop: whether tokens that are attention sinks take part in the moments",
        ("keep", "drop"),
    ),
)
