"""What was counted in the masks of a segmentation head -> Dice, IoU, boundary F1, average precision of regions."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from carclf import scores
from carclf.mask_scores import boundary_f1
from carclf.region_scores import (
    JudgedRegions,
    average_precision,
    class_average_precisions,
    false_alarm_rate,
    produced_rate,
    region_counts,
    region_precision,
    region_recall,
)
from carclf.scores import Array

MASK_METRICS = (
    "dice",
    "iou",
    "precision",
    "recall",
    "boundary_f1",
    "dice_damaged",
    "iou_damaged",
    "dice_per_photo",
    "false_alarm",
    "region_recall",
    "region_precision",
    "ap50",
    "ap",
    "produced_rate",
    "dice_coef_multiclass",
    "categorical_crossentropy",
)
PER_FOLD_METRICS = ("dice_per_photo", "false_alarm", "dice_coef_multiclass", "categorical_crossentropy")
"""Means over photos: reported as the mean over folds. All others are of one sum over the folds: mean = pooled."""
POOLED_METRICS = tuple(name for name in MASK_METRICS if name not in PER_FOLD_METRICS)
SOFT_SCORES = ("dice_coef_multiclass", "categorical_crossentropy")
"""The published projects' figures of a photo, in which the background is a class; see mask_scores.pixel_scores."""


@dataclass(frozen=True)
class MaskScores:
    """What was counted in n photos, for one way to answer them.

    Attributes:
        counts: int64 (n, C, 3): true positive, false positive, false negative pixels.
        boundaries: int64 (n, C, 4): as mask_scores.boundary_counts.
        soft: float64 (n, 2): SOFT_SCORES; NaN where they are not defined.
        regions: the single regions.
    """

    counts: Array
    boundaries: Array
    soft: Array
    regions: JudgedRegions

    def rows(self, index: Array) -> "MaskScores":
        """Takes photos, int (m,), each at most once."""
        return MaskScores(self.counts[index], self.boundaries[index], self.soft[index], self.regions.rows(index))


@dataclass(frozen=True)
class MaskCounts:
    """Out-of-fold masks of one segmentation head, counted at the photos' own sizes; a row per photo with a target."""

    class_names: tuple[str, ...]
    photos: tuple[str, ...]
    groups: Array  # int64 (n,)
    folds: Array  # int64 (n,)
    pixels: Array  # int64 (n,) judged pixels of the photo
    scores: MaskScores  # of the head
    baselines: Mapping[str, MaskScores]  # of constant answers: nothing, everything, the training part's mean mask
    min_probability: float  # from which on a region counts as produced
    confidence: Array  # float32 (n,) in [0, 1]: how sure the head is of the mask; NaN where an earlier version ran

    @property
    def counts(self) -> Array:
        """Pixels of the head's masks, int64 (n, C, 3)."""
        return self.scores.counts

    def rows(self, mask: Array) -> "MaskCounts":
        """Takes the rows where `mask`, bool (n,), is true (or the rows of an index array)."""
        index = np.arange(len(self.photos))[mask]
        return replace(
            self,
            photos=tuple(self.photos[i] for i in index),
            groups=self.groups[index],
            folds=self.folds[index],
            pixels=self.pixels[index],
            scores=self.scores.rows(index),
            baselines={name: each.rows(index) for name, each in self.baselines.items()},
            confidence=self.confidence[index],
        )


def mask_metrics(counts: MaskCounts) -> dict[str, float]:
    """Every metric of a segmentation head over the given photos; NaN where they do not define it."""
    drawn = weighted_mask_metrics(counts, np.ones((1, len(counts.photos))))
    return {name: float(values[0]) for name, values in drawn.items()}


def weighted_mask_metrics(
    counts: MaskCounts, weights: Array, names: tuple[str, ...] = MASK_METRICS
) -> dict[str, Array]:
    """The metrics under every row of `weights`, float64 (draws, n): name -> float64 (draws,), in the order of `names`.

    Foreground = all classes together: a pixel of the wrong class is false for one, missed for another.
    """
    drawn = _photo_means(counts, weights)
    if set(names) & set(POOLED_METRICS):
        drawn |= _pixel_metrics(counts, weights) | _region_metrics(counts, weights)
    return {name: drawn[name] for name in names}


