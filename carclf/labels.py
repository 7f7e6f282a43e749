"""Label files and label tables -> class names and targets.

A label file lists the classes of one head (label_file.py). A label table is a csv with one line per photo
(label_table.py); a head reads one of its columns.
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from carclf.errors import LabelError, did_you_mean, listed, raise_all
from carclf.label_file import LabelSet, read_label_file
from carclf.label_table import LabelTable, read_label_table

__all__ = [
    "IGNORED_PIXEL",
    "NOT_LABELLED",
    "NULL",
    "LabelSet",
    "LabelTable",
    "find_column",
    "make_targets",
    "mirror_targets",
    "read_label_file",
    "read_label_table",
    "split_cell",
]

NOT_LABELLED = -1  # a target nobody gave: the photo neither trains nor judges this head
IGNORED_PIXEL = 255  # a mask pixel that neither trains nor judges
NULL = "NULL"  # a cell that says: known to have none

Array = NDArray[Any]


def make_targets(
    table: LabelTable,
    column: str,
    kind: Literal["categorical", "multi_label"],
    label_set: LabelSet,
    none_label: str | None = None,
) -> Array:
    """Turns one column of a label table into targets.

    An empty cell is not labelled. NULL is "known to have none": `none_label` of a categorical head, no label
    at all of a multi-label head (but the class named NULL or `none_label`, if the label file has one).

    Returns:
        categorical: int64 (n,), class index. multi_label: int8 (n, num_classes), 0 or 1.
        NOT_LABELLED (in the whole row) where the cell is empty.

    Raises:
        LabelError: if the column is missing or cells name unknown classes; names every bad line.
    """
    cells = find_column(table, column)
    problems: dict[str, list[int]] = {}  # what is wrong -> the lines where it is
    rows: list[Any] = []
    for cell, line in zip(cells, table.lines, strict=True):
        try:
            chosen = _read_cell(cell, kind, label_set, none_label)
        except ValueError as problem:
            problems.setdefault(f"{column} {problem}", []).append(line)
            chosen = None
        rows.append(_make_row(chosen, kind, len(label_set.names)))
    raise_all(LabelError, [f"{table.path.name}, {_lines(lines)}: {what}" for what, lines in problems.items()])
    if kind == "categorical":
        return np.array(rows, np.int64)
    return np.array(rows, np.int8).reshape(len(rows), len(label_set.names))


def find_column(table: LabelTable, column: str) -> tuple[str, ...]:
    """Returns the cells of a column.

    Raises:
        LabelError: if there is no such column; lists the known ones.
    """
    if column not in table.columns:
        known = ", ".join(table.columns) or "none"
        guess = did_you_mean(column, table.columns)
        raise LabelError(f'{table.path.name} has no column "{column}".{guess} Its columns: {known}.')
    return table.columns[column]


def mirror_targets(targets: Array, label_set: LabelSet) -> Array:
    """Returns the targets of the mirrored photos: same shape and dtype, NOT_LABELLED stays."""
    mirror = np.array(label_set.mirror)
    if targets.ndim == 1:
        return np.where(targets == NOT_LABELLED, targets, mirror[targets]).astype(targets.dtype)
    return targets[:, mirror]


def split_cell(cell: str) -> tuple[str, ...]:
    """Returns the values of a cell: `a`, `a;b`, `[a;b]`; none of an empty cell.

    Raises:
        ValueError: if something stands in the cell, but no value, or NULL beside a value.
    """
    text = cell.strip()
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    values = tuple(dict.fromkeys(part.strip() for part in bare.split(";") if part.strip()))
    if text and not values:
        raise ValueError(f'"{text}" names no label. Write {NULL} if there is none, nothing if nobody looked.')
    if NULL in values and len(values) > 1:
        raise ValueError(f'"{text}" holds {NULL} and a label. Delete one of them.')
    return values


def _read_cell(cell: str, kind: str, label_set: LabelSet, none_label: str | None) -> list[int] | None:
    """Returns the class indices that a cell names, or None where it is empty."""
    values = split_cell(cell)
    if not values:
        return None
    if kind == "categorical":
        if len(values) > 1:
            raise ValueError(f'"{cell}" holds {len(values)} labels; a categorical head takes one.')
        if values == (NULL,) and NULL not in label_set.names and none_label is not None:
            values = (none_label,)
    elif values == (NULL,) or values == (none_label,):
        return [index for index, name in enumerate(label_set.names) if name in (NULL, none_label)]
    for value in values:
        if value not in label_set.names:
            known = listed(label_set.names, most=20)
            raise ValueError(f'"{value}" is not one of {known}.{did_you_mean(value, label_set.names)}')
    return [label_set.names.index(value) for value in values]


def _make_row(chosen: list[int] | None, kind: str, num_classes: int) -> int | list[int]:
    if kind == "categorical":
        return NOT_LABELLED if chosen is None else chosen[0]
    if chosen is None:
        return [NOT_LABELLED] * num_classes
    return [int(index in chosen) for index in range(num_classes)]


def _lines(lines: Sequence[int]) -> str:
    return f"line {lines[0]}" if len(lines) == 1 else f"lines {listed([str(line) for line in lines], most=20)}"
