"""Your own facts, in a file of any accepted form."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

from zu_framework import DataSplit
from zu_framework.data import drawn_and_rest, note_on_neighbours, read_facts, refuse_overlap


def load(options: Any, seed: int, *, declared: Collection[str] = ()) -> DataSplit:
    """The facts of a file, all checked; `retain_path`, or what the draw leaves, is retained."""
    asked = read_facts(options.path, separator=options.separator, declared=declared)
    others, notes = None, asked.notes
    if options.retain_path:
        others, more = read_facts(
            options.retain_path, "data.retain_path", separator=options.separator, declared=declared
        )
        notes += more
        refuse_overlap(asked.requests, others)
    drawn = drawn_and_rest(
        asked.requests,
        forget=options.forget,
        retain=options.retain,
        seed=seed,
        where=options.path,
        retain_from=others,
        retain_where=options.retain_path,
    )
    return replace(drawn, notes=(*notes, *drawn.notes, *note_on_neighbours(drawn.forget)))
