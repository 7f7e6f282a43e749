"""A region: one damage as an object, and what an answer says of it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carclf.annotations.shapes import Runs, make_runs, rasterise
from carclf.regions.polygons import TOLERANCE, flat_rings, make_polygons

_PROBABILITY_DIGITS = 4  # what an answer says of a probability; more is noise
_PERCENT_DIGITS = 3  # a thousandth of a percent of 12 megapixels is an area of 11 × 11 pixels


@dataclass(frozen=True)
class Region:
    """One damage in a photo.

    Attributes:
        class_id: from 1.
        probability: that there is damage of this class, in [0, 1].
        pixels: run lengths of the box, at the photo's own size.
        box: (left, top, width, height) in pixels, as tight as can be.
        area: pixels.
    """

    class_id: int
    probability: float
    pixels: Runs
    box: tuple[int, int, int, int]
    area: int


def make_region(class_id: int, probability: float, pixels: NDArray[np.bool_], origin: tuple[int, int]) -> Region:
    """Makes a region of pixels, bool (h, w), whose upper left one is at `origin` (x, y) of the photo.

    Raises:
        ValueError: if it has no pixel.
    """
    rows, columns = np.flatnonzero(pixels.any(axis=1)), np.flatnonzero(pixels.any(axis=0))
    if not rows.size:
        raise ValueError("a region without a pixel.")
    tight = pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    left, top = origin[0] + int(columns[0]), origin[1] + int(rows[0])
    box = (left, top, tight.shape[1], tight.shape[0])
    return Region(class_id, probability, make_runs(tight, (left, top)), box, int(np.count_nonzero(tight)))


def box_pixels(region: Region) -> NDArray[np.bool_]:
    """Returns the pixels of a region's box: bool (box height, box width)."""
    inner = Runs(region.pixels.counts, region.pixels.size)
    return rasterise([(1, inner)], *inner.size).view(bool)


def describe_region(
    region: Region, class_name: str, size: tuple[int, int], tolerance: float = TOLERANCE
) -> dict[str, Any]:
    """Says what an answer in JSON says of a region.

    Args:
        region: what is described.
        class_name: of its class.
        size: (width, height) of the photo.
        tolerance: see make_polygons.

    Returns:
        class, probability, box [left, top, width, height], polygon: rings [x, y, x, y, …] as COCO has them, area in
        pixels, percent of the photo.
    """
    width, height = size
    return {
        "class": class_name,
        "probability": round(region.probability, _PROBABILITY_DIGITS),
        "box": list(region.box),
        "polygon": flat_rings(make_polygons(box_pixels(region), region.box[:2], tolerance)),
        "area": region.area,
        "percent": round(100 * region.area / (width * height), _PERCENT_DIGITS),
    }
