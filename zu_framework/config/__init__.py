"""Configuration: a ready-made name, a YAML file or a mapping, plus `key=value` overrides, into typed groups.

`model`, `evaluate`, `output`, `report` and `seed` are typed here. Each component group (`data`, `locator`, `collector`,
`background`, `target`, `solver`) is `{name: ..., <options>}`; its options are the dataclass of the component that
`name` chooses, so that they are checked once the registry is known (`options_from`). A configuration holds a list of
stages; `then` is how those after the first are written.
"""

from zu_framework.config.groups import (
    COMPONENT_GROUPS,
    SHARED_GROUPS,
    STAGE_GROUPS,
    Component,
    Config,
    EvaluateConfig,
    ModelConfig,
    OutputConfig,
    ReportConfig,
    StageConfig,
)
from zu_framework.config.layers import lay_over, overridden, parse_override, read_tree, ready_made
from zu_framework.config.typed import load_config, options_from, structured, typed_config

__all__ = [
    "COMPONENT_GROUPS",
    "SHARED_GROUPS",
    "STAGE_GROUPS",
    "Component",
    "Config",
    "EvaluateConfig",
    "ModelConfig",
    "OutputConfig",
    "ReportConfig",
    "StageConfig",
    "lay_over",
    "load_config",
    "options_from",
    "overridden",
    "parse_override",
    "read_tree",
    "ready_made",
    "structured",
    "typed_config",
]
