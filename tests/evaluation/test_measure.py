"""Running metrics over one scorer, the table of what they said, and the text for perplexity."""

from __future__ import annotations

import io
import math
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests.evaluation.bigram import bigram
from zu_framework import DataError, DataSplit, Measurement, PluginError, Probe, Request
from zu_framework.evaluation import Scorer, before_after_table, measure, read_texts

DATA = DataSplit(forget=(Request("the", "cat"), Request("the cat", "ran")))


def hits(scorer: Scorer, data: DataSplit) -> Measurement:
    scores = scorer.score([Probe(request.prompt, request.answer) for request in data.forget])
    matched = sum(score.exact for score in scores)
    return Measurement(100 * matched / len(scores), matched, len(scores), "fact", "%")


def nothing(scorer: Scorer, data: DataSplit) -> None:
    return None


def test_metrics_share_a_scorer_and_keep_their_order() -> None:
    lm = bigram()
    measured = measure(lm, DATA, {"second": hits, "none": nothing, "first": hits}, batch_size=1)
    assert list(measured) == ["second", "first"]
    assert measured["first"] == Measurement(50.0, 1, 2, "fact", "%")
    assert lm.model.rows == 2


def test_a_later_measurement_sees_the_model_as_it_is_then() -> None:
    lm = bigram()
    before = measure(lm, DATA, {"hits": hits})
    lm.model.table.weight.data.mul_(-1)
    assert measure(lm, DATA, {"hits": hits})["hits"].value != before["hits"].value


def test_a_metric_may_answer_several_measurements() -> None:
    several = lambda scorer, data: {"a": hits(scorer, data), "b": hits(scorer, data)}  # noqa: E731
    assert list(measure(bigram(), DATA, {"hits": hits, "more": several})) == ["hits", "more/a", "more/b"]


def test_the_reference_is_loaded_once_for_both_sides_and_let_go_of() -> None:
    loaded: list[Any] = []

    def load() -> Any:
        loaded.append(bigram())
        return loaded[-1]

    def compare(scorer: Scorer, data: DataSplit) -> Measurement:
        assert scorer.reference is not None
        return hits(scorer.reference, data)

    reference = Scorer(load)
    for _ in ("before", "after"):
        measure(bigram(), DATA, {"compare": compare}, reference=reference)
    assert len(loaded) == 1 and reference._lm is None


def test_a_metric_must_return_a_measurement() -> None:
    wrong: Any = lambda scorer, data: 0.5  # noqa: E731
    with pytest.raises(PluginError, match="metric 'wrong' returned 0.5"):
        measure(bigram(), DATA, {"wrong": wrong})


def rendered(*args: Any) -> list[str]:
    console = Console(file=io.StringIO(), width=140)
    console.print(before_after_table(*args))
    return [" ".join(line.replace("│", " ").split()) for line in console.file.getvalue().splitlines()]


def test_the_table_shows_both_sides_and_what_they_count() -> None:
    before = {
        "efficacy": Measurement(100.0, 10, 10, "fact", "%"),
        "answer_probability": Measurement(0.93, 9.3, 10, "fact"),
        "perplexity": Measurement(12.345, 30.1, 12, "token"),
        "retained": Measurement(50.0, 1, 2, "fact", "%"),
    }
    after = {
        "efficacy": Measurement(10.0, 1, 10, "fact", "%"),
        "answer_probability": Measurement(2.5e-7, 2.5e-6, 10, "fact"),
        "perplexity": Measurement(math.inf, math.inf, 12, "token"),
    }
    lines = rendered(before, after, "seen in [training]")
    assert "efficacy 100.0 % 10.0 % 10/10, then 1/10 facts" in lines
    assert "answer_probability 0.9300 2.50e-07 10 facts" in lines
    assert "perplexity (seen in [training]) 12.35 inf times inf; 12 tokens" in lines
    assert "retained 50.0 % - 1/2 facts" in lines


def test_the_table_shows_intervals_below_or_beside_and_fits_its_width() -> None:
    rate = Measurement(93.3, 28, 30, "probe", "%", low=80.0, high=100.0)
    sure = Measurement(100.0, 10, 10, "fact", "%", low=100.0, high=100.0)
    small = Measurement(2.17e-4, 0.9, 10, "fact", low=1.1e-5, high=0.0123)
    before = {"neighborhood_magnitude": small, "generalization": rate, "efficacy": sure}
    for width, expected in ((80, "80.0 to 100.0"), (140, "93.3 % (80.0 to 100.0)")):
        console = Console(file=io.StringIO(), width=width)
        console.print(before_after_table(before, before, width=width))
        lines = console.file.getvalue().splitlines()
        assert max(map(len, lines)) <= width and "95 % intervals" in lines[0]
        assert any(expected in line for line in lines) and any(
            "neighborhood_magnitude" in line for line in lines
        )
        assert "100.0 to 100.0" not in console.file.getvalue()


def test_a_side_that_was_not_measured_has_no_column() -> None:
    console = Console(file=io.StringIO(), width=80)
    after = {"efficacy": Measurement(100.0, 1, 1, "fact", "%")}
    console.print(before_after_table({}, after, sides=("base", "model"), title="suite [mine]"))
    assert "model" in console.file.getvalue() and "base" not in console.file.getvalue()


def test_the_table_counts_once_what_did_not_change() -> None:
    same = {"efficacy": Measurement(100.0, 1, 1, "fact", "%")}
    assert "efficacy 100.0 % 100.0 % 1/1 fact" in rendered(same, same)


def test_texts_are_lines_and_are_streamed(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes("\ufeffone\r\n\n  two \n \nthr\u2028ee\n".encode())
    assert list(read_texts(path)) == ["one", "two", "thr\u2028ee"]
    path.write_bytes(b"one\n" + b"\n" * 100_000 + b"\xff\n")
    assert list(islice(read_texts(path), 1)) == ["one"]


def test_texts_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes("Léon".encode("latin-1"))
    with pytest.raises(DataError, match="text.txt, line 1: not UTF-8 text"):
        list(read_texts(path))
    with pytest.raises(DataError, match="is a folder"):
        list(read_texts(tmp_path))
    with pytest.raises(DataError, match="no such text file"):
        list(read_texts(tmp_path / "absent.txt"))
