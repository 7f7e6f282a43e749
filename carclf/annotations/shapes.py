"""Shapes drawn by hand or by a program, and the masks made of them.

Coordinates are continuous, as annotation tools have them: the upper left pixel covers 0 to 1 on both axes.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from carclf.mask_images import read_binary_mask

Point = tuple[float, float]
Ring = tuple[Point, ...]

_CIRCLE_POINTS = 64  # corners of the polygon that stands for a circle: 0.1 % of its radius off at most
_FARTHEST = 1e6  # pixels; no photo is larger, and the rasteriser keeps clear of overflow


@dataclass(frozen=True)
class Polygon:
    """A closed region: everything inside one of the outer rings and inside none of the holes.

    Attributes:
        outer: rings of at least 3 corners (x, y) in pixels.
        holes: the same.
    """

    outer: tuple[Ring, ...]
    holes: tuple[Ring, ...] = ()

    def __post_init__(self) -> None:
        """Refuses what is no region."""
        for ring in (*self.outer, *self.holes):
            if len(ring) < 3:
                raise ValueError(f"a region needs 3 corners or more, not {len(ring)}.")
            if not all(abs(value) < _FARTHEST for point in ring for value in point):
                raise ValueError("a corner is no number, or farther off than any photo is wide.")
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
        ValueError: if their number is odd.
    """
    if len(flat) % 2:
        raise ValueError(f"{len(flat)} numbers are no pairs of x and y.")
    return tuple(zip(flat[::2], flat[1::2], strict=True))


def make_runs(pixels: NDArray[np.bool_], origin: tuple[int, int] = (0, 0)) -> Runs:
    """Packs the pixels of a rectangle, bool (height, width), whose upper left one is at `origin` (x, y)."""
    from pycocotools import mask as coco

    height, width = pixels.shape
    packed = coco.encode(np.asfortranarray(pixels, dtype=np.uint8))
    return Runs(packed["counts"], (width, height), origin)


def rasterise(shapes: Iterable[tuple[int, Shape]], width: int, height: int) -> NDArray[np.uint8]:
    """Draws shapes of classes; a later one lies over an earlier one, what sticks out is cut off.

    Returns:
        uint8 (height, width): class ids, 0 = background.

    Raises:
        ValueError: if a shape has no area or another size than the photo; says which.
        PhotoError: if a mask file cannot be read.
    """
    canvas = np.zeros((height, width), np.uint8)
    for class_id, shape in shapes:
        canvas[draw_shape(shape, width, height)] = class_id
    return canvas


def draw_shape(shape: Shape, width: int, height: int) -> NDArray[np.bool_]:
    """Returns the pixels that a shape covers: bool (height, width).

    A polygon covers the pixels whose centres lie inside it, as pycocotools draws them (Lin et al., 2014); one so thin
    that it covers no centre covers its outline, as nothing that somebody has marked may vanish.

    Raises:
        ValueError: if it has no area or another size than the photo.
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
        return pixels
    raise ValueError(f'the shape "{shape.kind}" has no area that could be filled. Draw it as a polygon.')


def _draw_polygon(shape: Polygon, width: int, height: int) -> NDArray[np.bool_]:
    drawn = _fill(shape.outer, width, height)
    if shape.holes:
        drawn &= ~_fill(shape.holes, width, height)
    if not drawn.any():
        canvas = Image.new("1", (width, height), 0)
        draw = ImageDraw.Draw(canvas)
        for ring in shape.outer:
            draw.line([(math.floor(x), math.floor(y)) for x, y in (*ring, ring[0])], fill=1)
        drawn = np.array(canvas)
    return drawn


def _fill(rings: tuple[Ring, ...], width: int, height: int) -> NDArray[np.bool_]:
    from pycocotools import mask as coco

    flat = [[value for point in ring for value in point] for ring in rings]
    runs: Any = coco.merge(coco.frPyObjects(flat, height, width))
    drawn: NDArray[np.bool_] = coco.decode(runs).astype(bool)
    return drawn


def _draw_runs(shape: Runs, width: int, height: int) -> NDArray[np.bool_]:
    from pycocotools import mask as coco

    inner_width, inner_height = shape.size
    inner = coco.decode({"size": [inner_height, inner_width], "counts": shape.counts}).astype(bool)
    left, top = shape.origin
    drawn = np.zeros((height, width), bool)
    target = drawn[max(top, 0) : max(top + inner_height, 0), max(left, 0) : max(left + inner_width, 0)]
    target[:] = inner[max(-top, 0) :, max(-left, 0) :][: target.shape[0], : target.shape[1]]
    return drawn
