"""Several continuations of one row: its keys and values are computed once, and each copy goes its own way."""

from __future__ import annotations

import pytest
import torch

from zu_framework.models import drawn_copies, greedy_tokens
from zu_framework.testing import FAMILIES, tiny_model

ROWS = [[5, 9, 11, 7], [3, 8, 6, 12]]


def sources(count: int, seed: int = 0) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed + number) for number in range(count)]


@pytest.mark.parametrize("family", [*FAMILIES, "mamba"])
def test_cold_copies_are_the_greedy_continuation(family: str) -> None:
    lm = tiny_model(family)
    drawn = drawn_copies(lm, ROWS, 5, copies=3, temperature=1e-6, generators=sources(2))
    assert drawn == [[one] * 3 for one in greedy_tokens(lm, ROWS, 5)]


def test_what_a_row_gets_follows_from_its_own_source() -> None:
    lm = tiny_model()
    both = drawn_copies(lm, ROWS, 5, copies=4, temperature=1.0, generators=sources(2))
    alone = drawn_copies(lm, ROWS[1:], 5, copies=4, temperature=1.0, generators=sources(2)[1:])
    assert both[1] == alone[0] and len({tuple(one) for one in both[1]}) > 1


def test_tokens_come_as_often_as_the_model_says() -> None:
    lm = tiny_model()
    with torch.no_grad():
        wanted = (lm.model(torch.tensor(ROWS[:1])).logits[0, -1] / 0.3).softmax(-1)
    (drawn,) = drawn_copies(lm, ROWS[:1], 1, copies=4000, temperature=0.3, generators=sources(1))
    counts = torch.bincount(torch.tensor([one[0] for one in drawn if one]), minlength=len(wanted)) / 4000
    ends = 1 - float(counts.sum())  # a draw that is the end has no token
    assert float((counts - wanted).abs().sum()) - 2 * ends < 0.35
    assert int(counts.argmax()) == int(wanted.argmax())


@pytest.mark.parametrize("family", [*FAMILIES, "mamba"])
def test_rows_of_several_lengths_go_on_as_each_does_alone(family: str) -> None:
    lm = tiny_model(family)
    rows = [[5, 9, 11, 7], [3, 8], [3, 8, 6, 12, 4, 4, 9]]
    assert greedy_tokens(lm, rows, 6) == [greedy_tokens(lm, [row], 6)[0] for row in rows]


def test_a_row_that_holds_an_end_goes_on_behind_it() -> None:
    lm = tiny_model()
    end = int(lm.tokenizer.eos_token_id)
    rows = [[5, 9], [3, end, 6, end, 4]]
    together = greedy_tokens(lm, rows, 6)
    assert together == [greedy_tokens(lm, [row], 6)[0] for row in rows]
    assert all(len(row) > 1 for row in together), "an end inside the prompt ends nothing"


def test_an_end_that_is_foretold_inside_a_row_ends_nothing() -> None:
    lm = tiny_model()
    ((end, *_),) = greedy_tokens(lm, [[3, 8, 6, 12]], 1)
    lm.model.generation_config.eos_token_id = end
    first = [3, 8, 6, 12]
    follow = {token: greedy_tokens(lm, [[*first, token]], 6)[0] for token in range(3, 20) if token != end}
    # a token after which it goes on with something else
    token, alone = next((token, rest) for token, rest in follow.items() if rest)
    assert greedy_tokens(lm, [first, [*first, token]], 6) == [[], alone]
