"""zu_framework: remove knowledge from the weights of a language model, and prove what was done.

Everything that users and plugins import is named here; what needs torch is imported when first used, so that
listing plugins or printing help stays instant.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from zu_framework.errors import (
    AuditError,
    ConfigError,
    DataError,
    DependentKeys,
    DependentRows,
    EmptyNullSpace,
    ExitCode,
    GuardError,
    ModelError,
    NoSource,
    PluginError,
    RunFolderError,
    SolverError,
    UnknownName,
    ZuError,
)

if TYPE_CHECKING:
    from zu_framework import contracts, linalg, models, states
    from zu_framework.benches import BenchResult, bench
    from zu_framework.contracts import (
        AuditContext,
        Collector,
        Remembered,
        RunContext,
        RunObserver,
        TargetBuilder,
    )
    from zu_framework.engine.alone import prepare, solve
    from zu_framework.engine.audit import AuditReport, audit
    from zu_framework.engine.check import Checked, check
    from zu_framework.engine.edit import Edit
    from zu_framework.engine.evaluate import Evaluation, evaluate
    from zu_framework.engine.in_memory import unlearn
    from zu_framework.engine.run import RunResult, run
    from zu_framework.evaluation import Scorer
    from zu_framework.hookspecs import hookimpl
    from zu_framework.models import LanguageModel
    from zu_framework.problem import (
        Architecture,
        AuditFacts,
        Background,
        DataSplit,
        EditProblem,
        Measurement,
        Outcome,
        Probe,
        ReadPlan,
        ReadPrompt,
        Representations,
        Request,
        Score,
        Site,
        TargetStates,
        Update,
        other_facts,
    )
    from zu_framework.registry import plugins
    from zu_framework.sealing import Sealed, seal, unseal, verify
    from zu_framework.specs import (
        AuditSpec,
        BackgroundSpec,
        CollectorSpec,
        DatasetSpec,
        ExecutorSpec,
        Finished,
        Limit,
        LocatorSpec,
        MetricSpec,
        ModelSolverSpec,
        NoOptions,
        Prepared,
        Register,
        SectionSpec,
        SolverSpec,
        Spec,
        TargetSpec,
    )
    from zu_framework.store.checkpoints import apply, export_lora, revert

__version__ = "0.1.0"

# where each name lies that needs torch; packages are names too
_LAZY = {
    name: module
    for module, names in {
        "zu_framework.benches": "BenchResult bench",
        "zu_framework.contracts": "AuditContext Collector Remembered RunContext RunObserver TargetBuilder",
        "zu_framework.engine.alone": "prepare solve",
        "zu_framework.engine.audit": "AuditReport audit",
        "zu_framework.engine.check": "Checked check",
        "zu_framework.engine.edit": "Edit",
        "zu_framework.engine.evaluate": "Evaluation evaluate",
        "zu_framework.engine.in_memory": "unlearn",
        "zu_framework.engine.run": "RunResult run",
        "zu_framework.evaluation": "Scorer",
        "zu_framework.hookspecs": "hookimpl",
        "zu_framework.models": "LanguageModel",
        "zu_framework.problem": "Architecture AuditFacts Background DataSplit EditProblem Measurement Outcome Probe "
        "ReadPlan ReadPrompt Representations Request Score Site TargetStates Update other_facts",
        "zu_framework.registry": "plugins",
        "zu_framework.sealing": "Sealed seal unseal verify",
        "zu_framework.specs": "AuditSpec BackgroundSpec CollectorSpec DatasetSpec ExecutorSpec Finished Limit "
        "LocatorSpec MetricSpec ModelSolverSpec NoOptions Prepared Register SectionSpec SolverSpec Spec TargetSpec",
        "zu_framework.store.checkpoints": "apply export_lora revert",
    }.items()
    for name in names.split()
}
_PACKAGES = ("contracts", "linalg", "models", "states")

__all__ = [
    "Architecture",
    "AuditContext",
    "AuditError",
    "AuditFacts",
    "AuditReport",
    "AuditSpec",
    "Background",
    "BackgroundSpec",
    "BenchResult",
    "Checked",
    "Collector",
    "CollectorSpec",
    "ConfigError",
    "DataError",
    "DataSplit",
    "DatasetSpec",
    "DependentKeys",
    "DependentRows",
    "Edit",
    "EditProblem",
    "EmptyNullSpace",
    "Evaluation",
    "ExecutorSpec",
    "ExitCode",
    "Finished",
    "GuardError",
    "LanguageModel",
    "Limit",
    "LocatorSpec",
    "Measurement",
    "MetricSpec",
    "ModelError",
    "ModelSolverSpec",
    "NoOptions",
    "NoSource",
    "Outcome",
    "PluginError",
    "Prepared",
    "Probe",
    "ReadPlan",
    "ReadPrompt",
    "Register",
    "Remembered",
    "Representations",
    "Request",
    "RunContext",
    "RunFolderError",
    "RunObserver",
    "RunResult",
    "Score",
    "Scorer",
    "Sealed",
    "SectionSpec",
    "Site",
    "SolverError",
    "SolverSpec",
    "Spec",
    "TargetBuilder",
    "TargetSpec",
    "TargetStates",
    "UnknownName",
    "Update",
    "ZuError",
    "__version__",
    "apply",
    "audit",
    "bench",
    "check",
    "contracts",
    "evaluate",
    "export_lora",
    "hookimpl",
    "linalg",
    "models",
    "other_facts",
    "plugins",
    "prepare",
    "revert",
    "run",
    "seal",
    "solve",
    "states",
    "unlearn",
    "unseal",
    "verify",
]


def __getattr__(name: str) -> Any:
    """Import a public name on its first use: most need torch."""
    if name in _PACKAGES:
        return import_module(f"zu_framework.{name}")
    if name not in _LAZY:
        raise AttributeError(f"module 'zu_framework' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_LAZY[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
