"""What every reader of annotations yields: one record per photo, or the problem with one; and what all need for it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from carclf.annotations.shapes import Shape
from carclf.config_data import COLOR_TOLERANCE
from carclf.errors import listed
from carclf.label_file import Color

HEAD = ""  # in Record.labels: labels of the head that the import is asked for


@dataclass(frozen=True)
class Region:
    """One thing that somebody has marked in a photo.

    Attributes:
        names: what it was called: one class name as a rule; several where a tool has several attributes; none where
            nothing was said.
        shape: which pixels it covers.
    """

    names: tuple[str, ...]
    shape: Shape


@dataclass(frozen=True)
class ClassMask:
    """A picture of class ids or colours, as large as its photo.

    Attributes:
        path: the file.
        names: class id -> class name; 0 = background, 255 = ignored need no name. Empty: the ids are those of the
            label file.
        colors: (red, green, blue) -> class name; black = background needs no name. Empty: the mask holds ids.
        tolerance: how far off a colour may be, in the channel where it is farthest off, 0 to 255.
    """

    path: Path
    names: Mapping[int, str] = field(default_factory=dict)
    colors: Mapping[Color, str] = field(default_factory=dict)
    tolerance: int = COLOR_TOLERANCE


@dataclass(frozen=True)
class Record:
    """What is said of one photo.

    Attributes:
        photo: its name, with "/" between folders, as the annotations have it; without a suffix where they have none.
        place: where it is said, for errors: file and record.
        size: (width, height) in pixels that the annotations state for the photo; None where they state none.
        regions: later ones lie over earlier ones.
        mask: in place of regions.
        known_empty: the annotations say that there is nothing to mark, not just nothing.
        labels: column -> labels of the whole photo; ("NULL",) = known to have none. Column HEAD: the asked-for head.
        path: the photo's file where the format's layout fixes it.
        embedded: the photo's bytes where they are part of the annotations.
    """

    photo: str
    place: str
    size: tuple[int, int] | None = None
    regions: tuple[Region, ...] = ()
    mask: ClassMask | None = None
    known_empty: bool = False
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    path: Path | None = None
    embedded: bytes | None = None


@dataclass(frozen=True)
class Problem:
    """A record that cannot be used; the others can.

    Attributes:
        place: file and record.
        what: what came, what was expected, how to mend it.
    """

    place: str
    what: str


@dataclass(frozen=True)
class ReadOptions:
    """What a user says about the annotations beside where they are.

    Attributes:
        attribute: the attribute that holds the class, where regions have several (VIA).
        class_names: names of the class ids 1, 2, … of indexed masks.
        colors: (red, green, blue) -> class name, of colour masks.
        tolerance: see ClassMask.
        columns: head -> column, of label tables; "photo" -> the column of the photos' names.
    """

    attribute: str | None = None
    class_names: Sequence[str] = ()
    colors: Mapping[Color, str] = field(default_factory=dict)
    tolerance: int = COLOR_TOLERANCE
    columns: Mapping[str, str] = field(default_factory=dict)


def read_size(width: Any, height: Any) -> tuple[int, int] | None:
    """Returns the size that annotations state for a photo, in pixels; None where they state none.

    Raises:
        ValueError: if it is no size.
    """
    if width is None and height is None:
        return None
    for value in (width, height):
        if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value < 1e6 or value != int(value):
            raise ValueError(f"states a size of {width} × {height}; whole numbers of pixels were expected.")
    return int(width), int(height)


def join_problems(place: str, problems: Sequence[tuple[str, str]]) -> Problem:
    """Makes one problem of all that is wrong with a photo's regions: (which region, what is wrong)."""
    which = listed([region for region, _ in problems])
    return Problem(f"{place} {which}", " ".join(dict.fromkeys(what for _, what in problems)))


def keep_first(records: Iterable[Record | Problem]) -> Iterator[Record | Problem]:
    """Makes a problem of every further record of a photo."""
    places: dict[str, str] = {}
    for record in records:
        if isinstance(record, Problem):
            yield record
        elif record.photo in places:
            what = f"{record.photo} has a record already: {places[record.photo]}. Keep one of the two."
            yield Problem(record.place, what)
        else:
            places[record.photo] = record.place
            yield record
