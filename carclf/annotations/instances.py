"""The single regions that somebody has marked in a photo, told apart."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carclf.annotations.shapes import MaskFile, Shape, draw_on, draw_part, make_runs
from carclf.labels import IGNORED_PIXEL
from carclf.mask_images import ids_in

MOST_INSTANCES = int(np.iinfo(np.uint16).max)  # in one photo; a picture with more holds noise, not regions
_NO_CLASS = (0, IGNORED_PIXEL)
_WITH_CORNERS = np.ones((3, 3), bool)  # pixels that touch at a corner hang together


@dataclass(frozen=True)
class Instances:
    """The single regions of one photo; none covers a pixel of another.

    Attributes:
        ids: uint16 (height, width), which region a pixel belongs to: 1 to k, 0 = none.
        class_ids: uint8 (k,), of regions 1 to k, each of which has a pixel; class ids are 1, 2, …
    """

    ids: NDArray[np.uint16]
    class_ids: NDArray[np.uint8]

    def count_pixels(self) -> NDArray[np.int64]:
        """Pixels of regions 1 to k: int64 (k,)."""
        return _count(self.ids, len(self.class_ids))


def draw_instances(shapes: Sequence[tuple[int, Shape]], width: int, height: int) -> Instances:
    """Draws shapes of classes as `rasterise` does; each that is not wholly covered is a region, in the same order.

    A region that a later one cuts in two stays one. A picture that is a shape (MaskFile) may show several regions: each
    of its pieces is one. Pixels that come out ignored belong to none.

    Args:
        shapes: (class id, shape); IGNORED_PIXEL = ignored.
        width: of the photo, pixels.
        height: of the photo, pixels.

    Raises:
        ValueError: as rasterise; or if there are more than MOST_INSTANCES.
        PhotoError: if a mask file cannot be read.
    """
    pieces = ((class_id, piece) for class_id, shape in shapes for piece in _split(shape, width, height))
    single = list(islice(pieces, MOST_INSTANCES + 1))  # a picture of noise has millions
    _check_number(len(single))
    ids = np.zeros((height, width), np.uint16)
    draw_on(ids, ((number, piece) for number, (_, piece) in enumerate(single, 1)))
    class_ids = np.array([class_id for class_id, _ in single], np.uint8)
    shown = (_count(ids, len(class_ids)) > 0) & ~np.isin(class_ids, _NO_CLASS)
    numbers = np.zeros(len(class_ids) + 1, np.uint16)
    numbers[1:][shown] = np.arange(1, shown.sum() + 1)
    for row in ids:  # row by row, as numpy makes eight bytes of every index
        row[:] = numbers[row]
    return Instances(ids, class_ids[shown])


def find_components(mask: NDArray[np.uint8]) -> Instances:
    """Makes a region of every piece of a class that hangs together, corners included.

    Args:
        mask: uint8 (height, width), class ids, 0 = background, IGNORED_PIXEL = in no region.

    Returns:
        The regions by class, within a class by their first pixel, row by row.

    Raises:
        ValueError: if there are more than MOST_INSTANCES.
    """
    ids = np.zeros(mask.shape, np.uint16)
    class_ids: list[int] = []
    for class_id in sorted(ids_in(mask).difference(_NO_CLASS)):
        pieces, number = _label(mask == class_id)
        _check_number(len(class_ids) + number)
        inside = pieces > 0
        ids[inside] = pieces[inside] + len(class_ids)
        class_ids += [class_id] * number
    return Instances(ids, np.array(class_ids, np.uint8))


def _split(shape: Shape, width: int, height: int) -> Iterator[Shape]:
    """The shape itself; of a picture every piece that hangs together."""
    from scipy.ndimage import find_objects

    if not isinstance(shape, MaskFile):
        yield shape
        return
    _, pixels = draw_part(shape, width, height)
    pieces, _ = _label(pixels)
    for index, (rows, columns) in enumerate(find_objects(pieces), 1):
        yield make_runs(pieces[rows, columns] == index, (columns.start, rows.start))


def _label(pixels: NDArray[np.bool_]) -> tuple[NDArray[Any], int]:
    """Numbers the pieces of bool (height, width) from 1 on; returns the numbers, int (height, width), and how many."""
    from scipy.ndimage import label

    pieces, number = label(pixels, structure=_WITH_CORNERS)
    return pieces, int(number)


def _count(ids: NDArray[np.uint16], most: int) -> NDArray[np.int64]:
    """Pixels of every number from 1 to `most`: int64 (most,)."""
    counts = np.zeros(most + 1, np.int64)
    for row in ids:  # row by row, as numpy makes eight bytes of every number
        counts += np.bincount(row, minlength=most + 1)
    return counts[1:]


def _check_number(number: int) -> None:
    if number > MOST_INSTANCES:
        raise ValueError(
            f"more than {MOST_INSTANCES} single regions, the most that can be told apart. "
            "A picture with so many holds noise: save it again without loss."
        )
