"""What this plugin offers: the data sets of the field, your own facts, and the demo world with its general text."""

from __future__ import annotations

from zu_framework import BackgroundSpec, DatasetSpec, Register, hookimpl
from zu_plugins.datasets.options import (
    CounterFactOptions,
    DemoOptions,
    DemoTextOptions,
    FactsOptions,
    MmluOptions,
    MquakeOptions,
    MuseOptions,
    RwkuOptions,
    TofuOptions,
    WmdpOptions,
    WorldOptions,
    ZsreOptions,
)

DATASETS = (
    ("counterfact", "counterfact", CounterFactOptions, "CounterFact, in the published or the edit schema"),
    (
        "multicounterfact",
        "counterfact",
        CounterFactOptions,
        "MEMIT's selection of CounterFact, the same schema",
    ),
    ("zsre", "zsre", ZsreOptions, "zsRE questions in the schema of MEND"),
    (
        "mquake",
        "mquake",
        MquakeOptions,
        "MQuAKE: single-hop edits, and multi-hop questions that follow from them",
    ),
    ("tofu", "tofu", TofuOptions, "TOFU: questions on fictitious authors, in the publisher's splits"),
    ("muse", "muse", MuseOptions, "MUSE: questions and texts of News or Books"),
    ("rwku", "rwku", RwkuOptions, "RWKU: what a model knows of famous people, at three levels"),
    ("wmdp", "wmdp", WmdpOptions, "WMDP: multiple-choice questions on hazardous knowledge"),
    ("mmlu", "mmlu", MmluOptions, "MMLU: multiple-choice questions by subject"),
    ("facts", "own", FactsOptions, "your own facts: .jsonl, .json, .csv, .tsv, .xlsx, .parquet"),
    ("jsonl", "own", FactsOptions, "the same as facts"),
    ("csv", "own", FactsOptions, "the same as facts"),
    (
        "world",
        "world",
        WorldOptions,
        "plain facts of the world that a small real model knows, in the package",
    ),
    ("demo", "demo", DemoOptions, "the invented facts that the embedded demo model knows"),
)


@hookimpl
def zu_register_datasets(register: Register[DatasetSpec]) -> None:
    """Offer the data sets."""
    for name, module, options, summary in DATASETS:
        register(
            DatasetSpec(
                name,
                target=f"zu_plugins.datasets.{module}:load",
                summary=summary,
                options=options,
                open_fields=module == "own",
            )
        )


@hookimpl
def zu_register_backgrounds(register: Register[BackgroundSpec]) -> None:
    """Offer the demo world's general text."""
    register(
        BackgroundSpec(
            "demo",
            target="zu_plugins.datasets.demo:documents",
            summary="General text of the embedded demo world",
            options=DemoTextOptions,
        )
    )
