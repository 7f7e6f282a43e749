"""Scores of one photo's mask at its own size, beside the pixel counts.

How near the outlines are (boundary F1), and the two figures that many projects report, which count the background
as a class: shown beside the score of predicting nothing, they tell what they hide.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carclf.labels import IGNORED_PIXEL
from carclf.mask_images import count_ids
from carclf.scores import ratio

Array = NDArray[Any]
ClassProbability = Callable[[int], NDArray[np.float32]]
"""Class id, 1 to C -> float32 (H, W), its probability in [0, 1] in every pixel of the photo."""

_TOLERANCE = 0.0075  # of the photo's diagonal (Csurka et al., 2013)
_LEAST_TOLERANCE = 1.0  # pixels: on a small photo the next pixel is near enough
_CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)  # a pixel and its 4 neighbours
_TILE = 1024  # pixels; one distance plane of a tile at a time, small enough for float32 to be exact
_SMALLEST = 1e-7  # Keras clips probabilities to [1e-7, 1 - 1e-7] before the logarithm
_SMOOTH = 1.0  # added above and below the fraction bar of dice_coef_multiclass


def boundary_tolerance(height: int, width: int) -> float:
    """How far a boundary may be off, in pixels: 0.75 % of the photo's diagonal, at least 1 (Csurka et al., 2013)."""
    return max(_LEAST_TOLERANCE, _TOLERANCE * math.hypot(height, width))


def boundary_counts(
    predicted: NDArray[np.uint8], true: NDArray[np.uint8], num_classes: int, tolerance: float
) -> NDArray[np.int64]:
    """Counts the pixels of the boundaries, and those that are near the other mask's boundary of the same class.

    The boundary of a class is those of its pixels that have one of their 4 neighbours outside it. The photo's edge
    is none: damage that leaves the picture has no outline there. Ignored pixels are treated like what lies beyond
    the edge: in neither mask are they a boundary, nor do they make their neighbours one. So what is predicted there
    changes nothing, and a mask that is right in every judged pixel is all near.

    Args:
        predicted: uint8 (H, W), class ids.
        true: uint8 (H, W), class ids, IGNORED_PIXEL = not judged.
        num_classes: C, without the background.
        tolerance: largest Euclidean distance between the centres of pixels that is near, in pixels.

    Returns:
        int64 (C, 4): pixels of the predicted boundary; of them near the true one; pixels of the true boundary; of
        them near the predicted one. Counts of photos may be added up.
    """
    judged = true != IGNORED_PIXEL
    counts = np.zeros((num_classes, 4), np.int64)
    for index in range(num_classes):
        answer = _boundary(predicted == index + 1, judged)
        truth = _boundary(true == index + 1, judged)
        counts[index, 0::2] = np.count_nonzero(answer), np.count_nonzero(truth)
        counts[index, 1::2] = _count_near(answer, truth, tolerance), _count_near(truth, answer, tolerance)
    return counts


def boundary_f1(counts: Array) -> NDArray[np.float64]:
    """Harmonic mean of the boundaries' precision and recall (Csurka et al., 2013).

    Args:
        counts: (..., 4) as boundary_counts returns them, of one photo or added up over many.

    Returns:
        float64 (...), in [0, 1]; 0 where only one of the masks has a boundary, NaN where none has.
    """
    answered, answered_near, present, present_near = np.moveaxis(np.asarray(counts, np.float64), -1, 0)
    precision = np.nan_to_num(ratio(answered_near, answered))
    recall = np.nan_to_num(ratio(present_near, present))
    score = np.nan_to_num(ratio(2 * precision * recall, precision + recall))
    return np.where(answered + present > 0, score, np.nan)


@dataclass(frozen=True)
class PixelScores:
    """Two figures of one photo that count the background as a class; both NaN if no pixel is judged.

    Attributes:
        dice_coef_multiclass: (2 sum y p + 1) / (sum y + sum p + 1) over all judged pixels and all classes, y being
            1 for the true class and else 0, p the probability. As y and p sum to 1 in every pixel, it is, but for
            the + 1, the mean probability of the true class: mostly that of the background.
        crossentropy: mean over the judged pixels of -log p of the true class, with p clipped to [1e-7, 1 - 1e-7].
    """

    dice_coef_multiclass: float
    crossentropy: float


