"""Supervisely projects: a folder per dataset, with `ann/photo.jpg.json` for every `img/photo.jpg`.

Corners are whole pixels there, and a region holds the pixels of its outline, as Supervisely itself draws it
(cv2.fillPoly, cv2.rectangle): a rectangle from 10 to 19 covers ten pixels. A corner between two pixels counts as the
one that it lies in. A hole takes its own outline away. Of a bitmap the pixels that are not transparent are the region,
in a picture without transparency those that are not black.
"""

import base64
import binascii
import json
import math
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carclf.annotations.json_files import looks_like
from carclf.annotations.records import Problem, ReadOptions, Record, Region, join_problems, keep_first, read_size
from carclf.annotations.shapes import NoArea, Polygon, Ring, Runs, Shape, make_runs, rectangle_points
from carclf.annotations.sources import files_below, inside
from carclf.errors import AnnotationError, PhotoError, listed
from carclf.images import MOST_PIXELS, convert, has_photo_suffix, open_image
from carclf.strict_json import read_json

TAGS = "tags"  # column of the image tags that have no value

_MOST_PNG_BYTES = 2**26  # of one bitmap, unpacked; a PNG that large holds more pixels than any photo
_MOST_SNIFFED_FILES = 3  # one may be broken
_PNG = struct.Struct(">8s4x4sII")  # signature, kind of the first chunk, width, height
_PNG_HEAD = (b"\x89PNG\r\n\x1a\n", b"IHDR")


def read_supervisely(path: Path, options: ReadOptions) -> Iterator[Record | Problem]:
    """Reads all datasets of a Supervisely project, or one dataset.

    A photo is called like its file below `path`, "dataset/img/photo.jpg"; where there is no folder `img`,
    "dataset/photo.jpg". A region is called by its class, later ones lie over earlier ones. Tags of the photo are its
    labels: one with a value in the column of the tag's name, the others in column "tags"; tags of regions are left
    alone. A photo without regions may not have been looked at: it is not known to be empty.

    Args:
        path: the folder of the project or of a dataset.
        options: not needed.

    Raises:
        AnnotationError: if it is no such folder.
    """
    if not path.is_dir():
        raise AnnotationError(f"{path}: no such folder. Give the folder of a Supervisely project or dataset.")
    below = files_below(path)
    files = [file for file in below if _is_candidate(file) and file.parent != path]
    if not files:
        hint = " Give the folder above it." if path.name == "ann" else ""
        raise AnnotationError(f"{path}: holds no annotation of Supervisely (dataset/ann/photo.jpg.json).{hint}")
    photos = _index_photos(below)
    yield from keep_first(_read_file(path, file, photos) for file in files)


def find_supervisely(source: Path) -> list[Path]:
    """Finds the projects at or below a folder; a dataset without a project's meta.json counts with its neighbours."""
    folders: dict[Path, list[Path]] = {}
    for file in files_below(source):
        if _is_candidate(file):
            folders.setdefault(file.parent, []).append(file)
    roots: set[Path] = set()
    for folder, files in folders.items():
        if any(map(_looks_right, files[:_MOST_SNIFFED_FILES])):
            above = [each for each in folder.parents if each == source or source in each.parents]
            projects = [each for each in above if (each / "meta.json").is_file()]
            if above:
                roots.add(projects[0] if projects else above[:2][-1])
    return sorted(root for root in roots if not roots.intersection(root.parents))


def _is_candidate(file: Path) -> bool:
    return file.parent.name == "ann" and file.suffix.lower() == ".json"


def _looks_right(file: Path) -> bool:
    return looks_like(
        file,
        ("objects", "size"),
        lambda data: isinstance(data, dict) and isinstance(data.get("objects"), list) and "size" in data,
    )


def _index_photos(files: Iterable[Path]) -> dict[Path, list[str]]:
    """Photo's path without its suffix -> names of the photos that have it."""
    found: dict[Path, list[str]] = {}
    for file in files:
        if has_photo_suffix(file):
            found.setdefault(file.parent / file.stem, []).append(file.name)
    return found


