"""CVAT for images 1.1: one xml file with an element per photo and its shapes and tags.

The file is read photo by photo, so that memory does not grow with it. A mask's run lengths go row by row and begin
with background.
"""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, ParseError

import numpy as np
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import iterparse

from carclf.annotations.records import HEAD, Problem, ReadOptions, Record, Region, join_problems, keep_first, read_size
from carclf.annotations.shapes import NoArea, Point, Polygon, Ring, Runs, Shape, ellipse_points, make_runs
from carclf.annotations.sources import files_at, inside, read_beginning
from carclf.errors import AnnotationError
from carclf.images import MOST_PIXELS

_EXPORT = 'Export the task as "CVAT for images 1.1".'


def read_cvat(path: Path, options: ReadOptions) -> Iterator[Record | Problem]:
    """Reads the shapes and tags of a CVAT file.

    A photo is called by its name in the file, in the exports of projects "subset/name". A region is called by its
    label, or by the value of `options.attribute`. A region of higher z_order lies over those of lower ones; of regions
    of the same z_order, later ones lie over earlier ones. Tags are labels of the photo: of the head that the import is
    asked for; a tag's attributes, of the columns of their names. A photo without shapes may not have been looked at:
    it is not known to be empty.

    Raises:
        AnnotationError: if it is no CVAT file, or broken.
    """
    yield from keep_first(_read_images(path, options.attribute))


def find_cvat(source: Path) -> list[Path]:
    """Finds the CVAT files at or below a file or folder, by their first lines."""
    return [path for path in files_at(source, (".xml",)) if _looks_right(path)]


def _looks_right(path: Path) -> bool:
    head = read_beginning(path)
    return b"<annotations" in head and any(mark in head for mark in (b"<meta", b"<image", b"<version"))


def _images(path: Path) -> Iterator[Element]:
    """Yields the element of every photo, one in memory at a time.

    Raises:
        AnnotationError: if the file cannot be read, is not CVAT's, or declares entities or document types.
    """
    try:
        with path.open("rb") as file:
            root = None
            for event, element in iterparse(file, events=("start", "end"), forbid_dtd=True):
                if root is None:
                    root = element
                    if root.tag != "annotations":
                        raise AnnotationError(f"{path.name}: not a CVAT file: it begins with <{root.tag}>. {_EXPORT}")
                elif event == "start" and element.tag == "track":
                    raise AnnotationError(f"{path.name}: holds the tracks of a video, not photos. {_EXPORT}")
                elif event == "end" and element.tag == "image":
                    yield element
                    root.clear()
    except FileNotFoundError:
        raise AnnotationError(f"{path}: no such file.") from None
    except OSError as problem:
        raise AnnotationError(f"{path}: cannot be read ({problem.strerror or problem}).") from None
    except DefusedXmlException:
        raise AnnotationError(
            f"{path.name}: declares a document type or entities, which can fill the memory; CVAT writes none. "
            "Delete the declaration."
        ) from None
    except (ParseError, ValueError, LookupError) as problem:  # the last of an unknown encoding
        raise AnnotationError(f"{path.name}: not valid xml: {problem}. {_EXPORT}") from None


def _read_images(path: Path, attribute: str | None) -> Iterator[Record | Problem]:
    for index, image in enumerate(_images(path), 1):
        name = image.get("name", "").strip()
        place = f"{path.name}: {name or f'image {index}'}"
        try:
            yield _read_image(path.parent, place, image, attribute)
        except ValueError as problem:
            yield Problem(place, str(problem))


def _read_image(folder: Path, place: str, image: Element, attribute: str | None) -> Record | Problem:
    """Reads one photo.

    Raises:
        ValueError: if its name, size or tags cannot be used.
    """
    name, subset = (image.get(key, "").strip() for key in ("name", "subset"))
    photo, found = _find_photo(folder, name, subset)
    sides = [None if image.get(key) is None else _number(image.get(key)) for key in ("width", "height")]
    size = read_size(*sides)
    regions: list[tuple[float, Region]] = []
    problems: list[tuple[str, str]] = []
    for index, given in enumerate((each for each in image if each.tag != "tag"), 1):
        try:
            regions.append((_number(given.get("z_order", "0")), _read_region(given, size, attribute)))
        except ValueError as problem:
            problems.append((f"region {index}", f"{problem}"))
    if problems:
        return join_problems(place, problems)
    regions.sort(key=lambda pair: pair[0])  # stable: the order of the file among equals
    in_order = tuple(region for _, region in regions)
    return Record(photo, place, size, in_order, labels=_read_tags(image), path=found)


