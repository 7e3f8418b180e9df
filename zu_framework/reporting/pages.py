"""The shell of every page: one HTML file with its style and script inside, which asks no network for anything.

Whatever is not `Markup` is escaped where it enters a template. Besides, the page's content policy lets no script run
but the shell's own, by its hash, and nothing be fetched: what slipped through an escape would still be inert.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from zu_framework.printable import printable
from zu_framework.reporting.numbers import FILTERS

SHELL = "zu_framework.reporting"


@dataclass(frozen=True)
class PageSection:
    """One part of a page. name: its anchor; body: `Markup` is taken as it is, any other text is escaped.

    lead: what the part shows, in a sentence under the title. failed: the body tells of an error.
    """

    name: str
    title: str
    body: Markup | str
    lead: Markup | str = ""
    failed: bool = False


def page(
    title: str,
    sections: Sequence[PageSection],
    *,
    kicker: str = "",
    lead: Markup | str = "",
    summary: Markup | str = "",
    footer: str = "",
) -> str:
    """Build a whole page.

    Tables with class `sortable` sort by a click on their header; `data-filters="ID"` on a form narrows the table of
    that id (templates/parts.html has macros for both).

    Args:
        title: Of the page.
        sections: In their order.
        kicker: The small line above the title.
        lead: The sentence under it.
        summary: Comes before the sections.
        footer: The last line.

    Returns:
        HTML that loads nothing. Plain strings are escaped; control characters, and marks that turn the direction of
        what follows, stand as escapes, wherever they come from.
    """
    script = _shipped("page.js")
    html = (
        environment()
        .get_template("page.html")
        .render(
            title=title,
            sections=sections,
            kicker=kicker,
            lead=lead,
            summary=summary,
            footer=footer,
            style=Markup(_shipped("page.css")),
            script=Markup(script),
            policy=_policy(script),
        )
    )
    return printable(html)


def fill(template: str, package: str = SHELL, **context: Any) -> Markup:
    """Fill a template of a package's `templates` folder.

    The template may import the shell's macros: `{% import "parts.html" as parts %}`.

    Args:
        template: Its file name.
        package: Whose folder it is in.
        context: By name; all of it is escaped but what is `Markup`.

    Returns:
        The HTML.
    """
    return Markup(environment(package).get_template(template).render(**context))


@cache
def environment(package: str = SHELL) -> Environment:
    """Jinja with escaping on and undefined names an error: templates of `package`, then those of the shell."""
    own = [PackageLoader(package)] if package != SHELL else []
    made = Environment(
        loader=ChoiceLoader([*own, PackageLoader(SHELL)]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(FILTERS)
    return made


@cache
def _shipped(name: str) -> str:
    return (files(SHELL) / "templates" / name).read_text(encoding="utf-8")


def _policy(script: str) -> str:
    """Nothing is fetched, and no script runs but this one. The hash is of the text between the script's tags."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    allowed = f"style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    return f"default-src 'none'; {allowed}; base-uri 'none'; form-action 'none'"
