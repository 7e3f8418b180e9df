"""The frontier on a real model, played on the embedded one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.benchmarks.real_frontier import Records, main
from tests.benchmarks.real_methods import methods
from zu_framework import demo

FACTS = 40


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    facts, text = tmp_path / "facts.json", tmp_path / "text.txt"
    facts.write_text(json.dumps([dict(record) for record in demo.records()][:FACTS]), encoding="utf-8")
    text.write_text("\n".join(demo.background_texts()), encoding="utf-8")
    sizes = "--layers 0 1 --sizes 4 --draws 0 --heldout 3 --long 10 --documents 60 --methods memit ours"
    files = {"--model": demo.model_path(), "--text": text, "--facts": facts}
    given = [part for option, path in files.items() for part in (option, str(path))]
    return [str(tmp_path / "out"), *given, *sizes.split()]


@pytest.mark.slow
def test_settings_are_chosen_on_one_half_and_reported_on_the_other_and_nothing_runs_twice(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([*arguments, "--stage", "choose", "--shard", "0/2"])
    main([*arguments, "--stage", "choose", "--shard", "0/1"])  # what the other shard would have run
    found = Records(tmp_path / "out", methods((0, 1))).found
    assert len(found) == 8 and all(stage == "choose" for stage, *_ in found)
    main([*arguments, "--stage", "report"])
    records = Records(tmp_path / "out", methods((0, 1)))
    reported = {cell: m for cell, m in records.found.items() if cell[0] == "report"}
    assert {cell[3]: cell[4] for cell in reported} == {m: records.chosen(m) for m in ("memit", "ours")}
    for measured in reported.values():
        assert measured["kl"] > 0 and measured["seconds"] > 0
        assert 0 <= measured["efficacy"] <= 100 and 0 <= measured["retained"] <= 100
    capsys.readouterr()
    main([*arguments, "--stage", "report"])
    assert capsys.readouterr().out == ""
    main([*arguments, "--stage", "seconds", "--methods", "memit"])
    (timed,) = Records(tmp_path / "out", methods((0, 1))).of(
        "seconds", 4, "memit", records.chosen("memit") or ""
    )
    assert set(timed) == {"seconds"}
    capsys.readouterr()
    main([str(tmp_path / "out"), "--table"])
    printed = capsys.readouterr().out
    assert "4 facts" in printed and "MEMIT" in printed and "(chosen)" in printed
    assert f" {timed['seconds']:.2f} |" in next(line for line in printed.splitlines() if "| MEMIT |" in line)
