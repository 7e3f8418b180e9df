"""Moments of sites on general text: one streamed pass for all sites, kept on disk, resumed where it was stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice

import torch
import xxhash
from torch import Tensor

from zu_framework.distribution import Processes, current
from zu_framework.errors import DataError
from zu_framework.linalg.moments import SiteSums
from zu_framework.models import (
    LanguageModel,
    Row,
    Sinks,
    beginning_of,
    beginnings,
    longest_input,
    stream_inputs,
)
from zu_framework.problem import Background, Site
from zu_framework.store.cache import TensorCache, limit_bytes
from zu_framework.store.digests import fingerprint

FORMAT = 2  # of the cache; raise it when what is computed changes
BATCH_TOKENS = 8192  # of a forward pass: products are then wide enough for a CPU and for a GPU
WINDOW = 16  # passes whose documents are sorted by length together: hardly any padding, the same memory
PADDED = 1.125  # tokens of a batch, padding included, over its own
WORTH_A_PASS = 512  # tokens from which a pass is hardly the quicker for having more
READ = 256  # documents that are tokenised together
SAVE_EVERY_SECONDS = 60.0  # how much of a long pass a killed process may lose
SAVE_SHARE = 0.02  # of the time that a pass takes, what keeping its sums may cost

Progress = Callable[[str, int, int], None]


def background_moments(
    lm: LanguageModel,
    sites: Sequence[Site],
    moments: frozenset[str],
    documents: Callable[[], Iterable[str]],
    *,
    max_tokens: int,
    progress: Progress,
    batch_tokens: int = BATCH_TOKENS,
    cache: TensorCache | None = None,
    processes: Processes | None = None,
    sinks: Sinks | None = None,
) -> dict[str, Background]:
    """Return a `Background` for each site (by module), holding the named moments of `documents()`.

    A forward pass ends above the last site. Whatever is in the cache is not computed again; the key holds all that the
    numbers depend on. Several processes divide the passes among them, and all return the same; the first alone reads
    and writes the cache.

    Args:
        lm: The model.
        sites: Where its inputs and outputs are read.
        moments: Of "key_moment" E[k k^T] (i, i), "value_moment" E[v v^T] (o, o), "mean_value" E[v] (o,), v without
            bias; float64, raw, divided by the token count, BOS included, padding excluded.
        documents: Streams the text afresh on each call.
        max_tokens: Documents are cut there, or at the model's positions.
        progress: Told of how much is read.
        batch_tokens: Tokens of a forward pass at most, padding included, or one document.
        cache: Where moments are kept; the user's own where it is None.
        processes: Those that share the work; those that were joined where it is None.
        sinks: Tokens that take no part; None where all do.

    Raises:
        DataError: The corpus holds no text.
    """
    processes = processes or current()
    cache = cache or TensorCache()
    max_tokens = min(max_tokens, longest_input(lm))
    corpus, count = _digest(documents(), progress)
    shared = {
        "format": FORMAT,
        "corpus": corpus,
        "max_tokens": max_tokens,
        "tokenizer": lm.tokenizer_fingerprint(),
        # these change the last bits alone, by how sums are grouped: what is found is what would be computed
        "batch_tokens": batch_tokens,
        "threads": torch.get_num_threads(),
        "processes": processes.count,
        "device": lm.device.type,
    }
    if sinks is not None and sinks.any:
        shared["without"] = [sinks.first, sorted(sinks.tokens)]
    below = {layer: lm.weights_below_fingerprint(layer) for layer in {site.layer for site in sites}}
    keys = {
        (site.module, moment): fingerprint(
            {**shared, "site": site.module, "weights": below[site.layer], "moment": moment}
        )
        for site in sites
        for moment in sorted(moments)
    }
    whole = fingerprint({"entries": sorted(keys.values())})
    processes.agree("background text, tokenizer or model", whole)
    devices = {site.module: lm.weight(site).device for site in sites}
    found: dict[tuple[str, str], tuple[Tensor, int]] = {}
    with cache.lock(whole, held=processes.first):
        for entry, key in keys.items():
            held = cache.load(key) if processes.first else None
            facts, tensors = processes.send(
                None if held is None else int(held[1]["tokens"]), None if held is None else held[0]
            )
            if facts is not None:
                found[entry] = tensors["moment"].to(devices[entry[0]]), facts
        missing = [entry for entry in keys if entry not in found]
        if missing:
            job = _Pass(lm, sites, missing, batch_tokens, max_tokens, count, processes, sinks)
            cache.make_room(limit_bytes())
            tokens = job.run(documents, cache, fingerprint({"entries": [keys[m] for m in missing]}), progress)
            for entry in missing:
                tensor = job.result(entry)
                if processes.first:
                    cache.store(keys[entry], {"moment": tensor}, {"tokens": tokens, "documents": count})
                found[entry] = tensor, tokens
    backgrounds = {}
    for site in sites:
        backgrounds[site.module] = Background(
            **{moment: found[site.module, moment][0] for moment in moments},
            count=max(found[site.module, moment][1] for moment in moments),
            digests={moment: keys[site.module, moment] for moment in moments},
        )
    return backgrounds


class _Pass:
    """One pass over the corpus for the entries (module, moment) that are missing."""

    def __init__(
        self,
        lm: LanguageModel,
        sites: Sequence[Site],
        missing: Sequence[tuple[str, str]],
        batch_tokens: int,
        max_tokens: int,
        count: int,
        processes: Processes,
        sinks: Sinks | None,
    ) -> None:
        self.sinks = sinks if sinks is not None and sinks.any else None
        self.lm, self.batch_tokens, self.max_tokens, self.count = lm, batch_tokens, max_tokens, count
        self.processes = processes
        self.sites = [site for site in sites if site.module in {module for module, _ in missing}]
        self.inputs = {module for module, moment in missing if moment == "key_moment"}
        self.outputs = {module for module, moment in missing if moment != "key_moment"}
        self.sums = SiteSums({site.module: lm.weight(site) for site in self.sites}, missing)

    def run(
        self, documents: Callable[[], Iterable[str]], cache: TensorCache, key: str, progress: Progress
    ) -> int:
        """Read every document and return the number of tokens. Sums are stored now and then: a killed pass resumes.

        Every process reads all text and runs its share of the batches, which are those of a single process.
        """
        done, tokens = self._resume(cache, key)
        saved, cost = time.monotonic(), 0.0
        for window, read in self._windows(islice(iter(documents()), done, None)):
            for number, rows in enumerate(batches(window, self.batch_tokens)):
                left_out = None if self.sinks is None else self.sinks.mask(rows)
                tokens += sum(len(row.ids) for row in rows)
                tokens -= 0 if left_out is None else int(left_out.sum())
                if number % self.processes.count == self.processes.rank:
                    taken = None if left_out is None else (~left_out).nonzero()[:, 0]
                    consume = partial(self.sums.add, taken)
                    stream_inputs(
                        self.lm, self.sites, rows, consume, inputs=self.inputs, outputs=self.outputs
                    )
            done += read
            waited = time.monotonic() - saved
            due = waited >= max(SAVE_EVERY_SECONDS, cost / SAVE_SHARE) and done < self.count
            if self.processes.tell(due):
                begun = time.monotonic()
                self._save(cache, key, done, tokens)
                saved = time.monotonic()
                cost = saved - begun
            progress("background statistics", done, self.count)
        for sums in self.sums.by_entry.values():
            self.processes.add_up(sums.sums)
            sums.count = tokens
        if self.processes.first:
            cache.remove(key, ".partial")
        return tokens

    def result(self, entry: tuple[str, str]) -> Tensor:
        """The moment of an entry, once the pass is over; its sums are given up."""
        sums = self.sums.by_entry.pop(entry)
        return sums.mean if entry[1] == "mean_value" else sums.moment

    def _windows(self, texts: Iterator[str]) -> Iterator[tuple[list[Row], int]]:
        """Rows, stably sorted by length, of at least `WINDOW` batches' tokens, and how many documents they are."""
        rows: list[Row] = []
        size = 0
        # cut before they are held together: a line of text may have any length
        cut = (beginning_of(self.lm.tokenizer, text, self.max_tokens) for text in texts)
        for group in _groups(cut, READ):
            for ids in beginnings(self.lm, group, self.max_tokens):
                rows.append(Row(ids, len(ids) - 1))
                size += len(ids)
                if size >= self.batch_tokens * WINDOW:
                    yield sorted(rows, key=lambda row: len(row.ids)), len(rows)
                    rows, size = [], 0
        if rows:
            yield sorted(rows, key=lambda row: len(row.ids)), len(rows)

    def _resume(self, cache: TensorCache, key: str) -> tuple[int, int]:
        """Documents and tokens that an earlier, stopped pass has read. Its sums are taken over by the first process."""
        begun = cache.load(key, ".partial") if self.processes.first else None
        if begun is None or begun[1].get("batch_tokens") != self.batch_tokens:
            begun = None
        done, tokens = self.processes.tell(begun and [begun[1]["done"], begun[1]["tokens"]]) or (0, 0)
        if begun is not None:
            for entry, sums in self.sums.by_entry.items():
                for number, tensor in enumerate(sums.sums):
                    tensor.copy_(begun[0][f"{'/'.join(entry)}/{number}"])
        return int(done), int(tokens)

    def _save(self, cache: TensorCache, key: str, done: int, tokens: int) -> None:
        tensors: dict[str, Tensor] = {}
        for entry, sums in self.sums.by_entry.items():
            self.processes.move_to_first(sums.sums)
            tensors |= {f"{'/'.join(entry)}/{number}": tensor for number, tensor in enumerate(sums.sums)}
        if self.processes.first:
            facts = {"done": done, "tokens": tokens, "batch_tokens": self.batch_tokens}
            cache.store(key, tensors, facts, ".partial")


def batches(rows: Sequence[Row], tokens: int) -> Iterator[list[Row]]:
    """Rows, sorted by length, in batches of at most `tokens` tokens, padding included, or a single row.

    A batch that would be padded by more than an eighth ends before, once it is worth a pass of its own.
    """
    taken: list[Row] = []
    held = 0
    for row in rows:
        padded = (len(taken) + 1) * len(row.ids)
        wasted = padded > PADDED * (held + len(row.ids)) and held >= WORTH_A_PASS
        if taken and (padded > tokens or wasted):
            yield taken
            taken, held = [], 0
        taken.append(row)
        held += len(row.ids)
    if taken:
        yield taken


def _groups(texts: Iterator[str], size: int) -> Iterator[list[str]]:
    while group := list(islice(texts, size)):
        yield group


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
