"""Which facts are forgotten and which are kept: the draws, reproducible from the seed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

from zu_framework import ConfigError, DataSplit, Request

T = TypeVar("T")


def by_protocol(
    requests: Sequence[Request], protocol: str, forget: int, retain: int, seed: int, where: str
) -> DataSplit:
    """Draw by a protocol's name: `zerounlearn` or `all`."""
    draw = first_and_second_half if protocol == "zerounlearn" else drawn_and_rest
    return draw(requests, forget=forget, retain=retain, seed=seed, where=where)


def first_and_second_half(
    requests: Sequence[Request], *, forget: int, retain: int, seed: int, where: str
) -> DataSplit:
    """Forget facts from the second half of the file, retained ones from the first (arXiv 2605.18879).

    One generator `random.Random(seed)` draws both, the forget facts first; 0 takes a half whole, in file order.
    With an odd number of records the middle one belongs to the second half.
    """
    half = len(requests) // 2
    draw = random.Random(seed)
    chosen = _sample(draw, requests[half:], forget, "data.forget", f"the second half of {where}")
    kept = _sample(draw, requests[:half], retain, "data.retain", f"the first half of {where}")
    return DataSplit(chosen, kept)


def drawn_and_rest(
    requests: Sequence[Request],
    *,
    forget: int,
    retain: int,
    seed: int,
    where: str,
    keep_from: Sequence[Request] | None = None,
    keep_where: str = "data.retain_path",
) -> DataSplit:
    """Forget facts from the whole file, retained ones from `keep_from`, or else from what the first draw leaves.

    keep_where: what `keep_from` is called in messages.
    One generator `random.Random(seed)` draws both, the forget facts first; 0 takes all there are, in file order.
    """
    draw = random.Random(seed)
    chosen = _sample(draw, range(len(requests)), forget, "data.forget", where)
    if keep_from is None:
        taken = set(chosen)
        keep_from = [request for index, request in enumerate(requests) if index not in taken]
        where = f"what {len(chosen)} forget facts leave of {where}"
    else:
        where = keep_where
    kept = _sample(draw, keep_from, retain, "data.retain", where)
    return DataSplit(tuple(requests[index] for index in chosen), kept)


def _sample(draw: random.Random, pool: Sequence[T], count: int, key: str, where: str) -> tuple[T, ...]:
    if count < 0:
        raise ConfigError(f"{key} must be 0 (all) or more, got {count}")
    if count > len(pool):
        raise ConfigError(f"{key} is {count}, but {where} holds {len(pool)} records: lower {key}")
    return tuple(draw.sample(pool, count)) if count else tuple(pool)
