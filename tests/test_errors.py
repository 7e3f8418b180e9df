"""Hints about an unknown name: the closest known ones, whatever case or space the name came with."""

from __future__ import annotations

import pytest

from zu_framework.errors import did_you_mean

KNOWN = ("memit", "zerounlearn", "zerounlearn-gd")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("memti", "did you mean 'memit'? "),
        (" MEMIT ", "did you mean 'memit'? "),
        ("ZeroUnlern", "did you mean 'zerounlearn' or 'zerounlearn-gd'? "),
        ("another", ""),
    ],
)
def test_the_closest_known_names_are_offered(name: str, hint: str) -> None:
    assert did_you_mean(name, KNOWN) == hint


def test_known_names_are_offered_as_they_are_written_and_no_more_than_asked() -> None:
    assert did_you_mean("memit", ["MEMIT"]) == "did you mean 'MEMIT'? "
    assert did_you_mean("zerounlern", KNOWN, most=1) == "did you mean 'zerounlearn'? "
    assert did_you_mean("else", KNOWN, also=["memit"]) == "did you mean 'memit'? "
