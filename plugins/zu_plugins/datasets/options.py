"""Options of the data sets; no torch here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from zu_framework import ConfigError
from zu_framework.options import ALL, Count, all_or_some

HUB = "or NAME/SET of the hub"
SPLIT = "of a hub data set with several splits: which one"
TEMPLATE = "how a question is asked: a text with one {} for it"
FORGET = "how many facts to forget, drawn by the seed; all: every one, in file order"
RETAIN = "how many facts to retain, drawn by the seed; all: as many as there are"
ANSWERS = "letter: the prompt lists the choices and the answer is a letter; text: the question alone, answered in words"


@dataclass
class Draws:
    """How many facts are drawn."""

    forget: Count = field(default=ALL, metadata={"help": FORGET})
    retain: Count = field(default=ALL, metadata={"help": RETAIN})

    def __post_init__(self) -> None:
        all_or_some(self, "forget", "retain")


@dataclass
class Asked(Draws):
    """How many questions are drawn, and how they are asked."""

    template: str = field(default="{}", metadata={"help": TEMPLATE})

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.template.count("{}") != 1:
            raise ConfigError(
                f"template {self.template!r} must hold {{}} once, where the question goes", option="template"
            )


@dataclass
class CounterFactOptions(Draws):
    """CounterFact records, and how facts are drawn from them."""

    path: str = field(
        default="",
        metadata={
            "help": f"JSON file: a list of records as ROME published them; a folder with one; {HUB}",
            "path": True,
        },
    )
    protocol: Literal["zerounlearn", "all"] = field(
        default="zerounlearn",
        metadata={
            "help": "zerounlearn: forget facts come from the second half of the file, retained ones from the first; "
            "all: forget facts come from the whole file, retained ones from what they leave"
        },
    )
    # 50: how many the published numbers are for (arXiv 2605.18879)
    forget: Count = field(default=50, metadata={"help": FORGET})
    split: str = field(default="", metadata={"help": SPLIT})


@dataclass
class ZsreOptions(CounterFactOptions):
    """zsRE questions in the schema of MEND, and how facts are drawn from them."""


@dataclass
class MquakeOptions(CounterFactOptions):
    """MQuAKE records: each single-hop edit is a fact, drawn as CounterFact's are."""


