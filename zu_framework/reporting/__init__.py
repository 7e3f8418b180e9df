"""Pages that people look at: one self-contained HTML file each, its plots drawn in the page's own colours."""

from zu_framework.reporting.page import PageSection, fill, page
from zu_framework.reporting.plots import MARKERS, SERIES, inline_svg, panel

__all__ = ["MARKERS", "SERIES", "PageSection", "fill", "inline_svg", "page", "panel"]
