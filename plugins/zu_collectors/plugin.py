"""Offers the collectors."""

from zu_collectors.options import ContextOptions
from zu_framework import CollectorSpec, Register, hookimpl


@hookimpl
def zu_register_collectors(register: Register[CollectorSpec]) -> None:
    """Two places to read a prompt."""
    register(
        CollectorSpec(
            "subject-last",
            target="zu_collectors.collectors:SubjectLast",
            summary="reads the last token of the subject, averaged over contexts",
            options=ContextOptions,
            needs_subject=True,
        )
    )
    register(
        CollectorSpec(
            "prompt-last",
            target="zu_collectors.collectors:PromptLast",
            summary="reads the last token of the prompt (data without subjects), averaged over contexts",
            options=ContextOptions,
        )
    )
