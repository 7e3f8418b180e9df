"""Results that runs share on disk: computed by the first that needs them, found by the others."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from zu_framework.contracts import Remember, Remembered
from zu_framework.store.cache import TensorCache, limit_bytes
from zu_framework.store.digests import fingerprint
from zu_framework.store.journal import Journal

FORMAT = 1  # of the entries; raise it when what is kept changes
EVENTS = ("found", "remembered")  # of the journal, each with kind and key of an entry


def shared_results(journal: Journal) -> Remember:
    """A `RunContext.remember` over the cache: one entry a fingerprint of kind and `depends_on()`.

    Whoever comes while an entry is computed waits for it. The journal notes each result that was found with the
    seconds that it once took, and what was saved: phase and saving together are what the run would have taken alone.
    """

    def remember(
        kind: str, depends_on: Callable[[], Mapping[str, Any]], compute: Callable[[], Remembered]
    ) -> Remembered:
        begin = time.perf_counter()
        cache = TensorCache(kind=kind, private=True)  # target states follow from the facts
        key = fingerprint({"format": FORMAT, **depends_on()})
        with cache.lock(key):
            found = cache.load(key)
            if found is not None:
                tensors, about = found
                # for whoever computed it just now, too: in the phase already
                waited = time.perf_counter() - begin
                journal.saved[kind] = journal.saved.get(kind, 0.0) + float(about["seconds"]) - waited
                journal.record("found", kind=kind, key=key, seconds=about["seconds"])
                return Remembered(tensors, about["facts"])
            begin = time.perf_counter()
            computed = compute()
            seconds = round(time.perf_counter() - begin, 4)
            journal.record("remembered", kind=kind, key=key)  # before it lies there: a seal finds it by this
            cache.make_room(limit_bytes())
            cache.store(key, computed.tensors, {"facts": dict(computed.facts), "seconds": seconds})
        return computed

    return remember
