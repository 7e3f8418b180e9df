"""Offers text as a background."""

from zu_framework import BackgroundSpec, Register, hookimpl
from zu_plugins.backgrounds.options import TextOptions


@hookimpl
def zu_register_backgrounds(register: Register[BackgroundSpec]) -> None:
    """General text from files or from the hub."""
    register(
        BackgroundSpec(
            "text",
            target="zu_plugins.backgrounds.text:documents",
            summary="general text: a .txt or .jsonl file, a folder of them, or a data set of the hub",
            options=TextOptions,
        )
    )
