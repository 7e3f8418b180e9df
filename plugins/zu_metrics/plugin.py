"""What this plugin offers: exact-match accuracies, the probability of the true answer, and perplexity."""

from __future__ import annotations

from zu_framework import MetricSpec, Register, hookimpl


@hookimpl
def zu_register_metrics(register: Register[MetricSpec]) -> None:
    """Offer the metrics."""
    register(
        MetricSpec(
            "efficacy",
            target="zu_metrics.answers:efficacy",
            summary="Forget facts that the model still answers, on the rewrite prompt",
            better="lower",
        )
    )
    register(
        MetricSpec(
            "generalization",
            target="zu_metrics.answers:generalization",
            summary="Paraphrases of forget facts that the model still answers",
            better="lower",
        )
    )
    register(
        MetricSpec(
            "specificity",
            target="zu_metrics.answers:specificity",
            summary="Neighbours of forget facts that the model answers",
            better="higher",
        )
    )
    register(
        MetricSpec(
            "retained",
            target="zu_metrics.answers:retained",
            summary="Facts to keep that the model answers, on the rewrite prompt",
            better="higher",
        )
    )
    register(
        MetricSpec(
            "answer_probability",
            target="zu_metrics.answers:answer_probability",
            summary="Mean probability of the forget facts' true answers",
            better="lower",
        )
    )
    register(
        MetricSpec(
            "perplexity",
            target="zu_metrics.perplexity:perplexity",
            summary="Perplexity on held-out text",
            better="lower",
        )
    )
