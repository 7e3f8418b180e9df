"""Every shipped implementation as the type that its contract gives it: mypy checks the assignments.

A test holds this list to the registry, so that nothing shipped goes unchecked. Nothing here runs.
"""

from __future__ import annotations

import zu_plugins.audits.depth
import zu_plugins.audits.detect
import zu_plugins.audits.incontext
import zu_plugins.audits.lens
import zu_plugins.audits.prune
import zu_plugins.audits.quantize
import zu_plugins.audits.relearn
import zu_plugins.audits.sample
import zu_plugins.audits.wording
import zu_plugins.backgrounds.self_written
import zu_plugins.backgrounds.text
import zu_plugins.closed_form.alphaedit
import zu_plugins.closed_form.emmet
import zu_plugins.closed_form.factors
import zu_plugins.closed_form.gradient
import zu_plugins.closed_form.leace
import zu_plugins.closed_form.local
import zu_plugins.closed_form.memit
import zu_plugins.closed_form.rome
import zu_plugins.closed_form.zerounlearn
import zu_plugins.collectors.collectors
import zu_plugins.datasets.counterfact
import zu_plugins.datasets.demo
import zu_plugins.datasets.mmlu
import zu_plugins.datasets.mquake
import zu_plugins.datasets.muse
import zu_plugins.datasets.own
import zu_plugins.datasets.rwku
import zu_plugins.datasets.tofu
import zu_plugins.datasets.wmdp
import zu_plugins.datasets.world
import zu_plugins.datasets.zsre
import zu_plugins.executors.local
import zu_plugins.executors.processes
import zu_plugins.executors.ray_cluster
import zu_plugins.finetune.checks
import zu_plugins.finetune.solvers
import zu_plugins.locators.auto
import zu_plugins.locators.locators
import zu_plugins.locators.tracing
import zu_plugins.metrics.answers
import zu_plugins.metrics.change
import zu_plugins.metrics.choices
import zu_plugins.metrics.harness
import zu_plugins.metrics.membership
import zu_plugins.metrics.perplexity
import zu_plugins.metrics.preference
import zu_plugins.metrics.speech
import zu_plugins.metrics.truth
import zu_plugins.reports.asked
import zu_plugins.reports.audit
import zu_plugins.reports.cost
import zu_plugins.reports.edit
import zu_plugins.reports.facts
import zu_plugins.reports.lens
import zu_plugins.reports.measured
import zu_plugins.reports.representations
import zu_plugins.reports.revert
import zu_plugins.reports.verdict
import zu_plugins.targets.fixed
import zu_plugins.targets.neutral
import zu_plugins.targets.texts
from zu_framework import contracts

