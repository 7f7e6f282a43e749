"""YOLO data sets: data.yaml, photos in `images` and, for each, a text file of boxes or outlines in `labels`.

A line is `class x y width height` (a box by its middle) or `class x1 y1 x2 y2 x3 y3 …` (an outline); all lengths are
shares of the photo's width and height, of the photo as people see it.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

from carclf.annotations.records import Problem, ReadOptions, Record, Region, join_problems
from carclf.annotations.shapes import Polygon, make_ring, rectangle_points
from carclf.annotations.sources import files_below, inside
from carclf.annotations.yolo_files import find_data_files, find_places, read_data_file
from carclf.errors import AnnotationError, PhotoError, listed
from carclf.images import has_photo_suffix, photo_frame
from carclf.strict_json import read_text

_TOLERANCE = 0.01  # how far outside the photo a value may lie: tools round, and outlines touch the border
_NO_LABELS = ("classes.txt", "notes.txt")  # tools put them beside the labels
_LINE = "A line is class x y width height, or class x1 y1 x2 y2 x3 y3 …"


@dataclass(frozen=True)
class _Photo:
    """A photo of the data set.

    Attributes:
        name: its path below the source, with "/" between folders.
        labels: path of its label file below the source, there or not.
    """

    name: str
    labels: str


def read_yolo(path: Path, options: ReadOptions) -> Iterator[Record | Problem]:
    """Reads all splits of a YOLO data set, for segmentation or detection.

    A photo is called like its file below the source. An empty label file says that there is nothing to mark; a photo
    without label file is not labelled. Later regions lie over earlier ones. Folders that data.yaml looks for outside
    of the source are looked for beside data.yaml, by the end of their path.

    Args:
        path: data.yaml, or a folder that holds it; nothing outside the folder is read.
        options: not needed.

    Raises:
        AnnotationError: if there is no data.yaml or several, it cannot be used, or leads to no photo.
    """
    root = path if path.is_dir() else path.parent
    data_file = _choose_data_file(path)
    data = read_data_file(data_file)
    places, problems = find_places(root, data_file, data.splits)
    photos: dict[str, _Photo] = {}
    for place in places:
        photos |= {photo.name: photo for photo in _list_photos(root, place, problems)}
    if not photos:
        raise AnnotationError("\n".join([f"{data_file}: leads to no photo.", *(each.what for each in problems)]))
    yield from problems
    owners: dict[str, list[str]] = {}
    for photo in photos.values():
        owners.setdefault(photo.labels, []).append(photo.name)
    for photo in photos.values():
        try:
            if len(owners[photo.labels]) > 1 and (root / photo.labels).is_file():
                raise ValueError(f"{listed(owners[photo.labels])} share it. Rename all but one of them.")
            yield _read_photo(root, photo, data.names)
        except (AnnotationError, PhotoError, ValueError) as problem:
            yield Problem(photo.labels, f"{problem}")
    for place in places:
        yield from _find_left_over(root, place, owners)


def find_yolo(source: Path) -> list[Path]:
    """Finds the YOLO data sets at or below a file or folder: the folder itself where it holds one data.yaml."""
    found = find_data_files(source)
    return [source] if len(found) == 1 else found


def _choose_data_file(path: Path) -> Path:
    if path.is_file():
        return path
    if not path.is_dir():
        raise AnnotationError(f"{path}: no such file or folder. Give data.yaml or the folder that holds it.")
    found = find_data_files(path)
    if not found:
        raise AnnotationError(
            f"{path}: holds no data.yaml of YOLO. It names the classes (names: [dent, glass]) and the photos "
            "(train: images)."
        )
    if len(found) > 1:
        raise AnnotationError(
            f"{path}: holds {len(found)} data sets: {listed([str(each) for each in found])}. Give one."
        )
    return found[0]


def _list_photos(root: Path, place: Path, problems: list[Problem]) -> Iterator[_Photo]:
    """Yields the photos of a folder, or those that a text file lists, a line each; adds what is wrong to `problems`."""
    if place.is_dir():
        names = [path.relative_to(root).as_posix() for path in files_below(place)]
        names = [name for name in names if has_photo_suffix(Path(name))]
        where = [place.relative_to(root).as_posix()] * len(names)
    else:
        lines = read_text(place, AnnotationError).splitlines()
        names = [line.strip() and _find_listed(root, place, line.strip()) for line in lines]
        where = [f"{place.relative_to(root).as_posix()} line {index}" for index in range(1, len(lines) + 1)]
    for name, origin in zip(names, where, strict=True):
        if not name:
            continue
        try:
            path = inside(root, name)
            if not path.is_file():
                raise ValueError(f'the photo "{name}" is missing. Add it, or delete the line.')
            relative = path.relative_to(root)
            yield _Photo(relative.as_posix(), _label_name(root, relative))
        except ValueError as problem:
            problems.append(Problem(origin, f"{problem}"))


def _find_listed(root: Path, place: Path, line: str) -> str:
    """The name below root of a photo that a list names, from its folder or, shortened, as tools pack "data/" before."""
    asked = PureWindowsPath(line)
    if asked.drive or asked.root or ".." in asked.parts:
        return line
    base = place.parent.relative_to(root)
    tails = [(base / Path(*asked.parts[first:])).as_posix() for first in range(len(asked.parts))]
    return next((name for name in tails if os.path.isfile(root / name)), tails[0] if tails else line)


def _label_name(root: Path, photo: Path) -> str:
    """images/train/a.jpg -> labels/train/a.txt; beside the photo where that is not there."""
    folders = list(photo.parts[:-1])
    beside = photo.with_suffix(".txt")
    if "images" not in folders:
        return beside.as_posix()
    last = len(folders) - 1 - folders[::-1].index("images")
    usual = Path(*folders[:last], "labels", *folders[last + 1 :], beside.name)
    use_beside = not (root / usual).is_file() and (root / beside).is_file()
    return (beside if use_beside else usual).as_posix()


def _read_photo(root: Path, photo: _Photo, names: Mapping[int, str]) -> Record | Problem:
    """Reads the label file of one photo.

    Raises:
        AnnotationError: if it cannot be read.
        PhotoError: if the photo's size cannot be read.
        ValueError: if it lies outside the source.
    """
    path, labels = root / photo.name, inside(root, photo.labels)
    if not labels.is_file():
        return Record(photo.name, photo.name, path=path)
    lines = [(index, line.split()) for index, line in enumerate(read_text(labels, AnnotationError).splitlines(), 1)]
    lines = [(index, words) for index, words in lines if words]
    if not lines:
        return Record(photo.name, photo.labels, known_empty=True, path=path)
    frame = photo_frame(path)
    regions: list[Region] = []
    problems: list[tuple[str, str]] = []
    for index, words in lines:
        try:
            regions.append(_read_line(words, names, (frame.width, frame.height)))
        except ValueError as problem:
            problems.append((f"line {index}", f"{problem}"))
    if problems:
        return join_problems(photo.labels, problems)
    return Record(photo.name, photo.labels, regions=tuple(regions), path=path)


def _read_line(words: Sequence[str], names: Mapping[int, str], size: tuple[int, int]) -> Region:
    """Reads one region.

    Args:
        words: class, then shares of the photo.
        names: class id -> name.
        size: (width, height) of the photo.
    """
    name = _read_class(words[0], names)
    shares = [_read_share(word) for word in words[1:]]
    if len(shares) == 4:
        x, y, width, height = shares
        if width < 0 or height < 0:
            raise ValueError(f"the box is {width} × {height}; a width and height of 0 to 1 were expected.")
        shares = [
            value for corner in rectangle_points(x - width / 2, y - height / 2, width, height) for value in corner
        ]
    elif len(shares) < 6 or len(shares) % 2:
        raise ValueError(f"{len(words)} numbers. {_LINE}")
    ring = tuple((x * size[0], y * size[1]) for x, y in make_ring(shares))
    return Region((name,), Polygon((ring,)))


def _read_class(word: str, names: Mapping[int, str]) -> str:
    try:
        class_id = float(word)
    except ValueError:
        raise ValueError(f'the class id "{word[:40]}" is no number. {_LINE}') from None
    if class_id not in names:
        known = listed([f"{each} = {name}" for each, name in names.items()])
        raise ValueError(f'the class id "{word[:40]}" is not in data.yaml ({known}).')
    return names[int(class_id)]


def _read_share(word: str) -> float:
    try:
        share = float(word)
    except ValueError:
        raise ValueError(f'"{word[:40]}" is no number. {_LINE}') from None
    if not -_TOLERANCE <= share <= 1 + _TOLERANCE:  # not so of NaN, either
        raise ValueError(f"{word[:40]} is no share of the photo: 0 to 1 was expected, not pixels.")
    return share


def _find_left_over(root: Path, place: Path, owners: Mapping[str, Sequence[str]]) -> Iterator[Problem]:
    """Yields the label files of a folder whose photo is not there."""
    if not place.is_dir():  # a list may leave photos out
        return
    folder = root / _label_name(root, place.relative_to(root) / "photo")
    nested = [place / "labels"] if folder.parent == place else [folder.parent]
    for path in (path for each in nested for path in files_below(each)):
        name = path.relative_to(root).as_posix()
        if path.suffix.lower() == ".txt" and path.name not in _NO_LABELS and name not in owners:
            yield Problem(name, "its photo is not in the data set. Add it, as labels are shares of its size.")
