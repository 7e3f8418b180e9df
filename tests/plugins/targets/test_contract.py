"""Each shipped target builder under the contract that plugin authors use."""

from __future__ import annotations

from typing import Any, ClassVar

from zu_framework.testing import TargetBuilderContract


class TestNeutral(TargetBuilderContract):
    target = "neutral"
    options: ClassVar[dict[str, Any]] = {"steps": 3}


class TestNeutralSparing(TargetBuilderContract):
    """What is chosen by looking at all facts is the same for one alone: text and questions."""

    target = "neutral"
    options: ClassVar[dict[str, Any]] = {"steps": 3, "lr": 0.3, "others": 1, "spare_weight": 30.0}


class TestNeutralAtSites(TargetBuilderContract):
    target = "neutral"
    options: ClassVar[dict[str, Any]] = {"steps": 3, "at": "site", "text": " unknown", "spread": "root"}
    families = ("gemma2",)  # a norm stands between site and stream


class TestFixedMean(TargetBuilderContract):
    target = "fixed"
    tolerance = 1e-6


class TestFixedZero(TargetBuilderContract):
    target = "fixed"
    options: ClassVar[dict[str, Any]] = {"value": "zero"}

    # alone and together, the targets are zero: no relative difference
    test_an_independent_builder_builds_each_request_alone = None
