"""What is written of a photo's masks: indexed and colour masks, overlays, probability maps, at the photo's own size.

Masks come back by `import --format masks`: one folder per head, each mask called like its photo. A folder of colour
masks says itself which colour is which class. Overlays and probability maps are for people: all in one folder.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from carclf.files import write_csv, write_whole
from carclf.label_file import LabelSet
from carclf.mask_images import mask_colors, put_colors, resize_mask_probability
from carclf.mask_plots import label_colors, paint_mask
from carclf.photo_source import PhotoSource

Array = NDArray[Any]

INDEXED, COLORS, OVERLAYS, PROBABILITIES = "indexed", "colors", "overlays", "probabilities"
LEGEND = "class_dict.csv"
"""Beside colour masks: name, r, g, b of every class, which `import` (annotations/mask_legend.py) reads."""
Owner = tuple[Path, str, str]
"""What a picture shows: (photo, head, class, "" where the picture is of all classes)"""
_LONGEST = 80  # bytes of a class in a file name; disks take 255 for the whole name


class MaskAnswer(Protocol):
    """What is read of the answer to a photo.

    Attributes:
        photo: which was asked about; overlays read it again.
        masks: head -> uint8 (height, width), class ids at the photo's own size.
        probabilities: head -> float32 (h, w, C) in [0, 1], on the head's grid; needed for PROBABILITIES alone.
    """

    @property
    def photo(self) -> PhotoSource: ...  # noqa: D102
    @property
    def masks(self) -> Mapping[str, Array]: ...  # noqa: D102
    @property
    def probabilities(self) -> Mapping[str, Array]: ...  # noqa: D102


@dataclass(frozen=True)
class _Picture:
    """One picture of a photo: of a head, and of a class if there is one for each."""

    image: Image.Image
    head: str
    class_part: str = ""


class Owners(Protocol):
    """File name, in small letters -> what the file shows; a dictionary, or what a job remembers."""

    def setdefault(self, key: str, default: Owner, /) -> Owner:
        """As of a dictionary."""


class MaskWriter:
    """Writes pictures of one kind into one folder, each file whole or not at all.

    Masks are <head>/<photo>.png; if another photo has that name, <head>/<the photo's folder>/<photo with suffix>.png,
    which `import` tells apart. Overlays are <photo>_<head>.png, probability maps <photo>_<head>_<class>.png, with
    <photo>-2 if another photo has that name. Names that differ in small and capital letters alone count as the same,
    as some disks have it. A photo that comes again is written over.
    """

    def __init__(
        self, folder: Path, kind: str, label_sets: Mapping[str, LabelSet], owners: Owners | None = None
    ) -> None:
        """Makes a writer; nothing is written yet.

        Args:
            folder: where the pictures go; made when the first one is written. One kind a folder.
            kind: one of OUTPUTS.
            label_sets: head -> its classes.
            owners: which names are taken already; None = none.

        Raises:
            ValueError: if there is no such kind.
        """
        if kind not in _MAKERS:
            raise ValueError(f'"{kind}" is no kind of output: {", ".join(OUTPUTS)}.')
        self.folder, self.kind, self.label_sets = folder, kind, label_sets
        self._owners: Owners = {} if owners is None else owners
        self._legends: set[str] = set()  # heads whose folder has one

    def write(self, answer: MaskAnswer) -> None:
        """Writes the pictures of one photo; they are made and written one by one.

        Raises:
            PhotoError: if the photo cannot be read any more; only overlays read it.
            RunDirError: if a picture cannot be written.
        """
        for picture in _MAKERS[self.kind](answer, self.label_sets):
            if self.kind == COLORS:
                self._write_legend(picture.head)
            path = self.folder / self._name(answer.photo.path, picture)
            write_whole(path, partial(picture.image.save, format="PNG"))

    def _name(self, photo: Path, picture: _Picture) -> PurePosixPath:
        names = _mask_names if self.kind in (INDEXED, COLORS) else _flat_names
        shown = (photo, picture.head, picture.class_part)
        return next(name for name in names(*shown) if self._owners.setdefault(str(name).casefold(), shown) == shown)

    def _write_legend(self, head: str) -> None:
        if head in self._legends:
            return
        label_set = self.label_sets[head]
        colors = mask_colors(label_set)
        rows = [[name, *map(str, colors[index])] for index, name in enumerate(label_set.names, 1)]
        write_csv(self.folder / head / LEGEND, ("name", "r", "g", "b"), rows)
        self._legends.add(head)


def class_file_names(class_names: Sequence[str]) -> list[str]:
    """Makes classes parts of file names: letters, digits, _, -, . stay, of any alphabet; no two are the same.

    Returns:
        One name per class: "tail light / left" becomes "tail_light_left"; a second one of a name gets -2.
    """
    made: list[str] = []
    for name in class_names:
        safe = re.sub(r"[^\w.-]+", "_", name).encode()[:_LONGEST].decode(errors="ignore")
        taken = {each.casefold() for each in made}
        made.append(next(each for each in _numbered(safe) if each.casefold() not in taken))
    return made


def _indexed(answer: MaskAnswer, label_sets: Mapping[str, LabelSet]) -> Iterator[_Picture]:
    for head, mask in answer.masks.items():
        image = Image.fromarray(np.ascontiguousarray(mask))
        put_colors(image, label_sets[head])
        yield _Picture(image, head)


def _colors(answer: MaskAnswer, label_sets: Mapping[str, LabelSet]) -> Iterator[_Picture]:
    for head, mask in answer.masks.items():
        yield _Picture(Image.fromarray(np.array(mask_colors(label_sets[head]), np.uint8)[mask]), head)


def _overlays(answer: MaskAnswer, label_sets: Mapping[str, LabelSet]) -> Iterator[_Picture]:
    if not answer.masks:
        return  # nothing is drawn, so nothing is read
    photo = answer.photo.read_full()
    for head, mask in answer.masks.items():
        yield _Picture(Image.fromarray(paint_mask(photo, mask, label_colors(label_sets[head]))), head)


def _probabilities(answer: MaskAnswer, label_sets: Mapping[str, LabelSet]) -> Iterator[_Picture]:
    for head, mask in answer.masks.items():
        for index, name in enumerate(class_file_names(label_sets[head].names)):
            large = resize_mask_probability(answer.probabilities[head][..., index], mask.shape[::-1])
            yield _Picture(Image.fromarray(np.round(large * np.float32(255.0)).astype(np.uint8)), head, name)


_MAKERS: dict[str, Callable[[MaskAnswer, Mapping[str, LabelSet]], Iterator[_Picture]]] = {
    INDEXED: _indexed,
    COLORS: _colors,
    OVERLAYS: _overlays,
    PROBABILITIES: _probabilities,
}
OUTPUTS = tuple(_MAKERS)


def _flat_names(photo: Path, head: str, class_part: str) -> Iterator[PurePosixPath]:
    for stem in _numbered(photo.stem):
        yield PurePosixPath("_".join(part for part in (stem, head, class_part) if part) + ".png")


def _mask_names(photo: Path, head: str, _class_part: str) -> Iterator[PurePosixPath]:
    """Names that `import` finds the photo by: its stem, else its whole name behind the folders above it."""
    yield PurePosixPath(head, f"{photo.stem}.png")
    folders = Path(os.path.abspath(photo)).parts[1:-1]  # without "..", which would lead out of the head's folder
    for first in reversed(range(len(folders))):
        yield PurePosixPath(head, *folders[first:], f"{photo.name}.png")
    for name in _numbered(photo.name):
        yield PurePosixPath(head, f"{name}.png")


def _numbered(name: str) -> Iterator[str]:
    """The name as it is, with -2 behind it, with -3 and so on."""
    for number in count(1):
        yield name if number == 1 else f"{name}-{number}"
