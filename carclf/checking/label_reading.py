"""Label table, label files and columns, read as far as they can be read: what is wrong is found, the rest is kept."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np

from carclf.checking.findings import Finding, from_error
from carclf.checking.photo_quality import PhotoFile
from carclf.config_heads import HeadConfig
from carclf.errors import LabelError, counted, did_you_mean, listed
from carclf.head_data import HeadData
from carclf.label_table import NAME_COLUMN, Row, clean_photo_name, make_label_table, read_rows
from carclf.labels import NOT_LABELLED, LabelSet, LabelTable, make_targets, read_label_file, read_label_table

TABLE = "label table"


def read_table(path: Path) -> tuple[LabelTable | None, list[Finding]]:
    """Reads a label table; lines that cannot be used are left out, of contradicting ones the first is kept."""
    try:
        return read_label_table(path), []
    except LabelError as problem:
        return _usable_lines(path), from_error(TABLE, problem)


def read_labels(path: Path, head: str) -> tuple[LabelSet | None, list[Finding]]:
    """Reads a label file."""
    try:
        return read_label_file(path), []
    except LabelError as problem:
        return None, from_error("label file", problem, head)


def read_column(
    name: str, head: HeadConfig, label_set: LabelSet, table: LabelTable
) -> tuple[HeadData | None, list[Finding]]:
    """Reads the column of a categorical or multi-label head; cells that cannot be used count as not labelled."""
    findings: list[Finding] = []
    none_label, column = head.none_label, head.column or name
    if head.kind == "categorical" and none_label is not None and none_label not in label_set.names:
        text = (
            f'heads.{name}.none_label: "{none_label}" is not in {label_set.path.name}.'
            f"{did_you_mean(none_label, label_set.names)} Its classes: {listed(label_set.names, most=20)}."
        )
        findings.append(Finding("label file", "unsound", text, name))
        none_label = None

    def make(part: LabelTable) -> object:
        if head.kind == "segmentation":
            raise ValueError(f"{name} has no column")
        return make_targets(part, column, head.kind, label_set, none_label)

    if column not in table.columns:
        known = ", ".join(table.columns) or "none"
        text = f'{table.path.name} has no column "{column}".{did_you_mean(column, table.columns)} Its columns: {known}.'
        return None, [*findings, Finding(TABLE, "unsound", text, name)]
    bad = list(_bad_cells(name, table, column, make))
    cells = np.array(table.columns[column], object)
    for finding in bad:
        cells[np.isin(np.array(table.photos, object), np.array(finding.photos, object))] = ""
    kept = replace(table, columns={**table.columns, column: tuple(cells)})
    targets = np.asarray(make(kept))
    if (targets == NOT_LABELLED).all():
        text = f'{table.path.name}: column "{column}" is empty: no photo is labelled for {name}. Fill it, or delete it.'
        return None, [*findings, *bad, Finding(TABLE, "unsound", text, name)]
    return HeadData(head.kind, label_set, none_label, targets), [*findings, *bad]


def compare_with_folder(table: LabelTable, files: Sequence[PhotoFile], folder: Path) -> Iterator[Finding]:
    """Names lines without a photo, and photos without a line.

    Args:
        table: the label table.
        files: the photos in the folder.
        folder: the photo folder.
    """
    photos = [file.name for file in files]
    there, named = set(photos), set(table.photos)
    missing = tuple(name for name in table.photos if name not in there)
    if missing:
        mend = "Is it the right folder?" if len(missing) == len(table.photos) else "Add the photos or delete the lines."
        text = f"{counted(len(missing), 'line')} of {table.path.name} without a photo in {folder}. {mend}"
        yield Finding("label without photo", "unsound", text, photos=missing, notes=_likely_names(missing, photos))
    unlisted = tuple(name for name in photos if name not in named)
    if unlisted:
        text = (
            f"{counted(len(unlisted), 'photo')} without a line in {table.path.name}: neither trains nor judges. "
            "Label it, or take it out."
        )
        notes = {file.name: file.problem for file in files if file.problem and file.name not in named}
        yield Finding("photo without label", "note", text, photos=unlisted, notes=notes)


def note_unlabelled(table: LabelTable, heads: dict[str, HeadData]) -> Iterator[Finding]:
    """Names the photos that have a line, but no label of any head."""
    if not heads:
        return
    labelled = np.any([head.labelled for head in heads.values()], axis=0)
    empty = tuple(name for name, one in zip(table.photos, labelled, strict=True) if not one)
    if empty:
        text = f"{counted(len(empty), 'photo')} in {table.path.name} without a label of any head: neither trains nor "
        text += "judges. Label it."
        yield Finding("photo without label", "note", text, photos=empty)


def _usable_lines(path: Path) -> LabelTable | None:
    rows: list[Row] = []
    try:
        for row in read_rows(path, LabelError):
            rows.append(row)
    except LabelError:
        pass  # found already; what stands above is still worth a look
    if not rows or NAME_COLUMN not in rows[0].cells:
        return None
    header = rows[0].cells
    kept: dict[str, Row] = {}
    for row in rows[1:]:
        if len(row.cells) == len(header):
            try:
                kept.setdefault(clean_photo_name(row.cells[header.index(NAME_COLUMN)]), row)
            except ValueError:
                continue
    if not kept:
        return None
    return make_label_table(path, header, kept)


def _bad_cells(head: str, table: LabelTable, column: str, make: Callable[[LabelTable], object]) -> Iterator[Finding]:
    """Finds the cells that cannot be used: each kind of cell is tried alone."""
    rows: dict[str, list[int]] = {}
    for row, cell in enumerate(table.columns[column]):
        rows.setdefault(cell, []).append(row)
    for cell, places in rows.items():
        photos = tuple(table.photos[row] for row in places)
        lines = tuple(table.lines[row] for row in places)
        part = LabelTable(table.path, photos, None, {column: (cell,) * len(places)}, lines)
        try:
            make(part)
        except LabelError as problem:
            yield replace(from_error("unknown label", problem, head)[0], photos=photos)


def _likely_names(missing: Sequence[str], photos: Sequence[str]) -> dict[str, str]:
    """Missing photo -> the photo that may be meant: another case, suffix or folder."""
    by_stem = {PurePosixPath(name).stem.lower(): name for name in photos}
    likely = ((name, by_stem.get(PurePosixPath(name).stem.lower())) for name in missing)
    return {name: f"is {found} meant?" for name, found in likely if found is not None}
