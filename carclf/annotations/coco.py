"""COCO instances: one json of images, annotations and categories."""

from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from carclf.annotations.json_files import looks_like, pack_numbers
from carclf.annotations.records import Problem, ReadOptions, Record, Region, join_problems, read_size
from carclf.annotations.run_lengths import read_runs
from carclf.annotations.shapes import Polygon, Shape, make_ring, rectangle_points
from carclf.annotations.sources import files_at
from carclf.errors import AnnotationError, listed
from carclf.label_table import clean_photo_name
from carclf.strict_json import read_json

_PARTS = ("images", "annotations", "categories")

Id = int | float | str  # COCO writes whole numbers; other programs texts, or 7.0
Entry = Mapping[str, Any]


def find_coco(source: Path) -> list[Path]:
    """Lists the COCO files at or below a file or folder."""
    return [path for path in files_at(source, (".json",)) if looks_like(path, _PARTS, _is_coco)]


def read_coco(path: Path, options: ReadOptions) -> Iterator[Record | Problem]:
    """Reads the instances of a COCO file.

    The rings of an instance are joined: COCO's polygons have no holes, its run lengths may. A crowd region is painted
    like any other of its category. An instance without segmentation is its box. Later annotations lie over earlier
    ones. An image without any annotation is not known to show nothing. An image with a bad annotation is a problem as
    a whole: with a part of its regions it would be labelled wrongly.

    Raises:
        AnnotationError: if it is no COCO file, or its categories cannot be told apart.
    """
    data = read_json(path, AnnotationError, _pack)
    missing = [part for part in _PARTS if not isinstance(data, dict) or not isinstance(data.get(part), list)]
    if missing:
        raise AnnotationError(
            f"{path.name}: not a COCO file: it has no list of {listed(missing)}. Export the instances, not the results."
        )
    categories = _read_categories(path.name, data.pop("categories"))
    images, without = _read_ids(data.pop("images"))
    for entry in without:
        yield Problem(f"{path.name}: image {_file_name(entry) or '?'}", "has no id. Give it one.")
    by_image: dict[Id, list[Entry]] = {}
    for index, annotation in enumerate(data.pop("annotations"), 1):
        of = _id(annotation, "image_id") if isinstance(annotation, dict) else None
        if of is not None and of in images:
            by_image.setdefault(of, []).append(annotation)
        else:
            yield _stray(path.name, annotation, index)
    yield from _read_images(path.name, images, by_image, categories)


def _is_coco(data: Any) -> bool:
    return isinstance(data, dict) and all(isinstance(data.get(part), list) for part in _PARTS)


def _pack(entry: dict[str, Any]) -> None:
    """Packs the rings of an annotation."""
    rings = entry.get("segmentation")
    if isinstance(rings, list):
        entry["segmentation"] = [pack_numbers(ring) for ring in rings]


def _id(entry: Entry, key: str) -> Id | None:
    """An id of an entry; None if there is none that could be one."""
    value = entry.get(key)
    return value if isinstance(value, Id) and not isinstance(value, bool) else None


def _stray(file: str, annotation: Any, index: int) -> Problem:
    """The problem with an annotation that belongs to no image."""
    if not isinstance(annotation, dict):
        return Problem(f"{file}: annotation no. {index}", "is no object.")
    place = f"{file}: {_call(annotation, index)}"
    if "image_id" not in annotation:
        return Problem(place, "has no image_id. Add the id of its image.")
    return Problem(place, f"image_id {annotation['image_id']!r} is no image's id. Add the image, or delete this.")


def _call(annotation: Entry, index: int) -> str:
    own = _id(annotation, "id")
    return f"annotation no. {index}" if own is None else f"annotation {own}"


def _read_categories(file: str, entries: Sequence[Any]) -> dict[Id, str]:
    """Category id -> name.

    Raises:
        AnnotationError: if one has no id or name, or two have the same id.
    """
    categories: dict[Id, str] = {}
    for index, entry in enumerate(entries, 1):
        own, name = (_id(entry, "id"), entry.get("name")) if isinstance(entry, dict) else (None, None)
        if own is None or not isinstance(name, str) or not name.strip():
            raise AnnotationError(f"{file}: category no. {index} needs an id and a name.")
        if categories.setdefault(own, name.strip()) != name.strip():
            raise AnnotationError(
                f"{file}: category id {own!r} is of {categories[own]} and of {name.strip()}. Give each its own."
            )
    return categories


