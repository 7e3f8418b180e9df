"""For plugin authors: a contract class for each kind of component, tiny offline models, strategies for edit problems.

Subclass the class of your component's kind in a test module, name the component, and run pytest. Needs the extra `test`
(Hypothesis and pytest).
"""

from zu_framework.testing.audit_contract import AuditContract
from zu_framework.testing.data_contracts import BackgroundContract, DatasetContract
from zu_framework.testing.facts import FACTS, RETAIN, TEXTS, data_split
from zu_framework.testing.frozen import snapshot
from zu_framework.testing.model_contract import ModelSolverContract
from zu_framework.testing.models import FAMILIES, NO_SITES, tiny_model, tiny_tokenizer
from zu_framework.testing.output_contracts import ExecutorContract, MetricContract, ReportSectionContract
from zu_framework.testing.problems import Shape, edit_problem, edit_problems, shapes
from zu_framework.testing.site_contracts import CollectorContract, LocatorContract, TargetBuilderContract
from zu_framework.testing.solver_contract import SolverContract

__all__ = [
    "FACTS",
    "FAMILIES",
    "NO_SITES",
    "RETAIN",
    "TEXTS",
    "AuditContract",
    "BackgroundContract",
    "CollectorContract",
    "DatasetContract",
    "ExecutorContract",
    "LocatorContract",
    "MetricContract",
    "ModelSolverContract",
    "ReportSectionContract",
    "Shape",
    "SolverContract",
    "TargetBuilderContract",
    "data_split",
    "edit_problem",
    "edit_problems",
    "shapes",
    "snapshot",
    "tiny_model",
    "tiny_tokenizer",
]