def _read_file(root: Path, file: Path, photos: Mapping[Path, list[str]]) -> Record | Problem:
    place = file.relative_to(root).as_posix()
    try:
        inside(root, place)
        return _read_photo(root, file, photos)
    except (AnnotationError, ValueError) as problem:
        bare = str(problem).removeprefix(str(file)).removeprefix(file.name).lstrip(":, ")
        return Problem(place, " ".join(bare.splitlines()))


def _read_photo(root: Path, file: Path, photos: Mapping[Path, list[str]]) -> Record | Problem:
    """Reads the annotation file of one photo.

    Args:
        root: the folder that was asked for.
        file: the annotation file.
        photos: see _index_photos.

    Raises:
        AnnotationError: if it cannot be read.
        ValueError: if it is something else, or the photo's name leads out of the folder.
    """
    data = read_json(file, AnnotationError)
    if not isinstance(data, dict) or not isinstance(data.get("objects"), list):
        raise ValueError('an object with a list "objects" was expected, as Supervisely writes it.')
    place = file.relative_to(root).as_posix()
    photo, found = _find_photo(root, file, photos)
    stated = data.get("size") or {}
    if not isinstance(stated, dict):
        raise ValueError('"size" was expected as {"height": pixels, "width": pixels}.')
    size = read_size(stated.get("width"), stated.get("height"))
    regions: list[Region] = []
    problems: list[tuple[str, str]] = []
    for index, given in enumerate(data["objects"], 1):
        try:
            regions.append(_read_region(given, size))
        except ValueError as problem:
            problems.append((f"region {index}", f"{problem}"))
    if problems:
        return join_problems(place, problems)
    return Record(photo, place, size, tuple(regions), labels=_read_tags(data.get("tags") or []), path=found)


def _find_photo(root: Path, file: Path, photos: Mapping[Path, list[str]]) -> tuple[str, Path | None]:
    """Returns the photo's name and its file, if it is there.

    `photo.jpg.json` is of photo.jpg; `photo.json`, as older projects have it, of the only photo of that stem.
    """
    images = file.parent.parent / "img"
    folder = (images if images.is_dir() else images.parent).relative_to(root)
    name = file.stem
    if not has_photo_suffix(Path(name)):
        fitting = photos.get(images / name, [])
        if len(fitting) > 1:
            raise ValueError(f'"{name}" fits several photos: {listed(fitting)}. Name the file like {fitting[0]}.json.')
        name = fitting[0] if fitting else name
    photo = (folder / name).as_posix()
    found = inside(root, photo)
    return photo, found if has_photo_suffix(found) and found.is_file() else None


def _read_tags(tags: Any) -> dict[str, tuple[str, ...]]:
    """Image tags -> column -> labels."""
    labels: dict[str, list[str]] = {}
    for tag in tags if isinstance(tags, list) else [tags]:
        name, value = (tag.get("name"), tag.get("value")) if isinstance(tag, dict) else (tag, None)
        if not isinstance(name, str) or not name.strip() or isinstance(value, dict | list):
            raise ValueError(f'the tag {json.dumps(tag)[:60]} was expected as {{"name": text, "value": text or null}}.')
        text = "" if value is None else str(value).strip()
        column, label = (name.strip(), text) if text else (TAGS, name.strip())
        labels.setdefault(column, []).append(label)
    return {column: tuple(dict.fromkeys(values)) for column, values in labels.items()}


def _read_region(given: Any, size: tuple[int, int] | None) -> Region:
    if not isinstance(given, dict):
        raise ValueError("an object with classTitle and geometryType was expected.")
    title = given.get("classTitle")
    if not isinstance(title, str) or not title.strip():
        raise ValueError("classTitle, the name of its class, is missing.")
    kind = given.get("geometryType") or given.get("shape") or given.get("type") or "unknown"
    try:
        return Region((title.strip(),), _read_shape(str(kind), given, size))
    except KeyError as problem:
        raise ValueError(f"{problem.args[0]} is missing from the {kind}.") from None
    except (TypeError, OverflowError, AttributeError):
        raise ValueError(f"the {kind} holds something else than numbers or pixels.") from None


