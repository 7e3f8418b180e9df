"""What this plugin offers: metrics of forgetting, of what was retained, and of the language model as a whole."""

from __future__ import annotations

from zu_framework import Limit, MetricSpec, Register, hookimpl
from zu_plugins.metrics.options import (
    ChoiceOptions,
    ContainsOptions,
    ContinuationOptions,
    HarnessOptions,
    MinKOptions,
    RougeOptions,
    TruthOptions,
    UtilityOptions,
)

REFERENCE = frozenset({"reference"})

METRICS = (
    # editing: the published accuracies
    MetricSpec(
        "efficacy",
        target="zu_plugins.metrics.answers:efficacy",
        summary="Forget facts that the model still answers, on the rewrite prompt",
        better="lower",
        tells="forgetting",
        limit=Limit(10.0),
        default_order=10,
    ),
    MetricSpec(
        "generalization",
        target="zu_plugins.metrics.answers:generalization",
        summary="Paraphrases of forget facts that the model still answers",
        better="lower",
        default_order=20,
    ),
    MetricSpec(
        "specificity",
        target="zu_plugins.metrics.answers:specificity",
        summary="Neighbours of forget facts that the model answers",
        better="higher",
        tells="damage",
        limit=Limit(10.0, "points"),
        default_order=70,
    ),
    MetricSpec(
        "retained",
        target="zu_plugins.metrics.answers:retained",
        summary="Facts to retain that the model answers, on the rewrite prompt",
        better="higher",
        tells="damage",
        limit=Limit(5.0, "points"),
        default_order=80,
    ),
    MetricSpec(
        "multi_hop",
        target="zu_plugins.metrics.answers:multi_hop",
        summary="Chains of forget facts with an implied question that the model answers",
        better="lower",
    ),
    MetricSpec(
        "answer_probability",
        target="zu_plugins.metrics.answers:answer_probability",
        summary="Mean probability of the forget facts' true answers",
        better="lower",
        default_order=60,
    ),
    MetricSpec(
        "token_probability",
        target="zu_plugins.metrics.answers:token_probability",
        summary="Mean probability per token of the forget facts' true answers",
        better="lower",
    ),
    MetricSpec(
        "answer_rank",
        target="zu_plugins.metrics.change:answer_rank",
        summary="Median rank of the forget facts' true answers; 1 is what the model says",
        better="higher",
        default_order=40,
    ),
    MetricSpec(
        "answer_ratio",
        target="zu_plugins.metrics.change:answer_ratio",
        summary="Median probability of the forget facts' true answers against the untouched model's",
        better="lower",
        default_order=50,
    ),
    MetricSpec(
        "contains",
        target="zu_plugins.metrics.speech:contains",
        summary="Forget facts whose true answer stands in what the model says",
        options=ContainsOptions,
        better="lower",
        default_order=30,
    ),
    # editing: CounterFact's preferences
    MetricSpec(
        "efficacy_score",
        target="zu_plugins.metrics.preference:efficacy_score",
        summary="ES: forget facts whose alternative is more likely than the true answer",
        better="higher",
    ),
    MetricSpec(
        "paraphrase_score",
        target="zu_plugins.metrics.preference:paraphrase_score",
        summary="PS: paraphrases after which the alternative is more likely than the true answer",
        better="higher",
    ),
    MetricSpec(
        "neighborhood_score",
        target="zu_plugins.metrics.preference:neighborhood_score",
        summary="NS: neighbours whose true answer is more likely than the alternative",
        better="higher",
    ),
    MetricSpec(
        "efficacy_magnitude",
        target="zu_plugins.metrics.preference:efficacy_magnitude",
        summary="EM: by how much the alternative is more probable than the true answer",
        better="higher",
    ),
    MetricSpec(
        "paraphrase_magnitude",
        target="zu_plugins.metrics.preference:paraphrase_magnitude",
        summary="PM: the same on paraphrases",
        better="higher",
    ),
    MetricSpec(
        "neighborhood_magnitude",
        target="zu_plugins.metrics.preference:neighborhood_magnitude",
        summary="NM: by how much neighbours' true answers are more probable than the alternative",
        better="higher",
    ),
    MetricSpec(
        "fluency",
        target="zu_plugins.metrics.speech:fluency",
        summary="Weighted n-gram entropy of greedy continuations of the forget prompts",
        options=ContinuationOptions,
        better="higher",
    ),
    # unlearning
    MetricSpec(
        "forget_rouge",
        target="zu_plugins.metrics.speech:forget_rouge",
        summary="ROUGE-L recall of the forget facts' answers in what the model says",
        options=RougeOptions,
        better="lower",
    ),
    MetricSpec(
        "retain_rouge",
        target="zu_plugins.metrics.speech:retain_rouge",
        summary="ROUGE-L recall of the answers to retain in what the model says",
        options=RougeOptions,
        better="higher",
    ),
    MetricSpec(
        "truth_ratio",
        target="zu_plugins.metrics.truth:truth_ratio",
        summary="How near wrong answers of forget facts are to the right one (TOFU)",
        options=TruthOptions,
        better="higher",
    ),
    MetricSpec(
        "forget_quality",
        target="zu_plugins.metrics.truth:forget_quality",
        summary="Whether truth ratios are those of a retrained model: Kolmogorov-Smirnov p-value (TOFU)",
        options=TruthOptions,
        better="higher",
        needs=REFERENCE,
    ),
    MetricSpec(
        "model_utility",
        target="zu_plugins.metrics.truth:model_utility",
        summary="Harmonic mean of probability, ROUGE-L and truth score on what is to be retained (TOFU)",
        options=UtilityOptions,
        better="higher",
    ),
    MetricSpec(
        "exact_memorization",
        target="zu_plugins.metrics.answers:exact_memorization",
        summary="Share of the forget answers' tokens that are the argmax",
        better="lower",
    ),
    MetricSpec(
        "extraction_strength",
        target="zu_plugins.metrics.answers:extraction_strength",
        summary="Share of a forget answer that follows once its beginning is given",
        better="lower",
    ),
    MetricSpec(
        "mia_loss",
        target="zu_plugins.metrics.membership:mia_loss",
        summary="Membership attack by loss: AUC of forget texts against texts never trained on",
        better="lower",
    ),
    MetricSpec(
        "mia_zlib",
        target="zu_plugins.metrics.membership:mia_zlib",
        summary="Membership attack by loss over compressed size: AUC",
        better="lower",
    ),
    MetricSpec(
        "mia_min_k",
        target="zu_plugins.metrics.membership:mia_min_k",
        summary="Membership attack by the least likely tokens: AUC",
        options=MinKOptions,
        better="lower",
    ),
    MetricSpec(
        "mia_min_k_plus_plus",
        target="zu_plugins.metrics.membership:mia_min_k_plus_plus",
        summary="Membership attack by the least likely tokens, standardised: AUC",
        options=MinKOptions,
        better="lower",
    ),
    MetricSpec(
        "privleak",
        target="zu_plugins.metrics.membership:privleak",
        summary="How far a membership attack errs from what it does on a retrained model; 0 is best (MUSE)",
        options=MinKOptions,
        needs=REFERENCE,
    ),
    # multiple choice and utility
    MetricSpec(
        "choice_accuracy",
        target="zu_plugins.metrics.choices:choice_accuracy",
        summary="Multiple-choice questions to forget that the model answers",
        options=ChoiceOptions,
        better="lower",
    ),
    MetricSpec(
        "retain_choice_accuracy",
        target="zu_plugins.metrics.choices:retain_choice_accuracy",
        summary="Multiple-choice questions to retain that the model answers, by set",
        options=ChoiceOptions,
        better="higher",
    ),
    MetricSpec(
        "kl",
        target="zu_plugins.metrics.change:divergence",
        summary="KL to the untouched model on held-out text: mean and 95th percentile, nats a token",
        better="lower",
        needs=frozenset({"texts"}),
        tells="damage",
        limit=Limit(0.1, key="mean"),
        default_order=90,
    ),
    MetricSpec(
        "perplexity",
        target="zu_plugins.metrics.perplexity:perplexity",
        summary="Perplexity on held-out text",
        better="lower",
        needs=frozenset({"texts"}),
        tells="damage",
        limit=Limit(1.05, "times"),
        default_order=100,
    ),
    MetricSpec(
        "lm_eval",
        target="zu_plugins.metrics.harness:evaluate",
        summary="Tasks of lm-eval on the model in memory (extra lm-eval)",
        options=HarnessOptions,
        check="zu_plugins.metrics.harness:check",
        better="higher",
    ),
)


@hookimpl
def zu_register_metrics(register: Register[MetricSpec]) -> None:
    """Offer the metrics."""
    for spec in METRICS:
        register(spec)
