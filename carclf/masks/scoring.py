"""Class probabilities on the grid -> masks at the photos' own sizes, pixel counts, thresholds, trivial masks."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carclf.labels import IGNORED_PIXEL
from carclf.mask_images import resize_mask_probability
from carclf.masks.targets import MaskTargets
from carclf.selective import mask_right

Array = NDArray[Any]
Part = tuple[Array, Array, Array]
"""What is said of photos and what is true, by cells of any shape (...): probabilities, float32 (..., C); pixels of each
class, float (..., C); judged pixels, float (...)."""
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


def mask_confidence(probabilities: Array, thresholds: Array) -> NDArray[np.float64]:
    """What the probabilities themselves say of how right the mask is that is decided with them.

    Of a mask: the share of its cells that is expected to be right, their mean probability. Of an empty one: how
    probable the background is where it is least so. (The Dice score that the probabilities promise, Borges et al.,
    2024, ranked the photos of head fpn of benchmarks/masks.json no better: AURC 0.110, as this.)

    Args:
        probabilities: float32 (..., h, w, C), in [0, 1], on the grid.
        thresholds: float (C,), in (0, 1).

    Returns:
        float64 (...), in [0, 1].
    """
    marked = _marked(probabilities, thresholds)
    cells = marked.sum(axis=(-3, -2, -1))
    mean = np.where(marked, probabilities, 0).sum(axis=(-3, -2, -1), dtype=np.float64) / np.maximum(cells, 1)
    background = 1 - probabilities.sum(axis=-1, dtype=np.float64).max(axis=(-2, -1))
    return np.asarray(np.where(cells > 0, mean, np.clip(background, 0, 1)))


def masks_right(part: Part, thresholds: Array) -> NDArray[np.float64]:
    """How right the masks are that are decided with thresholds, float (C,): see selective.mask_right; float64 (n,)."""
    probabilities, class_pixels, judged = part  # (n, h, w, C), (n, h, w, C), (n, h, w)
    marked = _marked(probabilities, thresholds)
    hits = np.where(marked, class_pixels, 0).sum(axis=(-3, -2, -1), dtype=np.float64)
    drawn = np.where(marked.any(axis=-1), judged, 0).sum(axis=(-2, -1), dtype=np.float64)
    there = class_pixels.sum(axis=(-3, -2, -1), dtype=np.float64)
    pixels = judged.sum(axis=(-2, -1), dtype=np.float64)
    return mask_right(hits, drawn, there, pixels)


def _marked(probabilities: Array, thresholds: Array) -> NDArray[np.bool_]:
    """The class that each cell of a mask is given: bool (..., h, w, C), at most one of the C is true."""
    ratios = probabilities / thresholds.astype(np.float32)
    highest = np.arange(len(thresholds)) == ratios.argmax(axis=-1)[..., None]
    return np.asarray(highest & (ratios > 1))


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


def choose_thresholds(parts: Iterable[Part]) -> NDArray[np.float64]:
    """Finds each class' threshold with the best Dice score, pooled over all photos.

    Args:
        parts: one or more, of some of the photos each; one at a time is in memory.

    Returns:
        float64 (C,); UNDECIDED where no photo shows the class.
    """
    totals = reduce(np.add, (_count_by_candidates(*part) for part in parts))  # (C, 2, 100)
    chosen = [CANDIDATES[dice_curve(each).argmax()] if each[0].sum() > 0 else UNDECIDED for each in totals]
    return np.array(chosen, np.float64)


def dice_curve(counted: Array) -> NDArray[np.float64]:
    """The pooled Dice score of one class at every one of CANDIDATES.

    Args:
        counted: float64 (2, 100): pixels of the class, and judged ones, by how many candidates their cells are above.
    """
    hits, marked = (np.cumsum(each[::-1])[::-1][1:] for each in counted)  # (99,) each: above each candidate
    return np.asarray(2 * hits / np.maximum(marked + counted[0].sum(), 1e-12))


def _count_by_candidates(probabilities: Array, class_pixels: Array, judged: Array) -> NDArray[np.float64]:
    """What dice_curve takes, of every class: float64 (C, 2, 100); arguments: a Part."""
    bins = len(CANDIDATES) + 1
    counted = np.zeros((probabilities.shape[-1], 2, bins))
    for index in range(len(counted)):
        passed = np.searchsorted(CANDIDATES.astype(np.float32), probabilities[..., index].ravel(), side="left")
        for place, pixels in enumerate((class_pixels[..., index], judged)):
            counted[index, place] = np.bincount(passed, weights=pixels.ravel(), minlength=bins)
    return counted


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
    """Averages the masks of the training part, int (n,), and chooses the thresholds there.

    Photo by photo: all of them in float32 would fill the memory.
    """
    height, width = targets.shares.shape[1:3]
    covered, class_pixels = (np.zeros((height, width, targets.num_classes)) for _ in range(2))
    judged_share, judged = (np.zeros((height, width)) for _ in range(2))
    for photo in train:
        shares = targets.shares[photo]
        judged_share += shares[..., -1]
        covered += shares[..., :-1].astype(np.float32) * shares[..., -1:]
        of_photo = targets.class_pixels(np.array([photo]))
        class_pixels += of_photo[0][0]
        judged += of_photo[1][0]
    mean = (covered / np.maximum(judged_share, 1e-12)[..., None]).astype(np.float32)
    return MeanMask(mean, choose_thresholds([(mean, class_pixels, judged)]))
