"""Background moments: right, one pass, kept, resumed, and never trusted when damaged."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from zu_framework import Background, DataError, LanguageModel, RunFolderError, models
from zu_framework.engine import statistics
from zu_framework.engine.statistics import background_moments
from zu_framework.store.cache import TensorCache
from zu_framework.testing import tiny_model

TEXT = "the old bridge was closed because school is small and you can reach it by train in winter"
WORDS = TEXT.split()
DOCUMENTS = [" ".join(WORDS[(i * j) % len(WORDS)] for j in range(1, 3 + i % 9)) for i in range(1, 41)]
ALL = frozenset({"key_moment", "value_moment", "mean_value"})


@pytest.fixture(scope="module")
def lm() -> LanguageModel:
    return tiny_model("gpt2")


@pytest.fixture
def cache(tmp_path: Path) -> TensorCache:
    return TensorCache(tmp_path / "cache")


def moments(
    lm: LanguageModel,
    cache: TensorCache,
    documents: Callable[[], Any] = lambda: DOCUMENTS,
    wanted: frozenset[str] = ALL,
    layers: tuple[int, ...] = (0, 2),
    batch_tokens: int = 20,
    max_tokens: int = 64,
    progress: Callable[[str, int, int], None] = lambda label, done, total: None,
) -> dict[str, Background]:
    sites = [lm.site(layer) for layer in layers]
    return background_moments(
        lm,
        sites,
        wanted,
        documents,
        max_tokens=max_tokens,
        batch_tokens=batch_tokens,
        progress=progress,
        cache=cache,
    )


def dense(lm: LanguageModel, layer: int, max_tokens: int = 64) -> tuple[torch.Tensor, torch.Tensor, int]:
    """E[k k^T] and E[v] one document a pass, all keys at hand."""
    site, seen = lm.site(layer), []
    for text in DOCUMENTS:
        ids = torch.tensor([lm.tokenizer(text).input_ids[:max_tokens]])
        models.run_until(
            lm, [site.module], ids, torch.ones_like(ids), lambda n, k, v: seen.append(k[0].double())
        )
    keys = torch.cat(seen).T
    return keys @ keys.T / keys.shape[1], lm.weight(site).double() @ keys.mean(1), keys.shape[1]


def refuse(*_: Any, **__: Any) -> Any:
    raise AssertionError("the model ran")


@pytest.mark.parametrize("batch_tokens", [1, 30, 4096])
@pytest.mark.parametrize("max_tokens", [64, 5])
def test_they_equal_the_plain_mean_over_all_tokens(
    lm: LanguageModel, cache: TensorCache, batch_tokens: int, max_tokens: int
) -> None:
    found = moments(lm, cache, batch_tokens=batch_tokens, max_tokens=max_tokens)
    for layer in (0, 2):
        site = lm.site(layer)
        key_moment, mean, count = dense(lm, layer, max_tokens)
        weight, ours = lm.weight(site).double(), found[site.module]
        assert ours.count == count
        assert ours.key_moment.dtype == torch.float64
        assert torch.equal(ours.key_moment, ours.key_moment.T)
        assert torch.allclose(ours.key_moment, key_moment, rtol=1e-5, atol=1e-6)
        assert torch.allclose(ours.value_moment, weight @ key_moment @ weight.T, rtol=1e-4, atol=1e-7)
        assert torch.allclose(ours.mean_value, mean, rtol=1e-4, atol=1e-6)


def test_one_pass_serves_every_site_and_the_next_run_reads_the_disk(
    lm: LanguageModel, cache: TensorCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes = []
    stream = statistics.stream_inputs
    monkeypatch.setattr(
        statistics, "stream_inputs", lambda *a, **k: passes.append(len(a[2])) or stream(*a, **k)
    )
    first = moments(lm, cache)
    assert sum(passes) == len(DOCUMENTS)
    monkeypatch.setattr(statistics, "stream_inputs", refuse)
    again = moments(lm, cache)
    module = lm.site(2).module
    assert torch.equal(first[module].key_moment, again[module].key_moment)
    assert again[module].count == first[module].count
    # one of the sites, or one of the moments, is in the cache as well
    moments(lm, cache, layers=(2,))
    moments(lm, cache, wanted=frozenset({"value_moment"}))


@given(
    lengths=st.lists(st.integers(1, 3000), min_size=1, max_size=60), tokens=st.sampled_from([1, 2000, 8192])
)
def test_batches_keep_to_their_tokens_and_are_hardly_padded(lengths: list[int], tokens: int) -> None:
    rows = [models.Row([0] * length, 0) for length in sorted(lengths)]
    made = list(statistics.batches(rows, tokens))
    assert [row for chosen in made for row in chosen] == rows
    for chosen in made:
        real, padded = sum(len(r.ids) for r in chosen), len(chosen) * len(chosen[-1].ids)
        assert len(chosen) == 1 or padded <= tokens
        # what is padded more was too little for a pass when its last document came
        assert padded <= 1.125 * real or real - len(chosen[-1].ids) < 512


def test_only_what_is_asked_for_is_computed(lm: LanguageModel, cache: TensorCache) -> None:
    moments(lm, cache, wanted=frozenset({"value_moment"}), layers=(1,))
    assert len(list(cache.folder.glob("*.safetensors"))) == 1


@pytest.mark.parametrize("change", ["text", "length", "weights below", "order", "batch", "threads"])
def test_whatever_changes_the_numbers_changes_the_entry(
    cache: TensorCache, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    lm = tiny_model("llama")
    moments(lm, cache)
    monkeypatch.setattr(statistics, "stream_inputs", refuse)
    moments(lm, cache)
    with torch.no_grad():
        lm.model.get_output_embeddings().weight = torch.nn.Parameter(
            lm.model.get_output_embeddings().weight + 1
        )
        lm.weight(lm.site(2))  # nothing above the sites matters, and the head is above
    changed: dict[str, Any] = {}
    if change == "text":
        changed["documents"] = lambda: [*DOCUMENTS[:-1], "another text"]
    if change == "order":
        changed["documents"] = lambda: DOCUMENTS[::-1]
    if change == "length":
        changed["max_tokens"] = 6
    if change == "batch":
        changed["batch_tokens"] = 21
    if change == "threads":  # the last bits may differ, as with another batch
        monkeypatch.setattr(torch, "get_num_threads", lambda: 7)
    if change == "weights below":
        with torch.no_grad():
            lm.weight(lm.site(0))[0, 0] += 1
    with pytest.raises(AssertionError, match="the model ran"):
        moments(lm, cache, **changed)


@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_a_damaged_entry_is_computed_anew_with_a_warning(
    lm: LanguageModel, cache: TensorCache, damage: str
) -> None:
    wanted = frozenset({"key_moment"})
    first = moments(lm, cache, wanted=wanted, layers=(1,))
    (entry,) = cache.folder.glob("*.safetensors")
    raw = bytearray(entry.read_bytes())
    if damage == "cut":
        raw = raw[: len(raw) // 2]
    else:
        raw[-5] ^= 0x40
    entry.write_bytes(raw)
    with pytest.warns(UserWarning, match="is damaged .* computed anew"):
        again = moments(lm, cache, wanted=wanted, layers=(1,))
    module = lm.site(1).module
    assert torch.equal(again[module].key_moment, first[module].key_moment)
    (entry,) = cache.folder.glob("*.safetensors")


class Stopped(Exception):
    pass


def test_an_interrupted_pass_resumes_where_it_was(
    lm: LanguageModel, cache: TensorCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statistics, "SAVE_EVERY_SECONDS", 0.0)
    monkeypatch.setattr(statistics, "SAVE_SHARE", 1e9)
    monkeypatch.setattr(statistics, "WINDOW", 4)
    whole = moments(lm, TensorCache(tmp_path / "whole"))

    read = []

    def stop(label: str, done: int, total: int) -> None:
        if label == "background statistics" and done >= 12:
            read.append(done)
            raise Stopped

    with pytest.raises(Stopped):
        moments(lm, cache, progress=stop)
    assert [p.suffixes for p in cache.folder.glob("*.safetensors")] == [[".partial", ".safetensors"]]

    rows = []
    stream = statistics.stream_inputs
    monkeypatch.setattr(
        statistics, "stream_inputs", lambda *a, **k: rows.append(len(a[2])) or stream(*a, **k)
    )
    resumed = moments(lm, cache)
    assert sum(rows) == len(DOCUMENTS) - read[0]
    for module, background in whole.items():
        assert torch.equal(resumed[module].key_moment, background.key_moment)
        assert resumed[module].count == background.count
    assert not list(cache.folder.glob("*.partial.*"))


def _pass_that_is_killed(folder: str) -> None:
    statistics.SAVE_EVERY_SECONDS = 0.0
    statistics.SAVE_SHARE = 1e9
    statistics.WINDOW = 2

    def slow() -> Iterator[str]:
        for number, text in enumerate(DOCUMENTS):
            if number > 10 and os.environ.get("ZU_TEST_SLOW"):
                time.sleep(0.2)
            yield text

    calls = []

    def documents() -> Iterator[str]:
        calls.append(1)
        return iter(DOCUMENTS) if len(calls) == 1 else slow()  # the first reading takes the corpus's digest

    os.environ["ZU_TEST_SLOW"] = "1"
    torch.set_num_threads(1)
    moments(tiny_model("gpt2"), TensorCache(Path(folder)), documents)


def test_a_killed_pass_leaves_a_sound_cache(lm: LanguageModel, tmp_path: Path) -> None:
    child = multiprocessing.get_context("spawn").Process(
        target=_pass_that_is_killed, args=(str(tmp_path / "cache"),)
    )
    child.start()
    folder = tmp_path / "cache" / "moments"
    until = time.monotonic() + 60
    while not list(folder.glob("*.partial.safetensors")) and time.monotonic() < until:
        time.sleep(0.02)
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    assert child.exitcode == -signal.SIGKILL
    # no lock is left held, nothing half-written is trusted, and the numbers are those of an undisturbed pass
    found = moments(lm, TensorCache(tmp_path / "cache"))
    undisturbed = moments(lm, TensorCache(tmp_path / "other"))
    module = lm.site(2).module
    assert torch.allclose(found[module].key_moment, undisturbed[module].key_moment, rtol=1e-5, atol=1e-6)


def test_a_corpus_without_text_is_refused(lm: LanguageModel, cache: TensorCache) -> None:
    with pytest.raises(DataError, match="holds no text"):
        moments(lm, cache, lambda: [])


def test_a_cache_that_cannot_be_made_names_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match="cannot be made.*ZU_CACHE"):
        TensorCache(tmp_path / "file")


def test_a_full_disk_costs_the_cache_not_the_run(
    lm: LanguageModel, cache: TensorCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("zu_framework.store.cache.save_file", full)
    with pytest.warns(UserWarning, match="cannot be kept .*No space left"):
        found = moments(lm, cache, wanted=frozenset({"key_moment"}), layers=(1,))
    assert found[lm.site(1).module].count
    assert not list(cache.folder.glob("*.safetensors*"))
