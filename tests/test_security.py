"""docs/security.md says of every artefact what it holds: held against a run that left everything."""

from __future__ import annotations

import json
import re
import shutil
import stat
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

import zu_framework as zu
from zu_framework.reporting.audit_page import write_audit_page

PAGE = Path(__file__).resolve().parents[1] / "docs" / "security.md"


def table(heading: str) -> list[dict[str, str]]:
    """The rows of a section's table, by the names of its columns."""
    section = PAGE.read_text("utf-8").partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in section.splitlines()
        if line[:1] == "|"
    ]
    return [dict(zip(lines[0], line, strict=True)) for line in lines[2:]]


ROWS = {row["file"].strip("`"): row for row in table("In a run folder")}


def row_of(name: str) -> dict[str, str]:
    found = [row for pattern, row in ROWS.items() if fnmatch(name, pattern.replace("**", "*"))]
    assert found, f"{name} stands in no row of docs/security.md"
    return found[0]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with every optional part, an audit, and an edit that was also put on a checkpoint in another dtype."""
    folder = tmp_path_factory.mktemp("security")
    found = zu.run(
        "demo",
        [
            "data.forget=2",
            "data.retain=2",
            "locator={name: auto, width: 1}",
            "collector.contexts=none",
            "target.steps=2",
            "background.documents=20",
            "solver.name=memit",
            "then=[{locator: {name: causal-trace, width: 1, samples: 4, facts: 2}}]",
            f"output.folder={folder}",
            "output.name=one",
            "output.model=true",
            "output.adapter=true",
            "output.intermediates=true",
            "report.facts=10",
        ],
    ).folder
    zu.audit(found, {"audit": {"attacks": ["quantize"], "forget": 2, "retain": 1}})
    write_audit_page(found / "audit")
    return found


def words(run: Path) -> list[str]:
    """Prompts and answers of the facts to forget."""
    facts = json.loads((run / "facts.json").read_text("utf-8"))["facts"]
    found = [fact[name] for fact in facts if fact["set"] == "forget" for name in ("prompt", "answer")]
    assert len(found) == 4
    return found


def files(folder: Path) -> dict[str, Path]:
    return {p.relative_to(folder).as_posix(): p for p in sorted(folder.rglob("*")) if p.is_file()}


def test_every_file_of_a_run_stands_in_the_table(run: Path) -> None:
    seen = {row_of(name)["file"] for name in files(run)}
    made = {row["file"] for row in ROWS.values()} - {
        "`attribution.*`",
        "`causal-trace.*`",  # here it is of a further stage
        "`ledger/*.safetensors`",
        "`manifest.json`",
        "`sealed/**`",
    }
    assert seen == made, "the run has every file that the table speaks of"


def test_what_the_table_says_of_words_is_so(run: Path) -> None:
    secret = words(run)
    for name, path in files(run).items():
        told = row_of(name)["in words"]
        text = path.read_bytes().decode("utf-8", "replace")
        if name.endswith("tokenizer.json"):
            continue  # it knows every word
        held = [word for word in secret if word in text or json.dumps(word)[1:-1] in text]
        if told == "no":
            assert not held, f"{name} holds {held}"
        elif told == "yes":
            assert held, f"{name} holds no fact in words"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes")
def test_what_the_page_says_of_modes_is_so(run: Path) -> None:
    for path in (run, *run.rglob("*")):
        mode = stat.S_IMODE(path.stat().st_mode)
        part = path.relative_to(run).parts[:1]
        if part not in (("model",), ("adapter",)):
            assert mode == (0o700 if path.is_dir() else 0o600), f"{path}: {mode:o}"


def test_what_the_table_says_of_a_seal_is_so(run: Path, tmp_path: Path) -> None:
    copy, secret = Path(shutil.copytree(run, tmp_path / "sealed")), words(run)
    before = files(copy)
    contents = {name: path.read_bytes() for name, path in before.items()}
    zu.seal(copy, deliver=lambda key: None)
    after = files(copy)
    for name in before:
        told = row_of(name)["after `zu seal`"]
        assert (name in after) == (told != "gone"), f"{name}: {told}"
        if told == "stays":
            assert after[name].read_bytes() == contents[name]
    for name, path in after.items():
        if not name.startswith("model/"):
            text = path.read_text("utf-8")
            assert not [word for word in secret if word in text], name


def test_what_brings_the_facts_back_is_what_the_table_says(run: Path, tmp_path: Path) -> None:
    """The thief has the edited model and what the table calls harmless; then one file of the others."""
    harmless = tmp_path / "harmless"
    for name, path in files(run).items():
        if row_of(name)["brings them back"] == "no":
            (harmless / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, harmless / name)
    with pytest.raises(zu.RunFolderError, match="edit.safetensors does not exist"):
        zu.revert(harmless, harmless / "model", tmp_path / "out")
    weights = {
        n: p for n, p in files(harmless).items() if n.endswith(".safetensors") and not n.startswith("model/")
    }
    assert set(weights) == {"analysis.safetensors"}, "no tensor but the model's own, and numbers for the page"


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([\w/.-]+\.md)", PAGE.read_text("utf-8")):
        assert (PAGE.parent / target).is_file(), target
