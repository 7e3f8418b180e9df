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
    ModelError,
    PluginError,
    RunFolderError,
    SolverError,
    UnknownName,
    ZuError,
)
from zu_framework.hookspecs import hookimpl
from zu_framework.specs import (
    AuditSpec,
    BackgroundSpec,
    CollectorSpec,
    DatasetSpec,
    ExecutorSpec,
    Finished,
    LocatorSpec,
    MetricSpec,
    ModelSolverSpec,
    NoOptions,
    Prepared,
    Register,
    SectionSpec,
    SolverSpec,
    TargetSpec,
)

if TYPE_CHECKING:
    from zu_framework import linalg, models
    from zu_framework.contracts import AuditContext, Collector, Remembered, RunContext, TargetBuilder
    from zu_framework.engine.edit import Edit
    from zu_framework.engine.run import RunResult, run, unlearn
    from zu_framework.engine.solving import prepare, solve
    from zu_framework.evaluation import Scorer
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
    )
    from zu_framework.store.checkpoints import apply, export_lora, revert

__version__ = "0.1.0"

_LAZY = {
    "linalg": "zu_framework.linalg",
    "models": "zu_framework.models",
    "apply": "zu_framework.store.checkpoints:apply",
    "revert": "zu_framework.store.checkpoints:revert",
    "export_lora": "zu_framework.store.checkpoints:export_lora",
    "Edit": "zu_framework.engine.edit:Edit",
    "RunResult": "zu_framework.engine.run:RunResult",
    "run": "zu_framework.engine.run:run",
    "unlearn": "zu_framework.engine.run:unlearn",
    "prepare": "zu_framework.engine.solving:prepare",
    "solve": "zu_framework.engine.solving:solve",
    "Scorer": "zu_framework.evaluation:Scorer",
    "LanguageModel": "zu_framework.models:LanguageModel",
    "AuditContext": "zu_framework.contracts:AuditContext",
    "Collector": "zu_framework.contracts:Collector",
    "Remembered": "zu_framework.contracts:Remembered",
    "RunContext": "zu_framework.contracts:RunContext",
    "TargetBuilder": "zu_framework.contracts:TargetBuilder",
    **{
        name: f"zu_framework.problem:{name}"
        for name in (
            "Architecture",
            "AuditFacts",
            "Background",
            "DataSplit",
            "EditProblem",
            "Measurement",
            "Outcome",
            "Probe",
            "ReadPlan",
            "ReadPrompt",
            "Representations",
            "Request",
            "Score",
            "Site",
            "TargetStates",
            "Update",
        )
    },
}

__all__ = [
    "Architecture",
    "AuditContext",
    "AuditError",
    "AuditFacts",
    "AuditSpec",
    "Background",
    "BackgroundSpec",
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
    "ExecutorSpec",
    "Finished",
    "LanguageModel",
    "LocatorSpec",
    "Measurement",
    "MetricSpec",
    "ModelError",
    "ModelSolverSpec",
    "NoOptions",
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
    "RunResult",
    "Score",
    "Scorer",
    "SectionSpec",
    "Site",
    "SolverError",
    "SolverSpec",
    "TargetBuilder",
    "TargetSpec",
    "TargetStates",
    "UnknownName",
    "Update",
    "ZuError",
    "__version__",
    "apply",
    "export_lora",
    "hookimpl",
    "linalg",
    "models",
    "prepare",
    "revert",
    "run",
    "solve",
    "unlearn",
]


def __getattr__(name: str) -> Any:
    """Import a public name that needs torch on its first use."""
    if name not in _LAZY:
        raise AttributeError(f"module 'zu_framework' has no attribute {name!r}")
    module, _, attribute = _LAZY[name].partition(":")
    loaded = import_module(module)
    value = getattr(loaded, attribute) if attribute else loaded
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
