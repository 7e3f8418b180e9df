"""What components may ask of the untouched model: computed when first asked, once a session, sinks once a model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import xxhash
from torch import Tensor

from zu_framework.contracts import Remembered
from zu_framework.models import TEXTS, LanguageModel, Sink, Sinks, measure_sinks, text_keys
from zu_framework.models.sinks import DOCUMENTS, TOKENS, first_texts
from zu_framework.problem import Site
from zu_framework.store.journal import Journal
from zu_framework.store.sharing import shared_results


@dataclass
class Untouched:
    """Looks at the model before anything is written.

    Args:
        journal: Of the session.
        documents: Streams general text afresh on each call; where it is None a few built-in sentences serve.
    """

    journal: Journal
    documents: Callable[[], Iterable[str]] | None
    _sinks: Sinks | None = field(default=None, repr=False)

    def sinks(self, lm: LanguageModel) -> Sinks:
        """Return where the model writes attention sinks; kept in the cache, by model and text."""
        if self._sinks is None:
            texts = list(first_texts(lm, self._stream(), DOCUMENTS, TOKENS))
            sites = candidates(lm)

            def depends_on() -> dict[str, object]:
                return {
                    "weights": lm.fingerprint(),
                    "tokenizer": lm.tokenizer_fingerprint(),
                    "texts": xxhash.xxh3_128_hexdigest("\0".join(texts).encode("utf-8", "surrogatepass")),
                    "sites": [site.module for site in sites],
                }

            def compute() -> Remembered:
                return Remembered({}, _plain(measure_sinks(lm, sites, texts)))

            with self.journal.phase("sinks"):
                known = shared_results(self.journal)("sinks", depends_on, compute)
            self._sinks = _sinks(known.facts)
            written = {m: asdict(s) for m, s in self._sinks.sites.items() if s.written}
            self.journal.record("sinks", first=self._sinks.first, written=written)
        return self._sinks

    def text_keys(self, lm: LanguageModel, sites: Sequence[Site]) -> dict[str, Tensor]:
        """Return inputs (i, t) of sites at some tokens of general text, by module; sinks are left out."""
        return text_keys(lm, sites, self._stream(), self.sinks(lm))

    def _stream(self) -> Iterable[str]:
        return TEXTS if self.documents is None else self.documents()


def candidates(lm: LanguageModel) -> list[Site]:
    """Return every site that a locator may choose, shallowest first."""
    return [lm.site(layer) for layer in sorted(lm.architecture.projections)]


def _plain(sinks: Sinks) -> dict[str, object]:
    sites = {module: asdict(sink) for module, sink in sinks.sites.items()}
    return {"sites": sites, "first": sinks.first, "tokens": sorted(sinks.tokens)}


def _sinks(facts: Mapping[str, Any]) -> Sinks:
    sites = {str(module): Sink(**about) for module, about in facts["sites"].items()}
    return Sinks(sites, bool(facts["first"]), frozenset(facts["tokens"]))
