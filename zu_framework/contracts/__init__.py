"""The contract of every kind of component, and what a component receives from the run.

Functions are protocols, classes are abstract bases. Each docstring is the whole contract of its kind: hooks, specs and
documentation point here. Shapes are in the notation of the documentation: a site's weight W is (o, i), n is the number
of requests, columns are requests. Nothing here imports torch when it is imported.
"""

from zu_framework.contracts.context import (
    AuditContext,
    Progress,
    Remember,
    Remembered,
    RunContext,
    compute_anew,
    ignored,
    no_progress,
)
from zu_framework.contracts.editing import (
    Check,
    Collector,
    Locator,
    ModelSolver,
    Prepare,
    PreparedSolver,
    Solver,
    TargetBuilder,
)
from zu_framework.contracts.judging import (
    Audit,
    Executor,
    Metric,
    MetricWithOptions,
    ReportSection,
    RunObserver,
)
from zu_framework.contracts.reading import BackgroundSource, Dataset, WrittenBackground

__all__ = [
    "Audit",
    "AuditContext",
    "BackgroundSource",
    "Check",
    "Collector",
    "Dataset",
    "Executor",
    "Locator",
    "Metric",
    "MetricWithOptions",
    "ModelSolver",
    "Prepare",
    "PreparedSolver",
    "Progress",
    "Remember",
    "Remembered",
    "ReportSection",
    "RunContext",
    "RunObserver",
    "Solver",
    "TargetBuilder",
    "WrittenBackground",
    "compute_anew",
    "ignored",
    "no_progress",
]
