"""A note about several sites is said once."""

from __future__ import annotations

from zu_framework.reporting import site_notes

MISSED = "1 of 10 neutral states were not reached"


def test_a_note_is_said_once_with_the_sites_that_it_is_about() -> None:
    same = [{"targets": {"notes": [MISSED]}, "solver": {}}]
    other = [
        {"targets": {}, "solver": {"notes": ["few directions"]}},
        {"solver": {"notes": ["few directions"]}},
    ]
    assert site_notes({"a": same, "b": same, "c": same, "d": other}) == [
        f"a and 2 more sites: {MISSED}",
        "d: few directions",
    ]
    assert site_notes({"a": same, "b": same}) == [f"a and 1 more site: {MISSED}"]
    assert site_notes({}) == []
