"""Label tables: csv of any separator, or parquet, with a line per photo."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from carclf.annotations.records import Problem, ReadOptions, Record
from carclf.annotations.sources import files_below
from carclf.annotations.table_files import SUFFIXES, Row, open_table, read_header
from carclf.errors import AnnotationError, did_you_mean, listed
from carclf.images import has_photo_suffix
from carclf.label_table import GROUP_COLUMN, clean_photo_name
from carclf.labels import split_cell

PHOTO = "photo"  # in ReadOptions.columns: the column of the photos' names

_PHOTO_COLUMNS: tuple[str, ...] = ("name", "photo", "image", "filename", "file", "file_name", "path", "img")
_PHOTO_COLUMNS += ("image_name", "image_path", "img_name", "img_path", "filepath", "file_path")
_OTHER_FORMATS = ("region_shape_attributes", "r", "g", "b", "pixel value", "xmin", "x_min", "bbox")
_SNIFFED = 20  # rows


@dataclass(frozen=True)
class _Columns:
    """Which columns are read: positions of the photo's name, of the labels by their new names, of the group."""

    photo: int
    labels: Mapping[str, int]


def read_tables(path: Path, options: ReadOptions) -> Iterator[Record | Problem]:
    """Reads the labels of photos from a table.

    Csv may be separated by commas, semicolons or tabs. Without `options.columns` every column but that of the photo
    becomes one of the same name; with it those that are named there, and `group`. A cell is `a`, `a;b`, `[a;b]`, NULL
    (known to have none) or empty (nobody looked). Equal rows of one photo count once; rows that contradict each other
    are a problem.

    Raises:
        AnnotationError: if the table cannot be read, or a column is missing.
    """
    table = open_table(path)
    columns = _choose_columns(path, table.header, options.columns)
    kept: dict[str, Row] = {}
    contradicted: dict[str, list[str]] = {}
    for row in table.rows:
        where = f"{path.name}, {row.place}"
        if len(row.cells) != len(table.header):
            what = f"{len(row.cells)} cells, but the header names {len(table.header)} columns."
            yield Problem(where, f"{what} Put quotes around cells that hold the separator.")
            continue
        try:
            name = clean_photo_name(row.cells[columns.photo])
        except ValueError as problem:
            yield Problem(where, str(problem))
            continue
        first = kept.setdefault(name, row)
        if _labels(first, columns) != _labels(row, columns):
            contradicted.setdefault(name, [first.place]).append(row.place)
    for name, row in kept.items():
        if name in contradicted:
            where = f"{path.name}, {listed(contradicted[name])}"
            yield Problem(where, f'"{name}" stands in several rows with other values. Keep one of them.')
        else:
            yield _make_record(f"{path.name}, {row.place}", name, row, columns)


def find_tables(source: Path) -> list[Path]:
    """Returns the tables at or below a folder, or the file itself, whose first rows name photos."""
    if source.is_file():
        paths = [source]
    else:
        try:
            paths = files_below(source)
        except OSError:
            return []
    return [path for path in paths if path.suffix.lower() in SUFFIXES and _names_photos(path)]


def _names_photos(path: Path) -> bool:
    try:
        header, rows = read_header(path, _SNIFFED)
        photo = _photo_column(header)
    except (AnnotationError, OSError):
        return False
    if photo is None or len(header) < 2 or {name.lower() for name in header} & set(_OTHER_FORMATS):
        return False
    names = [row.cells[photo] for row in rows if len(row.cells) == len(header)]
    return any(has_photo_suffix(Path(name)) for name in names)


def _photo_column(header: Sequence[str]) -> int | None:
    lower = [name.lower() for name in header]
    return next((lower.index(name) for name in _PHOTO_COLUMNS if name in lower), None)


def _choose_columns(path: Path, header: Sequence[str], wanted: Mapping[str, str]) -> _Columns:
    """Finds the columns.

    Raises:
        AnnotationError: if one is missing, or there is no label; lists those that there are.
    """
    known = listed([name for name in header if name], most=20)
    twice = sorted({name for name in header if name and header.count(name) > 1})
    if twice:
        raise AnnotationError(f"{path.name}: several columns are named {listed(twice)}. Rename all but one.")
    for name in wanted.values():
        if name not in header:
            guess = did_you_mean(name, header)
            raise AnnotationError(f'{path.name}: no column "{name}".{guess} Its columns: {known}.')
    photo = header.index(wanted[PHOTO]) if PHOTO in wanted else _photo_column(header)
    if photo is None:
        expected = listed(_PHOTO_COLUMNS[:8], most=8)
        raise AnnotationError(
            f"{path.name}: no column for the photos ({expected}). Say which it is with --column photo=…. "
            f"Its columns: {known}."
        )
    labels = {head: header.index(name) for head, name in wanted.items() if head != PHOTO}
    if not labels:
        labels = {name: index for index, name in enumerate(header) if name and index != photo}
    elif GROUP_COLUMN in header:
        labels.setdefault(GROUP_COLUMN, header.index(GROUP_COLUMN))
    if not labels:
        raise AnnotationError(f"{path.name}: no column beside that of the photos. Add one for each question.")
    return _Columns(photo, labels)


def _labels(row: Row, columns: _Columns) -> list[str]:
    return [row.cells[index] for index in columns.labels.values()]


def _make_record(where: str, name: str, row: Row, columns: _Columns) -> Record | Problem:
    labels: dict[str, tuple[str, ...]] = {}
    for head, index in columns.labels.items():
        cell = row.cells[index]
        try:
            values = ((cell,) if cell else ()) if head == GROUP_COLUMN else split_cell(cell)
        except ValueError as problem:
            return Problem(where, f"{head} {problem}")
        if values:
            labels[head] = values
    return Record(name, where, labels=labels)