@dataclass
class FactsOptions(Draws):
    """A user's own facts, in a file of any accepted form."""

    path: str = field(
        default="",
        metadata={
            "help": "the file of facts: .jsonl, .json, .csv, .tsv, .xlsx, .parquet; fields prompt, answer; optional "
            "subject, paraphrases, neighbours ...; chat messages, question/answer and KnowEdit records are read too",
            "path": True,
        },
    )
    retain_path: str = field(
        default="",
        metadata={
            "help": "a file of facts to retain, in whatever form; without it, those that the draw leaves of `path`",
            "path": True,
        },
    )
    separator: str = field(
        default="|",
        metadata={
            "help": "in a table, between the texts of a cell that holds several; a cell may be a JSON list instead"
        },
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.separator:
            raise ConfigError("separator must not be empty", option="separator")


@dataclass
class TofuOptions(Asked):
    """TOFU's fictitious authors, in the publisher's splits."""

    path: str = field(
        default="",
        metadata={
            "help": f"folder with forget01.json, retain99.json ...; {HUB} (locuslab/TOFU)",
            "path": True,
        },
    )
    part: Literal["forget01", "forget05", "forget10"] = field(
        default="forget01",
        metadata={"help": "which split is forgotten; retain99, retain95 or retain90 is retained"},
    )


@dataclass
class MuseOptions(Asked):
    """MUSE: questions on News or Books, and the texts that memorisation and membership are measured on."""

    path: str = field(
        default="",
        metadata={
            "help": f"folder with knowmem/, verbmem/, privleak/; {HUB} (muse-bench/MUSE-News)",
            "path": True,
        },
    )
    template: str = field(default="Question: {}\nAnswer:", metadata={"help": TEMPLATE})


@dataclass
class RwkuOptions(Draws):
    """RWKU: what a model knows of famous people, asked at three levels."""

    path: str = field(
        default="",
        metadata={
            "help": f"folder with forget_level1.json, neighbor_level1.json ...; {HUB} (jinzhuoran/RWKU)",
            "path": True,
        },
    )
    target: str = field(default="", metadata={"help": "the person to forget; empty takes all in the files"})
    levels: list[int] = field(
        default_factory=lambda: [1, 2],
        metadata={
            "help": "levels whose probes are forgotten (1 fill the blank, 2 questions, 3 adversarial); the rest are "
            "measured besides"
        },
    )
    wording: Literal["published", "bare"] = field(
        default="published",
        metadata={"help": "published: in the benchmark's instruction; bare: the query alone"},
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.levels or not set(self.levels) <= {1, 2, 3} or len(set(self.levels)) != len(self.levels):
            raise ConfigError(f"levels {self.levels}: name some of 1, 2, 3, each once", option="levels")


@dataclass
class WmdpOptions:
    """WMDP: multiple-choice questions on hazardous knowledge."""

    path: str = field(
        default="",
        metadata={
            "help": f"folder with bio_questions.json ..., or one such file; {HUB} (cais/wmdp)",
            "path": True,
        },
    )
    subsets: list[str] = field(
        default_factory=lambda: ["bio"],
        metadata={"help": "what is forgotten: bio, chem, cyber; the others are measured besides"},
    )
    mmlu: str = field(
        default="",
        metadata={"help": f"MMLU to measure besides, which is to stay: folder of csv files; {HUB}"},
    )
    answers: Literal["letter", "text"] = field(default="letter", metadata={"help": ANSWERS})
    forget: Count = field(default=ALL, metadata={"help": FORGET})

    def __post_init__(self) -> None:
        all_or_some(self, "forget")
        known = {"bio", "chem", "cyber"}
        if not self.subsets or not set(self.subsets) <= known or len(set(self.subsets)) != len(self.subsets):
            raise ConfigError(
                f"subsets {self.subsets}: name some of bio, chem, cyber, each once", option="subsets"
            )


@dataclass
class MmluOptions(Draws):
    """MMLU: multiple-choice questions on 57 subjects."""

    path: str = field(
        default="",
        metadata={
            "help": f"folder of SUBJECT_test.csv files, or one such file; {HUB} (cais/mmlu)",
            "path": True,
        },
    )
    subjects: list[str] = field(
        default_factory=list,
        metadata={"help": "subjects to forget, the others are retained; empty draws from them all"},
    )
    answers: Literal["letter", "text"] = field(default="letter", metadata={"help": ANSWERS})


@dataclass
class WorldOptions(Draws):
    """Plain facts of the world that a small real model knows; they come with the package."""

    protocol: Literal["zerounlearn", "all"] = field(
        default="all",
        metadata={
            "help": "all: forget facts come from all, retained ones from what they leave; zerounlearn: from the second "
            "half, and from the first; each half holds every relation"
        },
    )
    probes: Literal["all", "known"] = field(
        default="all",
        metadata={
            "help": "known: without the paraphrases and neighbours that SmolLM2-135M-Instruct does not answer"
        },
    )
    forget: Count = field(default=10, metadata={"help": FORGET})


@dataclass
class DemoOptions(Draws):
    """The demo world, under the protocol `zerounlearn`; with seed 0 the ten facts are those its twin never saw."""

    forget: Count = field(default=10, metadata={"help": FORGET})


@dataclass
class DemoTextOptions:
    """The general text that belongs to the demo world."""

    documents: int = field(default=1000, metadata={"help": "documents that are read at most"})

    def __post_init__(self) -> None:
        if self.documents < 1:
            raise ConfigError(f"documents must be at least 1, got {self.documents}", option="documents")
