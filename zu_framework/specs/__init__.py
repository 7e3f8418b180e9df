"""Registrations: what a plugin says of a component, without importing what implements it.

A spec is light: a name, one line of summary, an options dataclass and `"module:attr"` of the implementation. Listing
every component therefore imports neither torch nor transformers. What the implementation must do is its kind's contract
in `zu_framework.contracts`. A spec is checked when it is added.
"""

from zu_framework.specs.base import (
    MOMENTS,
    TROUBLES,
    CheckedSpec,
    Need,
    Needs,
    NoOptions,
    Register,
    Spec,
    SpecT_contra,
)
from zu_framework.specs.editing import (
    LAWS,
    AnySolverSpec,
    CollectorSpec,
    Law,
    LocatorSpec,
    ModelSolverSpec,
    Prepared,
    SolverSpec,
    TargetSpec,
)
from zu_framework.specs.measuring import (
    BETTER,
    BYS,
    TELLS,
    AuditSpec,
    BackgroundSpec,
    Better,
    By,
    DatasetSpec,
    ExecutorSpec,
    Finished,
    Limit,
    MetricSpec,
    SectionSpec,
    Tells,
)

__all__ = [
    "BETTER",
    "BYS",
    "LAWS",
    "MOMENTS",
    "TELLS",
    "TROUBLES",
    "AnySolverSpec",
    "AuditSpec",
    "BackgroundSpec",
    "Better",
    "By",
    "CheckedSpec",
    "CollectorSpec",
    "DatasetSpec",
    "ExecutorSpec",
    "Finished",
    "Law",
    "Limit",
    "LocatorSpec",
    "MetricSpec",
    "ModelSolverSpec",
    "Need",
    "Needs",
    "NoOptions",
    "Prepared",
    "Register",
    "SectionSpec",
    "SolverSpec",
    "Spec",
    "SpecT_contra",
    "TargetSpec",
    "Tells",
]
