"""Label tables: a csv with a line per photo."""

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

from carclf.errors import CarclfError, LabelError, did_you_mean, listed, raise_all
from carclf.strict_json import read_text

NAME_COLUMN = "name"
GROUP_COLUMN = "group"


@dataclass(frozen=True)
class LabelTable:
    """One row per photo.

    Attributes:
        path: the csv file.
        photos: names of the photos below the photo folder, with "/" between folders; no two are the same.
        groups: cells of the group column (one car, one group), "" = unknown; None without the column.
        columns: column name -> cells, in the order of the photos; all columns but name and group.
        lines: the line of the file that each photo stands in, counted from 1.
    """

    path: Path
    photos: tuple[str, ...]
    groups: tuple[str, ...] | None
    columns: dict[str, tuple[str, ...]]
    lines: tuple[int, ...]


@dataclass(frozen=True)
class Row:
    """A line of a csv file, counted from 1, and its cells."""

    line: int
    cells: tuple[str, ...]


def read_label_table(path: Path) -> LabelTable:
    """Reads a label table: UTF-8, commas, a header with `name`, perhaps `group`, and any other columns.

    Raises:
        LabelError: with every bad line.
    """
    rows = list(read_rows(path, LabelError))
    if not rows:
        raise LabelError(f"{path.name}: the file is empty. Its first line must name the columns: name, …")
    header = _check_header(path, rows[0])
    problems: list[str] = []
    kept: dict[str, Row] = {}
    for row in rows[1:]:
        where = f"{path.name}, line {row.line}"
        if len(row.cells) != len(header):
            problems.append(f"{where}: {len(row.cells)} cells, but the header names {len(header)} columns.")
            continue
        try:
            name = clean_photo_name(row.cells[header.index(NAME_COLUMN)])
        except ValueError as problem:
            problems.append(f"{where}: {problem}")
            continue
        first = kept.setdefault(name, row)
        if _values(first, header) != _values(row, header):
            problems.append(f'{where}: "{name}" stands in line {first.line} with other values. Keep one of them.')
    if not kept and not problems:
        problems.append(f"{path.name}: names no photo. Add a line for each.")
    raise_all(LabelError, problems)
    return make_label_table(path, header, kept)


def make_label_table(path: Path, header: tuple[str, ...], rows: Mapping[str, Row]) -> LabelTable:
    """Makes the table of photo -> its row; every row has a cell for each column of the header."""
    columns = {
        column: tuple(row.cells[index] for row in rows.values())
        for index, column in enumerate(header)
        if column and column != NAME_COLUMN
    }
    groups = columns.pop(GROUP_COLUMN, None)
    return LabelTable(path, tuple(rows), groups, columns, tuple(row.line for row in rows.values()))


def clean_photo_name(given: str) -> str:
    r"""Returns a photo's name with "/" between folders: `sub\a.jpg` and `./sub/a.jpg` become `sub/a.jpg`.

    Raises:
        ValueError: if it is empty, absolute or climbs out of the photo folder; says so.
    """
    text = given.strip()
    if text in ("", "."):
        raise ValueError("the name is empty. Write the photo's file name.")
    windows = PureWindowsPath(text)
    if windows.drive or windows.root:
        raise ValueError(f'"{text}" is an absolute path. Write it relative to the photo folder.')
    if ".." in windows.parts:
        raise ValueError(f'"{text}" leaves the photo folder by "..". Put the photo into the folder.')
    return windows.as_posix()


def read_rows(path: Path, error: type[CarclfError]) -> Iterator[Row]:
    """Yields the lines of a csv file that are not blank, cells stripped.

    Raises:
        CarclfError: of kind `error`, if the file cannot be read or is not csv.
    """
    return split_rows(path, read_text(path, error), error)


def split_rows(path: Path, text: str, error: type[CarclfError], separator: str = ",") -> Iterator[Row]:
    """Yields the lines of a csv file's text; see read_rows."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    while True:
        line = reader.line_num + 1  # a quoted cell may hold line breaks: the row begins here
        try:
            cells = next(reader, None)
        except csv.Error as problem:
            raise error(f"{path.name}, line {line}: not csv: {problem}. Look at the quotes.") from None
        if cells is None:
            return
        if any(cell.strip() for cell in cells):
            yield Row(line, tuple(cell.strip() for cell in cells))


def _values(row: Row, header: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(cell for cell, column in zip(row.cells, header, strict=True) if column not in ("", NAME_COLUMN))


def _check_header(path: Path, row: Row) -> tuple[str, ...]:
    where, header = f"{path.name}, line {row.line}", row.cells
    if NAME_COLUMN not in header:
        if len(header) == 1 and NAME_COLUMN in header[0].replace("\t", ";").split(";"):
            raise LabelError(f"{where}: the cells are not separated by commas. Save the table with commas.")
        guess = did_you_mean(NAME_COLUMN, header)
        known = listed(header, most=20)
        raise LabelError(f'{where}: no column "{NAME_COLUMN}" for the photos.{guess} Its columns: {known}.')
    twice = sorted({column for column in header if column and header.count(column) > 1})
    raise_all(LabelError, [f'{where}: two columns are named "{column}". Rename one.' for column in twice])
    return header
