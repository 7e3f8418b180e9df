"""The contract of target builders, for muffled."""

from typing import Any, ClassVar

from zu_framework.testing import TargetBuilderContract


class TestMuffled(TargetBuilderContract):
    target = "muffled"
    options: ClassVar[dict[str, Any]] = {"strength": 0.25}
