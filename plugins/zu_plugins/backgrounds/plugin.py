"""Offers text as a background."""

from zu_framework import BackgroundSpec, Register, hookimpl
from zu_plugins.backgrounds.options import SelfOptions, TextOptions

SERVES = (
    "no general text was given: what the model writes itself serves, {documents} pieces of it; give your own for "
    "better moments and a truer perplexity (background.name=text background.path=FILE)"
)


@hookimpl
def zu_register_backgrounds(register: Register[BackgroundSpec]) -> None:
    """General text from files, from the hub, or from the model itself."""
    register(
        BackgroundSpec(
            "text",
            target="zu_plugins.backgrounds.text:documents",
            summary="general text: a .txt or .jsonl file, a folder of them, or a data set of the hub",
            options=TextOptions,
        )
    )
    register(
        BackgroundSpec(
            "self",
            target="zu_plugins.backgrounds.self_written:documents",
            summary="text that the model writes itself; what serves where no other text is given",
            options=SelfOptions,
            needs=frozenset({"model"}),
            serves_by_default=SERVES,
        )
    )
