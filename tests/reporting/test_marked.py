"""Control characters and direction marks in a page are shown as escapes, from whatever part they come."""

from __future__ import annotations

import re

import pytest
from markupsafe import Markup

from zu_framework.reporting.pages import PageSection, page

STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@pytest.mark.parametrize(
    ("character", "shown"), [("\x1b", r"\x1b"), ("\x00", r"\x00"), ("\u202e", r"\u202e"), ("\x9b", r"\x9b")]
)
def test_what_would_steer_a_reader_is_marked(character: str, shown: str) -> None:
    hostile = f"a{character}b"
    html = page(
        hostile,
        [
            PageSection("one", hostile, hostile, lead=hostile),
            PageSection("two", "two", Markup('<p title="{}">{}</p>').format(hostile, hostile)),
        ],
        kicker=hostile,
        lead=hostile,
        summary=Markup(hostile),
        footer=hostile,
    )
    assert not STEERING.search(html)
    assert html.count(f"a{shown}b") >= 8


def test_other_scripts_are_left_as_they_are() -> None:
    html = page("שלום مرحبا 中文", [PageSection("one", "é", "🙂\ttab\nline")])
    assert "שלום مرحبا 中文" in html and "🙂\ttab\nline" in html
