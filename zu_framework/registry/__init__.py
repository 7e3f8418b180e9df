"""Who offers what: plugins are loaded alone, components are found by kind and name, imported on first use."""

from zu_framework.registry.chosen import Chosen
from zu_framework.registry.components import (
    Failure,
    Registered,
    Registry,
    collision,
    failure,
    option_defaults,
)
from zu_framework.registry.manager import (
    Plugins,
    architecture_finder,
    describes_models,
    installed_plugins,
    load_plugins,
    plugins,
)

__all__ = [
    "Chosen",
    "Failure",
    "Plugins",
    "Registered",
    "Registry",
    "architecture_finder",
    "collision",
    "describes_models",
    "failure",
    "installed_plugins",
    "load_plugins",
    "option_defaults",
    "plugins",
]
