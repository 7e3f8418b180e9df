"""Offers text as a background."""

from zu_backgrounds.options import TextOptions
from zu_framework import BackgroundSpec, Register, hookimpl


@hookimpl
def zu_register_backgrounds(register: Register[BackgroundSpec]) -> None:
    """General text from files or from the hub."""
    register(
        BackgroundSpec(
            "text",
            target="zu_backgrounds.text:documents",
            summary="general text: a .txt or .jsonl file, a folder of them, or a data set of the hub",
            options=TextOptions,
        )
    )
