"""Configuration: a ready-made name, a YAML file or a mapping, plus `key=value` overrides, into typed groups.

`model`, `evaluate`, `output`, `report`, `guard` and `seed` are typed here. Each component group (`data`, `locator`,
`collector`, `background`, `target`, `solver`) is `{name: ..., <options>}`; its options are the dataclass of the
component that `name` chooses, so that they are checked once the registry is known (`options_from`). A configuration
holds a list of stages; `then` is how those after the first are written.
"""

from zu_framework.config.groups import (
    COMPONENT_GROUPS,
    CORE_GROUPS,
    CORE_OPTIONS,
    SHARED_GROUPS,
    STAGE_GROUPS,
    AuditConfig,
    CoreOption,
    EvaluateConfig,
    GuardConfig,
    ModelConfig,
    OutputConfig,
    ReportConfig,
)
from zu_framework.config.interpolation import escaped
from zu_framework.config.layers import Layer, at_origin, lay_over, read_layer, ready_made
from zu_framework.config.overrides import overridden, parse_override
from zu_framework.config.structured import options_from, structured
from zu_framework.config.typed import load_config, typed_config
from zu_framework.config.whole import Component, Config, StageConfig

__all__ = [
    "COMPONENT_GROUPS",
    "CORE_GROUPS",
    "CORE_OPTIONS",
    "SHARED_GROUPS",
    "STAGE_GROUPS",
    "AuditConfig",
    "Component",
    "Config",
    "CoreOption",
    "EvaluateConfig",
    "GuardConfig",
    "Layer",
    "ModelConfig",
    "OutputConfig",
    "ReportConfig",
    "StageConfig",
    "at_origin",
    "escaped",
    "lay_over",
    "load_config",
    "options_from",
    "overridden",
    "parse_override",
    "read_layer",
    "ready_made",
    "structured",
    "typed_config",
]
