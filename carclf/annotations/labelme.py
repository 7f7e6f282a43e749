"""Labelme: one json per photo, beside it or with the photo inside."""

import base64
import binascii
import math
import posixpath
from collections.abc import Iterator, Mapping
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np

from carclf.annotations.json_files import looks_like
from carclf.annotations.records import HEAD, Problem, ReadOptions, Record, Region, join_problems, keep_first, read_size
from carclf.annotations.shapes import NoArea, Polygon, Ring, Runs, Shape, ellipse_points, make_ring, make_runs
from carclf.annotations.sources import files_at, inside
from carclf.errors import AnnotationError, PhotoError
from carclf.images import open_image
from carclf.label_table import clean_photo_name
from carclf.strict_json import read_json

_KEYS = ("shapes", "imagePath")


def find_labelme(source: Path) -> list[Path]:
    """Returns a Labelme file, or a folder that holds one at any depth, as one dataset; none without any."""
    return [source] if any(looks_like(path, _KEYS, _is_labelme) for path in files_at(source, (".json",))) else []


def read_labelme(path: Path, options: ReadOptions) -> Iterator[Record | Problem]:
    """Reads a Labelme file, or all of a folder and its subfolders.

    A photo is named by imagePath, seen from its json; the photo beside the json is taken before the one that is
    embedded in it, as it is the one that was labelled, not a copy. The flags that are true are labels of the whole
    photo. Later shapes lie over earlier ones. A photo with a bad shape is a problem as a whole: with a part of its
    regions it would be labelled wrongly.

    Raises:
        AnnotationError: if there is no Labelme file.
    """
    if not find_labelme(path):
        raise AnnotationError(
            f"{path}: no Labelme json is there. Give the folder that Labelme has saved to, or one of its files."
        )
    root = path if path.is_dir() else path.parent
    files = files_at(path, (".json",))
    yield from keep_first(_read_file(root, file, file.relative_to(root).as_posix()) for file in files)


def _is_labelme(data: Any) -> bool:
    return isinstance(data, dict) and isinstance(data.get("shapes"), list) and isinstance(data.get("imagePath"), str)


def _read_file(root: Path, file: Path, place: str) -> Record | Problem:
    try:
        inside(root, place)
        data = read_json(file, AnnotationError)
        if not _is_labelme(data):
            raise ValueError('not a Labelme file: "shapes" and "imagePath" were expected.')
        embedded = data.get("imageData")
        name, path = _find_photo(root, file.parent, data["imagePath"], embedded is not None)
        size = read_size(data.get("imageWidth"), data.get("imageHeight"))
        labels = _read_flags(data.get("flags"))
        photo = _decode(embedded, "imageData") if embedded is not None and path is None else None
    except (ValueError, AnnotationError) as problem:
        return Problem(place, str(problem).removeprefix(f"{file.name}: "))
    place = f"{place}: {name}"
    regions: list[Region] = []
    problems: list[tuple[str, str]] = []
    for index, shape in enumerate(data["shapes"], 1):
        try:
            regions.append(_read_region(shape))
        except ValueError as problem:
            problems.append((f"shape {index}", str(problem)))
    if problems:
        return join_problems(place, problems)
    return Record(name, place, size, tuple(regions), labels=labels, path=path, embedded=photo)


def _find_photo(root: Path, folder: Path, given: str, embedded: bool) -> tuple[str, Path | None]:
    """Returns the photo's name below the root, and its file if it is there.

    `../photos/a.jpg`, as Labelme writes it when it saves to a folder of its own, may lead to a folder beside, not out
    of the root. An embedded photo needs its bare name only.

    Raises:
        ValueError: if the name is absolute or leads out of the root.
    """
    plain = PureWindowsPath(given.strip())
    here = folder.relative_to(root).as_posix()
    name = posixpath.normpath(posixpath.join(here, plain.as_posix()))
    absolute = bool(plain.drive or plain.root)
    if not plain.name:
        raise ValueError("imagePath is empty. Write the photo's file name.")
    if embedded and (absolute or name.split("/")[0] == ".."):
        name = posixpath.normpath(posixpath.join(here, clean_photo_name(plain.name)))
    elif absolute:
        clean_photo_name(given)
    elif name.split("/")[0] == "..":
        raise ValueError(f'imagePath "{given}" leads out of {root}. Import the folder that holds both json and photos.')
    path = inside(root, name)
    return name, path if path.is_file() else None


def _read_flags(flags: Any) -> dict[str, tuple[str, ...]]:
    if not isinstance(flags or {}, dict):
        raise ValueError("its flags are no object of names with true or false.")
    true = tuple(name.strip() for name, value in (flags or {}).items() if value is True)
    return {HEAD: true} if true else {}


def _decode(text: Any, what: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, TypeError, ValueError):
        raise ValueError(f"{what} is not base64. Save the file again.") from None


def _read_region(shape: Any) -> Region:
    if not isinstance(shape, dict) or not isinstance(shape.get("label"), str):
        raise ValueError("has no label.")
    name = shape["label"].strip()
    return Region((name,) if name else (), _read_shape(shape))


def _read_shape(shape: Mapping[str, Any]) -> Shape:
    kind = shape.get("shape_type") or "polygon"  # the first versions knew no other
    if kind not in ("polygon", "rotation", "rectangle", "circle", "mask"):
        return NoArea(str(kind))
    points = _read_points(shape.get("points"))
    if kind in ("polygon", "rotation") or (kind == "rectangle" and len(points) == 4):
        return Polygon((points,))
    if len(points) != 2:
        raise ValueError(f"a {kind} has 2 points, not {len(points)}.")
    Polygon(((*points, points[0]),))  # finite, and no farther off than photos are wide
    (x0, y0), (x1, y1) = points
    if kind == "circle":  # its centre, and a point of its rim
        radius = math.dist(*points)
        return Polygon((ellipse_points((x0, y0), radius, radius),))
    if kind == "rectangle":
        return Polygon((((x0, y0), (x1, y0), (x1, y1), (x0, y1)),))
    return _read_mask(shape.get("mask"), points)


def _read_points(points: Any) -> Ring:
    if not isinstance(points, list) or not all(isinstance(point, list) and len(point) == 2 for point in points):
        raise ValueError("its points are no list of [x, y].")
    return make_ring([value for point in points for value in point])


def _read_mask(mask: Any, points: Ring) -> Runs:
    """Reads a mask in its box: base64 of a PNG, from the upper left to the lower right pixel, both in it."""
    (left, top), (right, bottom) = ((int(x), int(y)) for x, y in points)
    try:
        pixels = np.asarray(open_image(_decode(mask, "its mask"), "its mask", draft_size=None).convert("L")) != 0
    except PhotoError as problem:
        raise ValueError(str(problem)) from None
    size = (right - left + 1, bottom - top + 1)
    if pixels.shape != size[::-1]:
        raise ValueError(
            f"its mask is {pixels.shape[1]} × {pixels.shape[0]} pixels, but its points frame {size[0]} × {size[1]}."
        )
    return make_runs(pixels, (left, top))
