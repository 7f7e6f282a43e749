"""Scores of found regions under many sets of row weights at once: one row of weights is one bootstrap draw.

Everywhere `weights` is float64 (draws, n), how often each of the n photos counts in each draw; ones of shape (1, n)
give the plain score. A score that a draw does not define (no region to find, no photo to judge) is NaN, never 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from carclf.scores import Array, mean_of_defined, ratio

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)  # those of COCO (Lin et al., 2014), computed as its evaluator does
RECALLS = np.linspace(0.0, 1.0, 101)  # at which COCO reads precision off
_LOWEST = 0  # the index of threshold 0.50 in IOU_THRESHOLDS: found or missed
_BLOCK_WEIGHTS = 500_000  # weights of predictions worked on at once, 4 MB; the scores are the same for any value


@dataclass(frozen=True)
class JudgedRegions:
    """The regions that were found in n photos, a row each, and how many there were to find.

    Attributes:
        photos: int64 (k,), the photo's row, 0 to n - 1.
        class_ids: int64 (k,), 1 to C.
        probabilities: float64 (k,), in [0, 1].
        matched: bool (k, 10): whether it is the match of a true region of its class at each of IOU_THRESHOLDS.
        true_counts: int64 (n, C): true regions of class c + 1 in each photo.
    """

    photos: Array
    class_ids: Array
    probabilities: Array
    matched: Array
    true_counts: Array

    def rows(self, index: Array) -> "JudgedRegions":
        """Returns the photos of int (m,), each at most once, in that order, with what was found in them."""
        place = np.full(len(self.true_counts), -1, np.int64)
        place[index] = np.arange(len(index))
        moved = place[self.photos]
        kept = np.flatnonzero(moved >= 0)
        kept = kept[np.argsort(moved[kept], kind="stable")]
        return JudgedRegions(
            photos=moved[kept],
            class_ids=self.class_ids[kept],
            probabilities=self.probabilities[kept],
            matched=self.matched[kept],
            true_counts=self.true_counts[index],
        )


def join_photos(parts: Sequence[JudgedRegions], num_classes: int) -> JudgedRegions:
    """Puts photos one behind the other; of no part: no photo."""
    nothing = JudgedRegions(
        photos=np.zeros(0, np.int64),
        class_ids=np.zeros(0, np.int64),
        probabilities=np.zeros(0),
        matched=np.zeros((0, len(IOU_THRESHOLDS)), bool),
        true_counts=np.zeros((0, num_classes), np.int64),
    )
    whole = [nothing, *parts]
    starts = np.cumsum([0] + [len(part.true_counts) for part in whole])
    return JudgedRegions(
        photos=np.concatenate([part.photos + start for part, start in zip(whole, starts[:-1], strict=True)]),
        class_ids=np.concatenate([part.class_ids for part in whole]),
        probabilities=np.concatenate([part.probabilities for part in whole]),
        matched=np.concatenate([part.matched for part in whole]),
        true_counts=np.concatenate([part.true_counts for part in whole]),
    )


def class_average_precisions(regions: JudgedRegions, weights: Array) -> Array:
    """Average precision of every class at every IoU threshold, as COCO's evaluator has it (Lin et al., 2014).

    Predictions enter by falling probability, equal ones photo by photo. The precision at a recall is the highest at
    that or any higher recall, 0 where it is not reached; the mean is over RECALLS.

    Returns:
        float64 (draws, C, 10), in [0, 1]; NaN where a draw has no true region of the class.
    """
    truths = weights @ regions.true_counts  # (draws, C)
    precisions = np.empty((*truths.shape, len(IOU_THRESHOLDS)))
    for index in range(truths.shape[1]):
        own = np.flatnonzero(regions.class_ids == index + 1)
        own = own[np.lexsort((regions.photos[own], -regions.probabilities[own]))]  # stable: then as they came
        most = max(1, _BLOCK_WEIGHTS // max(1, len(own)))
        for start in range(0, len(weights), most):
            block = slice(start, start + most)
            ranked = weights[block, regions.photos[own]]
            precisions[block, index] = _interpolate(ranked, regions.matched[own], truths[block, index])
    return precisions


def _interpolate(weights: Array, matched: Array, truths: Array) -> Array:
    """Average precision of one class.

    Args:
        weights: (draws, k), of the predictions by falling probability.
        matched: bool (k, 10).
        truths: (draws,), true regions.

    Returns:
        float64 (draws, 10).
    """
    taken = np.cumsum(weights, axis=1)
    precisions = np.empty((len(weights), matched.shape[1]))
    for index, hits in enumerate(matched.T):
        places = np.flatnonzero(hits)  # between matches recall stays and precision falls: nothing is read off there
        found = np.cumsum(weights[:, places], axis=1)
        precision = found / np.maximum(taken[:, places], 1e-300)  # 0, not NaN, as long as nothing was taken
        envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        reached = np.append(envelope, np.zeros((len(envelope), 1)), axis=1)  # 0 for what no match reaches
        recall = ratio(found, truths[:, None])
        for draw, line in enumerate(recall):
            precisions[draw, index] = reached[draw, np.searchsorted(line, RECALLS)].mean()
    return np.where(truths[:, None] > 0, precisions, np.nan)


def average_precision(regions: JudgedRegions, weights: Array) -> tuple[Array, Array]:
    """Average precision at IoU 0.50, and the mean over all of IOU_THRESHOLDS.

    Returns:
        (AP50, AP): each float64 (draws,), the mean over the classes of which the draw has a true region; NaN without.
    """
    precisions = class_average_precisions(regions, weights)
    return mean_of_defined(precisions[..., _LOWEST], axis=1), mean_of_defined(precisions.mean(axis=2), axis=1)


def region_counts(regions: JudgedRegions, weights: Array, min_probability: float) -> Array:
    """Counts regions at IoU 0.50, of the predictions that are sure enough.

    Returns:
        float64 (draws, C, 3): found, invented, missed regions, as `dice` takes them; their sum over classes is pooled.
    """
    sure = regions.probabilities >= min_probability
    hit = regions.matched[:, _LOWEST]
    found = weights @ _count_in_photos(regions, sure & hit)
    invented = weights @ _count_in_photos(regions, sure & ~hit)
    return np.stack([found, invented, weights @ regions.true_counts - found], axis=-1)


def region_recall(counts: Array) -> Array:
    """(..., 3) found, invented, missed -> share of the true regions that was found; NaN without a true one."""
    return ratio(counts[..., 0], counts[..., 0] + counts[..., 2])


def region_precision(counts: Array) -> Array:
    """(..., 3) found, invented, missed -> share of the predicted regions that is true; NaN without a predicted one."""
    return ratio(counts[..., 0], counts[..., 0] + counts[..., 1])


def produced_rate(regions: JudgedRegions, weights: Array, min_probability: float) -> Array:
    """Share of the photos with a class in which a region of that class was produced, wherever it lies.

    This is what a published Mask R-CNN project for car damage calls accuracy: it asks neither where the region lies nor
    what is produced in whole cars. For that see `region_recall` and `false_alarm_rate`.

    Returns:
        float64 (draws, C); NaN where a draw has no photo with the class.
    """
    shown = regions.true_counts > 0
    produced = _count_in_photos(regions, regions.probabilities >= min_probability) > 0
    return ratio(weights @ (shown & produced), weights @ shown)


def false_alarm_rate(regions: JudgedRegions, weights: Array, min_probability: float) -> Array:
    """Share of the photos without any true region in which a region of a class was produced all the same.

    Returns:
        float64 (draws, C); NaN where a draw has no photo without a true region.
    """
    bare = ~(regions.true_counts > 0).any(axis=1, keepdims=True)
    produced = _count_in_photos(regions, regions.probabilities >= min_probability) > 0
    return ratio(weights @ (bare & produced), weights @ bare)


def _count_in_photos(regions: JudgedRegions, chosen: Array) -> Array:
    """Counts the predictions that bool (k,) chooses, by photo and class: int64 (n, C)."""
    counts = np.zeros(regions.true_counts.shape, np.int64)
    np.add.at(counts, (regions.photos[chosen], regions.class_ids[chosen] - 1), 1)
    return counts
