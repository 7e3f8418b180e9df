"""Tables: csv with whatever delimiter, Excel workbooks, Parquet. A row is a record, its first row names the columns."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterator, Sequence
from datetime import date, datetime, time
from typing import Any

from zu_framework.data.messages import escaped, listed
from zu_framework.data.records import Record
from zu_framework.data.text import raw_content, text_of
from zu_framework.errors import ConfigError, DataError
from zu_framework.problem.requests import stripped

# what the csv module complains of, and the way out
COMPLAINTS = {
    "unexpected end": "a quotation mark is left open: double one that belongs to a text",
    "expected after": "double a quotation mark inside a quoted cell",
    "field larger": "a quotation mark is left open, or a cell is too long",
}
DELIMITERS = {",": "a comma", ";": "a semicolon", "\t": "a tab"}
INDEX = "__index_level_"  # what pandas calls the column that it writes a frame's index to
ROW_NUMBERS = ("", "Unnamed: 0")  # the same in a csv file, and in one that was read and written again


def read_csv(
    path: str, key: str, columns: Sequence[str] | None = None, known: Collection[str] = ()
) -> list[Record]:
    """Return the rows of a csv file as records of texts; empty cells are missing fields.

    Cells may be quoted, and then hold line breaks (RFC 4180). White space around them is cut.

    Args:
        path: The file. Columns are separated by commas, semicolons or tabs, as its first row shows.
        key: The option that gave the path, for messages.
        columns: Their names, where the file has no first row for them.
        known: Names of columns; with them a first row that holds none of them is refused as no row of names.

    Returns:
        A record for each row that is not blank, named by the line at which it begins.

    Raises:
        DataError: The file is no such table: file and line are named.
    """
    text = text_of(raw_content(path, key), path)
    first, skipped = text.split("\n", 1)[0].strip(), 0
    delimiter = ","
    if first.lower().startswith("sep=") and len(first) == 5:  # Excel's own way to name it
        delimiter, text, skipped = first[4], text.split("\n", 1)[-1], 1
    elif columns is None:
        delimiter = _sniffed(text, known)
    rows = ((f"{path}, line {line + skipped}", cells) for line, cells in _rows(text, delimiter, path))
    return _some(_records(rows, columns, known, DELIMITERS.get(delimiter, delimiter)), path)


def first_row(path: str, key: str) -> list[str]:
    """Return the first row of a csv file.

    Args:
        path: The file.
        key: The option that gave the path, for messages.

    Returns:
        Its cells.
    """
    text = text_of(raw_content(path, key), path)
    return next((cells for _, cells in _rows(text, _sniffed(text, ()), path)), [])


def read_workbook(path: str, key: str, known: Collection[str] = ()) -> list[Record]:
    """Return the rows of an Excel workbook's first sheet (.xlsx) as records of texts, as `read_csv` does.

    Numbers and dates are read as texts, formulas as the values that were saved with them.
    """
    raw = raw_content(path, key)
    try:
        from openpyxl import load_workbook
    except ImportError as cause:
        raise _extra(path, "openpyxl") from cause
    try:
        book = load_workbook(io.BytesIO(raw), read_only=True, data_only=True)
        values = list(book.worksheets[0].iter_rows(values_only=True)) if book.worksheets else []
    except Exception as cause:  # a broken workbook shows as whatever its broken part raises
        raise DataError(f"{path}: no workbook that can be read ({type(cause).__name__}: {cause})") from cause
    rows = ((f"{path}, row {n}", [_cell(value) for value in row]) for n, row in enumerate(values, 1))
    return _some(_records(rows, None, known, "a column"), path)


def read_parquet(path: str, key: str) -> list[Record]:
    """Return the rows of a Parquet table as records; nulls are missing fields."""
    raw = raw_content(path, key)
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as cause:
        raise _extra(path, "pyarrow") from cause
    try:
        rows: list[dict[str, Any]] = parquet.read_table(pyarrow.BufferReader(raw)).to_pylist()
    except (pyarrow.ArrowException, OSError, ValueError) as cause:
        raise DataError(f"{path}: no Parquet table that can be read: {str(cause).splitlines()[0]}") from cause
    return _some(
        [
            Record({n: v for n, v in row.items() if v is not None and not n.startswith(INDEX)}, where)
            for where, row in ((f"{path}, record {number}", row) for number, row in enumerate(rows, 1))
        ],
        path,
    )


def _extra(path: str, package: str) -> ConfigError:
    return ConfigError(
        f"{path}: reading such a table needs the package {package}: pip install 'zu_framework[tables]', or save it as "
        ".csv"
    )


def _rows(text: str, delimiter: str, path: str) -> Iterator[tuple[int, list[str]]]:
    """The line at which each row begins, and its cells, white space around them cut."""
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    begins = 1
    try:
        for row in rows:
            yield begins, [stripped(cell).replace("\r\n", "\n") for cell in row]
            begins = rows.line_num + 1
    except csv.Error as cause:
        hint = next((f": {out}" for said, out in COMPLAINTS.items() if said in str(cause)), "")
        raise DataError(f"{path}, line {begins}: not csv: {cause}{hint}") from cause


def _sniffed(text: str, known: Collection[str]) -> str:
    """The delimiter under which the first row holds the most known names, and then the most cells."""

    def worth(delimiter: str) -> tuple[int, int]:
        try:
            _, cells = next(_rows(text, delimiter, ""), (1, []))
        except DataError:
            return -1, 0
        return sum(cell.casefold() in known for cell in cells), len(cells)

    return max(DELIMITERS, key=worth)


def _records(
    rows: Iterator[tuple[str, list[str]]],
    columns: Sequence[str] | None,
    known: Collection[str],
    separator: str,
) -> Iterator[Record]:
    """Records from rows of texts, the first of which names the columns where `columns` does not."""
    names = list(columns or ())
    for where, cells in rows:
        if not any(cells):
            continue
        if not names:
            names = _names(where, cells, known)
            continue
        if any(cells[len(names) :]) or len(cells) < len(names):
            raise DataError(
                f"{where}: {len(cells)} cells for {len(names)} columns, which {separator} separates; quote a text that "
                "holds one"
            )
        if names[0] in ROW_NUMBERS and cells[0].isdecimal():
            cells = ["", *cells[1:]]
        fields = {name: cell for name, cell in zip(names, cells, strict=False) if cell}
        if "" in fields:
            raise DataError(f"{where}: the first row has no name for the column of '{escaped(fields[''])}'")
        yield Record(fields, where, cells=True)


def _names(where: str, cells: list[str], known: Collection[str]) -> list[str]:
    if known and not any(cell.casefold() in known for cell in cells):
        raise DataError(
            f"{where}: no header row: the first row names the columns (prompt, subject, answer ...), separated by a "
            f"comma, a semicolon or a tab; this one holds: {listed(cells)}"
        )
    named = [cell for cell in cells if cell]
    if twice := {name for name in named if named.count(name) > 1}:
        raise DataError(f"{where}: two columns are called {min(twice)!r}")
    return cells


def _cell(value: Any) -> str:
    """A workbook's value as a text."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, datetime) and value.time() == time():
        value = value.date()
    return stripped(value.isoformat() if isinstance(value, date) else str(value)).replace("\r\n", "\n")


def _some(records: Iterator[Record] | list[Record], path: str) -> list[Record]:
    found = list(records)
    if not found:
        raise DataError(f"{path}: holds no record")
    return found
