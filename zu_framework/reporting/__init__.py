"""Pages that people look at: one self-contained HTML file each, its plots drawn in the page's own colours."""

from zu_framework.reporting.analysis import Analysis
from zu_framework.reporting.audit_page import audit_rows
from zu_framework.reporting.notes import site_notes
from zu_framework.reporting.observer import PageObserver
from zu_framework.reporting.pages import PageSection, fill, page
from zu_framework.reporting.plots import MARKERS, SERIES, inline_svg, panel
from zu_framework.reporting.run_report import RunReport

__all__ = [
    "MARKERS",
    "SERIES",
    "Analysis",
    "PageObserver",
    "PageSection",
    "RunReport",
    "audit_rows",
    "fill",
    "inline_svg",
    "page",
    "panel",
    "site_notes",
]
