"""Offers the attacks."""

from zu_framework import AuditSpec, Register, hookimpl
from zu_plugins.audits.options import (
    ContextOptions,
    DepthOptions,
    DetectOptions,
    LensOptions,
    NoiseOptions,
    PruneOptions,
    QuantizeOptions,
    RelearnOptions,
    SampleOptions,
    WordingOptions,
)

AUDITS = (
    AuditSpec(
        "quantize",
        target="zu_plugins.audits.quantize:audit",
        summary="rounds the weights as int8, int4, NF4 and GGUF quantisers do",
        options=QuantizeOptions,
    ),
    AuditSpec(
        "relearn",
        target="zu_plugins.audits.relearn:audit",
        summary="trains a little on other facts, on half of the forgotten ones, or on general text",
        options=RelearnOptions,
    ),
    AuditSpec(
        "sample",
        target="zu_plugins.audits.sample:audit",
        summary="draws many completions: the chance that one of k holds the answer",
        options=SampleOptions,
    ),
    AuditSpec(
        "context",
        target="zu_plugins.audits.incontext:audit",
        summary="puts examples, choices, a hint, a role, a long text or a chat template around the question",
        options=ContextOptions,
    ),
    AuditSpec(
        "wording",
        target="zu_plugins.audits.wording:audit",
        summary="asks in other words, spellings and languages, and from the other end",
        options=WordingOptions,
    ),
    AuditSpec(
        "lens",
        target="zu_plugins.audits.lens:audit",
        summary="reads the answer off the middle layers (logit lens)",
        options=LensOptions,
    ),
    AuditSpec(
        "depth",
        target="zu_plugins.audits.depth:audit",
        summary="patches hidden states into the untouched model (Unlearning Depth Score)",
        options=DepthOptions,
        needs=frozenset({"base"}),
    ),
    AuditSpec(
        "prune",
        target="zu_plugins.audits.prune:prune",
        summary="sets the smallest weights to zero",
        options=PruneOptions,
    ),
    AuditSpec(
        "noise",
        target="zu_plugins.audits.prune:noise",
        summary="adds Gaussian noise to the weights",
        options=NoiseOptions,
    ),
    AuditSpec(
        "detect",
        target="zu_plugins.audits.detect:audit",
        summary="looks for the edit without the original, and takes it out",
        options=DetectOptions,
    ),
)


@hookimpl
def zu_register_audits(register: Register[AuditSpec]) -> None:
    """Ten attacks."""
    for spec in AUDITS:
        register(spec)
