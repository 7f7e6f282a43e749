"""VGG Image Annotator files, version 1 and 2: json with one record per photo and its regions."""

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from carclf.annotations.records import Problem, ReadOptions, Record, Region
from carclf.annotations.shapes import NoArea, Polygon, Shape, ellipse_points, rectangle_points
from carclf.errors import AnnotationError, listed
from carclf.strict_json import read_json


def read_via(path: Path, options: ReadOptions) -> Iterator[Record | Problem]:
    """Reads the regions of a VIA annotation file, or of a VIA 2 project file.

    A region is called by the values of its attributes (or of `options.attribute` alone). A photo with a bad region is
    a problem as a whole: with a part of its regions it would be labelled wrongly.

    Raises:
        AnnotationError: if it is no VIA file.
    """
    seen: set[str] = set()
    for given in _find_records(path):
        name = given["filename"]
        if name in seen:
            yield Problem(f"{path.name}: {name}", "this photo has two records. Keep one.")
            continue
        seen.add(name)
        regions: list[Region] = []
        problems: list[Problem] = []
        for index, region in enumerate(_regions(given), 1):
            try:
                regions.append(_read_region(region, options.attribute))
            except ValueError as problem:
                problems.append(Problem(f"{path.name}: {name} region {index}", f"{problem}"))
        if problems:
            yield from problems
        else:
            yield Record(name, f"{path.name}: {name}", regions=tuple(regions))


def _find_records(path: Path) -> list[dict[str, Any]]:
    """Returns the records of the photos, whatever the file wraps them in."""
    data = read_json(path, AnnotationError)
    if isinstance(data, dict) and "_via_img_metadata" in data:
        data = data["_via_img_metadata"]
    records = list(data.values()) if isinstance(data, dict) else data
    if not isinstance(records, list):
        raise AnnotationError(f"{path.name}: not a VIA file: an object or a list of records was expected.")
    bad = [
        str(index)
        for index, record in enumerate(records, 1)
        if not isinstance(record, dict) or not isinstance(record.get("filename"), str)
    ]
    if bad:
        raise AnnotationError(
            f"{path.name}: not a VIA file: record {listed(bad)} of {len(records)} has no filename. "
            "Export the annotations from VIA (version 1 or 2) as json."
        )
    return records


def _regions(record: Mapping[str, Any]) -> Iterable[Any]:
    """Returns the regions of a photo: a list in version 2, an object with numbers as keys in version 1."""
    regions = record.get("regions") or []
    if isinstance(regions, dict):
        return list(regions.values())
    return regions if isinstance(regions, list) else [regions]


def _read_region(region: Any, attribute: str | None) -> Region:
    if not isinstance(region, dict) or not isinstance(region.get("shape_attributes"), dict):
        raise ValueError("the region has no shape_attributes.")
    attributes = region.get("region_attributes") or {}
    if attribute is not None and isinstance(attributes, dict):
        attributes = {attribute: attributes.get(attribute, "")}
    names = tuple(dict.fromkeys(_attribute_values(attributes)))
    try:
        return Region(names, _read_shape(region["shape_attributes"]))
    except KeyError as problem:
        raise ValueError(f"{problem.args[0]} is missing from shape_attributes.") from None
    except (TypeError, OverflowError):
        raise ValueError("shape_attributes hold something else than numbers.") from None


def _attribute_values(attributes: Any) -> Iterable[str]:
    """Yields what is chosen: texts (text, radio, dropdown), and the keys that are true (checkboxes)."""
    for value in attributes.values() if isinstance(attributes, dict) else ():
        if isinstance(value, dict):
            yield from (key.strip() for key, chosen in value.items() if chosen is True)
        elif str(value).strip():
            yield str(value).strip()


def _read_shape(shape: Mapping[str, Any]) -> Shape:
    name = shape.get("name")
    if name == "polygon":
        xs, ys = shape["all_points_x"], shape["all_points_y"]
        if len(xs) != len(ys):
            raise ValueError(f"{len(xs)} values in all_points_x, but {len(ys)} in all_points_y.")
        return Polygon((tuple((_number(x), _number(y)) for x, y in zip(xs, ys, strict=True)),))
    if name == "rect":
        return Polygon((rectangle_points(*(_number(shape[key]) for key in ("x", "y", "width", "height"))),))
    if name == "circle":
        radius = _number(shape["r"])
        return Polygon((ellipse_points((_number(shape["cx"]), _number(shape["cy"])), radius, radius),))
    if name == "ellipse":
        center = (_number(shape["cx"]), _number(shape["cy"]))
        radii, turn = (_number(shape["rx"]), _number(shape["ry"])), _number(shape.get("theta", 0.0))
        return Polygon((ellipse_points(center, *radii, turn),))
    return NoArea(str(name))


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError
    return float(value)