LOCATORS: tuple[contracts.Locator, ...] = (
    zu_plugins.locators.auto.auto,
    zu_plugins.locators.locators.fixed,
    zu_plugins.locators.locators.preset,
    zu_plugins.locators.tracing.attribution,
    zu_plugins.locators.tracing.causal_trace,
)
CHECKS: tuple[contracts.Check, ...] = (
    zu_plugins.finetune.checks.check,
    zu_plugins.locators.locators.check_fixed,
    zu_plugins.locators.locators.check_found,
    zu_plugins.locators.locators.check_preset,
    zu_plugins.locators.locators.check_traced,
    zu_plugins.metrics.harness.check,
    zu_plugins.targets.texts.check,
)
COLLECTORS: tuple[type[contracts.Collector], ...] = (
    zu_plugins.collectors.collectors.PromptLast,
    zu_plugins.collectors.collectors.SubjectLast,
)
TARGET_BUILDERS: tuple[type[contracts.TargetBuilder], ...] = (
    zu_plugins.targets.fixed.Fixed,
    zu_plugins.targets.neutral.Neutral,
)
PREPARED_SOLVERS: tuple[contracts.PreparedSolver, ...] = (
    zu_plugins.closed_form.alphaedit.solve,
    zu_plugins.closed_form.emmet.solve,
    zu_plugins.closed_form.gradient.solve,
    zu_plugins.closed_form.leace.solve,
    zu_plugins.closed_form.local.solve,
    zu_plugins.closed_form.memit.solve,
    zu_plugins.closed_form.rome.solve,
    zu_plugins.closed_form.zerounlearn.solve,
)
PREPARES: tuple[contracts.Prepare, ...] = (
    zu_plugins.closed_form.factors.alphaedit_space,
    zu_plugins.closed_form.factors.erase_factor,
    zu_plugins.closed_form.factors.gradient_space,
    zu_plugins.closed_form.factors.key_factor,
    zu_plugins.closed_form.factors.local_factor,
    zu_plugins.closed_form.factors.output_factor,
)
MODEL_SOLVERS: tuple[contracts.ModelSolver, ...] = (
    zu_plugins.finetune.solvers.ascent,
    zu_plugins.finetune.solvers.dpo,
    zu_plugins.finetune.solvers.ft,
    zu_plugins.finetune.solvers.npo,
    zu_plugins.finetune.solvers.rmu,
    zu_plugins.finetune.solvers.simnpo,
    zu_plugins.finetune.solvers.undial,
    zu_plugins.finetune.solvers.wga,
)
BACKGROUND_SOURCES: tuple[contracts.BackgroundSource, ...] = (
    zu_plugins.backgrounds.text.documents,
    zu_plugins.datasets.demo.documents,
)
WRITTEN_BACKGROUNDS: tuple[contracts.WrittenBackground, ...] = (
    zu_plugins.backgrounds.self_written.documents,
)
DATASETS: tuple[contracts.Dataset, ...] = (
    zu_plugins.datasets.counterfact.load,
    zu_plugins.datasets.demo.load,
    zu_plugins.datasets.mmlu.load,
    zu_plugins.datasets.mquake.load,
    zu_plugins.datasets.muse.load,
    zu_plugins.datasets.own.load,
    zu_plugins.datasets.rwku.load,
    zu_plugins.datasets.tofu.load,
    zu_plugins.datasets.wmdp.load,
    zu_plugins.datasets.world.load,
    zu_plugins.datasets.zsre.load,
)
METRICS: tuple[contracts.Metric, ...] = (
    zu_plugins.metrics.answers.answer_probability,
    zu_plugins.metrics.answers.efficacy,
    zu_plugins.metrics.answers.exact_memorization,
    zu_plugins.metrics.answers.extraction_strength,
    zu_plugins.metrics.answers.generalization,
    zu_plugins.metrics.answers.multi_hop,
    zu_plugins.metrics.answers.retained,
    zu_plugins.metrics.answers.specificity,
    zu_plugins.metrics.answers.token_probability,
    zu_plugins.metrics.change.answer_rank,
    zu_plugins.metrics.change.answer_ratio,
    zu_plugins.metrics.change.divergence,
    zu_plugins.metrics.membership.mia_loss,
    zu_plugins.metrics.membership.mia_zlib,
    zu_plugins.metrics.perplexity.perplexity,
    zu_plugins.metrics.preference.efficacy_magnitude,
    zu_plugins.metrics.preference.efficacy_score,
    zu_plugins.metrics.preference.neighborhood_magnitude,
    zu_plugins.metrics.preference.neighborhood_score,
    zu_plugins.metrics.preference.paraphrase_magnitude,
    zu_plugins.metrics.preference.paraphrase_score,
)
METRICS_WITH_OPTIONS: tuple[contracts.MetricWithOptions, ...] = (
    zu_plugins.metrics.choices.choice_accuracy,
    zu_plugins.metrics.choices.retain_choice_accuracy,
    zu_plugins.metrics.harness.evaluate,
    zu_plugins.metrics.membership.mia_min_k,
    zu_plugins.metrics.membership.mia_min_k_plus_plus,
    zu_plugins.metrics.membership.privleak,
    zu_plugins.metrics.speech.contains,
    zu_plugins.metrics.speech.fluency,
    zu_plugins.metrics.speech.forget_rouge,
    zu_plugins.metrics.speech.retain_rouge,
    zu_plugins.metrics.truth.forget_quality,
    zu_plugins.metrics.truth.model_utility,
    zu_plugins.metrics.truth.truth_ratio,
)
EXECUTORS: tuple[contracts.Executor, ...] = (
    zu_plugins.executors.local.execute,
    zu_plugins.executors.processes.execute,
    zu_plugins.executors.ray_cluster.execute,
)
REPORT_SECTIONS: tuple[contracts.ReportSection, ...] = (
    zu_plugins.reports.asked.section,
    zu_plugins.reports.audit.section,
    zu_plugins.reports.cost.section,
    zu_plugins.reports.edit.section,
    zu_plugins.reports.facts.section,
    zu_plugins.reports.lens.section,
    zu_plugins.reports.measured.section,
    zu_plugins.reports.representations.section,
    zu_plugins.reports.revert.section,
    zu_plugins.reports.verdict.section,
)
AUDITS: tuple[contracts.Audit, ...] = (
    zu_plugins.audits.depth.audit,
    zu_plugins.audits.detect.audit,
    zu_plugins.audits.incontext.audit,
    zu_plugins.audits.lens.audit,
    zu_plugins.audits.quantize.audit,
    zu_plugins.audits.relearn.audit,
    zu_plugins.audits.sample.audit,
    zu_plugins.audits.wording.audit,
    zu_plugins.audits.prune.noise,
    zu_plugins.audits.prune.prune,
)
