"""The nouns of the framework: requests, sites, representations, edit problems, backgrounds, updates, measurements.

Shapes are in the notation of the documentation: a site's weight W is (o, i), n is the number of requests, columns
are requests.
"""

from zu_framework.problem.audit import GROUPS, AuditFacts, Outcome
from zu_framework.problem.background import Background
from zu_framework.problem.measurement import Measurement, Score
from zu_framework.problem.others import other_facts
from zu_framework.problem.problem import EditProblem
from zu_framework.problem.reading import ReadPlan, ReadPrompt, Representations, TargetStates
from zu_framework.problem.requests import DataSplit, Probe, Request
from zu_framework.problem.sites import Architecture, Site
from zu_framework.problem.update import Update, composed

__all__ = [
    "GROUPS",
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
    "composed",
    "other_facts",
]
