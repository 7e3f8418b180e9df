"""Two processes make one run: the single-process numbers, one run folder, one message when one of them fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from zu_framework import LanguageModel, Representations
from zu_framework.distribution import Processes, rank_here
from zu_framework.distribution.division import joined_representations, joined_states
from zu_framework.engine import loop
from zu_framework.errors import ProcessError
from zu_framework.testing import tiny_model

PROBE = """
import sys, torch
from pathlib import Path
import zu_framework as zu
from zu_framework.distribution import rank_here
result = zu.run(sys.argv[1])
tensors = {k: v.clone() for k, v in result.edit.lm.model.state_dict().items()}
from safetensors.torch import save_file
save_file(tensors, Path(sys.argv[2]) / f"rank{rank_here()}.safetensors")
"""

BREAKS = """
import sys
import zu_framework.engine.run
from zu_framework.errors import DataError
from zu_framework.cli.app import main
from zu_framework.distribution import rank_here
if rank_here() == 1:
    def broken(*_): raise DataError("the disk of this machine is on fire")
    sys.modules["zu_framework.engine.run"].carried_edits = broken
main(["run", sys.argv[1]])
"""


def started(script: str, *arguments: str, count: int = 2, cache: Path) -> subprocess.CompletedProcess[str]:
    """The script in `count` processes under torchrun, or in one without."""
    file = cache.parent / "script.py"
    file.write_text(script)
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    command = [sys.executable, *(launch if count > 1 else []), str(file), *arguments]
    return subprocess.run(
        command,
        env={**os.environ, "ZU_CACHE": str(cache)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.fixture
def config(settings: dict[str, Any], tmp_path: Path) -> Path:
    """The whole run of the other engine tests, in float64."""
    tiny_model("llama", dtype=torch.float64).save(tmp_path / "double")
    settings["model"] = {
        "path": str(tmp_path / "double"),
        "dtype": "float64",
        "device": "cpu",
        "batch_tokens": 64,
    }
    settings["data"] = {**settings["data"], "forget": 5}  # type: ignore[dict-item]
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


def named(config: Path, name: str, **groups: Any) -> Path:
    tree = yaml.safe_load(config.read_text())
    tree["output"]["name"] = name
    for group, values in groups.items():
        tree[group] = {**tree[group], **values}
    path = config.with_name(f"{name}.yaml")
    path.write_text(yaml.safe_dump(tree))
    return path


def assert_same_weights(config: Path, rtol: float, atol: float) -> None:
    """Run a config in one process and in two, beside it: all hold the edited weights that one process makes."""
    held = []
    for count, name in ((1, "alone"), (2, "together")):
        folder = config.with_name(name)
        folder.mkdir()
        cache = config.with_name(f"cache{count}")
        done = started(PROBE, str(named(config, name)), str(folder), count=count, cache=cache)
        assert done.returncode == 0, done.stderr[-3000:]
        held += [load_file(folder / f"rank{rank}.safetensors") for rank in range(count)]
    alone, first, second = held
    for name, tensor in alone.items():
        assert torch.equal(first[name], second[name]), name
        assert torch.allclose(first[name], tensor, rtol=rtol, atol=atol), name


@pytest.mark.slow
def test_two_processes_give_what_one_gives(config: Path, tmp_path: Path) -> None:
    """Moments, targets and the edited weights to 1e-10; both processes hold the same model, one wrote a folder."""
    solver = {"name": "zerounlearn-local", "space": "key", "ridge": 1.0}
    assert_same_weights(
        named(config, "both", output={"intermediates": True}, solver=solver), rtol=1e-10, atol=1e-12
    )
    runs = tmp_path / "runs"
    assert sorted(p.name for p in runs.iterdir()) == ["alone", "together"]
    for site in (runs / "alone" / "sites").iterdir():
        ours, theirs = load_file(runs / "together" / "sites" / site.name), load_file(site)
        assert ours.keys() == theirs.keys() and "key_moment" in ours
        for part in ours:
            scale = float(theirs[part].norm())
            assert float((ours[part] - theirs[part]).norm()) <= 1e-10 * scale, (site.name, part)
    reports = [json.loads((runs / name / "metrics.json").read_text()) for name in ("alone", "together")]
    assert reports[0]["after"].keys() == reports[1]["after"].keys()
    lists = [report["edit"]["sites"]["model.layers.0.mlp.down_proj"][0]["targets"] for report in reports]
    assert len(lists[1]["neutral_last_loss"]) == len(lists[0]["neutral_last_loss"]) == 5
    # the next run of either kind reads what two processes kept
    assert len(list((tmp_path / "cache2" / "moments").glob("*.safetensors"))) == 2


@pytest.mark.slow
def test_what_is_chosen_by_looking_at_facts_is_chosen_by_all(config: Path) -> None:
    """The neutral text, and what else is asked of subjects: each process looks at all facts, not at its own."""
    target = {"text": None, "others": 1, "spare_weight": 30.0, "lr": 0.3, "clamp": 3.0}
    assert_same_weights(named(config, "chosen", target=target), rtol=1e-8, atol=1e-10)


@pytest.mark.slow
def test_two_processes_go_through_stages_as_one_does(config: Path) -> None:
    """A trained stage and a retaining one after a closed form: the edited weights to 1e-8."""
    tree = yaml.safe_load(config.read_text())
    retaining = {"name": "zerounlearn-local", "space": "key", "zero_weight": 0, "retain_weight": 10}
    tree["then"] = [
        {"solver": {"name": "ga", "steps": 2, "lr": 0.001}},
        {
            "locator": {"layers": [2]},
            "collector": {"name": "prompt-last", "substitutes": 2},
            "solver": retaining,
        },
    ]
    config.write_text(yaml.safe_dump(tree))
    assert_same_weights(config, rtol=1e-8, atol=1e-10)


@pytest.mark.slow
def test_a_failing_process_ends_all_with_one_message(config: Path, tmp_path: Path) -> None:
    done = started(BREAKS, str(named(config, "broken")), cache=tmp_path / "cache")
    assert done.returncode != 0
    said = [line for line in done.stderr.splitlines() if "error: " in line]
    assert len(said) == 1 and "the disk of this machine is on fire" in said[0]
    assert "PeerError" not in done.stderr and done.stdout == ""
    assert not (tmp_path / "runs" / "broken").exists()


@pytest.mark.slow
def test_what_all_meet_is_said_once(config: Path, tmp_path: Path) -> None:
    done = started(BREAKS, str(named(config, "wrong", locator={"layers": [99]})), cache=tmp_path / "cache")
    assert done.returncode != 0
    assert sum("error: " in line for line in done.stderr.splitlines()) == 1
    assert not (tmp_path / "runs" / "wrong").exists()


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_shares_are_stretches_that_cover_everything_once(count: int) -> None:
    for total in (0, 1, 5, 20):
        shares = [Processes(rank, count).share(total) for rank in range(count)]
        assert [index for share in shares for index in share] == list(range(total))
        assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_the_loop_does_not_know_of_processes() -> None:
    """Distribution stays inside statistics and one wrapper around collector and target builder."""
    code = Path(loop.__file__).read_text("utf-8")
    assert "process" not in code and "torch.distributed" not in code


def test_a_rank_that_is_no_number_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "first")
    assert rank_here() == 0, "without WORLD_SIZE there is one process"
    monkeypatch.setenv("WORLD_SIZE", "two")
    with pytest.raises(
        ProcessError, match="RANK is 'first', which is no number: start the processes by torchrun"
    ):
        rank_here()


def test_a_single_process_needs_no_other() -> None:
    alone, tensor = Processes(), torch.ones(3)
    alone.add_up([tensor])
    alone.move_to_first([tensor])
    alone.agree("model", "x")
    assert torch.equal(tensor, torch.ones(3)) and alone.first
    assert alone.tell({"a": 1}) == {"a": 1}
    assert alone.exchange("f", {"t": tensor}) == [("f", {"t": tensor})]


def test_shares_of_columns_are_put_together_in_order() -> None:
    keys = torch.arange(12.0).reshape(2, 6)  # two requests, three contexts each
    parts = [
        (
            1,
            {
                "keys": keys[:, at : at + 3],
                "values": keys[:, at : at + 3],
                "bare_keys": keys[:, at : at + 1],
                "bare_values": keys[:, at : at + 1],
                "request_of": torch.zeros(3, dtype=torch.long),
                "scale": torch.full((3,), at + 1.0),
            },
        )
        for at in (0, 3)
    ]
    joined = joined_representations(parts)
    assert isinstance(joined, Representations)
    assert torch.equal(joined.keys, keys) and torch.equal(joined.bare_keys, keys[:, [0, 3]])
    assert joined.request_of is not None and joined.request_of.tolist() == [0, 0, 0, 1, 1, 1]
    states = joined_states(
        [({"loss": [1.0], "n": 2}, {"targets": keys[:, :1], "states.z": keys[:, :1]}) for _ in range(2)]
    )
    assert states.report == {"loss": [1.0, 1.0], "n": 2} and states.sensitive is None
    assert states.targets.shape == states.states["z"].shape == (2, 2)


def test_a_model_spread_by_accelerate_is_edited_as_any_other(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    """On a CPU alone: accelerate's hooks are there, and every part lies on one device."""
    pytest.importorskip("accelerate", reason="the extra accelerate is not installed")
    from accelerate import dispatch_model

    from zu_framework import unlearn

    facts = [{"prompt": "The capital of Verania is", "subject": "Verania", "answer": "Vienna"}]
    config = {
        **{group: settings[group] for group in ("locator", "background", "target", "solver")},
        "collector": {"name": "subject-last", "contexts": "none"},
    }
    weights = []
    for spread in (False, True):
        lm = LanguageModel.from_pretrained(str(settings["model"]["path"]), device="cpu")  # type: ignore[index]
        if spread:
            dispatch_model(lm.model, {"": "cpu"}, force_hooks=True)
        before = lm.fingerprint()
        edit = unlearn(lm, lm.tokenizer, facts, config)
        weights.append(lm.weight(lm.site(1)).clone())
        edit.revert()
        assert lm.fingerprint() == before
    assert torch.equal(weights[0], weights[1])
