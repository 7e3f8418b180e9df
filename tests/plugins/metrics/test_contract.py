"""Every shipped metric under the contract that plugin authors use, but for lm-eval's, which has tests of its own."""

from __future__ import annotations

from zu_framework.registry import installed_plugins
from zu_framework.testing import MetricContract

for _name in installed_plugins().registry.names("metric"):
    if _name != "lm_eval":
        globals()[f"Test{_name.title().replace('_', '')}"] = type("_", (MetricContract,), {"metric": _name})
