"""float32 products: quicker inside the block, as exact, and torch's setting as it was after it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

import zu_framework as zu
from zu_framework.models import products, quick_products
from zu_framework.testing import tiny_model

CONFIG = {
    "base": "zerounlearn-local",
    "locator": {"name": "fixed", "layers": [0]},
    "collector": {"contexts": "none", "cases": []},
    "target": {"text": ".", "steps": 2},
    "guard": {"text": None, "facts": None},
}


@pytest.fixture(autouse=True)
def _default() -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    products.as_exact.cache_clear()
    yield
    torch.set_float32_matmul_precision(before)
    products.as_exact.cache_clear()


def precision() -> str:
    return str(torch.get_float32_matmul_precision())


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor on which the quicker library keeps float32's precision."""
    monkeypatch.setattr(products, "as_exact", lambda: True)


@pytest.mark.parametrize(("m", "k", "n"), [(1, 64, 64), (37, 200, 300), (400, 576, 1536), (16, 4096, 512)])
def test_a_product_in_the_block_is_as_exact_as_float32_allows(m: int, k: int, n: int) -> None:
    draw = torch.Generator().manual_seed(7)
    states, weight = torch.randn(m, k, generator=draw), torch.randn(n, k, generator=draw)
    exact = states.double() @ weight.double().T
    with quick_products():
        found = torch.nn.functional.linear(states, weight)
    assert float((found - exact).norm() / exact.norm()) < products.AS_EXACT


@pytest.mark.usefixtures("exact")
def test_the_setting_is_what_it_was_after_the_last_block_also_after_an_error() -> None:
    with pytest.raises(ValueError, match="stop"), quick_products():
        assert precision() == "medium"
        with quick_products():
            pass
        assert precision() == "medium"
        raise ValueError("stop")
    assert precision() == "highest"


@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize(("keys", "plain"), [(20, True), (products.SHORT, True), (products.SHORT + 1, False)])
def test_short_attention_is_computed_plainly_and_gives_the_same(keys: int, plain: bool) -> None:
    draw = torch.Generator().manual_seed(3)
    query, key, value = (torch.randn(2, 3, length, 16, generator=draw) for length in (5, keys, keys))
    query.requires_grad_()
    outside = scaled_dot_product_attention(query, key, value)
    with quick_products():
        inside = scaled_dot_product_attention(query, key, value)
    assert torch.allclose(inside, outside, atol=1e-5)
    assert fused(outside)
    assert fused(inside) != plain


def fused(found: torch.Tensor) -> bool:
    return "FlashAttention" in str(found.grad_fn)


@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize("chosen", ["high", "medium"])
def test_a_precision_that_somebody_chose_is_left_alone(chosen: str) -> None:
    torch.set_float32_matmul_precision(chosen)
    with quick_products():
        assert precision() == chosen
    assert precision() == chosen


def test_a_processor_that_rounds_products_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "_error", lambda *shape: 2e-3 if shape[0] > 100 else 3e-7)
    with quick_products():
        assert precision() == "highest"
    assert not products.as_exact()


def test_the_trial_draws_nothing_and_leaves_the_setting() -> None:
    before = torch.random.get_rng_state()
    products.as_exact()
    assert torch.equal(torch.random.get_rng_state(), before)
    assert precision() == "highest"


@pytest.mark.usefixtures("exact")
def test_an_edit_is_computed_with_it_and_a_refused_one_leaves_the_setting() -> None:
    lm = tiny_model("llama")
    facts = [{"prompt": "The capital of France is", "subject": "France", "answer": "Paris"}]
    seen: list[str] = []
    edit = zu.unlearn(lm, lm.tokenizer, facts, CONFIG, progress=lambda *_: seen.append(precision()))
    edit.revert()
    assert set(seen) == {"medium"}
    with pytest.raises(zu.ConfigError):
        zu.unlearn(lm, lm.tokenizer, facts, {**CONFIG, "locator": {"name": "fixed", "layers": [99]}})
    assert precision() == "highest"