def pixel_scores(class_probability: ClassProbability, true: NDArray[np.uint8], num_classes: int) -> PixelScores:
    """Scores the probabilities of one photo.

    Args:
        class_probability: asked once for each class, in order, so that one plane at a time is in memory.
        true: uint8 (H, W), class ids, IGNORED_PIXEL = not judged.
        num_classes: C, without the background.
    """
    probability = true_class_probability(class_probability, true, num_classes)
    judged = probability[true != IGNORED_PIXEL].astype(np.float64)
    right = float(judged.sum())
    np.clip(judged, _SMALLEST, 1.0 - _SMALLEST, out=judged)
    return _pixel_scores(right, -float(np.log(judged, out=judged).sum()), judged.size)


def nothing_scores(true: NDArray[np.uint8]) -> PixelScores:
    """Scores the answer "nothing": the background everywhere, with probability 1.

    Args:
        true: uint8 (H, W), class ids, IGNORED_PIXEL = not judged.
    """
    pixels = count_ids(true)
    background, judged = int(pixels[0]), true.size - int(pixels[IGNORED_PIXEL])
    cost = -background * math.log(1.0 - _SMALLEST) - (judged - background) * math.log(_SMALLEST)
    return _pixel_scores(background, cost, judged)


def true_class_probability(
    class_probability: ClassProbability, true: NDArray[np.uint8], num_classes: int
) -> NDArray[np.float32]:
    """Gathers every pixel's probability of its true class.

    The background's is what is missing to 1. Where the classes sum to more, from rounding, they are scaled to 1,
    as Keras does.

    Args:
        class_probability: see pixel_scores.
        true: uint8 (H, W), class ids, IGNORED_PIXEL = not judged.
        num_classes: C, without the background.

    Returns:
        float32 (H, W), in [0, 1]; 0 in ignored pixels.
    """
    chosen = np.zeros(true.shape, np.float32)
    total = np.zeros(true.shape, np.float32)
    for class_id in range(1, num_classes + 1):
        probability = class_probability(class_id)
        np.copyto(chosen, probability, where=true == class_id)
        total += probability
    np.divide(chosen, total, out=chosen, where=total > 1)
    np.subtract(1, total, out=chosen, where=true == 0)
    return np.maximum(chosen, 0, out=chosen)


def _pixel_scores(right: float, cost: float, judged: int) -> PixelScores:
    """The scores from sums over the judged pixels: of the true class' probability, and of its -log."""
    if not judged:
        return PixelScores(math.nan, math.nan)
    return PixelScores((2 * right + _SMOOTH) / (2 * judged + _SMOOTH), cost / judged)


def _boundary(region: NDArray[np.bool_], judged: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Judged pixels of a region with a judged 4-neighbour outside it; all arrays bool (H, W)."""
    import cv2

    inside = region & judged
    if not inside.any():
        return inside
    beside = cv2.dilate((judged & ~region).view(np.uint8), _CROSS)  # nothing comes in over the photo's edge
    return inside & beside.astype(np.bool_)


def _count_near(boundary: NDArray[np.bool_], other: NDArray[np.bool_], tolerance: float) -> int:
    """Counts the pixels of a boundary that are near another one; both bool (H, W)."""
    import cv2

    square = math.floor(tolerance**2 + 1e-9)  # distances between pixels have whole squares: rounding cannot decide
    reach = math.isqrt(square)
    near = 0
    for rows, columns in _filled_tiles(boundary):
        top, left = max(0, rows.start - reach), max(0, columns.start - reach)
        around = other[top : rows.stop + reach, left : columns.stop + reach]
        if around.any():
            distance = cv2.distanceTransform((~around).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
            here = distance[rows.start - top :, columns.start - left :][boundary[rows, columns].nonzero()]
            near += int(np.count_nonzero(here**2 < square + 0.5))
    return near


def _filled_tiles(pixels: NDArray[np.bool_]) -> Iterator[tuple[slice, slice]]:
    """Cuts bool (H, W) into tiles and yields the (rows, columns) that the pixels in each one span."""
    height, width = pixels.shape
    for top in range(0, height, _TILE):
        for left in range(0, width, _TILE):
            tile = pixels[top : top + _TILE, left : left + _TILE]
            rows, columns = np.flatnonzero(tile.any(axis=1)), np.flatnonzero(tile.any(axis=0))
            if len(rows):
                yield (
                    slice(top + int(rows[0]), top + int(rows[-1]) + 1),
                    slice(left + int(columns[0]), left + int(columns[-1]) + 1),
                )
