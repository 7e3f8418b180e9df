"""Offers the locators."""

from typing import Any

from zu_framework import LocatorSpec, Register, hookimpl
from zu_plugins.locators.options import AutoOptions, FixedOptions, TraceOptions

TRACED: Any = {
    "needs": frozenset({"subject"}),
    "remedies": {"subject": "choose layers yourself, locator.name=fixed 'locator.layers=[...]'"},
    "check": "zu_plugins.locators.locators:check_traced",
}


@hookimpl
def zu_register_locators(register: Register[LocatorSpec]) -> None:
    """Layers given, published ones, or layers found by their price or by tracing."""
    register(
        LocatorSpec(
            "fixed",
            target="zu_plugins.locators.locators:fixed",
            summary="the layers that the configuration gives",
            options=FixedOptions,
            may_write_sinks=lambda options: options.allow_sinks,
            remedies={
                "sinks": "locator.name=auto finds some; or edit it all the same, locator.allow_sinks=true",
                "damage": "edit other layers, locator.name=auto finds some",
            },
            check="zu_plugins.locators.locators:check_fixed",
        )
    )
    register(
        LocatorSpec(
            "auto",
            target="zu_plugins.locators.auto:auto",
            summary="the layers where an edit spills least onto other facts, priced before anything is optimised",
            options=AutoOptions,
            check="zu_plugins.locators.locators:check_found",
        )
    )
    register(
        LocatorSpec(
            "preset",
            target="zu_plugins.locators.locators:preset",
            summary="the published layers of Llama-3.2-3B, Llama-3.1-8B and Qwen3-4B",
            check="zu_plugins.locators.locators:check_preset",
        )
    )
    register(
        LocatorSpec(
            "causal-trace",
            target="zu_plugins.locators.tracing:causal_trace",
            summary="layers whose MLP brings the answer back once the subject is corrupted (ROME's causal trace)",
            options=TraceOptions,
            **TRACED,
        )
    )
    register(
        LocatorSpec(
            "attribution",
            target="zu_plugins.locators.tracing:attribution",
            summary="the causal trace to first order: gradient times activation difference, at a fraction of its cost",
            options=TraceOptions,
            **TRACED,
        )
    )