def _read_ids(entries: Sequence[Any]) -> tuple[dict[Id, list[Any]], list[Any]]:
    """Returns (image id -> the images that have it, one as a rule; the images that have none)."""
    images: dict[Id, list[Any]] = {}
    without: list[Any] = []
    for entry in entries:
        own = _id(entry, "id") if isinstance(entry, dict) else None
        if own is None:
            without.append(entry)
        else:
            images.setdefault(own, []).append(entry)
    return images, without


def _read_images(
    file: str, images: Mapping[Id, list[Any]], by_image: dict[Id, list[Entry]], categories: Mapping[Id, str]
) -> Iterator[Record | Problem]:
    names = {own: _file_name(entries[0]) for own, entries in images.items()}
    times = Counter(_clean(name) for name in names.values())
    for own, entries in images.items():
        place = f"{file}: {names[own] or f'image {own}'}"
        annotations = by_image.pop(own, [])  # what has been read is not kept
        if len(entries) > 1:
            which = listed([_file_name(entry) or "?" for entry in entries])
            yield Problem(f"{file}: image {own}", f"{len(entries)} images have this id ({which}). Give each its own.")
        elif not names[own]:
            yield Problem(place, "has no file_name. Add the name of the photo's file.")
        elif times[_clean(names[own])] > 1:
            yield Problem(place, "several images have this file_name. Keep one, with all annotations.")
        else:
            yield _read_image(place, entries[0], annotations, categories)


def _file_name(entry: Any) -> str:
    name = entry.get("file_name") if isinstance(entry, dict) else None
    return name if isinstance(name, str) else ""


def _clean(name: str) -> str:
    """The name as it is compared; a bad one stays as it is, and is told later."""
    try:
        return clean_photo_name(name)
    except ValueError:
        return name


def _read_image(
    place: str, image: Entry, annotations: Sequence[Entry], categories: Mapping[Id, str]
) -> Record | Problem:
    try:
        name = clean_photo_name(image["file_name"])
        size = read_size(image.get("width"), image.get("height")) or _size_of_runs(annotations)
    except ValueError as problem:
        return Problem(place, str(problem))
    regions: list[Region] = []
    problems: list[tuple[str, str]] = []
    for index, annotation in enumerate(annotations, 1):
        try:
            regions.append(Region((_category(annotation, categories),), _read_shape(annotation, size)))
        except ValueError as problem:
            problems.append((_call(annotation, index), str(problem)))
    if problems:
        return join_problems(place, problems)
    return Record(name, place, size, tuple(regions))


def _size_of_runs(annotations: Sequence[Entry]) -> tuple[int, int] | None:
    """The size that the first run lengths are of; None without any."""
    runs = (annotation.get("segmentation") for annotation in annotations)
    return next((_runs_size(given) for given in runs if isinstance(given, dict)), None)


def _runs_size(segmentation: Entry) -> tuple[int, int]:
    given = segmentation.get("size")
    size = read_size(given[1], given[0]) if isinstance(given, list) and len(given) == 2 else None
    if size is None:
        raise ValueError("its run lengths have no size [height, width].")
    return size


def _category(annotation: Entry, categories: Mapping[Id, str]) -> str:
    own = _id(annotation, "category_id")
    if own is None or own not in categories:
        known = listed([f"{each!r} = {name}" for each, name in categories.items()], most=20)
        raise ValueError(f"category_id {annotation.get('category_id')!r} is no category's id. Known: {known}.")
    return categories[own]


def _read_shape(annotation: Entry, size: tuple[int, int] | None) -> Shape:
    segmentation = annotation.get("segmentation")
    if isinstance(segmentation, dict):
        own = _runs_size(segmentation)
        if own != size and size is not None:
            raise ValueError(
                f"its run lengths are {own[0]} × {own[1]} pixels, but its image has {size[0]} × {size[1]}."
            )
        return read_runs(segmentation.get("counts"), own)
    if segmentation is None or segmentation == []:
        return _read_box(annotation.get("bbox"))
    if not isinstance(segmentation, list) or not all(isinstance(ring, list | array) for ring in segmentation):
        raise ValueError("its segmentation is neither a list of polygons [[x, y, x, y, …], …] nor run lengths.")
    return Polygon(tuple(make_ring(ring) for ring in segmentation))


def _read_box(box: Any) -> Polygon:
    if not isinstance(box, list) or len(box) != 4:
        raise ValueError("it has neither a segmentation nor a bbox [x, y, width, height].")
    (x, y), (width, height) = make_ring(box)
    if width < 0 or height < 0:
        raise ValueError(f"its bbox is {width} wide and {height} high.")
    return Polygon((rectangle_points(x, y, width, height),))
