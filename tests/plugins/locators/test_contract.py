"""Shipped locators under the contract that plugin authors use; `preset` knows no model that is small enough."""

from __future__ import annotations

from typing import Any, ClassVar

from zu_framework.testing import LocatorContract


class TestFixed(LocatorContract):
    locator = "fixed"
    options: ClassVar[dict[str, Any]] = {"layers": [2, 1]}


class TestCausalTrace(LocatorContract):
    locator = "causal-trace"
    options: ClassVar[dict[str, Any]] = {"samples": 2, "facts": 2, "width": 2}


class TestAttribution(LocatorContract):
    locator = "attribution"
    options: ClassVar[dict[str, Any]] = {"samples": 2, "facts": 3}
