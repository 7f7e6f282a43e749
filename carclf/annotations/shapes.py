"""Shapes drawn by hand or by a program, and the masks made of them.

Coordinates are continuous, as annotation tools have them: the upper left pixel covers 0 to 1 on both axes.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from carclf.mask_images import read_binary_mask

Point = tuple[float, float]
Ring = tuple[Point, ...]

_CIRCLE_POINTS = 128  # corners of the polygon that stands for a circle: 0.03 % of its radius off at most
_FARTHEST = 1e6  # pixels; no photo is larger, and the rasteriser keeps clear of overflow
_CLOSE = 1e4  # pixels; the rasteriser walks along every edge, those that lead farther out are cut off first


@dataclass(frozen=True)
class Polygon:
    """A closed region: everything inside one of the outer rings and inside none of the holes.

    Attributes:
        outer: rings of at least 3 corners (x, y) in pixels.
        holes: the same.
        outlined: the pixels under a ring's edges belong to what it encloses, too, be it region or hole: as where
            corners are pixels, not points.
    """

    outer: tuple[Ring, ...]
    holes: tuple[Ring, ...] = ()
    outlined: bool = False

    def __post_init__(self) -> None:
        """Refuses what is no region."""
        for ring in (*self.outer, *self.holes):
            if len(ring) < 3:
                raise ValueError(f"a region needs 3 corners or more, not {len(ring)}.")
            for x, y in ring:
                if not (abs(x) < _FARTHEST and abs(y) < _FARTHEST):  # not so of NaN, either
                    raise ValueError(f"a corner lies at ({x}, {y}): no number, or farther off than any photo is wide.")
        if not self.outer:
            raise ValueError("a region needs an outline, not holes alone.")


@dataclass(frozen=True)
class Runs:
    """Pixels as COCO's compressed run lengths, column by column.

    Attributes:
        counts: the compressed runs.
        size: (width, height) of the rectangle that they fill.
        origin: (x, y) of its upper left pixel in the photo.
    """

    counts: bytes
    size: tuple[int, int]
    origin: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class MaskFile:
    """A picture as large as the photo, whose pixels that are not black are the region."""

    path: Path


@dataclass(frozen=True)
class NoArea:
    """A line, a point or the like; `kind` is what the tool calls it."""

    kind: str


Shape = Polygon | Runs | MaskFile | NoArea


def ellipse_points(center: Point, radius_x: float, radius_y: float, angle: float = 0.0) -> Ring:
    """Returns the corners of a polygon that stands for an ellipse turned by `angle` (radians, clockwise)."""
    cosine, sine = math.cos(angle), math.sin(angle)
    corners = []
    for index in range(_CIRCLE_POINTS):
        turn = 2 * math.pi * index / _CIRCLE_POINTS
        x, y = radius_x * math.cos(turn), radius_y * math.sin(turn)
        corners.append((center[0] + x * cosine - y * sine, center[1] + x * sine + y * cosine))
    return tuple(corners)


def rectangle_points(x: float, y: float, width: float, height: float) -> Ring:
    """Returns the four corners of a rectangle; (x, y) is the upper left one."""
    return ((x, y), (x + width, y), (x + width, y + height), (x, y + height))


def make_ring(flat: Sequence[float]) -> Ring:
    """Pairs x, y, x, y, … up.

    Raises:
        ValueError: if their number is odd, or one is no number.
    """
    if not all(issubclass(kind, Real) and not issubclass(kind, bool) for kind in set(map(type, flat))):
        wrong = next(value for value in flat if isinstance(value, bool) or not isinstance(value, Real))
        raise ValueError(f"{str(wrong)[:40]!r} stands where a number was expected.")
    if len(flat) % 2:
        raise ValueError(f"{len(flat)} numbers are no pairs of x and y.")
    return tuple(zip(flat[::2], flat[1::2], strict=True))


def make_runs(pixels: NDArray[np.bool_], origin: tuple[int, int] = (0, 0)) -> Runs:
    """Packs the pixels of a rectangle, bool (height, width), whose upper left one is at `origin` (x, y).

    Raises:
        ValueError: if the rectangle is empty.
    """
    from pycocotools import mask as coco

    height, width = pixels.shape
    if not pixels.size:
        raise ValueError(f"a mask of {width} × {height} pixels covers nothing.")
    packed = coco.encode(np.asfortranarray(pixels, dtype=np.uint8))
    return Runs(packed["counts"], (width, height), origin)


def rasterise(shapes: Iterable[tuple[int, Shape]], width: int, height: int) -> NDArray[np.uint8]:
    """Draws shapes of classes; a later one lies over an earlier one, what sticks out is cut off.

    A polygon covers the pixels whose centres lie inside it, as pycocotools draws them (Lin et al., 2014); one so thin
    that it covers no centre covers its outline, as nothing that somebody has marked may vanish.

    Returns:
        uint8 (height, width): class ids, 0 = background.

    Raises:
        ValueError: if a shape has no area or another size than the photo; says which.
        PhotoError: if a mask file cannot be read.
    """
    canvas = np.zeros((height, width), np.uint8)
    draw_on(canvas, shapes)
    return canvas


def draw_on(canvas: NDArray[Any], shapes: Iterable[tuple[int, Shape]]) -> None:
    """Draws numbered shapes on an array of whole numbers (height, width); how, and what it raises: see rasterise."""
    height, width = canvas.shape
    for number, shape in shapes:
        (left, top), drawn = draw_part(shape, width, height)
        canvas[top : top + drawn.shape[0], left : left + drawn.shape[1]][drawn] = number


def draw_part(shape: Shape, width: int, height: int) -> tuple[tuple[int, int], NDArray[np.bool_]]:
    """Draws a shape in the part of the photo that it may cover.

    Returns:
        ((x, y) of the part's upper left pixel, the part's pixels: bool (part's height, part's width)).

    Raises:
        ValueError: if it has no area or another size than the photo; says which.
        PhotoError: if a mask file cannot be read.
    """
    if isinstance(shape, Polygon):
        return _draw_polygon(shape, width, height)
    if isinstance(shape, Runs):
        return _draw_runs(shape, width, height)
    if isinstance(shape, MaskFile):
        pixels = read_binary_mask(shape.path)
        if pixels.shape != (height, width):
            raise ValueError(
                f"{shape.path}: {pixels.shape[1]} × {pixels.shape[0]} pixels, but its photo has {width} × {height}."
            )
        return (0, 0), pixels
    raise ValueError(f'the shape "{shape.kind}" has no area that could be filled. Draw it as a polygon.')


def find_box(shape: Polygon | Runs) -> tuple[float, float, float, float]:
    """Returns (left, top, right, bottom) of a shape, in pixels of the photo."""
    if isinstance(shape, Runs):
        (left, top), (width, height) = shape.origin, shape.size
        return left, top, left + width, top + height
    xs = [x for ring in shape.outer for x, _ in ring]
    ys = [y for ring in shape.outer for _, y in ring]
    return min(xs), min(ys), max(xs), max(ys)


def lies_outside(shape: Shape, width: int, height: int) -> bool:
    """Tells whether the box around a shape lies beside a photo of that size; of a mask file nobody knows."""
    if not isinstance(shape, Polygon | Runs):
        return False
    left, top, right, bottom = find_box(shape)
    return right <= 0 or bottom <= 0 or left >= width or top >= height


def _draw_polygon(shape: Polygon, width: int, height: int) -> tuple[tuple[int, int], NDArray[np.bool_]]:
    lowest_x, lowest_y, highest_x, highest_y = find_box(shape)
    left, right = _span(lowest_x, highest_x, width)
    top, bottom = _span(lowest_y, highest_y, height)
    size = (right - left, bottom - top)
    if min(size) <= 0:
        return (0, 0), np.zeros((0, 0), bool)
    outer, holes = ([_move(ring, left, top, size) for ring in rings] for rings in (shape.outer, shape.holes))
    filled, hollow = _fill(outer, *size), _fill(holes, *size)
    if shape.outlined:
        filled, hollow = filled | _outline(outer, *size), hollow | _outline(holes, *size)
    drawn = filled & ~hollow
    if not drawn.any():
        drawn = _outline(outer, *size)
    return (left, top), drawn


def _outline(rings: Sequence[Ring], width: int, height: int) -> NDArray[np.bool_]:
    """Draws the edges of rings, one pixel wide: bool (height, width)."""
    canvas = Image.new("1", (width, height), 0)
    for ring in rings:
        # a corner on the right or lower border is of the last pixel
        corners = [(math.floor(x) - (x == width), math.floor(y) - (y == height)) for x, y in ring]
        if corners:
            ImageDraw.Draw(canvas).line([*corners, corners[0]], fill=1)
    return np.array(canvas)


def _span(lowest: float, highest: float, length: int) -> tuple[int, int]:
    """The pixels of an axis from the one that holds the lowest to the one behind the highest value."""
    if lowest < 0 >= highest or lowest >= length < highest:
        return 0, 0
    return min(max(math.floor(lowest), 0), length - 1), min(math.floor(highest) + 1, length)


def _move(ring: Ring, left: int, top: int, size: tuple[int, int]) -> Ring:
    """A ring as seen from a part of the photo; what leads far out of the part is cut off."""
    moved = [(x - left, y - top) for x, y in ring]
    for axis in (0, 1):
        for sign, border in ((1, size[axis] + _CLOSE), (-1, _CLOSE)):
            if any(sign * point[axis] > border for point in moved):
                moved = _cut(moved, axis, sign, border)
    return tuple(moved)


def _cut(ring: list[Point], axis: int, sign: int, border: float) -> list[Point]:
    """Cuts off what of a ring lies beyond sign × coordinate = border (Sutherland and Hodgman, 1974)."""
    kept: list[Point] = []
    for start, end in zip([ring[-1], *ring[:-1]], ring, strict=True):
        beyond = [sign * point[axis] - border for point in (start, end)]
        if (beyond[0] > 0) != (beyond[1] > 0):
            share = beyond[0] / (beyond[0] - beyond[1])
            kept.append((start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1])))
        if beyond[1] <= 0:
            kept.append(end)
    return kept


def _fill(rings: Sequence[Ring], width: int, height: int) -> NDArray[np.bool_]:
    """Fills rings, each by the even-odd rule, and joins them: bool (height, width)."""
    from pycocotools import mask as coco

    whole = [ring for ring in rings if len(ring) >= 3]  # less may be left of one that was cut
    flat = [[value for point in ring for value in point] for ring in whole]
    if not flat:
        return np.zeros((height, width), bool)
    runs: Any = coco.merge(coco.frPyObjects(flat, height, width))
    drawn: NDArray[np.bool_] = coco.decode(runs).view(bool)
    return drawn


def _draw_runs(shape: Runs, width: int, height: int) -> tuple[tuple[int, int], NDArray[np.bool_]]:
    from pycocotools import mask as coco

    inner_width, inner_height = shape.size
    inner = coco.decode({"size": [inner_height, inner_width], "counts": shape.counts}).view(bool)
    left, top = shape.origin
    shown = inner[max(-top, 0) : max(height - top, 0), max(-left, 0) : max(width - left, 0)]
    if not shown.size:
        return (0, 0), np.zeros((0, 0), bool)
    return (max(left, 0), max(top, 0)), shown
