"""For plugin authors: tiny offline models, Hypothesis strategies for edit problems, and the contracts of solvers.

Needs the extra `test` (Hypothesis and pytest).
"""

from zu_framework.testing.audit_contract import AuditContract
from zu_framework.testing.contract import SolverContract
from zu_framework.testing.model_contract import ModelSolverContract
from zu_framework.testing.models import FAMILIES, tiny_model, tiny_tokenizer
from zu_framework.testing.problems import Shape, edit_problem, edit_problems, shapes

__all__ = [
    "FAMILIES",
    "AuditContract",
    "ModelSolverContract",
    "Shape",
    "SolverContract",
    "edit_problem",
    "edit_problems",
    "shapes",
    "tiny_model",
    "tiny_tokenizer",
]
