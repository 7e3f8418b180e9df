"""Moments of sites on general text: one streamed pass for all sites, kept on disk, resumed where it was stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import xxhash
from torch import Tensor

from zu_framework.engine.cache import TensorCache, fingerprint
from zu_framework.errors import DataError
from zu_framework.linalg import MomentAccumulator
from zu_framework.models import LanguageModel, Row, encode, stream_inputs
from zu_framework.types import Background, Site

FORMAT = 1  # of the cache; raise it when what is computed changes
WINDOW = 16  # batches whose documents are sorted by length together: less padding, the same memory
SAVE_EVERY_SECONDS = 60.0  # how much of a long pass a killed process may lose

Progress = Callable[[str, int, int], None]


def background_moments(
    lm: LanguageModel,
    sites: Sequence[Site],
    moments: frozenset[str],
    documents: Callable[[], Iterable[str]],
    *,
    max_tokens: int,
    batch_size: int,
    progress: Progress,
    cache: TensorCache | None = None,
) -> dict[str, Background]:
    """A `Background` for each site (by module), holding the named moments of `documents()`.

    moments: of "key_moment" E[k k^T] (i, i), "value_moment" E[v v^T] (o, o), "mean_value" E[v] (o,), v without bias;
    float64, raw, divided by the token count, BOS included, padding excluded; documents cut at `max_tokens` tokens.
    Whatever is in the cache is not computed again; the key holds all that the numbers depend on.
    Raises `DataError` for a corpus without text.
    """
    cache = cache or TensorCache()
    corpus, count = _digest(documents(), progress)
    shared = {
        "format": FORMAT,
        "corpus": corpus,
        "max_tokens": max_tokens,
        "tokenizer": lm.tokenizer_fingerprint(),
    }
    below = {layer: lm.weights_below_fingerprint(layer) for layer in {site.layer for site in sites}}
    keys = {
        (site.module, moment): fingerprint(
            {**shared, "site": site.module, "weights": below[site.layer], "moment": moment}
        )
        for site in sites
        for moment in sorted(moments)
    }
    whole = fingerprint({"entries": sorted(keys.values())})
    with cache.lock(whole):
        found = {entry: cache.load(key) for entry, key in keys.items()}
        missing = [entry for entry, value in found.items() if value is None]
        if missing:
            job = _Pass(lm, sites, missing, batch_size, max_tokens, count)
            tokens = job.run(documents, cache, fingerprint({"entries": [keys[m] for m in missing]}), progress)
            for entry in missing:
                tensor = job.result(entry)
                cache.store(keys[entry], {"moment": tensor}, {"tokens": tokens, "documents": count})
                found[entry] = {"moment": tensor}, {"tokens": tokens}
    backgrounds = {}
    for site in sites:
        sources: dict[str, Any] = {}
        tokens = 0
        for moment in moments:
            held = found[site.module, moment]
            assert held is not None
            tensor = held[0]["moment"].to(lm.device)
            sources[moment] = lambda tensor=tensor: tensor
            tokens = int(held[1]["tokens"])
        backgrounds[site.module] = Background(**sources, count=tokens)
    return backgrounds


class _Pass:
    """One pass over the corpus for the entries (module, moment) that are missing."""

    def __init__(
        self,
        lm: LanguageModel,
        sites: Sequence[Site],
        missing: Sequence[tuple[str, str]],
        batch_size: int,
        max_tokens: int,
        count: int,
    ) -> None:
        self.lm, self.batch_size, self.max_tokens, self.count = lm, batch_size, max_tokens, count
        self.sites = [site for site in sites if site.module in {module for module, _ in missing}]
        self.sums: dict[tuple[str, str], MomentAccumulator] = {}
        for module, moment in missing:
            site = next(site for site in sites if site.module == module)
            outputs, inputs = lm.weight(site).shape
            size = inputs if moment == "key_moment" else outputs
            self.sums[module, moment] = MomentAccumulator(size, lm.device, second=moment != "mean_value")

    def run(
        self, documents: Callable[[], Iterable[str]], cache: TensorCache, key: str, progress: Progress
    ) -> int:
        """Read every document; answers the number of tokens. Sums are kept now and then: a killed pass resumes."""
        done = tokens = 0
        begun = cache.load(key, ".partial")
        if begun is not None and begun[1].get("batch_size") == self.batch_size:
            done, tokens = int(begun[1]["done"]), int(begun[1]["tokens"])
            for entry, sums in self.sums.items():
                _restore(sums, begun[0], "/".join(entry), tokens)
        saved = time.monotonic()
        for window in _windows(islice(iter(documents()), done, None), self.batch_size * WINDOW):
            tokens += self._read(window)
            done += len(window)
            if time.monotonic() - saved >= SAVE_EVERY_SECONDS and done < self.count:
                self._save(cache, key, done, tokens)
                saved = time.monotonic()
            progress("background statistics", done, self.count)
        cache.remove(key, ".partial")
        return tokens

    def result(self, entry: tuple[str, str]) -> Tensor:
        """The moment of an entry, once the pass is over."""
        sums = self.sums[entry]
        return sums.mean if entry[1] == "mean_value" else sums.moment

    def _read(self, window: list[str]) -> int:
        rows = []
        for text in window:
            ids = encode(self.lm.tokenizer, text).ids[: self.max_tokens]
            rows.append(Row(ids, len(ids) - 1))
        rows.sort(key=lambda row: len(row.ids))  # stable, so that a resumed pass meets the same batches
        return sum(
            stream_inputs(self.lm, self.sites, rows[start : start + self.batch_size], self._consume)
            for start in range(0, len(rows), self.batch_size)
        )

    def _consume(self, site: Site, inputs: Tensor, outputs: Tensor) -> None:
        for (module, moment), sums in self.sums.items():
            if module == site.module:
                sums.add(inputs if moment == "key_moment" else outputs)

    def _save(self, cache: TensorCache, key: str, done: int, tokens: int) -> None:
        tensors: dict[str, Tensor] = {}
        for entry, sums in self.sums.items():
            tensors["/".join(entry) + "/total"] = sums.total
            if sums.products is not None:
                tensors["/".join(entry) + "/products"] = sums.products
        cache.store(key, tensors, {"done": done, "tokens": tokens, "batch_size": self.batch_size}, ".partial")


def _restore(sums: MomentAccumulator, tensors: dict[str, Tensor], name: str, tokens: int) -> None:
    sums.count = tokens
    sums.total.copy_(tensors[f"{name}/total"])
    if sums.products is not None:
        sums.products.copy_(tensors[f"{name}/products"])


def _windows(documents: Iterable[str], size: int) -> Iterator[list[str]]:
    stream = iter(documents)
    while window := list(islice(stream, size)):
        yield window


def _digest(documents: Iterable[str], progress: Progress) -> tuple[str, int]:
    """xxh3-128 of the corpus's content and the number of documents. Raises `DataError` where there is none."""
    digest, count = xxhash.xxh3_128(), 0
    for text in documents:
        raw = text.encode("utf-8", errors="surrogatepass")
        digest.update(f"{len(raw)}:".encode())
        digest.update(raw)
        count += 1
        if count % 1000 == 0:
            progress("reading background text", count, 0)
    if count == 0:
        raise DataError("the background holds no text: give a file with at least one document")
    return digest.hexdigest(), count
