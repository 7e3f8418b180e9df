"""What components may ask of the untouched model: computed when first asked, once a session, sinks once a model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice

import torch
import xxhash
from torch import Tensor

from zu_framework.contracts import Remembered
from zu_framework.models import (
    TEXTS,
    LanguageModel,
    Row,
    Sink,
    Sinks,
    encode_all,
    measure_sinks,
    stream_inputs,
)
from zu_framework.models.sinks import DOCUMENTS
from zu_framework.problem import Site
from zu_framework.store.journal import Journal
from zu_framework.store.sharing import shared_results

SAMPLE = 2048  # tokens of general text at which sites are read: a few seconds on a small model
SAMPLE_TOKENS = 64  # of a document
ROWS = 16  # a pass


@dataclass
class Untouched:
    """Looks at the model before anything is written.

    Args:
        journal: Of the session.
        source: Returns what streams general text; it returns None where the run has none, and a few built-in sentences
            then serve.
    """

    journal: Journal
    source: Callable[[], Callable[[], Iterable[str]] | None]
    _sinks: Sinks | None = field(default=None, repr=False)

    def sinks(self, lm: LanguageModel) -> Sinks:
        """Return where the model writes attention sinks; kept in the cache, by model and text."""
        if self._sinks is None:
            texts = self._texts(DOCUMENTS)
            sites = candidates(lm)

            def depends_on() -> dict[str, object]:
                return {
                    "weights": lm.fingerprint(),
                    "tokenizer": lm.tokenizer_fingerprint(),
                    "texts": xxhash.xxh3_128_hexdigest("\0".join(texts).encode("utf-8", "surrogatepass")),
                    "sites": [site.module for site in sites],
                }

            def compute() -> Remembered:
                return Remembered({"none": torch.zeros(1)}, _plain(measure_sinks(lm, sites, texts)))

            with self.journal.phase("sinks"):
                known = shared_results(self.journal)("sinks", depends_on, compute)
            self._sinks = _sinks(known.facts)
            written = {m: asdict(s) for m, s in self._sinks.sites.items() if s.written}
            self.journal.record("sinks", first=self._sinks.first, written=written)
        return self._sinks

    def text_keys(self, lm: LanguageModel, sites: Sequence[Site]) -> dict[str, Tensor]:
        """Return inputs (i, t) of sites at some tokens of general text, by module; sinks are left out."""
        sinks, rows, count = self.sinks(lm), [], 0
        for encoding in encode_all(lm.tokenizer, self._texts(SAMPLE)):
            rows.append(Row(encoding.ids[:SAMPLE_TOKENS], 0))
            count += len(rows[-1].ids)
            if count >= SAMPLE:
                break
        rows.sort(key=lambda row: len(row.ids))
        read: dict[str, list[Tensor]] = {site.module: [] for site in sites}
        for start in range(0, len(rows), ROWS):
            some = rows[start : start + ROWS]
            taken = (~sinks.mask(some)).nonzero()[:, 0]

            def take(site: Site, inputs: Tensor, _: Tensor, taken: Tensor = taken) -> None:
                read[site.module].append(inputs.index_select(0, taken.to(inputs.device)).float())

            stream_inputs(lm, sites, some, take, outputs=())
        return {module: torch.cat(parts).T for module, parts in read.items()}

    def _texts(self, most: int) -> list[str]:
        documents = self.source()
        stream = TEXTS if documents is None else documents()
        return [text for text in islice(iter(stream), most) if text.strip()] or list(TEXTS)


def candidates(lm: LanguageModel) -> list[Site]:
    """Return every site that a locator may choose, shallowest first."""
    return [lm.site(layer) for layer in sorted(lm.architecture.projections)]


def _plain(sinks: Sinks) -> dict[str, object]:
    sites = {module: asdict(sink) for module, sink in sinks.sites.items()}
    return {"sites": sites, "first": sinks.first, "tokens": sorted(sinks.tokens)}


def _sinks(facts: Mapping[str, object]) -> Sinks:
    sites = {str(module): Sink(**about) for module, about in facts["sites"].items()}  # type: ignore[attr-defined]
    return Sinks(sites, bool(facts["first"]), frozenset(facts["tokens"]))  # type: ignore[arg-type]
