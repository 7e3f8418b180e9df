"""Tables as text: numbers, bold, and whatever a label may hold."""

from __future__ import annotations

import math
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from zu_framework import Measurement
from zu_framework.benches.execution import BenchResult
from zu_framework.benches.grid import Bench, BenchConfig, Cell
from zu_framework.benches.page import bench_page
from zu_framework.benches.records import CellResult, rows, write_rows
from zu_framework.benches.tables import BenchTable, latex, latex_text, markdown, tables
from zu_framework.config import Component, load_config

BETTER = {"efficacy": "lower", "perplexity": "lower"}


def result(method: str, seed: int, efficacy: float, perplexity: float, error: str = "") -> CellResult:
    cell = Cell("m_1", "50% of <b>", method, 5, seed, load_config({}))
    if error:
        return CellResult(cell, "n", "zu run n.yaml", error=error)
    before = {
        "efficacy": Measurement(100, 5, 5, "fact", "%"),
        "perplexity": Measurement(4, 40, 10, "token"),
    }
    after = {
        "efficacy": Measurement(efficacy, efficacy / 20, 5, "fact", "%"),
        "perplexity": Measurement(perplexity, 40, 10, "token"),
    }
    seconds = {"load": 5.0, "targets": 1.0, "solve": 0.5, "background": 7.0}
    return CellResult(cell, "n", "zu run n.yaml", before, after, seconds, {"targets": 2.0}, 5, "its own text")


CELLS = [
    result("A & B", 0, 20, 4.1),
    result("A & B", 1, 40, 4.2),
    result("A & B", 2, 60, 4.3),
    result("<script>alert(1)</script>", 0, 60, math.inf),
    result("<script>alert(1)</script>", 1, 80, math.inf),
    result("<script>alert(1)</script>", 2, 0, 0, error="no <i>null</i> space"),
]


def built() -> BenchTable:
    (table,) = tables(CELLS, BETTER, BenchConfig())
    return table


def test_numbers_are_means_and_deviations_over_seeds() -> None:
    table = built()
    assert [[entry.text for entry in row.entries] for row in table.rows] == [
        ["100.0 ± 0.0", "4.00 ± 0.00"],
        ["40.0 ± 20.0", "4.20 ± 0.10"],
        ["70.0 ± 14.1", "∞"],
    ]
    # 60 - 20 and 80 - 40: a steady difference on the two seeds that both have
    assert [[entry.bold for entry in row.entries] for row in table.rows] == [
        [False] * 2,
        [True] * 2,
        [False] * 2,
    ]
    assert table.rows[2].note == "1 of 3 seeds failed: no <i>null</i> space"


def test_columns_are_those_asked_for() -> None:
    (table,) = tables(CELLS, BETTER, BenchConfig(metrics=["perplexity"]))
    assert [column.title for column in table.columns] == ["perplexity ↓"]
    assert table.columns[0].note == "its own text"


def test_a_metric_of_several_numbers_is_several_columns() -> None:
    one = result("A", 0, 20, 4)
    several = {
        "mia/auc": Measurement(0.6, 6, 10, "fact"),
        "mia/gap": Measurement(0.1, 1, 10, "fact"),
        **one.after,
    }
    cells = [replace(one, after=several)]
    (table,) = tables(cells, {**BETTER, "mia": "lower"}, BenchConfig(metrics=["mia", "efficacy"]))
    assert [column.title for column in table.columns] == ["mia/auc ↓", "mia/gap ↓", "efficacy, % ↓"]
    (table,) = tables(cells, {}, BenchConfig(metrics=["mia/gap"]))
    assert [column.metric for column in table.columns] == ["mia/gap"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("a_b 50% & #1 $x$", r"a\_b 50\% \& \#1 \$x\$"),
        (r"\end{table}", r"\textbackslash{}end\{table\}"),
        (
            "x ~ y^2 <z> ↓",
            r"x \textasciitilde{} y\textasciicircum{}2 \textless{}z\textgreater{} $\downarrow$",
        ),
        ("two\nlines", "two lines"),
    ],
)
def test_latex_takes_any_text(given: str, expected: str) -> None:
    assert latex_text(given) == expected


def test_latex_and_markdown_hold_the_table() -> None:
    tex, text = latex([built()], "title"), markdown([built()], "title")
    assert r"A \& B & \textbf{40.0} $\pm$ 20.0 & \textbf{4.20} $\pm$ 0.10 \\" in tex
    assert (
        r"\textless{}script\textgreater{}alert(1)\textless{}/script\textgreater{} & 70.0 $\pm$ 14.1 & $\infty$ \\"
        in tex
    )
    assert r"50\% of \textless{}b\textgreater{} on m\_1" in tex
    assert "| A & B | **40.0 ± 20.0** | **4.20 ± 0.10** |" in text
    assert r"| \<script\>alert(1)\</script\> |" in text


def test_what_found_targets_once_took_counts_and_measuring_does_not() -> None:
    assert CELLS[0].cost() == {"targets": 3.0, "solve": 0.5}
    assert rows(CELLS)[0]["seconds_alone"] == 3.5


def test_parquet_and_csv_hold_the_same(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    written = write_rows(tmp_path, rows(CELLS))
    assert [path.name for path in written] == ["results.csv", "results.parquet"]
    plain, packed = pandas.read_csv(written[0]), pandas.read_parquet(written[1])
    assert list(plain.columns) == list(packed.columns) and len(plain) == len(packed) == len(CELLS)
    assert plain["efficacy"].tolist()[:5] == packed["efficacy"].tolist()[:5] == [20, 40, 60, 60, 80]


def test_without_pandas_there_is_still_the_csv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "results.parquet").write_bytes(b"of an earlier call")
    monkeypatch.setattr("zu_framework.benches.records.find_spec", lambda name: None)
    assert [path.name for path in write_rows(tmp_path, rows(CELLS))] == ["results.csv"]
    assert not (tmp_path / "results.parquet").exists()


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.ids: list[str] = []
        self.filtered: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.ids += [str(value) for name, value in attrs if name == "id"]
        self.filtered += [str(value) for name, value in attrs if name == "data-filters"]
        self.sources += [str(value) for name, value in attrs if name in ("src", "href")]


def test_the_page_shows_hostile_labels_as_text_and_fetches_nothing(tmp_path: Path) -> None:
    shown = BenchConfig(folder=str(tmp_path), forgetting="efficacy", retention="specificity")
    bench = Bench("b", shown, Component("executor", "local", {}), ())
    page = bench_page(BenchResult(bench, tmp_path, CELLS, BETTER, 0))
    found = Tags()
    found.feed(page)
    assert found.tags.count("script") == 1, "the shell's own alone"
    assert "b" not in found.tags and "i" not in found.tags
    assert all(source.startswith("#") for source in found.sources)
    assert len(set(found.ids)) == len(found.ids) and set(found.filtered) <= set(found.ids)
    assert "alert(1)" in page and "<script>alert" not in page
    assert found.tags.count("svg") >= 1 and "no &lt;i&gt;null&lt;/i&gt; space" in page
