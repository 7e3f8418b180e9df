"""Which requests share a batch: against every way of parting them."""

from __future__ import annotations

from itertools import pairwise, product

from hypothesis import given
from hypothesis import strategies as st

from zu_framework.states.alike import alike


def cost(parts: list[list[int]], sizes: list[int], rows: list[int], pass_costs: int) -> int:
    return sum(max(sizes[i] for i in part) * sum(rows[i] for i in part) + pass_costs for part in parts)


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 5)), max_size=7), st.integers(0, 40))
def test_no_other_way_of_parting_a_sorted_list_costs_less(
    requests: list[tuple[int, int]], pass_costs: int
) -> None:
    sizes, rows = [size for size, _ in requests], [count for _, count in requests]
    parts = alike(sizes, rows, pass_costs)
    order = [i for part in parts for i in part]
    assert sorted(order) == list(range(len(requests)))
    assert all(sizes[a] >= sizes[b] for a, b in pairwise(order))
    if not requests:
        assert parts == []
        return
    ways = []
    for cuts in product((False, True), repeat=len(order) - 1):
        ends = [0, *(i + 1 for i, cut in enumerate(cuts) if cut), len(order)]
        ways.append(cost([order[a:b] for a, b in pairwise(ends)], sizes, rows, pass_costs))
    assert cost(parts, sizes, rows, pass_costs) == min(ways)


def test_requests_of_one_length_stay_together() -> None:
    assert alike([4, 4, 4], [9, 9, 9], 0) == [[0, 1, 2]]


def test_a_long_one_does_not_pad_the_others_where_they_are_many() -> None:
    assert alike([3, 30, 3, 4], [9, 9, 9, 9], 100) == [[1], [3, 0, 2]]
    assert alike([3, 5], [9, 9], 100) == [[1, 0]]
