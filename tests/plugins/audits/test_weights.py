"""Attacks on weights: quantising, pruning, noise, and looking for the edit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.plugins.audits.conftest import World, answers, copied, on_the_edge, share, small_change
from zu_framework import LanguageModel
from zu_plugins.audits import quantize
from zu_plugins.audits.detect import suspicions
from zu_plugins.audits.weights import linear_weights

SCHEMES = list(quantize.SCHEMES)


def rows(count: int = 24, inputs: int = 128, seed: int = 0) -> torch.Tensor:
    made = torch.randn(count, inputs, generator=torch.Generator().manual_seed(seed))
    made[3] = 0.0
    made[4, :32] = 5.0
    return made * torch.logspace(-3, 1, count)[:, None]


@pytest.mark.parametrize("name", ["q4_0", "q4_1", "q8_0"])
def test_gguf_schemes_are_those_of_the_package(name: str) -> None:
    gguf = pytest.importorskip("gguf", reason="the extra gguf is not installed")
    kind = getattr(gguf.GGMLQuantizationType, name.upper())
    given = rows()
    theirs = gguf.quants.dequantize(gguf.quants.quantize(given.numpy(), kind), kind)
    ours = quantize.SCHEMES[name](given)
    assert ours is not None
    np.testing.assert_array_equal(ours.numpy(), theirs)


def test_rounding_by_hand() -> None:
    given = torch.tensor([[1.0, -2.0, 0.5, 127.0]])
    assert torch.equal(quantize.int8(given), torch.tensor([[1.0, -2.0, 0.0, 127.0]]))
    # 16 levels from -1.5 to 6.0 are half a unit apart
    given = torch.tensor([[-1.5, 6.0, 0.2, 0.3]])
    assert torch.allclose(quantize.int4(given, 4), torch.tensor([[-1.5, 6.0, 0.0, 0.5]]))
    block = torch.zeros(1, 64)
    block[0, :3] = torch.tensor([2.0, -2.0, 0.3])
    found = quantize.nf4(block)
    assert found is not None
    # 0.15 is nearest to 0.161
    assert torch.allclose(found[0, :3], 2 * torch.tensor([1.0, -1.0, quantize.NF4[9]]))


@pytest.mark.parametrize("name", SCHEMES)
def test_rounding_twice_changes_nothing_more_than_the_scale_in_half_precision(name: str) -> None:
    once = quantize.SCHEMES[name](rows())
    assert once is not None
    again = quantize.SCHEMES[name](once)
    assert again is not None
    assert float((again - once).norm() / once.norm()) < 2e-3


def test_blocks_that_do_not_fit_are_left_alone() -> None:
    assert quantize.int4(rows(inputs=48), 128) is None
    assert quantize.q8_0(rows(inputs=40)) is None


def test_int4_finds_an_edit_that_lies_between_its_levels(world: World) -> None:
    base = copied(world.base)
    names = linear_weights(base)
    steps = {}
    with torch.no_grad():
        for name in names:
            weight = base.model.get_parameter(name)
            rounded = quantize.int4(weight, 32)
            weight.copy_(rounded)
            blocks = weight.reshape(-1, 32)
            low, high = blocks.amin(1, keepdim=True), blocks.amax(1, keepdim=True)
            room = (high.clamp_min(0) - low.clamp_max(0)) / 15 * 0.45
            inner = (blocks != low) & (blocks != high)  # the ends of a block decide its levels
            steps[name] = (room * inner).reshape(weight.shape)
    known = answers(base, world.facts.forget)
    edited = copied(base)
    for name in names:
        small_change(world, edited, name, steps[name])
    assert known > 0.5 and answers(edited, world.facts.forget) == 0
    found = world.attack("quantize", edited, schemes=["int4-32", "int8"])
    assert share(found["int4-32"]) == known
    assert share(found["int8"]) == 0


def test_pruning_finds_an_edit_in_the_smallest_weights(world: World) -> None:
    base = copied(world.base)
    names = linear_weights(base)
    room = {}
    with torch.no_grad():
        for name in names:
            weight = base.model.get_parameter(name)
            limit = weight.abs().flatten().kthvalue(int(0.3 * weight.numel())).values
            small = weight.abs() <= limit
            weight.masked_fill_(small, 0)
            room[name] = small * limit * 0.9
    known = answers(base, world.facts.forget)
    edited = copied(base)
    for name in names:
        small_change(world, edited, name, room[name])
    assert known > 0.5 and answers(edited, world.facts.forget) == 0
    found = world.attack("prune", edited, shares=[0.3])
    assert share(found["prune 30%"]) == known


def test_noise_finds_an_edit_that_only_just_holds(world: World, refusing: LanguageModel) -> None:
    edited = on_the_edge(world, refusing)
    found = world.attack("noise", edited, sizes=[0.05], draws=4)
    assert 0 < share(found["noise 0.05"]) < 1
    assert share(world.attack("noise", world.twin, sizes=[0.05], draws=2)["noise 0.05"]) <= 0.25


def test_a_layer_that_stands_out_is_the_suspicious_one() -> None:
    sizes = torch.tensor([1.0, 1.2, 0.9, 3.0, 1.3, 1.1])
    marks = suspicions(sizes, 2)
    assert int(marks.argmax()) == 3
    # by hand: 3.0 against 0.9, 1.1, 1.2, 1.3, of which torch takes 1.1 as the median; the others likewise
    gaps = torch.tensor([1.0 - 0.9, 1.2 - 1.0, 0.9 - 1.2, 3.0 - 1.1, 1.3 - 1.1, 1.1 - 1.3])
    spread = (gaps - gaps.median()).abs().median() * 1.4826
    assert torch.allclose(marks, gaps / spread, atol=1e-5)


def test_detect_takes_a_planted_direction_out(world: World) -> None:
    edited = copied(world.base)
    weight = edited.model.get_parameter(f"{edited.architecture.projections[1]}.weight")
    made = torch.Generator().manual_seed(0)
    left, right = torch.randn(weight.shape[0], generator=made), torch.randn(weight.shape[1], generator=made)
    with torch.no_grad():
        weight.add_(torch.outer(left, right) * (30 * weight.norm() / (left.norm() * right.norm())))
    assert answers(edited, world.facts.forget) == 0
    found = world.attack("detect", edited, sites=1, rank=1)["detect"]
    assert found.report["changed"] == [1]
    assert share(found) > 0.5
    assert share(world.attack("detect", world.twin, sites=1, rank=1)["detect"]) <= 0.2


@pytest.mark.parametrize("name", ["quantize", "prune"])
def test_the_untouched_model_passes_and_the_twin_does_not(world: World, name: str) -> None:
    options = {"quantize": {"schemes": ["q8_0"]}, "prune": {"shares": [0.1]}}[name]
    (known,) = world.attack(name, world.base, **options).values()
    (unknown,) = world.attack(name, world.twin, **options).values()
    assert share(known) > 0.8 and share(unknown) <= 0.2 and share(known, "control") <= 0.2
