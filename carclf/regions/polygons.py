"""Pixels as polygons: outlines of regions, exact or simplified, and holes as COCO's polygons can have them.

Coordinates are those of carclf.annotations.shapes: the upper left pixel covers 0 to 1 on both axes.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carclf.annotations.shapes import Polygon, Ring, rasterise

TOLERANCE = 0.7
"""Pixels that a simplified outline may lie off: less than the step between two pixels, so that slanted and round
outlines lose their stairs (a disc of 80 pixels keeps 23 of its 252 corners), and no more."""

_LEAST_OVERLAP = 0.97  # IoU of a simplified outline with the pixels; small and thin regions get a finer one for it
_FINEST = 0.05  # pixels; below it nothing is simplified any more

Pixels = NDArray[np.bool_]
Points = NDArray[np.float64]


def make_polygons(
    pixels: Pixels, origin: tuple[int, int] = (0, 0), tolerance: float = TOLERANCE
) -> tuple[Polygon, ...]:
    """Outlines pixels, one polygon for each part that hangs together by edges or corners.

    Without a tolerance the outlines run along the pixels' edges: drawn again they give the same pixels, and their area
    is the pixels' number. With one they run through the middles of these edges (marching squares; Lorensen and Cline,
    1987) and are thinned out (Douglas and Peucker, 1973). Where the result would overlap with its part by an IoU below
    0.97, the tolerance of this part is halved, down to the exact outline: no part vanishes, however thin.

    Args:
        pixels: bool (h, w).
        origin: (x, y) of the upper left one in the photo.
        tolerance: pixels; 0 = exact.

    Returns:
        the polygons, from the top down; their outer rings and holes run opposite ways.
    """
    return tuple(_make_polygon(part, place, tolerance) for part, place in _parts(pixels, origin))


def flat_rings(polygons: Iterable[Polygon]) -> list[list[float]]:
    """Writes polygons as COCO has them: a list [x, y, x, y, …] for each outer ring.

    COCO's polygons have no holes. A hole becomes part of the ring around it: the ring goes to the hole, around it and
    back on the same line. That line encloses nothing, so the ring covers what the polygon covers, whether a program
    fills by the even-odd or by the non-zero rule.
    """
    return [[value for point in ring for value in point] for polygon in polygons for ring in _join_holes(polygon)]


def _parts(pixels: Pixels, origin: tuple[int, int]) -> Iterator[tuple[Pixels, tuple[int, int]]]:
    """Yields (bool (h, w), (x, y) of its upper left pixel in the photo) of all that hangs together."""
    from scipy.ndimage import find_objects, label

    labels, _ = label(pixels, np.ones((3, 3)))
    for number, (rows, columns) in enumerate(find_objects(labels), 1):
        yield labels[rows, columns] == number, (origin[0] + columns.start, origin[1] + rows.start)


def _make_polygon(part: Pixels, origin: tuple[int, int], tolerance: float) -> Polygon:
    middles = _trace(part)
    while tolerance > _FINEST:
        rings = [ring for ring in (_simplify(ring, tolerance) for ring in middles[1:]) if len(ring) >= 3]
        outer = _simplify(middles[0], tolerance)
        if len(outer) >= 3:
            simple = _as_polygon([outer, *rings], (0, 0))
            if _overlap(simple, part) >= _LEAST_OVERLAP:
                return _as_polygon([outer, *rings], origin)
        tolerance /= 2
    return _as_polygon([_corners(ring) for ring in middles], origin)


def _trace(part: Pixels) -> list[Points]:
    """Returns the rings of one part, the outer one first: middles of the edges between its pixels and the others."""
    from skimage import measure

    find_contours: Any = measure.find_contours  # has no types
    # the ring of background around it closes outlines at the border; pixel centres lie at whole numbers there
    closed = find_contours(np.pad(part, 1).astype(np.float32), 0.5, fully_connected="high")
    rings = [np.asarray(ring)[:-1, ::-1] - 0.5 for ring in closed]
    return sorted(rings, key=lambda ring: np.ptp(ring, axis=0).prod(), reverse=True)


def _corners(middles: Points) -> Points:
    """Turns middles of pixel edges into the corners between them, those on straight lines left out.

    Two neighbours' edges meet in a corner: its x is that of an upright edge among them, its y of a level one; two edges
    in a line meet half way.
    """
    following = np.roll(middles, -1, axis=0)
    meeting = np.where(middles == np.floor(middles), middles, following)
    corners = np.where(meeting == np.floor(meeting), meeting, (middles + following) / 2)
    step_in, step_out = corners - np.roll(corners, 1, axis=0), np.roll(corners, -1, axis=0) - corners
    return np.asarray(corners[(step_in != step_out).any(axis=1)])


def _simplify(ring: Points, tolerance: float) -> Points:
    import cv2

    kept = cv2.approxPolyDP(ring.astype(np.float32)[:, None], tolerance, closed=True)
    return np.asarray(kept[:, 0], dtype=np.float64)


def _as_polygon(rings: Sequence[Points], origin: tuple[int, int]) -> Polygon:
    outer, *holes = (tuple((float(x), float(y)) for x, y in ring + origin) for ring in rings)
    return Polygon((outer,), tuple(holes))


def _overlap(polygon: Polygon, part: Pixels) -> float:
    """The IoU of a polygon, drawn as it would be read from COCO, with its pixels."""
    rings = tuple(_join_holes(polygon))
    drawn = rasterise([(1, Polygon(rings))], part.shape[1], part.shape[0]).view(bool)
    return float(np.count_nonzero(drawn & part) / np.count_nonzero(drawn | part))


def _join_holes(polygon: Polygon) -> Iterator[Ring]:
    """Yields the outer rings; the first one is led through the holes, from the left to the right."""
    first, *others = polygon.outer
    if polygon.holes:
        joined = np.array(first)
        for hole in sorted(polygon.holes, key=min):
            turned = np.roll(np.array(hole), -hole.index(min(hole)), axis=0)  # it begins at its leftmost corner
            nearest = int(np.square(joined - turned[0]).sum(axis=1).argmin())
            there_and_back = [joined[: nearest + 1], turned, turned[:1], joined[nearest:]]
            joined = np.concatenate(there_and_back)
        first = tuple((float(x), float(y)) for x, y in joined)
    yield first
    yield from others
