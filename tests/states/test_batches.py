"""Batches of an optimisation: memory sets their size, and like lengths share one."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch

import zu_framework.states.batches as module_under_test
from tests.plugins.targets.test_neutral import OPTIONS, made
from tests.states.three_requests import run
from zu_framework import ModelError
from zu_framework.models import answer_ids
from zu_framework.states.batches import optimise
from zu_framework.states.descent import Optimised
from zu_framework.testing import tiny_model


def spied(monkeypatch: pytest.MonkeyPatch, room: int | None = None) -> list[list[int]]:
    """Windows of the tasks of each batch; batches above `room` requests do not fit into memory."""
    batches: list[list[int]] = []
    real = module_under_test.descend

    def descend(evaluator: Any, *rest: Any) -> Optimised:
        if room is not None and len(evaluator.tasks) > room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        batches.append([task.window for task in evaluator.tasks])
        return real(evaluator, *rest)

    monkeypatch.setattr(module_under_test, "descend", descend)
    return batches


def test_memory_sets_the_size_of_a_batch_and_like_lengths_share_one(monkeypatch: pytest.MonkeyPatch) -> None:
    lm = tiny_model("llama")
    module = f"{lm.architecture.layers}.1"
    whole = run(lm, module)
    batches = spied(monkeypatch)
    small = run(lm, module, memory=1e-6)
    assert [len(windows) for windows in batches] == [1, 1, 1]
    flat = [window for windows in batches for window in windows]
    assert flat == sorted(flat, reverse=True) and len(set(flat)) > 1
    compare_order(small, whole)


def test_rows_are_padded_no_further_than_a_pass_of_their_own_is_worth(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lm = tiny_model("llama")
    module = f"{lm.architecture.layers}.1"
    batches = spied(monkeypatch)
    whole = run(lm, module)
    assert len(batches) == 1  # three short requests are not worth a second pass
    windows = batches.pop()
    monkeypatch.setitem(module_under_test.PASS_COSTS, "cpu", 0)
    parted = run(lm, module)
    assert sorted(batches, reverse=True) == [
        [w] * windows.count(w) for w in sorted(set(windows), reverse=True)
    ]
    assert len(batches) > 1
    compare_order(parted, whole)


@pytest.mark.parametrize("way", ["auto", "none"])
def test_a_batch_that_memory_does_not_hold_is_halved(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lm = tiny_model("llama")
    module = f"{lm.architecture.layers}.1"
    whole = run(lm, module, replay=way)
    batches = spied(monkeypatch, room=1)
    halved = run(lm, module, replay=way)
    assert [len(widths) for widths in batches] == [1, 1, 1]
    compare_order(halved, whole)


def compare_order(parts: Optimised, whole: Optimised) -> None:
    assert parts.evaluations == whole.evaluations
    assert torch.allclose(parts.init, whole.init, atol=1e-5)
    assert torch.allclose(parts.states, whole.states, rtol=1e-4, atol=1e-4)
    for mine, theirs in zip(parts.trace, whole.trace, strict=True):
        assert mine == pytest.approx(theirs, abs=1e-4)


def test_where_not_even_one_request_fits_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    lm = tiny_model("llama")
    spied(monkeypatch, room=0)
    with pytest.raises(
        ModelError, match="memory does not hold the rows of one request; use fewer or shorter contexts"
    ):
        run(lm, f"{lm.architecture.layers}.1")
    assert all(p.requires_grad for p in lm.model.parameters())


def test_other_errors_are_not_taken_for_a_lack_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    lm = tiny_model("llama")

    def fails(*_: Any) -> Optimised:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(module_under_test, "descend", fails)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        run(lm, f"{lm.architecture.layers}.1")


def test_progress_counts_each_request_once_also_after_a_lack_of_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lm = tiny_model("llama")
    spied(monkeypatch, room=1)
    _, plan, _ = made(lm)
    texts = [answer_ids(lm.tokenizer, " unknown")] * 3
    told: list[tuple[int, int]] = []
    optimise(
        lm,
        f"{lm.architecture.layers}.1",
        plan,
        texts,
        OPTIONS,
        progress=lambda label, a, b: told.append((a, b)),
    )
    assert [done for done, _ in told] == sorted(done for done, _ in told) and told[-1] == (3, 3)


def test_a_slope_that_vanishes_is_no_difference() -> None:
    """A head of zeros gives every token the same chance, whatever the state is."""
    lm = tiny_model("llama")
    lm.model.lm_head.weight = torch.nn.Parameter(torch.zeros_like(lm.model.lm_head.weight))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ours = run(lm, f"{lm.architecture.layers}.1")
    assert ours.how == {"replay": 3}
