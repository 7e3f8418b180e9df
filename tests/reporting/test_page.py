"""The shell of every page: what it escapes, what its policy forbids, and plots in the page's colours."""

from __future__ import annotations

import base64
import hashlib
import math
import re
from html.parser import HTMLParser

import pytest
from markupsafe import Markup

from zu_framework.problem import Measurement
from zu_framework.reporting import PageSection, fill, inline_svg, page, panel
from zu_framework.reporting.numbers import NONE, interval, measured, number, percent, seconds, size
from zu_framework.reporting.plots import VARIABLES

HOSTILE = "</script><script>alert(1)</script> \"quoted\" 'too' <!-- $x$ & &amp;"


class Tags(HTMLParser):
    """Counts start tags and gathers text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(str(html))

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_all_that_is_not_markup_is_escaped() -> None:
    said = page(
        HOSTILE,
        [PageSection("a", HOSTILE, HOSTILE, lead=HOSTILE), PageSection("b", "B", Markup("<em>kept</em>"))],
        kicker=HOSTILE,
        lead=HOSTILE,
        summary=HOSTILE,
        footer=HOSTILE,
    )
    seen = Tags(said)
    assert seen.tags.count("script") == 1 and "em" in seen.tags
    assert seen.text.count(HOSTILE) >= 8


def test_the_policy_lets_no_script_run_but_the_pages_own() -> None:
    said = page("t", [])
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', said)
    (script,) = re.findall(r"<script>(.*?)</script>", said, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = policy.replace("&#39;", "'")
    assert f"script-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")
    assert not re.search(r"https?://|//cdn|src=|@import", said)


def test_templates_escape_their_context_and_miss_no_name() -> None:
    from jinja2 import UndefinedError

    from zu_framework.reporting.pages import environment

    shown = environment().from_string('{% import "parts.html" as parts %}{{ parts.pairs([(a, a)]) }}')
    assert "<script>" not in shown.render(a=HOSTILE)
    with pytest.raises(UndefinedError, match="is undefined"):
        fill("page.html")


def test_a_plot_is_inline_and_wears_the_pages_colours() -> None:
    with panel(HOSTILE) as (figure, axes):
        axes.plot([0, 1], [0, 1], label=HOSTILE)
        axes.set_xlabel(HOSTILE)
        axes.legend()
        svg = inline_svg(figure, "The Plot", HOSTILE)
        again = inline_svg(figure, "other", "described")
    assert not [colour for colour in re.findall(r"#[0-9a-f]{6}\b", svg) if colour in VARIABLES]
    assert {"var(--c1)", "var(--ink)", "var(--muted)", "var(--rule)"} <= set(re.findall(r"var\(--\w+\)", svg))
    seen = Tags(svg)
    assert "script" not in seen.tags and "metadata" not in seen.tags and "style" not in seen.tags
    assert seen.text.count(HOSTILE) == 3
    ids = re.findall(r'id="([^"]+)"', svg)
    assert len(ids) == len(set(ids)) and not set(ids) & set(re.findall(r'id="([^"]+)"', again))
    for used in re.findall(r'(?:href="|url\()#([^")]+)', svg):
        assert used in ids


def test_the_same_data_give_the_same_plot() -> None:
    def drawn() -> str:
        with panel() as (figure, axes):
            axes.plot([0, 2], [3, 1])
            return inline_svg(figure, "p", "d")

    assert drawn() == drawn()


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (number(0.99778), "0.998"),
        (number(12.345), "12.3"),
        (number(-0.5), "\u22120.500"),
        (number(3.2e-8), "3.2e\u22128"),
        (number(10.0), "10"),
        (number(None), NONE),
        (number("inf"), "inf"),
        (number(math.inf), "inf"),
        (number(1234567), "1 234 567"),
        (number(0.0), "0"),
        (number(True), "True"),
        (percent(0.5), "50.0 %"),
        (percent(1e-6), "<0.1 %"),
        (percent(0.0), "0.0 %"),
        (percent(None), NONE),
        (seconds(0.0123), "12 ms"),
        (seconds(59.99), "1 min 0 s"),
        (seconds(3725), "1 h 2 min"),
        (seconds(1e-5), "<1 ms"),
        (size(607502336), "579 MiB"),
        (size(0), "0 B"),
        (measured(Measurement(13.333, 4, 30, "probe", "%")), "13.3 %"),
        (measured(None), NONE),
        (interval(Measurement(13.3, 4, 30, "probe", "%", low=3.3, high=26.7)), "3.3 to 26.7 %"),
        (interval(Measurement(13.3, 4, 30, "probe", "%")), ""),
    ],
)
def test_numbers_as_people_read_them(said: str, expected: str) -> None:
    assert said.replace("\u202f", " ") == expected
