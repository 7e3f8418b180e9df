"""Offers the target builders."""

from zu_framework import Register, TargetSpec, hookimpl
from zu_plugins.targets.options import FixedOptions, NeutralOptions, fixed_needs


@hookimpl
def zu_register_targets(register: Register[TargetSpec]) -> None:
    """An optimised neutral state, or a fixed one."""
    register(
        TargetSpec(
            "neutral",
            target="zu_plugins.targets.neutral:Neutral",
            summary="the state that makes the model end, or say a neutral text, optimised per request",
            options=NeutralOptions,
            check="zu_plugins.targets.texts:check",
            independent=True,
            remedies={"damage": "take shorter steps (a smaller target.clamp)"},
        )
    )
    register(
        TargetSpec(
            "fixed",
            target="zu_plugins.targets.fixed:Fixed",
            summary="the site's mean output on general text, or zero; nothing is optimised",
            options=FixedOptions,
            independent=True,
            needs=fixed_needs,
        )
    )
