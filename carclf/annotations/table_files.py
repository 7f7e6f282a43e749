"""Tables on disk -> a header and rows of text: csv separated by commas, semicolons or tabs, and parquet."""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from carclf.errors import AnnotationError
from carclf.label_table import split_rows
from carclf.strict_json import read_text

SUFFIXES = (".csv", ".tsv", ".parquet")

_SEPARATORS = (",", ";", "\t")
_HEADER = 2**16  # letters of a header that tell the separator; csv itself refuses cells of twice as many
_BATCH = 4096  # rows of a parquet file that are in memory at once


@dataclass(frozen=True)
class Row:
    """The cells of a row, stripped, and where it is: "line 7" of a csv file, "row 6" of a parquet file."""

    place: str
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """The names of the columns, and the rows; they can be read once."""

    header: tuple[str, ...]
    rows: Iterator[Row]


def open_table(path: Path) -> Table:
    """Opens a table.

    Raises:
        AnnotationError: if it cannot be read, also later, while rows are read.
    """
    if path.suffix.lower() == ".parquet":
        return _open_parquet(path)
    if path.is_dir():
        raise AnnotationError(f"{path}: a folder. Give the table itself: csv or parquet.")
    return _make_table(path, read_text(path, AnnotationError))


def read_header(path: Path, num_rows: int) -> tuple[tuple[str, ...], list[Row]]:
    """Reads the beginning of a table alone.

    Raises:
        AnnotationError: if it cannot be read.
        OSError: the same.
    """
    if path.suffix.lower() == ".parquet":
        table = _open_parquet(path)
        return table.header, list(islice(table.rows, num_rows))
    with path.open("rb") as file:
        begun = file.read(1 << 16)
    whole = begun if len(begun) < 1 << 16 else begun[: begun.rfind(b"\n") + 1]
    try:
        text = whole.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise AnnotationError(f"{path.name}: not UTF-8 text.") from None
    table = _make_table(path, text)
    return table.header, list(islice(table.rows, num_rows))


def _make_table(path: Path, text: str) -> Table:
    first = next((line for line in text.splitlines() if line.strip()), "")[:_HEADER]
    counts = {separator: len(next(csv.reader([first], delimiter=separator), [])) for separator in _SEPARATORS}
    separator = max(_SEPARATORS, key=lambda each: counts[each])  # of equal ones the first
    rows = (Row(f"line {row.line}", row.cells) for row in split_rows(path, text, AnnotationError, separator))
    header = next(rows, None)
    if header is None:
        raise AnnotationError(f"{path.name}: the file is empty. Its first line must name the columns.")
    return Table(header.cells, rows)


def _open_parquet(path: Path) -> Table:
    import pyarrow
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(path)
        header = tuple(str(name).strip() for name in file.schema_arrow.names)
    except FileNotFoundError:
        raise AnnotationError(f"{path}: no such file.") from None
    except (OSError, pyarrow.ArrowException) as problem:
        raise AnnotationError(f"{path.name}: not a parquet file that can be read ({_line(problem)}).") from None
    return Table(header, _read_parquet(path, file))


def _read_parquet(path: Path, file: Any) -> Iterator[Row]:
    import pyarrow

    number = 0
    batches: Iterable[Any] = file.iter_batches(batch_size=_BATCH)
    try:
        for batch in batches:
            columns = [column.to_pylist() for column in batch.columns]
            for cells in zip(*columns, strict=True):
                number += 1
                yield Row(f"row {number}", tuple(_text(cell) for cell in cells))
    except (OSError, pyarrow.ArrowException) as problem:
        raise AnnotationError(f"{path.name}, row {number + 1}: cannot be read ({_line(problem)}).") from None


def _text(value: Any) -> str:
    """The text of a cell: 3.0 is "3", missing ones are empty, the values of a list stand between semicolons."""
    if value is None or value != value:  # NaN is not itself
        return ""
    if isinstance(value, list | tuple):
        return ";".join(_text(each) for each in value)
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def _line(problem: Exception) -> str:
    return (str(problem).splitlines() or [type(problem).__name__])[0]
