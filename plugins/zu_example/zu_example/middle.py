"""`middle`: the layers in the middle of the model."""

from collections.abc import Sequence

from zu_example.plugin import MiddleOptions
from zu_framework import ConfigError, LanguageModel, Request, RunContext, Site
from zu_framework.models import CheckpointInfo


def locate(
    lm: LanguageModel, requests: Sequence[Request], options: MiddleOptions, context: RunContext
) -> list[Site]:
    """The sites of `width` layers around the middle, shallowest first."""
    return [lm.site(layer) for layer in layers(options, lm.num_layers)]


def check(options: MiddleOptions, model: CheckpointInfo) -> None:
    """Refuse more layers than the model has, before its weights are loaded."""
    layers(options, model.num_layers)


def layers(options: MiddleOptions, count: int) -> range:
    """The layers of a model that has `count`. Raises `ConfigError` where there are not so many."""
    if options.width > count:
        raise ConfigError(f"width is {options.width}, and the model has {count} layers", option="width")
    first = (count - options.width) // 2
    return range(first, first + options.width)
