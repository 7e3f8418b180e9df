"""Offers the locators."""

from zu_framework import LocatorSpec, Register, hookimpl
from zu_locators.options import FixedOptions


@hookimpl
def zu_register_locators(register: Register[LocatorSpec]) -> None:
    """Layers given, or published ones."""
    register(
        LocatorSpec(
            "fixed",
            target="zu_locators.locators:fixed",
            summary="the layers that the configuration gives",
            options=FixedOptions,
        )
    )
    register(
        LocatorSpec(
            "preset",
            target="zu_locators.locators:preset",
            summary="the published layers of Llama-3.2-3B, Llama-3.1-8B and Qwen3-4B",
        )
    )
