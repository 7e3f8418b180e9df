"""Which requests share a batch: those whose rows are about as long."""

from __future__ import annotations

from collections.abc import Sequence


def alike(sizes: Sequence[int], rows: Sequence[int], pass_costs: int) -> list[list[int]]:
    """Sort requests by the tokens of a row, the longest first, and part them where that costs least.

    Rows are padded to their batch's longest: a batch costs its rows times that, and `pass_costs` tokens more.

    Args:
        sizes: Tokens of each request's longest row.
        rows: Rows of each request.
        pass_costs: Tokens that take as long as a pass takes beside its tokens.

    Returns:
        Indices of the requests, batch by batch.
    """
    of: dict[int, list[int]] = {}
    for i in sorted(range(len(sizes)), key=lambda i: -sizes[i]):
        of.setdefault(sizes[i], []).append(i)
    widths = list(of)
    counts = [sum(rows[i] for i in of[width]) for width in widths]
    # for the first groups: the least cost, and where their last batch begins
    best = [(0, 0)]
    for end in range(1, len(widths) + 1):
        costs = [
            (best[start][0] + sum(counts[start:end]) * widths[start] + pass_costs, start)
            for start in range(end)
        ]
        best.append(min(costs))
    parts, end = [], len(widths)
    while end:
        start = best[end][1]
        parts.append([i for width in widths[start:end] for i in of[width]])
        end = start
    return parts[::-1]
