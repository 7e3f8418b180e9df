"""Which facts are forgotten and which are retained: the draws, reproducible from the seed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

from zu_framework.data.agreement import distinct, notes_on, without
from zu_framework.errors import ConfigError
from zu_framework.options import ALL, Count
from zu_framework.problem import DataSplit, Request

T = TypeVar("T")


def by_protocol(
    requests: Sequence[Request], protocol: str, forget: Count, retain: Count, seed: int, where: str
) -> DataSplit:
    """Draw by a protocol's name.

    Args:
        requests: All of the file, in its order.
        protocol: `zerounlearn` (`first_and_second_half`) or `all` (`drawn_and_rest`).
        forget: How many to forget, or "all".
        retain: How many to retain, or "all".
        seed: Decides both draws.
        where: What messages call the file.

    Returns:
        The facts that were drawn.
    """
    draw = first_and_second_half if protocol == "zerounlearn" else drawn_and_rest
    return draw(requests, forget=forget, retain=retain, seed=seed, where=where)


def first_and_second_half(
    requests: Sequence[Request], *, forget: Count, retain: Count, seed: int, where: str
) -> DataSplit:
    """Draw facts to forget from the second half of a file, and those to retain from the first (arXiv 2605.18879).

    One generator `random.Random(seed)` draws both, the facts to forget first. With an odd number of records the middle
    one belongs to the second half. Equal facts count once.

    Args:
        requests: All of the file, in its order.
        forget: How many to forget; "all" takes the half whole, in file order.
        retain: How many to retain, likewise.
        seed: Decides both draws.
        where: What messages call the file.

    Returns:
        The facts that were drawn.

    Raises:
        ConfigError: There are fewer records than that.
    """
    half = len(requests) // 2
    draw = random.Random(seed)
    second = distinct(requests[half:])
    first = without(distinct(requests[:half]), second)
    place = f"the second half of {where}"
    chosen = _sample(draw, second, forget, "data.forget", len(requests) - half, place)
    others = _sample(draw, first, retain, "data.retain", half, f"the first half of {where}")
    return DataSplit(chosen, others, notes=notes_on(requests, where))


def drawn_and_rest(
    requests: Sequence[Request],
    *,
    forget: Count,
    retain: Count,
    seed: int,
    where: str,
    retain_from: Sequence[Request] | None = None,
    retain_where: str = "",
) -> DataSplit:
    """Draw facts to forget from a whole file, and those to retain from another, or from what the first draw leaves.

    One generator `random.Random(seed)` draws both, the facts to forget first. Equal facts count once.

    Args:
        requests: All of the file, in its order.
        forget: How many to forget; "all" takes them whole, in file order.
        retain: How many to retain, likewise.
        seed: Decides both draws.
        where: What messages call the file.
        retain_from: The facts to retain are among these; None for what the draw leaves.
        retain_where: What messages call those.

    Returns:
        The facts that were drawn.

    Raises:
        ConfigError: There are fewer records than that.
    """
    draw = random.Random(seed)
    pool = distinct(requests)
    chosen = _sample(draw, pool, forget, "data.forget", len(requests), where)
    notes = notes_on(requests, where)
    if retain_from is None:
        records = len(requests) - len(chosen)
        retain_from = without(pool, chosen)
        retain_where = f"what {len(chosen)} forget facts leave of {where}"
    else:
        notes += notes_on(retain_from, retain_where)
        records, whole = len(retain_from), distinct(retain_from)
        retain_from = without(whole, pool)
        if len(retain_from) < len(whole):
            notes += (f"{retain_where}: what stands in {where} too is not retained",)
    others = _sample(draw, retain_from, retain, "data.retain", records, retain_where)
    return DataSplit(chosen, others, notes=notes)


def _sample(
    draw: random.Random, pool: Sequence[T], count: Count, key: str, records: int, where: str
) -> tuple[T, ...]:
    """`count` facts of a pool; all of them where equal records have made it smaller than that.

    records: how many there were before equal ones became one.
    """
    if count == ALL:
        return tuple(pool)
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise ConfigError(f"{key} is {count!r}: give a number of facts, or {ALL} for as many as there are")
    if count > records:
        raise ConfigError(f"{key} is {count}, but {where} holds {records} records: lower {key}")
    return tuple(draw.sample(pool, min(count, len(pool))))
