"""The guard: what an update would do to the rest of the model, predicted before it is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zu_framework.problem import Background, EditProblem, Site, Update


class Guard:
    """Lets every update pass."""

    def check(
        self, site: Site, update: Update, background: Background, problem: EditProblem | None
    ) -> Mapping[str, Any]:
        """Predict the damage of an update before it is written.

        Args:
            site: Where it is written.
            update: What is written.
            background: Moments of general text there, with what the stage needs; empty of a model solver's.
            problem: What the update was solved from; None of a model solver's.

        Returns:
            What it predicts, for the site's report.

        Raises:
            GuardError: The damage is above a limit; nothing is written, and what was written before is taken back.
        """
        return {}