def _read_shape(kind: str, given: Mapping[str, Any], size: tuple[int, int] | None) -> Shape:
    if kind == "polygon":
        points = given["points"]
        return Polygon((_ring(points["exterior"]),), _rings(points.get("interior")), outlined=True)
    if kind == "multipolygon":
        parts = given["parts"]
        holes = [hole for part in parts for hole in _rings(part.get("interior"))]
        return Polygon(_rings(part["exterior"] for part in parts), tuple(holes), outlined=True)
    if kind == "rectangle":
        corners = given["points"]["exterior"]
        if len(corners) != 2:
            raise ValueError(f"a rectangle has 2 corners in points.exterior, not {len(corners)}.")
        (left, right), (top, bottom) = (sorted(values) for values in zip(*map(_pixel, corners), strict=True))
        return Polygon((rectangle_points(left, top, right - left + 1, bottom - top + 1),))
    if kind in ("bitmap", "alpha_mask"):
        return _read_bitmap(given["bitmap"]["data"], _pixel(given["bitmap"]["origin"]), size)
    return NoArea(kind)


def _rings(given: Iterable[Any] | None) -> tuple[Ring, ...]:
    return tuple(_ring(points) for points in given or ())


def _ring(points: Any) -> Ring:
    """Corners in pixels -> the centres of these pixels."""
    return tuple((x + 0.5, y + 0.5) for x, y in map(_pixel, points))


def _pixel(point: Any) -> tuple[int, int]:
    """The pixel that a corner [x, y] lies in."""
    if not isinstance(point, list) or len(point) != 2 or not all(math.isfinite(value) for value in point):
        raise TypeError
    return math.floor(point[0]), math.floor(point[1])


def _read_bitmap(data: str, origin: tuple[int, int], size: tuple[int, int] | None) -> Runs:
    """Unpacks a bitmap: base64 of zlib of a PNG, or of the PNG itself.

    Raises:
        ValueError: if it is broken, or larger than the photo or than any photo.
    """
    try:
        packed = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("the bitmap's data are no base64. Export the project again.") from None
    png = packed if packed.startswith(_PNG_HEAD[0]) else _unpack(packed)
    if len(png) < _PNG.size or _PNG.unpack_from(png)[:2] != _PNG_HEAD:
        raise ValueError("the bitmap's data are no PNG. Export the project again.")
    width, height = _PNG.unpack_from(png)[2:]
    if width * height > MOST_PIXELS or (size is not None and (width > size[0] or height > size[1])):
        most = f"its photo has {size[0]} × {size[1]}" if size else f"{MOST_PIXELS // 10**6} million are the most"
        raise ValueError(f"the bitmap has {width} × {height} pixels, but {most}.")
    try:
        return make_runs(_opaque(png), origin)
    except PhotoError:
        raise ValueError("the bitmap's PNG is broken or cut off. Export the project again.") from None


def _unpack(packed: bytes) -> bytes:
    """Undoes zlib, up to a limit: a small file may claim any size and fill the memory."""
    unpacking = zlib.decompressobj()
    try:
        png = unpacking.decompress(packed, _MOST_PNG_BYTES)
    except zlib.error as problem:
        raise ValueError(f"the bitmap's data cannot be unpacked ({problem}). Export the project again.") from None
    if unpacking.unconsumed_tail:
        raise ValueError(f"the bitmap's data unpack to more than {_MOST_PNG_BYTES // 2**20} MiB.")
    if not unpacking.eof:
        raise ValueError("the bitmap's data are cut off. Export the project again.")
    return png


def _opaque(png: bytes) -> NDArray[np.bool_]:
    """Which pixels of a PNG can be seen: bool (height, width)."""
    image = open_image(png, "PNG", draft_size=None)
    if image.has_transparency_data:
        return np.array(np.asarray(convert(image, "RGBA", "PNG").getchannel("A")) != 0)
    pixels = np.asarray(image) != 0
    return pixels if pixels.ndim == 2 else np.array(pixels.any(axis=-1))
