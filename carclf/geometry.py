"""One random warp for a photo and its mask: mirror, rotation, shear, zoom, shift, lens and elastic distortion.

All of them are composed into one map from pixels of the copy to places in the source, so that every pixel is
interpolated once: photos linearly, masks by taking the nearest pixel. A mask's class ids stay those of its source.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carclf.labels import IGNORED_PIXEL
from carclf.scores import Array

STRIP_ROWS = 128  # rows warped at a time: the map of a 48-megapixel photo would take 400 MB at once
MOST_PIXELS_A_SIDE = 32_766  # OpenCV's remap counts pixels in 16 bits


@dataclass(frozen=True)
class GeometryRanges:
    """How far a copy may depart from its photo. Lengths are in halves of the photo's shorter side."""

    mirrored: float = 0.5  # share of the copies; cars have two sides. Never upside down
    rotation: float = 12.0  # degrees either way: a camera held askew, not a car on its side
    shear: float = 8.0  # degrees either way: a little of another viewpoint
    zoom_in: float = 1.35
    zoom_out: float = 0.85  # more would show mostly what lies outside the photo
    shift: float = 0.12
    lens: float = 0.10  # of its distance from the middle, how far a corner moves: barrel and pincushion
    elastic: float = 0.025  # how far a place moves
    elastic_cells: int = 5  # bumps across the photo: bent metal still looks like metal


@dataclass(frozen=True)
class Geometry:
    """One warp. It maps places of the copy to places of the source.

    Coordinates are centred and in halves of the photo's shorter side, x to the right, y down.

    Attributes:
        mirrored: left and right of the source are swapped.
        matrix: float64 (2, 2): rotation, shear and zoom.
        shift: float64 (2,).
        lens: by which share of its distance from the middle a corner moves outwards.
        bumps: float64 (2, cells + 3, cells + 3): displacements at the knots of a cubic B-spline.
    """

    mirrored: bool
    matrix: Array
    shift: Array
    lens: float
    bumps: Array


def draw_geometry(generator: np.random.Generator, ranges: GeometryRanges) -> tuple[Geometry, ...]:
    """Draws a warp, and milder forms of it for photos that it would rob of their damage: the last one only mirrors."""
    mirrored = bool(generator.random() < ranges.mirrored)
    turn, lean, zoom, lens, *shift = generator.uniform(-1.0, 1.0, 6)
    knots = ranges.elastic_cells + 3
    bumps = generator.uniform(-1.0, 1.0, (2, knots, knots)) * generator.random()  # some copies hardly bend
    return tuple(
        Geometry(
            mirrored,
            _matrix(strength * np.radians(turn * ranges.rotation), strength * np.radians(lean * ranges.shear))
            / (ranges.zoom_in if zoom > 0 else 1 / ranges.zoom_out) ** (strength * zoom),
            strength * ranges.shift * np.array(shift),
            strength * ranges.lens * lens,
            strength * ranges.elastic * bumps,
        )
        for strength in (1.0, 0.5, 0.25, 0.0)
    )


def _matrix(turn: float, lean: float) -> Array:
    cos, sin = np.cos(turn), np.sin(turn)
    matrix: Array = np.array([[cos, -sin], [sin, cos]]) @ np.array([[1.0, np.tan(lean)], [0.0, 1.0]])
    return matrix


