"""Each shipped source of general text under the contract that plugin authors use."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from zu_framework.testing import BackgroundContract


class TestText(BackgroundContract):
    background = "text"
    nothing: ClassVar[Mapping[str, Any] | None] = {}

    def options(self, folder: Path) -> Mapping[str, Any]:
        (folder / "text.txt").write_text("The old bridge.\n\nIt was closed.\n", encoding="utf-8")
        return {"path": str(folder / "text.txt")}


class TestDemo(BackgroundContract):
    background = "demo"
