"""The contract of locators, for middle, and what its check refuses."""

from typing import Any, ClassVar

import pytest

from zu_example.middle import check
from zu_example.plugin import MiddleOptions
from zu_framework import ConfigError
from zu_framework.models import CheckpointInfo
from zu_framework.testing import LocatorContract


class TestMiddle(LocatorContract):
    locator = "middle"
    options: ClassVar[dict[str, Any]] = {"width": 2}


def test_more_layers_than_there_are_is_refused_before_the_model_is_loaded() -> None:
    with pytest.raises(ConfigError, match="width is 9, and the model has 4 layers"):
        check(MiddleOptions(width=9), CheckpointInfo("llama", 4, 64))
