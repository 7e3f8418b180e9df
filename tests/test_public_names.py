"""What is public stands in one page, and is all that plugins import."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest

import zu_framework
from tests.test_imports import PUBLIC, exported, plugin_sources

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "reference" / "api.md"
FOR_TESTS = "zu_framework.testing"  # what a plugin's tests import, and no plugin


def listed() -> list[str]:
    return re.findall(r"^::: ([\w.]+)$", PAGE.read_text("utf-8"), re.M)


def test_the_page_lists_exactly_what_is_public() -> None:
    packages = (PUBLIC - {"zu_framework"}) | {FOR_TESTS}
    names = {f"zu_framework.{name}" for name in zu_framework.__all__} - {"zu_framework.__version__"}
    assert sorted(listed()) == sorted(names | packages)


@pytest.mark.parametrize("package", sorted(PUBLIC | {FOR_TESTS}))
def test_a_public_package_offers_what_it_lists(package: str) -> None:
    module = __import__(package, fromlist=["*"])
    names = exported(package)
    assert names and sorted(module.__all__) == sorted(names)
    assert all(getattr(module, name, None) is not None for name in names)
    told = [getattr(module, name) for name in names]
    assert all(one.__doc__ for one in told if inspect.isclass(one) or inspect.isfunction(one))


def test_the_page_has_what_plugins_import() -> None:
    page, found = set(listed()), set()
    for path in plugin_sources():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "zu_framework":
                found |= {(str(node.module), alias.name) for alias in node.names}
    assert len(found) > 60
    missing = [(m, n) for m, n in found if m not in page and f"{m}.{n}" not in page]
    assert not missing
