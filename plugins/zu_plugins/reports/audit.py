"""What an audit of this run found, where one was made."""

from __future__ import annotations

from markupsafe import Markup

from zu_framework.reporting import RunReport, audit_rows


def section(run: RunReport) -> Markup | None:
    """Draw the audit's table; None where the run was not audited."""
    return None if run.audit is None else audit_rows(run.audit)
