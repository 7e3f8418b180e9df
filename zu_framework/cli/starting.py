"""Starting quickly: no garbage is looked for among what imports make, and keep."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Pause Python's search for unreachable objects while the block lasts.

    Importing torch and transformers makes a million objects that stay; to go through them again and again is a fifth of
    a start. For imports, and for commands that hold no tensors.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
