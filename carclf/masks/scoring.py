"""Class probabilities on the grid -> masks at the photos' own sizes, pixel counts, thresholds, trivial masks."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carclf.labels import IGNORED_PIXEL
from carclf.mask_images import resize_mask_probability
from carclf.masks.targets import MaskTargets
from carclf.scores import dice

Array = NDArray[Any]
CANDIDATES = np.linspace(0.01, 0.99, 99)
"""Thresholds that are tried: hundredths; the Dice score changes slowly with them."""
UNDECIDED = 0.5
"""The threshold of a class that no photo shows."""


def class_probabilities(logits: Array) -> NDArray[np.float32]:
    """Softmax over the classes and the background, whose logit is 0; with one class the sigmoid.

    Args:
        logits: float32 (..., C).

    Returns:
        float32 (..., C), in [0, 1]; what is missing to a sum of 1 is the background.
    """
    highest = np.maximum(logits.max(axis=-1, keepdims=True), 0)
    scaled = np.exp(logits - highest)
    return np.asarray(scaled / (scaled.sum(axis=-1, keepdims=True) + np.exp(-highest)), dtype=np.float32)


def mask_at_size(probabilities: NDArray[np.float32], width: int, height: int, thresholds: Array) -> NDArray[np.uint8]:
    """Decides every pixel of a photo.

    A pixel belongs to the class whose probability is highest over its threshold, if any is above it.

    Args:
        probabilities: float32 (h, w, C), in [0, 1], on the decoder's grid.
        width: of the photo, pixels.
        height: of the photo, pixels.
        thresholds: float (C,), in (0, 1).

    Returns:
        uint8 (height, width), class ids, 0 = background.
    """
    highest = np.ones((height, width), np.float32)
    mask = np.zeros((height, width), np.uint8)
    for index, threshold in enumerate(thresholds):
        ratio = resize_mask_probability(probabilities[..., index], (width, height)) / np.float32(threshold)
        above = ratio > highest
        mask[above] = index + 1
        highest[above] = ratio[above]
    return mask


def confusion_counts(predicted: NDArray[np.uint8], true: NDArray[np.uint8], num_classes: int) -> NDArray[np.int64]:
    """Counts pixels, the ignored ones left out.

    Args:
        predicted: uint8 (H, W), class ids.
        true: uint8 (H, W), class ids, IGNORED_PIXEL = not judged.
        num_classes: C, without the background.

    Returns:
        int64 (C, 3): true positive, false positive, false negative pixels.
    """
    judged = true != IGNORED_PIXEL
    side = num_classes + 1
    pairs = true[judged].astype(np.int64) * side + predicted[judged]
    table = np.bincount(pairs, minlength=side * side).reshape(side, side)[:, 1:]
    hits = table[1:].diagonal()
    missed = np.bincount(true[judged], minlength=side)[1:] - hits
    return np.stack([hits, table.sum(axis=0) - hits, missed], axis=1)


def choose_thresholds(probabilities: Array, class_pixels: Array, judged: Array) -> NDArray[np.float64]:
    """Finds each class' threshold with the best Dice score, pooled over the photos.

    Args:
        probabilities: float32 (n, h, w, C).
        class_pixels: float (n, h, w, C): pixels of each class in the cell.
        judged: float (n, h, w): judged pixels in the cell.

    Returns:
        float64 (C,); UNDECIDED where no photo shows the class.
    """
    chosen = np.full(probabilities.shape[-1], UNDECIDED)
    for index in range(len(chosen)):
        truth = class_pixels[..., index]
        if truth.sum() > 0:
            chosen[index] = CANDIDATES[dice_curve(probabilities[..., index], truth, judged).argmax()]
    return chosen


def dice_curve(probability: Array, truth: Array, judged: Array) -> NDArray[np.float64]:
    """The pooled Dice score of one class at every one of CANDIDATES; arguments of one shape, see above."""
    passed = np.searchsorted(CANDIDATES.astype(np.float32), probability.ravel(), side="left")
    bins = len(CANDIDATES) + 1
    hits = _sum_from_above(np.bincount(passed, weights=truth.ravel(), minlength=bins))
    marked = _sum_from_above(np.bincount(passed, weights=judged.ravel(), minlength=bins))
    return np.asarray(2 * hits / np.maximum(marked + float(truth.sum(dtype=np.float64)), 1e-12))


@dataclass(frozen=True)
class MeanMask:
    """The constant answer: the training part's mean mask.

    Attributes:
        probabilities: float32 (h, w, C).
        thresholds: float64 (C,), with the best Dice score on the training part.
    """

    probabilities: NDArray[np.float32]
    thresholds: NDArray[np.float64]


def fit_mean_mask(targets: MaskTargets, train: Array) -> MeanMask:
    """Averages the masks of the training part, int (n,), and chooses the thresholds there."""
    shares = targets.shares[train]
    judged_share = shares[..., -1].sum(axis=0, dtype=np.float64)
    covered = (shares[..., :-1].astype(np.float32) * shares[..., -1:]).sum(axis=0, dtype=np.float64)
    mean = (covered / np.maximum(judged_share, 1e-12)[..., None]).astype(np.float32)
    class_pixels, judged = targets.class_pixels(train)
    sums = class_pixels.sum(axis=0, dtype=np.float64), judged.sum(axis=0, dtype=np.float64)
    return MeanMask(mean, choose_thresholds(mean, *sums))


def pooled_dice(counts: NDArray[np.int64]) -> float:
    """The mean over classes of the Dice score pooled over photos: int64 (n, C, 3) -> [0, 1], NaN if undefined."""
    scores = dice(counts.sum(axis=0).astype(np.float64))
    return float(np.nanmean(scores)) if not np.isnan(scores).all() else float("nan")


def _sum_from_above(histogram: Array) -> Array:
    """How much lies above each candidate: (99 + 1,) -> (99,)."""
    return np.cumsum(histogram[::-1])[::-1][1:]
