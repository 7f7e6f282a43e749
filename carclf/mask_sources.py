"""Annotations × photos: where the mask of every photo comes from."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from carclf.annotations import read_records
from carclf.annotations.classes import Renames, find_class
from carclf.annotations.instances import Instances, draw_instances, find_components
from carclf.annotations.mask_files import rename_mask
from carclf.annotations.mask_pictures import load_class_mask
from carclf.annotations.records import ClassMask, Problem, ReadOptions, Record
from carclf.annotations.shapes import Shape, rasterise
from carclf.config_data import AnnotationConfig
from carclf.errors import AnnotationError, listed, raise_all
from carclf.images import Frame, has_photo_suffix, photo_frame
from carclf.labels import IGNORED_PIXEL, LabelSet
from carclf.mask_images import ids_in, turn_upright


@dataclass(frozen=True)
class MaskSource:
    """Where one photo's mask comes from: shapes or a file; with neither, the mask is known to be empty.

    Attributes:
        label_set: the classes.
        shapes: (class id, shape); a later one lies over an earlier one.
        mask: in place of shapes.
        size: (width, height) that the annotations state for the photo, if they do.
        place: where the annotation is, for errors.
    """

    label_set: LabelSet
    shapes: tuple[tuple[int, Shape], ...] = ()
    mask: ClassMask | None = None
    size: tuple[int, int] | None = None
    place: str = ""

    @cached_property
    def class_ids(self) -> frozenset[int]:
        """The ids of the classes that are drawn; a mask file is read for it, once. Raises as shows_something does."""
        if self.mask is None:
            drawn = {class_id for class_id, _ in self.shapes}
        else:
            drawn = ids_in(load_class_mask(self.mask, self.label_set))
        return frozenset(drawn - {0, IGNORED_PIXEL})

    @property
    def shows_something(self) -> bool:
        """Whether there are shapes, or a pixel of the mask file is of a class.

        Raises:
            AnnotationError: if the mask file holds something else than classes.
            PhotoError: if the mask file cannot be read.
        """
        return bool(self.class_ids)

    def load(self, frame: Frame) -> NDArray[np.uint8]:
        """Returns the mask at the upright photo's own size: uint8 (height, width), class ids, 0 = background.

        Annotations are drawn on the photo as people see it; where they are as large as the photo in its file instead,
        they are turned with it.

        Raises:
            AnnotationError: if the annotations are of another size than the photo, or hold unknown classes.
            PhotoError: if a mask file cannot be read.
        """
        if self.mask is not None:
            lies = photo_frame(self.mask.path)
            self._check_size((lies.width, lies.height), frame)  # first, as a small file may claim any number of pixels
            ids = load_class_mask(self.mask, self.label_set)
            return ids if ids.shape == (frame.height, frame.width) else turn_upright(ids, frame)
        size = self._drawn_size(frame)
        try:
            drawn = rasterise(self.shapes, *size)
        except ValueError as problem:
            raise AnnotationError(f"{self.place}: {problem}") from None
        return _hold_upright(drawn, size, frame)

    def load_instances(self, frame: Frame) -> Instances:
        """Returns the single regions at the upright photo's own size; pixel by pixel of the classes that `load` gives.

        A shape is a region, in the order of the shapes. A mask picture does not tell touching regions of a class
        apart: there, a region is what hangs together (see find_components).

        Raises:
            AnnotationError: as load does; or if there are more regions than MOST_INSTANCES.
            PhotoError: if a mask file cannot be read.
        """
        try:
            if self.mask is not None:
                return find_components(self.load(frame))
            size = self._drawn_size(frame)
            drawn = draw_instances(self.shapes, *size)
        except ValueError as problem:
            raise AnnotationError(f"{self.place}: {problem}") from None
        return Instances(_hold_upright(drawn.ids, size, frame), drawn.class_ids)

    def _drawn_size(self, frame: Frame) -> tuple[int, int]:
        """(width, height) at which the shapes were drawn."""
        size = self.size or (frame.width, frame.height)
        self._check_size(size, frame)
        return size

    def _check_size(self, size: tuple[int, int], frame: Frame) -> None:
        if size not in ((frame.width, frame.height), frame.stored):
            raise AnnotationError(
                f"{self.place}: {size[0]} × {size[1]} pixels, but its photo has {frame.width} × {frame.height}. "
                "A mask has the size of its photo, held upright."
            )


def _hold_upright(drawn: NDArray[Any], size: tuple[int, int], frame: Frame) -> NDArray[Any]:
    """Turns what was drawn at a size (width, height) on the photo as it lies in its file."""
    return drawn if size == (frame.width, frame.height) else turn_upright(drawn, frame)


def make_mask_source(record: Record, label_set: LabelSet, renames: Renames) -> MaskSource:
    """Gives the regions of a record their classes.

    Raises:
        ValueError: with every region whose class is not known, one a line.
    """
    shapes: list[tuple[int, Shape]] = []
    problems: list[str] = []
    for index, region in enumerate(record.regions, 1):
        try:
            class_id = find_class(region, label_set, renames)
        except ValueError as problem:
            problems.append(f"region {index}: {problem}")
            continue
        if class_id is not None:
            shapes.append((class_id, region.shape))
    if problems:
        raise ValueError("\n".join(problems))
    mask = None if record.mask is None else rename_mask(record.mask, renames)
    return MaskSource(label_set, tuple(shapes), mask, record.size, record.place)


def find_mask_sources(
    photos: Sequence[str], annotations: Sequence[AnnotationConfig], label_set: LabelSet
) -> tuple[dict[int, MaskSource], list[str]]:
    """Reads all annotations of one head and finds their photos.

    Args:
        photos: names of the photos, with "/" between folders.
        annotations: those of this head.
        label_set: the head's classes.

    Returns:
        (index of the photo -> its mask source, notes: annotations that fit no photo, one line a file). A photo without
        any region is not among them, unless the annotations say that there is nothing to mark.

    Raises:
        AnnotationError: with every bad record, and photos that are annotated twice.
    """
    sources: dict[int, MaskSource] = {}
    notes: list[str] = []
    problems: list[str] = []
    for annotation in annotations:
        try:
            found = _read_sources(annotation, label_set)
            matched = _match_photos(list(found), photos, annotation)
        except AnnotationError as problem:
            problems.append(str(problem))
            continue
        times = Counter(matched.values())
        twice = [photos[index] for index in times if index in sources or times[index] > 1]
        if twice:
            problems.append(f"{annotation.path.name}: {listed(twice)}: annotated twice. Keep one annotation.")
        sources |= {index: found[key] for key, index in matched.items()}
        left_over = [key for key in found if key not in matched]
        if left_over:
            notes.append(f"{annotation.path.name}: {len(left_over)} annotated photos are not in the label table.")
    raise_all(AnnotationError, problems)
    return sources, notes


def _read_sources(annotation: AnnotationConfig, label_set: LabelSet) -> dict[str, MaskSource]:
    """Photo, as the annotations call it -> its mask source.

    Raises:
        AnnotationError: with everything that is wrong; the same fault of several records in one line.
    """
    sources, problems = collect_sources(annotation, label_set)
    raise_all(AnnotationError, [f"{listed(places)}: {what}" for what, places in problems.items()])
    return sources


def collect_sources(
    annotation: AnnotationConfig, label_set: LabelSet
) -> tuple[dict[str, MaskSource], dict[str, list[str]]]:
    """Returns (photo, as the annotations call it -> its mask source; what is wrong -> where it is).

    Raises:
        AnnotationError: if the file as a whole cannot be read.
    """
    colors = {color: name for name, color in zip(label_set.names, label_set.colors, strict=True) if color is not None}
    options = ReadOptions(annotation.attribute, label_set.names, colors, annotation.tolerance)
    renames = Renames(annotation.map)
    sources: dict[str, MaskSource] = {}
    problems: dict[str, list[str]] = {}  # what is wrong -> where it is
    for record in read_records(annotation.format, annotation.path, options):
        if isinstance(record, Problem):
            problems.setdefault(record.what, []).append(record.place)
            continue
        try:
            source = make_mask_source(record, label_set, renames)
        except ValueError as problem:
            for line in str(problem).splitlines():
                region, what = line.split(": ", 1)
                problems.setdefault(what, []).append(f"{record.place} {region}")
            continue
        if source.shapes or source.mask is not None or record.known_empty:
            sources[record.photo] = source
    return sources, problems


def _match_photos(keys: Sequence[str], photos: Sequence[str], annotation: AnnotationConfig) -> dict[str, int]:
    """Finds the photo of every annotation.

    Raises:
        AnnotationError: if an annotation fits several photos, or none fits any.
    """
    matched, several = match_photos(keys, photos)
    problems = []
    for key, places in several.items():
        which = listed([photos[index] for index in places])
        problems.append(f'{annotation.path.name}: "{key}" fits several photos: {which}. Rename all but one.')
    if keys and not matched and not problems:
        which = f"none of its {len(keys)} photos is in the label table"
        problems.append(f"{annotation.path.name}: {which} (the first: {keys[0]}).")
    raise_all(AnnotationError, problems)
    return matched


def match_photos(keys: Sequence[str], photos: Sequence[str]) -> tuple[dict[str, int], dict[str, list[int]]]:
    """Finds the photo of every annotation: by its whole name, else by the name where one of them names more folders.

    An annotation named without a photo's suffix fits the photo of that stem.

    Returns:
        (annotation -> position of its photo, annotation -> positions of the several photos that it fits).
    """
    by_name, by_stem = _index(photos, "name"), _index(photos, "stem")
    matched: dict[str, int] = {}
    several: dict[str, list[int]] = {}
    for key in keys:
        asked = PurePosixPath(key)
        suffixed = has_photo_suffix(asked)
        near = (by_name if suffixed else by_stem).get(asked.name, [])
        names = {index: PurePosixPath(photos[index]) for index in near}
        if not suffixed:
            names = {index: name.with_suffix("") for index, name in names.items()}
        places = [index for index in near if names[index] == asked]
        places = places or [index for index in near if _is_end(names[index], asked) or _is_end(asked, names[index])]
        if len(places) > 1:
            several[key] = places
        elif places:
            matched[key] = places[0]
    return matched, several


def _index(photos: Sequence[str], part: Literal["name", "stem"]) -> dict[str, list[int]]:
    """Name or stem, without folders -> positions."""
    found: dict[str, list[int]] = {}
    for index, photo in enumerate(photos):
        found.setdefault(getattr(PurePosixPath(photo), part), []).append(index)
    return found


def _is_end(short: PurePosixPath, long: PurePosixPath) -> bool:
    return long.parts[-len(short.parts) :] == short.parts
