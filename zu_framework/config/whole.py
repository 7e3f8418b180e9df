"""A configuration as the rest of the framework reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import yaml

from zu_framework.config.groups import (
    AuditConfig,
    EvaluateConfig,
    GuardConfig,
    LedgerConfig,
    ModelConfig,
    OutputConfig,
    ReportConfig,
)
from zu_framework.config.layers import Layer


@dataclass(frozen=True)
class Component:
    """One component group as written.

    Args:
        group: The config group.
        name: The component that it chooses.
        options: Those of its options that are given, of their types; the others are at their defaults.
        group_size: Of `solver`: requests that one pass takes, 0 for all; None leaves it to the solver's registration.
        max_tokens: Of `background`: tokens of a document that are read at most, whatever the source.
        sinks: Of `background`: keep or drop, whether attention sinks take part in the moments.
    """

    group: str
    name: str
    options: Mapping[str, Any]
    group_size: int | None = None
    max_tokens: int = 512
    sinks: str = "drop"


@dataclass(frozen=True)
class StageConfig:
    """One stage as written: which components locate, collect, aim and solve.

    Args:
        number: Its place in the run, from 0.
        components: Those of `STAGE_GROUPS` that are named, by group; an entry of `then` inherits from the stage before.
        origins: Where each of its keys was set, by the key without `then.N.`.
    """

    number: int
    components: Mapping[str, Component]
    origins: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Config:
    """A whole configuration, its core groups checked.

    Args:
        name: What it is called: the name of its file, or its key `name`.
        components: Those that all stages share, by group: `data`, `background`.
        stages: At least one; the first is written at the top of the file, the others under `then`.
        tree: Everything that it means, as YAML has it: defaults written out, interpolations resolved but for secrets.
        layer: As written, overrides laid over it.
        secrets: Keys whose values are secret; `tree` has their interpolations.
    """

    name: str
    model: ModelConfig
    evaluate: EvaluateConfig
    output: OutputConfig
    report: ReportConfig
    guard: GuardConfig
    audit: AuditConfig
    ledger: LedgerConfig
    seed: int
    components: Mapping[str, Component]
    stages: tuple[StageConfig, ...]
    tree: Mapping[str, Any]
    layer: Layer
    secrets: tuple[str, ...] = ()

    @property
    def origins(self) -> Mapping[str, str]:
        """Where each key was set, such as "run.yaml, line 3"."""
        return self.layer.origins

    def origin(self, key: str) -> str:
        """Return where a key was set, "FILE, line N" or an override; "" for a default."""
        return self.origins.get(key, "")

    def seeded(self, seed: int) -> Config:
        """Return the same under another seed."""
        layer = replace(self.layer, tree={**self.layer.tree, "seed": seed})
        return replace(self, seed=seed, tree={**self.tree, "seed": seed}, layer=layer)

    def to_yaml(self) -> str:
        """Return everything as YAML: enough to run again. The run folder's name is left open, for a new one."""
        tree = {**self.tree, "output": {**self.tree["output"], "name": None}}
        text: str = yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)
        notes = [f"# read again from where it came, a secret: {key}\n" for key in self.secrets]
        return "".join([*notes, text])
