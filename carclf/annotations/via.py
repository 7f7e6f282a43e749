"""VGG Image Annotator files, version 1 and 2: json with one record per photo and its regions."""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from carclf.annotations.shapes import Point, Polygon, ellipse_points, rectangle_points
from carclf.errors import AnnotationError, did_you_mean, listed, raise_all
from carclf.labels import LabelSet
from carclf.strict_json import read_json

_SHAPES = ("polygon", "rect", "circle", "ellipse")


def read_via(path: Path, label_set: LabelSet) -> Mapping[str, tuple[Polygon, ...]]:
    """Reads the regions of a VIA annotation file, or of a VIA 2 project file.

    A region's class is the attribute value that is a class name. Where the label file has one class, a region
    without any attribute value is of that class.

    Returns:
        file name of the photo -> its polygons; photos without a region are left out.

    Raises:
        AnnotationError: with every bad region.
    """
    found: dict[str, tuple[Polygon, ...]] = {}
    seen: set[str] = set()
    problems: dict[str, list[str]] = {}  # what is wrong -> where it is
    for record in _find_records(path):
        name = record["filename"]
        if name in seen:
            problems.setdefault("this photo has two records. Keep one.", []).append(name)
        seen.add(name)
        polygons = []
        for index, region in enumerate(_regions(record), 1):
            try:
                polygons.append(_read_region(region, label_set))
            except ValueError as problem:
                problems.setdefault(f"{problem}", []).append(f"{name} region {index}")
        if polygons:
            found[name] = tuple(polygons)
    raise_all(AnnotationError, [f"{path.name}: {listed(places)}: {what}" for what, places in problems.items()])
    return found


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


def _read_region(region: Any, label_set: LabelSet) -> Polygon:
    if not isinstance(region, dict) or not isinstance(region.get("shape_attributes"), dict):
        raise ValueError("the region has no shape_attributes.")
    class_id = _read_class(region.get("region_attributes") or {}, label_set)
    try:
        return Polygon(class_id, _read_points(region["shape_attributes"]))
    except KeyError as problem:
        raise ValueError(f"{problem.args[0]} is missing from shape_attributes.") from None
    except (TypeError, OverflowError):
        raise ValueError("shape_attributes hold something else than numbers.") from None


def _read_class(attributes: Any, label_set: LabelSet) -> int:
    values = list(dict.fromkeys(_attribute_values(attributes)))
    named = [value for value in values if value in label_set.names]
    known = f"{label_set.path.name} ({listed(label_set.names, most=20)})"
    if len(named) == 1:
        return label_set.names.index(named[0]) + 1
    if len(named) > 1:
        raise ValueError(f"the attributes name several classes: {', '.join(named)}. Keep one, or draw two regions.")
    if not values and len(label_set.names) == 1:
        return 1
    if not values:
        raise ValueError(f"no attribute says which class of {known} it is.")
    guess = did_you_mean(values[0], label_set.names)
    raise ValueError(f'"{", ".join(values)}" is no class of {known}.{guess}')


def _attribute_values(attributes: Any) -> Iterable[str]:
    """Yields what is chosen: texts (text, radio, dropdown), and the keys that are true (checkboxes)."""
    for value in attributes.values() if isinstance(attributes, dict) else ():
        if isinstance(value, dict):
            yield from (key.strip() for key, chosen in value.items() if chosen is True)
        elif str(value).strip():
            yield str(value).strip()


def _read_points(shape: Mapping[str, Any]) -> tuple[Point, ...]:
    name = shape.get("name")
    if name == "polygon":
        xs, ys = shape["all_points_x"], shape["all_points_y"]
        if len(xs) != len(ys):
            raise ValueError(f"{len(xs)} values in all_points_x, but {len(ys)} in all_points_y.")
        return tuple((_number(x), _number(y)) for x, y in zip(xs, ys, strict=True))
    if name == "rect":
        return rectangle_points(*(_number(shape[key]) for key in ("x", "y", "width", "height")))
    if name == "circle":
        radius = _number(shape["r"])
        return ellipse_points((_number(shape["cx"]), _number(shape["cy"])), radius, radius)
    if name == "ellipse":
        center = (_number(shape["cx"]), _number(shape["cy"]))
        return ellipse_points(center, _number(shape["rx"]), _number(shape["ry"]), _number(shape.get("theta", 0.0)))
    raise ValueError(f'the shape "{name}" has no area that could be filled. Known shapes: {", ".join(_SHAPES)}.')


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError
    return float(value)
