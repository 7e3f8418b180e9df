"""Offers the collectors."""

from zu_framework import CollectorSpec, Register, hookimpl
from zu_plugins.collectors.options import ContextOptions


@hookimpl
def zu_register_collectors(register: Register[CollectorSpec]) -> None:
    """Two places to read a prompt."""
    register(
        CollectorSpec(
            "subject-last",
            target="zu_plugins.collectors.collectors:SubjectLast",
            summary="reads the last token of the subject, averaged over contexts",
            options=ContextOptions,
            needs=frozenset({"subject"}),
            remedies={"subject": "use collector.name=prompt-last"},
        )
    )
    register(
        CollectorSpec(
            "prompt-last",
            target="zu_plugins.collectors.collectors:PromptLast",
            summary="reads the last token of the prompt (data without subjects), averaged over contexts",
            options=ContextOptions,
        )
    )