def _find_photo(folder: Path, name: str, subset: str) -> tuple[str, Path | None]:
    """Returns the photo's name and its file where CVAT packs it: images/name, in projects images/subset/name."""
    photo = inside(folder, name).relative_to(folder).as_posix()
    if subset:
        photo = inside(folder, f"{subset}/{photo}").relative_to(folder).as_posix()
    found = inside(folder, f"images/{photo}")
    return photo, found if found.is_file() else None


def _read_tags(image: Element) -> dict[str, tuple[str, ...]]:
    """Tags -> column -> labels."""
    labels: dict[str, list[str]] = {}
    for tag in image.iter("tag"):
        label = tag.get("label", "").strip()
        if not label:
            raise ValueError("a tag has no label.")
        labels.setdefault(HEAD, []).append(label)
        for column, value in _attributes(tag).items():
            labels.setdefault(column, []).append(value)
    return {column: tuple(dict.fromkeys(values)) for column, values in labels.items()}


def _attributes(element: Element) -> dict[str, str]:
    """Name -> value, of those that have both."""
    given = {each.get("name", "").strip(): (each.text or "").strip() for each in element.findall("attribute")}
    return {name: value for name, value in given.items() if name and value}


def _read_region(given: Element, size: tuple[int, int] | None, attribute: str | None) -> Region:
    label = given.get("label", "").strip()
    if not label:
        raise ValueError(f"the {given.tag} has no label.")
    value = label if attribute is None else _attributes(given).get(attribute)
    try:
        return Region((value,) if value else (), _read_shape(given.tag, given.attrib, size))
    except KeyError as problem:
        raise ValueError(f"{problem.args[0]} is missing from the {given.tag}.") from None


def _read_shape(kind: str, given: Mapping[str, str], size: tuple[int, int] | None) -> Shape:
    if kind == "polygon":
        return Polygon((_read_points(given["points"]),))
    if kind == "box":
        left, top, right, bottom = (_number(given[key]) for key in ("xtl", "ytl", "xbr", "ybr"))
        corners = ((left, top), (right, top), (right, bottom), (left, bottom))
        return Polygon((_turn(corners, ((left + right) / 2, (top + bottom) / 2), _angle(given)),))
    if kind == "ellipse":
        x, y, radius_x, radius_y = (_number(given[key]) for key in ("cx", "cy", "rx", "ry"))
        return Polygon((ellipse_points((x, y), radius_x, radius_y, _angle(given)),))
    if kind == "mask":
        left, top, width, height = (_whole(given[key]) for key in ("left", "top", "width", "height"))
        most = MOST_PIXELS if size is None else size[0] * size[1]
        if width < 1 or height < 1 or width * height > min(most, MOST_PIXELS):
            raise ValueError(f"the mask has {width} × {height} pixels, none or more than its photo.")
        return _read_runs(given["rle"], (width, height), (left, top))
    return NoArea(kind)


def _read_points(text: str) -> Ring:
    """`x,y;x,y;…` -> corners."""
    pairs = [pair.split(",") for pair in text.split(";")]
    if any(len(pair) != 2 for pair in pairs):
        raise ValueError("its points were expected as x,y;x,y;…")
    return tuple((_number(x), _number(y)) for x, y in pairs)


def _turn(corners: Ring, center: Point, angle: float) -> Ring:
    """Turns corners around a centre, clockwise, by radians."""
    cosine, sine = math.cos(angle), math.sin(angle)
    apart = [(x - center[0], y - center[1]) for x, y in corners]
    return tuple((center[0] + x * cosine - y * sine, center[1] + x * sine + y * cosine) for x, y in apart)


def _angle(given: Mapping[str, str]) -> float:
    """Radians, clockwise; the file has degrees."""
    return math.radians(_number(given.get("rotation", "0")))


def _read_runs(text: str, size: tuple[int, int], origin: tuple[int, int]) -> Runs:
    """Unpacks run lengths, row by row, background first."""
    counts = [_whole(each) for each in text.split(",")]
    if min(counts) < 0 or sum(counts) != size[0] * size[1]:
        raise ValueError(
            f"its run lengths (rle) fill {sum(counts)} pixels, but {size[0]} × {size[1]} are {size[0] * size[1]}."
        )
    pixels = np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(size[1], size[0])
    return make_runs(pixels, origin)


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f'"{text[:40]}" stands where a whole number was expected.') from None


def _number(text: Any) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f'"{text[:40]}" stands where a number was expected.')
    return number
