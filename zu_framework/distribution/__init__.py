"""Several processes, one run: who they are, and how an edit is divided over them."""

from __future__ import annotations

from zu_framework.distribution.division import Columns, Division
from zu_framework.distribution.processes import Processes, current, joined, rank_here

__all__ = ["Columns", "Division", "Processes", "current", "joined", "rank_here"]