def _photo_means(counts: MaskCounts, weights: Array) -> dict[str, Array]:
    pixels = counts.counts.sum(axis=1).astype(np.float64)  # (n, 3)
    damaged = pixels[:, 0] + pixels[:, 2] > 0
    drawn = {
        "dice_per_photo": scores.weighted_mean(scores.dice(pixels), weights, damaged),
        "false_alarm": scores.weighted_mean(pixels[:, 1] > 0, weights, ~damaged & (counts.pixels > 0)),
    }
    for name, values in zip(SOFT_SCORES, counts.scores.soft.T, strict=True):
        drawn[name] = scores.weighted_mean(values, weights, ~np.isnan(values))
    return drawn


def _pixel_metrics(counts: MaskCounts, weights: Array) -> dict[str, Array]:
    pixels = counts.counts.sum(axis=1).astype(np.float64)  # (n, 3)
    damaged = pixels[:, 0] + pixels[:, 2] > 0
    all_sums, damaged_sums = weights @ pixels, weights @ (pixels * damaged[:, None])  # (draws, 3)
    hits, extra, missed = all_sums.T
    return {
        "dice": scores.dice(all_sums),
        "iou": scores.iou(all_sums),
        "precision": scores.ratio(hits, hits + extra),
        "recall": scores.ratio(hits, hits + missed),
        "boundary_f1": boundary_f1(weights @ counts.scores.boundaries.sum(axis=1)),
        "dice_damaged": scores.dice(damaged_sums),
        "iou_damaged": scores.iou(damaged_sums),
    }


def _region_metrics(counts: MaskCounts, weights: Array) -> dict[str, Array]:
    regions, least = counts.scores.regions, counts.min_probability
    found = region_counts(regions, weights, least).sum(axis=1)  # (draws, 3)
    ap50, ap = average_precision(regions, weights)
    produced = scores.mean_of_defined(produced_rate(regions, weights, least), axis=1)
    return {
        "region_recall": region_recall(found),
        "region_precision": region_precision(found),
        "ap50": ap50,
        "ap": ap,
        "produced_rate": produced,
    }


def mask_label_table(counts: MaskCounts) -> dict[str, dict[str, float]]:
    """Per class, over all photos.

    n: photos that have it; precision, recall, f1 (= Dice), iou of its pixels; boundary_f1; regions: true ones; found:
    share of them; ap50, ap; produced: share of its photos in which a region of it was produced, wherever; false_alarm:
    the same share of the photos without any region.
    """
    sums = counts.counts.sum(axis=0)  # (C, 3)
    present = counts.counts[..., 0] + counts.counts[..., 2] > 0  # (n, C)
    ones, regions = np.ones((1, len(counts.photos))), counts.scores.regions
    found = region_counts(regions, ones, counts.min_probability)[0]  # (C, 3)
    precisions = class_average_precisions(regions, ones)[0]  # (C, 10)
    produced, alarms = (rate(regions, ones, counts.min_probability)[0] for rate in (produced_rate, false_alarm_rate))
    table = {}
    for c, name in enumerate(counts.class_names):
        hits, false, missed = sums[c]
        table[name] = {
            "n": int(present[:, c].sum()),
            "precision": float(scores.ratio(hits, hits + false)),
            "recall": float(scores.ratio(hits, hits + missed)),
            "f1": float(scores.dice(sums[c])),
            "iou": float(scores.iou(sums[c])),
            "boundary_f1": float(boundary_f1(counts.scores.boundaries[:, c].sum(axis=0))),
            "regions": int(regions.true_counts[:, c].sum()),
            "found": float(region_recall(found[c])),
            "ap50": float(precisions[c, 0]),
            "ap": float(precisions[c].mean()),
            "produced": float(produced[c]),
            "false_alarm": float(alarms[c]),
        }
    return table


def mask_confusion(counts: MaskCounts) -> Array:
    """Counts of photos (C, 2, 2): a region of the class is truly absent/present by row, drawn by column."""
    hits, false, missed = np.moveaxis(counts.counts, -1, 0)  # (n, C) each
    return scores.presence_confusion((hits + missed > 0).astype(np.int64), (hits + false > 0).astype(np.int64))
