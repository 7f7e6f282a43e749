"""Shapes drawn by hand, all kept as polygons, and the masks made of them."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Point = tuple[float, float]

_CIRCLE_POINTS = 64  # corners of the polygon that stands for a circle: 0.1 % of its radius off at most
_FARTHEST = 1e6  # pixels; no photo is larger, and Pillow's drawing keeps clear of overflow


@dataclass(frozen=True)
class Polygon:
    """A closed region.

    Attributes:
        class_id: 1 for the first class of the label file.
        points: at least 3 corners (x, y) in pixels of the upright photo; (0, 0) is the upper left pixel.
    """

    class_id: int
    points: tuple[Point, ...]

    def __post_init__(self) -> None:
        """Refuses what is no region."""
        if len(self.points) < 3:
            raise ValueError(f"a region needs 3 corners or more, not {len(self.points)}")
        if not all(abs(value) < _FARTHEST for point in self.points for value in point):
            raise ValueError("a corner is no number, or farther off than any photo is wide")


def ellipse_points(center: Point, radius_x: float, radius_y: float, angle: float = 0.0) -> tuple[Point, ...]:
    """Returns the corners of a polygon that stands for an ellipse turned by `angle` (radians, clockwise)."""
    cosine, sine = math.cos(angle), math.sin(angle)
    corners = []
    for index in range(_CIRCLE_POINTS):
        turn = 2 * math.pi * index / _CIRCLE_POINTS
        x, y = radius_x * math.cos(turn), radius_y * math.sin(turn)
        corners.append((center[0] + x * cosine - y * sine, center[1] + x * sine + y * cosine))
    return tuple(corners)


def rectangle_points(x: float, y: float, width: float, height: float) -> tuple[Point, ...]:
    """Returns the four corners of a rectangle; (x, y) is the upper left one."""
    return ((x, y), (x + width, y), (x + width, y + height), (x, y + height))


def rasterise(polygons: Iterable[Polygon], width: int, height: int) -> NDArray[np.uint8]:
    """Draws polygons, outline included; a later one lies over an earlier one, what sticks out is cut off.

    Corners are rounded to whole pixels, as Pillow would cut their fractions off.

    Returns:
        uint8 (height, width): class ids, 0 = background.
    """
    canvas = Image.new("L", (width, height), 0)
    draw = ImageDraw.Draw(canvas)
    for polygon in polygons:
        draw.polygon([(round(x), round(y)) for x, y in polygon.points], fill=polygon.class_id)
    return np.array(canvas, np.uint8)
