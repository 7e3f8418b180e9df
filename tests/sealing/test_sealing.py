"""A sealed run brings no fact back and proves what was done; where it was encrypted, its key undoes that."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import shutil
from pathlib import Path

import pytest
import torch

import zu_framework as zu
from tests.sealing.sealed_runs import sealed
from tests.small_runs import FACTS
from tests.store.edits import contents, run_on, stored
from zu_framework import RunFolderError
from zu_framework.cli import main
from zu_framework.sealing.leftovers import destroy
from zu_framework.sealing.redaction import Redaction

WORDS = [text for fact in FACTS[:4] for text in fact]


def text_of(folder: Path, *, but: str = "model/") -> str:
    return "\n".join(
        raw.decode("utf-8", "replace") for n, raw in contents(folder).items() if not n.startswith(but)
    )


def test_what_is_left_holds_no_word_of_a_fact_and_nothing_to_compute_it_from(run: Path) -> None:
    assert all(word in text_of(run) for word in WORDS)
    found, _ = sealed(run)
    left = {name for name in contents(run) if not name.startswith("model/")}
    assert left == {
        "config.yaml",
        "metrics.json",
        "log.jsonl",
        "report.html",
        "manifest.json",
        "ledger/ledger.json",
    }
    assert {"edit.safetensors", "undo.safetensors", "facts.json", "adapter/adapter_model.safetensors"} <= set(
        found.removed
    )
    assert any(name.startswith("originals-") for name in found.removed)
    assert any(name.startswith("sites/") for name in found.removed)
    seen = text_of(run)
    for word in WORDS:
        assert word not in seen
    assert not list(run.rglob("*.safetensors"))[1:], "the model's own tensors alone"


def test_the_cached_target_states_go_too(run: Path, tmp_path: Path) -> None:
    before = set(tmp_path.glob("cache/*/*.safetensors"))
    events = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    mine = {e["key"] for e in events if e["event"] in ("remembered", "found")}
    assert mine and mine <= {path.stem for path in before}
    sealed(run)
    assert {path.stem for path in before - set(tmp_path.glob("cache/*/*.safetensors"))} == mine
    assert mine.isdisjoint(text_of(run).split('"'))


def test_numbers_stay_and_facts_are_named_by_a_key_that_the_owner_alone_has(run: Path) -> None:
    whole = json.loads((run / "metrics.json").read_text())
    _, key = sealed(run)
    kept = json.loads((run / "metrics.json").read_text())
    manifest = json.loads((run / "manifest.json").read_text())
    for side in ("before", "after"):
        assert {n: m["value"] for n, m in kept[side].items()} == {
            n: m["value"] for n, m in whole[side].items()
        }
        assert manifest["metrics"][side] == kept[side]
    assert "request_digest" not in kept["edit"]
    named = {one["fact"] for one in manifest["facts"]}
    for prompt, _, answer in FACTS[:4]:
        message = json.dumps([prompt, answer], separators=(",", ":")).encode()
        assert f"hmac-sha256:{hmac.new(key, message, hashlib.sha256).hexdigest()}" in named
    page = (run / "report.html").read_text()
    assert "fact " + next(iter(named)).partition(":")[2][:16] in page
    assert key.hex() not in text_of(run)


def test_two_seals_name_a_fact_differently(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "two")
    sealed(run)
    sealed(tmp_path / "two")
    first, second = (json.loads((f / "manifest.json").read_text())["facts"] for f in (run, tmp_path / "two"))
    assert first and not {one["fact"] for one in first} & {one["fact"] for one in second}


def test_after_a_seal_every_door_says_why_it_cannot(run: Path, checkpoint: Path, tmp_path: Path) -> None:
    sealed(run)
    for door in (
        lambda: zu.apply(run, checkpoint, tmp_path / "out"),
        lambda: zu.revert(run, run / "model", tmp_path / "out"),
        lambda: zu.export_lora(run, tmp_path / "out"),
    ):
        with pytest.raises(
            RunFolderError, match="was sealed: its factors and undo record are gone or encrypted"
        ):
            door()
    with pytest.raises(SystemExit) as ended:
        main(["report", str(run)])
    assert ended.value.code == 2
    with pytest.raises(RunFolderError, match="was sealed"):
        zu.seal(run, deliver=print)
    assert not (tmp_path / "out").exists()


def test_what_was_encrypted_comes_back_byte_for_byte_with_its_key_alone(
    run: Path, checkpoint: Path, tmp_path: Path
) -> None:
    pytest.importorskip("cryptography", reason="the extra seal is not installed")
    before = contents(run)
    sealed(run, encrypt_to=tmp_path / "owner.key")
    assert (tmp_path / "owner.key").stat().st_mode & 0o777 == 0o600
    for word in WORDS:
        assert word not in text_of(run)
    with pytest.raises(RunFolderError, match="was sealed"):
        zu.revert(run, run / "model", tmp_path / "out")
    (tmp_path / "other.key").write_text("QUFB" * 5)
    for wrong, said in (
        (tmp_path / "other.key", "no key of 32 bytes"),
        (tmp_path / "none.key", "does not exist"),
    ):
        with pytest.raises(RunFolderError, match=said):
            zu.unseal(run, wrong)
    sealed_as = contents(run)
    run_on(checkpoint, tmp_path / "another")
    sealed(tmp_path / "another", encrypt_to=tmp_path / "another.key")
    with pytest.raises(RunFolderError, match="the key is another, or it is damaged"):
        zu.unseal(run, tmp_path / "another.key")
    assert contents(run) == sealed_as
    zu.unseal(run, tmp_path / "owner.key")
    assert contents(run) == before


def test_a_damaged_encrypted_file_is_refused_and_nothing_changed(run: Path, tmp_path: Path) -> None:
    pytest.importorskip("cryptography", reason="the extra seal is not installed")
    sealed(run, encrypt_to=tmp_path / "owner.key")
    path = run / "sealed" / "edit.safetensors.enc"
    raw = path.read_bytes()
    for damaged in (raw[:-1], raw[:-1] + bytes([raw[-1] ^ 1]), raw[:5], b""):
        path.write_bytes(damaged)
        before = contents(run)
        with pytest.raises(RunFolderError):
            zu.unseal(run, tmp_path / "owner.key")
        assert contents(run) == before


def test_a_key_file_does_not_go_into_the_run(run: Path) -> None:
    before = contents(run)
    with pytest.raises(RunFolderError, match="lies in the run folder: keep the key elsewhere"):
        zu.seal(run, deliver=print, encrypt_to=run / "owner.key")
    assert contents(run) == before


@pytest.mark.parametrize(
    ("name", "held"),
    [
        ("metrics.json", {"edit": 3}),
        ("metrics.json", {"completions": 3}),
        ("facts.json", {"facts": ["a fact"]}),
        ("audit/metrics.json", {"findings": 3}),
    ],
)
def test_a_file_that_is_none_of_a_run_is_named_where_it_lies(run: Path, name: str, held: object) -> None:
    (run / name).parent.mkdir(exist_ok=True)
    (run / name).write_text(json.dumps(held))
    before = contents(run)
    with pytest.raises(RunFolderError, match=re.escape(str(run / name))):
        sealed(run)
    assert contents(run) == before
    assert not (run / ".sealed").exists()


def test_a_damaged_run_is_not_sealed(run: Path) -> None:
    path = run / "edit.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    before = contents(run)
    with pytest.raises(RunFolderError, match="is damaged"):
        zu.seal(run, deliver=print)
    assert contents(run) == before


def test_a_log_that_cannot_be_read_is_told_since_it_names_what_is_to_go(run: Path) -> None:
    (run / "audit" / "log.jsonl").mkdir(parents=True)
    before = contents(run)
    with pytest.raises(RunFolderError, match=r"audit/log.jsonl cannot be read"):
        zu.seal(run, deliver=print)
    assert contents(run) == before


def test_a_run_whose_numbers_were_changed_is_not_sealed(run: Path) -> None:
    path = run / "metrics.json"
    metrics = json.loads(path.read_text("utf-8"))
    metrics["after"]["efficacy"]["value"] = 0.125
    path.write_text(json.dumps(metrics), encoding="utf-8")
    before = contents(run)
    with pytest.raises(RunFolderError, match="metrics.json is damaged: .*its digest differs"):
        zu.seal(run, deliver=print)
    assert contents(run) == before


@pytest.mark.parametrize("killed_at", range(0, 14, 2))
def test_a_seal_that_was_killed_is_finished_by_the_next_call(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_at: int
) -> None:
    calls = {"count": 0}

    def killed(path: Path) -> bool:
        calls["count"] += 1
        if calls["count"] > killed_at:
            raise KeyboardInterrupt
        return destroy(path)

    with monkeypatch.context() as patched:
        patched.setattr("zu_framework.sealing.sealed_run.destroy", killed)
        with pytest.raises(KeyboardInterrupt):
            sealed(run)
    keys: list[str] = []
    found = zu.seal(run, deliver=keys.append)
    assert not keys and "an earlier seal was finished" in found.notes[0]
    for word in WORDS:
        assert word not in text_of(run)
    assert zu.verify(run / "manifest.json", run / "model")
    assert not [name for name in contents(run) if name.startswith(".")]


def test_links_are_not_followed_and_other_hard_links_are_told_of(run: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text("mine")
    (run / "link").symlink_to(outside)
    (run / "folder").symlink_to(tmp_path)
    os.link(run / "undo.safetensors", tmp_path / "copy")
    held = (tmp_path / "copy").read_bytes()
    found, _ = sealed(run)
    assert outside.read_text() == "mine"
    assert not (run / "link").is_symlink() and not (run / "folder").is_symlink()
    assert (tmp_path / "copy").read_bytes() == held
    assert "other hard links to these files keep what they held: undo.safetensors" in found.notes


def test_a_file_is_overwritten_before_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b"secret" * 1000)
    with path.open("rb") as held:
        assert destroy(path)
        assert set(held.read()) == {0}
    assert not path.exists() and destroy(path)


def test_words_of_facts_leave_every_text_that_stays() -> None:
    facts = [{"prompt": "The capital of X is", "answer": "teacher"}, {"prompt": "p", "answer": "ab"}]
    redaction = Redaction(b"k" * 32, facts)
    value = {
        "definition": "teacher-forced share, Teachers",
        "notes": ["anything"],
        "value": "nan",
        "Teacher": 1,
    }
    assert redaction.plain(value) == {
        "definition": "(sealed)-forced share, Teachers",
        "notes": ["(sealed)"],
        "value": "nan",
        "(sealed)": 1,
    }


def test_the_command_gives_the_key_once(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["seal", str(run), "--key", str(tmp_path / "key")])
    out = capsys.readouterr().out
    key = (tmp_path / "key").read_text().strip()
    assert len(bytes.fromhex(key)) == 32 and key not in out and "manifest: " in out
    main(["verify", str(run / "manifest.json"), str(run / "model")])
    assert "are those of the sealed run" in capsys.readouterr().out


def test_an_edit_made_in_memory_can_be_sealed(checkpoint: Path, tmp_path: Path) -> None:
    made = run_on(checkpoint, tmp_path / "run")
    found, _ = sealed(made)
    assert set(found.removed) == {"edit.safetensors", "undo.safetensors"}
    assert set(contents(made)) == {"manifest.json", "ledger/ledger.json"}
    assert torch.is_tensor(stored(checkpoint)["lm_head.weight"])
