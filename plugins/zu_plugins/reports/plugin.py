"""What this plugin offers: the page of a run, and its sections from what was asked to how it is taken back."""

from __future__ import annotations

from typing import Any

from zu_framework import Register, RunObserver, SectionSpec, hookimpl

SECTIONS = (
    ("asked", "What was asked", "What was to be forgotten, of which model, by which components"),
    ("measured", "Before and after", "Every metric before and after, with its interval where it has one"),
    (
        "facts",
        "Fact by fact",
        "Each fact's completion and the probability of its true answer, before and after",
    ),
    ("edit", "The edit", "Rank, norm, singular values and residual of each edited weight"),
    ("representations", "Representations", "Site outputs on forget and retain prompts, before and after"),
    ("lens", "Layer by layer", "Logit lens of the true answer, before and after"),
    ("audit", "Under attack", "What an audit still got out, beside its references"),
    ("cost", "Cost", "Time and memory of each phase"),
    ("revert", "Keep or revert", "The commands that apply, revert, export and repeat the edit"),
)


@hookimpl
def zu_register_report_sections(register: Register[SectionSpec]) -> None:
    """Offer the sections, ten apart; the verdict before them all."""
    register(
        SectionSpec(
            "verdict",
            target="zu_plugins.reports.verdict:section",
            summary="Whether it was forgotten, and whether the model is intact; where the edit was made, and why there",
            title="Verdict",
            order=5,
        )
    )
    for number, (name, title, summary) in enumerate(SECTIONS, 1):
        register(
            SectionSpec(
                name,
                target=f"zu_plugins.reports.{name}:section",
                summary=summary,
                title=title,
                order=10 * number,
            )
        )


@hookimpl
def zu_observe_run(config: Any, plugins: Any) -> RunObserver | None:
    """Draw the page, where `output.report` asks for one."""
    if not config.output.report:
        return None
    from zu_framework.reporting import PageObserver

    return PageObserver(config, plugins)
