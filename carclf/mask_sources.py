"""Annotations × photos: where the mask of every photo comes from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from carclf.annotations import read_annotations
from carclf.annotations.mask_files import load_mask_file
from carclf.annotations.shapes import Polygon, rasterise
from carclf.config import AnnotationConfig
from carclf.errors import AnnotationError, listed, raise_all
from carclf.images import read_mask
from carclf.labels import IGNORED_PIXEL, LabelSet


@dataclass(frozen=True)
class MaskSource:
    """Where one photo's mask comes from: polygons or a file; with neither, the mask is known to be empty."""

    label_set: LabelSet
    polygons: tuple[Polygon, ...] = ()
    path: Path | None = None

    @cached_property
    def shows_something(self) -> bool:
        """Whether there are polygons, or a pixel of the mask file is of a class; a file is read for it, once.

        Raises:
            PhotoError: if the mask file cannot be read.
        """
        if self.path is None:
            return bool(self.polygons)
        mask = read_mask(self.path)
        return bool(((mask != 0) & (mask != IGNORED_PIXEL)).any())

    def load(self, width: int, height: int) -> NDArray[np.uint8]:
        """Returns the mask at the upright photo's own size: uint8 (height, width), class ids, 0 = background.

        Raises:
            AnnotationError: if a mask file has another size or unknown class ids.
            PhotoError: if a mask file cannot be read.
        """
        if self.path is not None:
            return load_mask_file(self.path, (width, height), self.label_set)
        return rasterise(self.polygons, width, height)


def find_mask_sources(
    photos: Sequence[str], annotations: Sequence[AnnotationConfig], label_set: LabelSet
) -> tuple[dict[int, MaskSource], list[str]]:
    """Reads all annotations of one head and finds their photos.

    Args:
        photos: names of the photos, with "/" between folders.
        annotations: those of this head.
        label_set: the head's classes.

    Returns:
        (index of the photo -> its mask source, notes: annotations that fit no photo, one line a file).

    Raises:
        AnnotationError: with every bad record, and photos that are annotated twice.
    """
    sources: dict[int, MaskSource] = {}
    notes: list[str] = []
    problems: list[str] = []
    for annotation in annotations:
        try:
            found = read_annotations(annotation.format, annotation.path, label_set)
            matched = _match_photos(list(found), photos, annotation)
        except AnnotationError as problem:
            problems.append(str(problem))
            continue
        twice = [photos[index] for index in matched.values() if index in sources]
        if twice:
            problems.append(f"{annotation.path.name}: {listed(twice)}: annotated twice. Keep one annotation.")
        for key, index in matched.items():
            value = found[key]
            shapes, path = ((), value) if isinstance(value, Path) else (value, None)
            sources[index] = MaskSource(label_set, shapes, path)
        left_over = [key for key in found if key not in matched]
        if left_over:
            notes.append(f"{annotation.path.name}: {len(left_over)} annotated photos are not in the label table.")
    raise_all(AnnotationError, problems)
    return sources, notes


def _match_photos(keys: Sequence[str], photos: Sequence[str], annotation: AnnotationConfig) -> dict[str, int]:
    """Finds the photo of every annotation: by its whole name, else by the name alone, without folders.

    Raises:
        AnnotationError: if an annotation fits several photos, or none fits any.
    """
    names = [PurePosixPath(photo) for photo in photos]
    if annotation.format == "masks":  # masks are named without the photo's suffix
        names = [name.with_suffix("") for name in names]
    whole, bare = (
        _index_names([name.as_posix() for name in names]),
        _index_names([name.name for name in names]),
    )
    matched: dict[str, int] = {}
    problems = []
    for key in keys:
        places = whole.get(key) or bare.get(key, [])
        if len(places) > 1:
            which = listed([photos[index] for index in places])
            problems.append(f'{annotation.path.name}: "{key}" fits several photos: {which}. Rename all but one.')
        elif places:
            matched[key] = places[0]
    if keys and not matched and not problems:
        which = f"none of its {len(keys)} photos is in the label table"
        problems.append(f"{annotation.path.name}: {which} (the first: {keys[0]}).")
    raise_all(AnnotationError, problems)
    return matched


def _index_names(names: Sequence[str]) -> Mapping[str, list[int]]:
    found: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        found.setdefault(name, []).append(index)
    return found
