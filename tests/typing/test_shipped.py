"""What mypy checks of contracts is all that is shipped, and what is wrong would be seen."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from zu_framework.registry import installed_plugins
from zu_framework.registry.checking import contract_of
from zu_framework.specs import CheckedSpec, SolverSpec

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = Path(__file__).parent / "shipped.py"


def assigned() -> set[tuple[str, str]]:
    """Contract and "module:attribute" of each assignment."""
    found = set()
    for node in ast.parse(SHIPPED.read_text("utf-8")).body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.value, ast.Tuple):
            declared = ast.unparse(node.annotation).split("contracts.")[1].split("]")[0].split(",")[0]
            for element in node.value.elts:
                module, _, attribute = ast.unparse(element).rpartition(".")
                found.add((declared, f"{module}:{attribute}"))
    return found


def test_every_shipped_implementation_is_assigned_to_its_contract() -> None:
    wanted = set()
    for registered in installed_plugins().registry:
        spec = registered.spec
        if not registered.shipped:
            continue
        contract = contract_of(spec)
        assert contract is not None, spec.kind
        wanted.add((contract.__name__, spec.target))
        if isinstance(spec, SolverSpec) and spec.prepare is not None:
            wanted.add(("Prepare", spec.prepare.target))
        if isinstance(spec, CheckedSpec) and spec.check:
            wanted.add(("Check", spec.check))
    assert len(wanted) > 60
    assert assigned() == wanted


@pytest.mark.slow
@pytest.mark.parametrize(
    ("contract", "wrong"),
    [
        ("contracts.Solver", "def it(problem: zu.EditProblem) -> zu.Update: raise SystemExit"),
        ("contracts.Solver", "def it(problem: zu.EditProblem, options: int) -> int: return 1"),
        ("type[contracts.Collector]", "class it: ..."),
        ("contracts.Dataset", "def it(options: int) -> zu.DataSplit: raise SystemExit"),
    ],
)
def test_what_breaks_a_contract_is_an_error_of_types(tmp_path: Path, contract: str, wrong: str) -> None:
    path = tmp_path / "wrong.py"
    path.write_text(
        f"import zu_framework as zu\nfrom zu_framework import contracts\n{wrong}\nx: {contract} = it\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--follow-imports=silent", str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 1 and "[assignment]" in done.stdout and "Found 1 error" in done.stdout, (
        done.stdout
    )
