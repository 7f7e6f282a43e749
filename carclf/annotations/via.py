"""VGG Image Annotator, version 1 and 2: photos and their regions, as json, csv or project file."""

import math
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from carclf.annotations.records import Problem, ReadOptions, Record, Region, join_problems
from carclf.annotations.shapes import NoArea, Polygon, Shape, ellipse_points, rectangle_points
from carclf.annotations.sources import files_at
from carclf.annotations.via_files import ViaPhoto, is_via_file, read_via_photos
from carclf.label_table import clean_photo_name


def find_via(source: Path) -> list[Path]:
    """Lists the VIA files at or below a file or folder: json, csv and project files."""
    return [path for path in files_at(source, (".json", ".csv")) if is_via_file(path)]


def read_via(path: Path, options: ReadOptions) -> Iterator[Record | Problem]:
    """Reads the regions of a VIA file: json, csv or project, of version 1 or 2.

    A region is called by the values of its attributes (or of `options.attribute` alone): the text of a text field, the
    id of what is chosen in a list or by radio button, the ids of all ticked boxes. The attributes of the whole photo
    are its labels, column by column. Later regions lie over earlier ones. A photo with a bad region is a problem as a
    whole: with a part of its regions it would be labelled wrongly; so is one that the file names twice.

    Raises:
        AnnotationError: if it is no VIA file.
    """
    photos: list[tuple[str, ViaPhoto]] = []
    for photo in read_via_photos(path):
        if isinstance(photo, Problem):
            yield photo
            continue
        try:
            photos.append((clean_photo_name(photo.name), photo))
        except ValueError as problem:
            yield Problem(f"{path.name}: {photo.name}", str(problem))
    times = Counter(name for name, _ in photos)
    for name, photo in photos:
        place = f"{path.name}: {name}"
        if times[name] == 1:
            yield _read_photo(place, name, photo, options.attribute)
        elif times.pop(name, 0):
            yield Problem(place, "this photo has several records. Keep one, with all its regions.")


def _read_photo(place: str, name: str, photo: ViaPhoto, attribute: str | None) -> Record | Problem:
    if photo.problem:
        return Problem(place, photo.problem)
    try:
        labels = {column: values for column, values in _read_attributes(photo.attributes).items() if values}
    except ValueError as problem:
        return Problem(place, f"file_attributes {problem}")
    regions: list[Region] = []
    problems: list[tuple[str, str]] = []
    for index, region in enumerate(photo.regions, 1):
        try:
            regions.append(_read_region(region, attribute))
        except ValueError as problem:
            problems.append((f"region {index}", str(problem)))
    if problems:
        return join_problems(place, problems)
    return Record(name, place, regions=tuple(regions), labels=labels)


def _read_region(region: Any, attribute: str | None) -> Region:
    if not isinstance(region, dict) or not isinstance(region.get("shape_attributes"), dict):
        raise ValueError("the region has no shape_attributes.")
    try:
        attributes = _read_attributes(region.get("region_attributes"))
    except ValueError as problem:
        raise ValueError(f"region_attributes {problem}") from None
    chosen = attributes if attribute is None else {attribute: attributes.get(attribute, ())}
    names = tuple(dict.fromkeys(value for values in chosen.values() for value in values))
    try:
        return Region(names, _read_shape(region["shape_attributes"]))
    except KeyError as problem:
        raise ValueError(f"{problem.args[0]} is missing from shape_attributes.") from None
    except (TypeError, OverflowError):
        raise ValueError("shape_attributes hold something else than numbers.") from None


def _read_attributes(attributes: Any) -> dict[str, tuple[str, ...]]:
    """Attribute -> what is chosen: texts (text, radio, dropdown), or the keys that are true (checkboxes).

    Raises:
        ValueError: if they are something else.
    """
    if not isinstance(attributes or {}, dict):
        raise ValueError("are no object with a name and a value for each.")
    found: dict[str, tuple[str, ...]] = {}
    for name, value in (attributes or {}).items():
        if isinstance(value, dict):
            found[name] = tuple(key.strip() for key, chosen in value.items() if chosen is True)
        elif isinstance(value, str | int | float):
            found[name] = (str(value).strip(),) if str(value).strip() else ()
        elif value is not None:
            raise ValueError(f'hold for "{name}" neither a text nor ticked boxes.')
    return found


def _read_shape(shape: Mapping[str, Any]) -> Shape:
    name = shape.get("name")
    if name == "polygon":
        xs, ys = shape["all_points_x"], shape["all_points_y"]
        if len(xs) != len(ys):
            raise ValueError(f"{len(xs)} values in all_points_x, but {len(ys)} in all_points_y.")
        return Polygon((tuple(zip(_numbers(xs), _numbers(ys), strict=True)),))
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


def _numbers(values: Any) -> Sequence[float]:
    return values if isinstance(values, array) else [_number(value) for value in values]


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError
    return float(value)