def warp_photo(photo: NDArray[np.uint8], geometry: Geometry, frame: tuple[int, int]) -> NDArray[np.uint8]:
    """Warps a photo to its own size; what lies outside is its reflection, so that no black corners are learnt.

    Args:
        photo: uint8 (height, width, 3).
        geometry: the warp.
        frame: (width, height) whose proportions the warp keeps: those of the photo before it was resized.
    """
    import cv2

    height, width = photo.shape[:2]
    warped = np.empty_like(photo)
    for rows, x, y in _strips(geometry, frame, (width, height), (width, height)):
        warped[rows] = cv2.remap(photo, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    return warped


def warp_mask(
    mask: NDArray[np.uint8], geometry: Geometry, frame: tuple[int, int], size: tuple[int, int], mirror: Array
) -> NDArray[np.uint8]:
    """Warps and resizes a mask in one step; outside it nobody knows what there is: 255, ignored.

    Args:
        mask: uint8 (height, width), class ids.
        geometry: the warp.
        frame: as for warp_photo.
        size: (width, height) of the result.
        mirror: uint8 (256,): what class ids become when the photo is mirrored.

    Returns:
        uint8 of that size. Its ids are those of the mask, mirrored if the warp mirrors, and 255.
    """
    import cv2

    warped = np.empty((size[1], size[0]), np.uint8)
    for rows, x, y in _strips(geometry, frame, size, (mask.shape[1], mask.shape[0])):
        warped[rows] = cv2.remap(
            mask, x, y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=IGNORED_PIXEL
        )
    return mirror[warped] if geometry.mirrored else warped


def warp_planes(planes: NDArray[np.float32], geometry: Geometry, outside: int) -> NDArray[np.float32]:
    """Warps planes of a square grid that shows a photo, linearly.

    Args:
        planes: float32 (n, n, channels).
        geometry: the warp.
        outside: OpenCV's name for what lies outside: cv2.BORDER_REFLECT_101, or cv2.BORDER_CONSTANT for zeros.

    Returns:
        float32 of the same shape.
    """
    import cv2

    side = (planes.shape[1], planes.shape[0])
    warped = np.empty_like(planes)
    for rows, x, y in _strips(geometry, side, side, side):
        for channel in range(planes.shape[2]):  # of several at once OpenCV takes no more than four
            plane = np.ascontiguousarray(planes[..., channel])
            warped[rows, :, channel] = cv2.remap(plane, x, y, cv2.INTER_LINEAR, borderMode=outside)
    return warped


def _strips(
    geometry: Geometry, frame: tuple[int, int], size: tuple[int, int], source: tuple[int, int]
) -> Iterator[tuple[slice, Array, Array]]:
    """Yields rows of the result, and where in the source their pixels lie.

    Args:
        geometry: the warp.
        frame: (width, height) of the photo.
        size: (width, height) of the result.
        source: (width, height) of the array that is sampled; it shows the whole frame.

    Yields:
        (rows, x, y): x and y float32 (rows, width), in pixels of the source, 0 = the middle of the first one.
    """
    half = np.array(frame) / min(frame)  # of the sides
    across = (2 * np.arange(size[0]) + 1) / size[0] - 1  # -1 .. 1
    down = (2 * np.arange(size[1]) + 1) / size[1] - 1
    cells = geometry.bumps.shape[1] - 3
    splines = _splines(across, cells).astype(np.float32), _splines(down, cells).astype(np.float32)
    u = (across * half[0]).astype(np.float32)[None]  # (1, width)
    bumps, matrix = geometry.bumps.astype(np.float32), geometry.matrix.astype(np.float32)
    lens = np.float32(geometry.lens / (half**2).sum())
    side = np.float32(-1.0 if geometry.mirrored else 1.0)
    for start in range(0, size[1], STRIP_ROWS):
        rows = slice(start, min(start + STRIP_ROWS, size[1]))
        v = (down[rows] * half[1]).astype(np.float32)[:, None]  # (rows, 1)
        wider = np.float32(1.0) + lens * (u * u + v * v)
        p = u * wider + splines[1][rows] @ bumps[0] @ splines[0].T  # (rows, width)
        q = v * wider + splines[1][rows] @ bumps[1] @ splines[0].T
        x = side * (matrix[0, 0] * p + matrix[0, 1] * q + np.float32(geometry.shift[0]))
        y = matrix[1, 0] * p + matrix[1, 1] * q + np.float32(geometry.shift[1])
        for place, index in ((x, 0), (y, 1)):
            place *= np.float32(source[index] / 2 / half[index])
            place += np.float32((source[index] - 1) / 2)
        yield rows, x, y


def _splines(places: Array, cells: int) -> Array:
    """Weights of the knots of a uniform cubic B-spline: float64 (len(places), cells + 3); places from -1 to 1."""
    at = np.clip((places + 1) / 2 * cells, 0, np.nextafter(cells, 0))
    cell = at.astype(np.int64)
    t = at - cell
    weights = np.zeros((len(places), cells + 3))
    basis = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
    for knot, weight in enumerate(basis):
        weights[np.arange(len(places)), cell + knot] = weight / 6
    return weights
