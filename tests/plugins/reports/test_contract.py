"""Every shipped section of a run's page under the contract that plugin authors use."""

from __future__ import annotations

from zu_framework.registry import installed_plugins
from zu_framework.testing import ReportSectionContract

for _name in installed_plugins().registry.names("report section"):
    globals()[f"Test{_name.title().replace('-', '')}"] = type(
        "_", (ReportSectionContract,), {"section": _name}
    )
