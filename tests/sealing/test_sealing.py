"""A sealed run brings no fact back and proves what was done; where it was encrypted, its key undoes that."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import zu_framework as zu
from tests.small_runs import FACTS
from tests.store.edits import contents, rewrite, run_on, stored
from zu_framework import ModelError, RunFolderError
from zu_framework.cli import main
from zu_framework.sealing.leftovers import destroy
from zu_framework.sealing.redaction import Redaction

WORDS = [text for fact in FACTS[:4] for text in fact]


@pytest.fixture(scope="module")
def made(
    checkpoint: Path, tmp_path_factory: pytest.TempPathFactory, private_cache: Path
) -> tuple[Path, Path]:
    """A run with all that a run can leave, and its cache: made once, copied by each test."""
    folder = tmp_path_factory.mktemp("sealing")
    facts = folder / "facts.jsonl"
    lines = [
        {"prompt": p, "subject": s, "answer": a, "paraphrases": [f"People say: {p}"]} for p, s, a in FACTS
    ]
    facts.write_text("\n".join(map(json.dumps, lines)))
    (folder / "text.txt").write_text("\n".join(f"line {n} of some text about the bridge" for n in range(40)))
    zu.run(
        {
            "model": {"path": str(checkpoint), "device": "cpu", "dtype": "bfloat16"},
            "data": {"name": "jsonl", "path": str(facts), "forget": 4},
            "locator": {"name": "fixed", "layers": [0, 1]},
            "collector": {"name": "subject-last", "contexts": "none"},
            "background": {"name": "text", "path": str(folder / "text.txt")},
            "target": {"name": "neutral", "steps": 2, "text": " Quinania"},
            "solver": {"name": "memit", "background_weight": 10},
            "output": {
                "folder": str(folder / "runs"),
                "name": "one",
                "model": True,
                "adapter": True,
                "intermediates": True,
                "share_targets": True,
            },
        }
    )
    return folder / "runs" / "one", private_cache


@pytest.fixture
def run(made: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(made[1], tmp_path / "cache")
    monkeypatch.setenv("ZU_CACHE", str(tmp_path / "cache"))
    return Path(shutil.copytree(made[0], tmp_path / "one"))


def sealed(run: Path, **options: Any) -> tuple[zu.Sealed, bytes]:
    keys: list[str] = []
    found = zu.seal(run, deliver=keys.append, **options)
    return found, bytes.fromhex(keys[0])


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


def test_the_manifest_is_canonical_and_checked(run: Path) -> None:
    sealed(run)
    path = run / "manifest.json"
    raw = path.read_bytes()
    assert raw == json.dumps(json.loads(raw), sort_keys=True, separators=(",", ":")).encode() + b"\n"
    assert zu.verify(path, run / "model")[0].endswith("files beside the manifest are those that were sealed")
    path.write_text(json.dumps(json.loads(raw), indent=1))
    with pytest.raises(RunFolderError, match="not in its canonical form"):
        zu.verify(path, run / "model")


def change_metrics(run: Path, model: Path) -> None:
    path = run / "metrics.json"
    path.write_text(path.read_text().replace("0", "1", 1))


def change_an_edited_weight(run: Path, model: Path) -> None:
    tensors = stored(model)
    tensors["model.layers.0.mlp.down_proj.weight"][0, 0] += 1
    rewrite(model, tensors)


def change_another_weight(run: Path, model: Path) -> None:
    tensors = stored(model)
    tensors["model.layers.2.mlp.up_proj.weight"][0, 0] += 1
    rewrite(model, tensors)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (change_metrics, "metrics.json is not what was sealed"),
        (change_an_edited_weight, r"is not the model that the sealed run left: .*edited weights are others"),
        (change_another_weight, r"is not the model that the sealed run left"),
    ],
)
def test_verify_refuses_what_is_not_the_sealed_model(
    run: Path, change: Callable[[Path, Path], None], said: str
) -> None:
    sealed(run)
    change(run, run / "model")
    with pytest.raises(zu.ZuError, match=said):
        zu.verify(run / "manifest.json", run / "model")


def test_verify_tells_the_original_model_apart(run: Path, checkpoint: Path) -> None:
    sealed(run)
    with pytest.raises(
        ModelError, match="still holds what the edit removed: 2 of 2 edited weights are as they were"
    ):
        zu.verify(run / "manifest.json", checkpoint)


@pytest.mark.parametrize("dtype", ["f32", "bf16"])
def test_verify_knows_a_model_by_its_files(checkpoint: Path, tmp_path: Path, dtype: str) -> None:
    made = run_on(checkpoint, tmp_path / "run", dtype)
    zu.apply(made, checkpoint, tmp_path / "edited")
    sealed(made)
    manifest = tmp_path / "manifest.json"
    shutil.move(made / "manifest.json", manifest)
    assert zu.verify(manifest, tmp_path / "edited") == [
        f"all 30 tensors of {tmp_path / 'edited'} are those of the sealed run, 2 edited weights among them"
    ]
    if dtype == "f32":  # other names and another layout, the same model
        rewrite(tmp_path / "edited", {f"x.{n}": t for n, t in stored(tmp_path / "edited").items()}, shards=2)
        assert "30 of 30 tensors" in zu.verify(manifest, tmp_path / "edited")[0]


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


def test_a_damaged_run_is_not_sealed(run: Path) -> None:
    path = run / "edit.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    before = contents(run)
    with pytest.raises(RunFolderError, match="is damaged"):
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
