"""Each shipped executor under the contract that plugin authors use."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from zu_framework.testing import ExecutorContract


class TestLocal(ExecutorContract):
    executor = "local"


class TestProcesses(ExecutorContract):
    executor = "processes"
    options: ClassVar[dict[str, Any]] = {"workers": 2, "threads": 1}


@pytest.mark.slow
class TestRay(ExecutorContract):
    executor = "ray"
    options: ClassVar[dict[str, Any]] = {"address": "local"}
    jobs = 2

    @pytest.fixture(autouse=True)
    def ray(self) -> None:
        pytest.importorskip("ray", reason="the extra ray is not installed")
