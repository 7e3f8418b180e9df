"""What a hand-written page says of a contract's signature is the contract's: names, their order, what comes back."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from zu_framework import contracts, hookspecs

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]

# what a page may call each contract; several kinds share a name
CALLED = {
    "locate": [contracts.Locator.__call__],
    "check": [contracts.Check.__call__],
    "plan": [contracts.Collector.plan],
    "collect": [contracts.Collector.collect],
    "retained": [contracts.Collector.retained],
    "prepare": [contracts.TargetBuilder.prepare, contracts.Prepare.__call__],
    "at_site": [contracts.TargetBuilder.at_site],
    "solve": [
        contracts.Solver.__call__,
        contracts.PreparedSolver.__call__,
        contracts.ModelSolver.__call__,
    ],
    "load": [contracts.Dataset.__call__],
    "documents": [contracts.BackgroundSource.__call__],
    "metric": [contracts.Metric.__call__, contracts.MetricWithOptions.__call__],
    "audit": [contracts.Audit.__call__],
    "execute": [contracts.Executor.__call__],
    "section": [contracts.ReportSection.__call__],
    "before": [contracts.RunObserver.before],
    "after": [contracts.RunObserver.after],
    "saved": [contracts.RunObserver.saved],
} | {name: [hook] for name, hook in vars(hookspecs).items() if name.startswith("zu_")}

SPAN = re.compile(r"(?<![\w.])(\w+)\(([\w, =*/]*)\)(?: *-> *([\w\[\], |.]+?))?(?=`)")
MOST = {"plan": "ReadPlan", "collect": "Representations", "at_site": "TargetStates"}


@dataclass(frozen=True)
class Stated:
    """A signature as a page has it."""

    page: str
    name: str
    parameters: tuple[str, ...]
    returns: str = ""


def stated(page: str, text: str) -> Iterator[Stated]:
    """Signatures in code spans, and functions in Python blocks."""
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        if "--8<--" not in block:
            for node in ast.walk(ast.parse(block)):
                if isinstance(node, ast.FunctionDef) and node.name in CALLED:
                    names = [a.arg for a in (*node.args.posonlyargs, *node.args.args) if a.arg != "self"]
                    yield Stated(page, node.name, tuple(names))
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    for span in re.findall(r"`[^`\n]+`", prose):
        for name, given, returns in SPAN.findall(span):
            parameters = tuple(part.strip() for part in given.split(",") if part.strip())
            if name in CALLED and all(part.isidentifier() for part in parameters):
                yield Stated(page, name, parameters, returns)


def faults(one: Stated) -> str:
    """Why a page's signature is not the contract's; "" where it is."""
    allowed, returns = [], set()
    for declared in CALLED[one.name]:
        allowed.append(tuple(name for name in inspect.signature(declared).parameters if name != "self"))
        returns.add(str(inspect.get_annotations(declared).get("return")))
    if one.parameters not in allowed:
        return f"{one.page}: {one.name}({', '.join(one.parameters)}) is none of {allowed}"
    if one.returns and one.returns not in returns:
        return f"{one.page}: {one.name} returns {one.returns}, by its contract {' or '.join(returns)}"
    return ""


def in_pages() -> list[Stated]:
    return [one for page in PAGES for one in stated(page.name, page.read_text("utf-8"))]


def test_pages_state_the_contracts_signatures() -> None:
    found = in_pages()
    wrong = [fault for one in found if (fault := faults(one))]
    assert not wrong, "\n" + "\n".join(wrong)
    told = {one.name for one in found}
    assert {"locate", "plan", "collect", "prepare", "at_site", "solve"} <= told
    for name, kind in MOST.items():
        assert any(one.name == name and one.returns == kind for one in found), (
            f"no page says what {name} returns"
        )


@pytest.mark.parametrize(
    "text",
    [
        "`locate(lm, requests, options) -> list[Site]`",  # what a page once said
        "`locate(lm, requests, options, context) -> Site`",
        "a class with `prepare(lm, plan)`",
        "`solve(options, problem)`",
        "`zu_architecture(model)`",
        "```python\ndef collect(self, lm, site, plan):\n    ...\n```",
    ],
)
def test_the_check_sees_what_is_wrong(text: str) -> None:
    assert [fault for one in stated("page.md", text) if (fault := faults(one))]


@pytest.mark.parametrize(
    "text",
    [
        "`locate(lm, requests, options, context) -> list[Site]`",
        "`zu.solve(name, problem)` and `zu.check(config)` are calls",
        '`solve("memit", problem)`',
        "```python\ndef collect(self, lm, plan, site):\n    ...\n```",
    ],
)
def test_the_check_passes_what_is_right(text: str) -> None:
    assert not [fault for one in stated("page.md", text) if (fault := faults(one))]
