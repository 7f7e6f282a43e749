"""VGG Image Annotator files, whatever wraps the photos: json of version 1 and 2, project, csv."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from carclf.annotations.json_files import looks_like, pack_numbers
from carclf.annotations.records import Problem
from carclf.annotations.sources import read_beginning
from carclf.errors import AnnotationError, listed
from carclf.label_table import Row, read_rows
from carclf.strict_json import read_json

_PROJECT = "_via_img_metadata"
_SHAPE, _REGION, _PHOTO = "region_shape_attributes", "region_attributes", "file_attributes"  # columns of a csv
_EXPORT = "Export the annotations from VIA (version 1 or 2) as json or csv."


@dataclass
class ViaPhoto:
    """What a VIA file says of one photo.

    Attributes:
        name: its file name, as it stands there.
        attributes: of the whole photo.
        regions: objects with shape_attributes and region_attributes.
        problem: why the regions cannot be used; "" = they can.
    """

    name: str
    attributes: Any
    regions: list[Any] = field(default_factory=list)
    problem: str = ""


def is_via_file(path: Path) -> bool:
    """Tells whether a json or csv file is VIA's, by its content. Never raises."""
    if path.suffix.lower() == ".json":
        return looks_like(path, ("filename", "regions"), _is_via)
    header = read_beginning(path).split(b"\n", 1)[0]
    return b"filename" in header and _SHAPE.encode() in header


def read_via_photos(path: Path) -> Iterator[ViaPhoto | Problem]:
    """Reads what a VIA file says of every photo; a photo that it names twice comes twice.

    Raises:
        AnnotationError: if it is no VIA file.
    """
    return _read_csv(path) if path.suffix.lower() == ".csv" else _read_json(path)


def _is_via(data: Any) -> bool:
    if isinstance(data, dict) and _PROJECT in data:
        return True
    records = list(data.values()) if isinstance(data, dict) else data
    return isinstance(records, list) and any(_is_record(record) and "regions" in record for record in records)


def _is_record(record: Any) -> bool:
    return isinstance(record, dict) and isinstance(record.get("filename"), str)


def _read_json(path: Path) -> Iterator[ViaPhoto | Problem]:
    data = read_json(path, AnnotationError, _pack)
    if isinstance(data, dict) and _PROJECT in data:
        data = data[_PROJECT]
    records = list(data.values()) if isinstance(data, dict) else data
    if not isinstance(records, list):
        raise AnnotationError(f"{path.name}: not a VIA file: an object or a list of records was expected. {_EXPORT}")
    if not any(_is_record(record) for record in records):
        raise AnnotationError(
            f"{path.name}: not a VIA file: none of its {len(records)} records has a filename. {_EXPORT}"
        )
    for index, record in enumerate(records, 1):
        if not _is_record(record):
            yield Problem(f"{path.name}: record {index}", "has no filename. Add it, or delete the record.")
            continue
        photo = ViaPhoto(record["filename"], record.get("file_attributes"))
        regions = record.get("regions")
        if isinstance(regions, dict):  # version 1: numbers are the keys
            photo.regions = [regions[key] for key in sorted(regions, key=_by_number)]
        elif isinstance(regions, list):
            photo.regions = regions
        elif regions is not None:
            photo.problem = "its regions are neither a list nor an object."
        yield photo


def _pack(entry: dict[str, Any]) -> None:
    """Packs the corners of a polygon."""
    for key in ("all_points_x", "all_points_y"):
        if key in entry:
            entry[key] = pack_numbers(entry[key])


def _by_number(key: str) -> tuple[bool, int, str]:
    """Sorts "10" behind "9"; what is no number stays in its order, behind all numbers."""
    return (False, len(key), key) if key.isdecimal() else (True, 0, "")


def _read_csv(path: Path) -> Iterator[ViaPhoto | Problem]:
    rows = read_rows(path, AnnotationError)
    header = [cell.removeprefix("#") for cell in next(rows, Row(1, ())).cells]
    missing = [column for column in ("filename", _SHAPE, _REGION) if column not in header]
    if missing:
        raise AnnotationError(f"{path.name}: not a VIA file: it has no column {listed(missing)}. {_EXPORT}")
    photos: dict[tuple[str, str], list[tuple[Row, Mapping[str, str]]]] = {}  # name and size: the photo, as VIA has it
    for row in rows:
        cells = dict(zip(header, row.cells, strict=False))
        if not cells.get("filename"):
            yield Problem(f"{path.name}, line {row.line}", "has no filename. Add it, or delete the line.")
        else:
            photos.setdefault((cells["filename"], cells.get("file_size", "")), []).append((row, cells))
    for (name, _), lines in photos.items():
        yield _join_lines(name, len(header), lines)


def _join_lines(name: str, num_columns: int, lines: Sequence[tuple[Row, Mapping[str, str]]]) -> ViaPhoto:
    """Joins the lines of a photo: one for every region, or one that says that there is none."""
    photo = ViaPhoto(name, None)
    regions: list[tuple[int, dict[str, Any]]] = []
    try:
        for row, cells in lines:
            if len(row.cells) != num_columns:
                raise ValueError(
                    f"line {row.line}: {len(row.cells)} cells, but the header names {num_columns} columns."
                )
            photo.attributes = photo.attributes or _read_cell(row, cells, _PHOTO)
            shape, attributes = _read_cell(row, cells, _SHAPE), _read_cell(row, cells, _REGION)
            if shape:
                place = cells.get("region_id", "")
                region = {"shape_attributes": shape, "region_attributes": attributes}
                regions.append((int(place) if place.isdecimal() else len(regions), region))
        announced = lines[0][1].get("region_count", "")
        if announced.isdecimal() and int(announced) != len(regions):
            raise ValueError(f"{announced} regions are announced (region_count), but {len(regions)} are given.")
    except ValueError as problem:
        photo.problem = str(problem)
    photo.regions = [region for _, region in sorted(regions, key=lambda pair: pair[0])]
    return photo


def _read_cell(row: Row, cells: Mapping[str, str], column: str) -> Any:
    try:
        return json.loads(cells.get(column) or "{}")
    except (ValueError, RecursionError):
        raise ValueError(f"line {row.line}: {column} is not JSON: {cells[column][:40]}") from None
