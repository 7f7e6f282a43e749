"""Scores of plain arrays under many sets of row weights at once: one row of weights is one bootstrap draw.

Everywhere `weights` is float64 (draws, n), how often each of the n rows counts in each draw; ones of shape
(1, n) give the plain score. A score that a draw does not define (no rows, no positives) is NaN, never 0.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

CALIBRATION_BINS = 15
SMALLEST_PROBABILITY = 1e-7  # least that the log loss counts: a sure mistake costs 16.1, not infinity


def softmax(logits: Array) -> Array:
    """Logits (n, C) -> float64 probabilities (n, C) whose rows sum to 1."""
    wide = logits.astype(np.float64)
    powers = np.exp(wide - wide.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def sigmoid(logits: Array) -> Array:
    """Logits of any shape -> float64 probabilities; never overflows."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * logits.astype(np.float64))))


def ratio(numerator: Array, denominator: Array) -> Array:
    """Divides elementwise in float64; NaN where the denominator is 0."""
    top, bottom = np.broadcast_arrays(np.asarray(numerator, np.float64), np.asarray(denominator, np.float64))
    return np.asarray(np.divide(top, bottom, out=np.full(top.shape, np.nan), where=bottom != 0))


def mean_of_defined(values: Array, axis: int) -> Array:
    """Mean over `axis` that leaves NaN out; NaN where nothing is left."""
    defined = ~np.isnan(values)
    return ratio(np.where(defined, values, 0.0).sum(axis=axis), defined.sum(axis=axis))


def weighted_mean(values: Array, weights: Array, where: Array | None = None) -> Array:
    """Mean of `values` (n,), of the rows where bool (n,) `where` is true -> (draws,)."""
    counted = np.ones(len(values)) if where is None else where.astype(np.float64)
    sums = weights @ np.stack([np.where(counted > 0, values, 0.0), counted], axis=1)  # (draws, 2)
    return ratio(sums[:, 0], sums[:, 1])


def f1_scores(truth: Array, decided: Array, weights: Array) -> Array:
    """F1 of bool `truth` and `decided`, both (n, C) -> (draws, C); NaN for a label without positives."""
    num_labels = truth.shape[1]
    stacked = np.concatenate([truth & decided, truth, decided], axis=1).astype(np.float64)  # (n, 3C)
    sums = (weights @ stacked).reshape(len(weights), 3, num_labels)
    scores = ratio(2 * sums[:, 0], sums[:, 1] + sums[:, 2])
    return np.where(sums[:, 1] > 0, scores, np.nan)


def average_precision(truth: Array, ranking: Array, weights: Array) -> Array:
    """Average precision, sum of (recall step) * precision, as scikit-learn's; equal scores enter together.

    Args:
        truth: bool (n,).
        ranking: scores (n,), higher = more likely positive.
        weights: (draws, n).

    Returns:
        float64 (draws,) in [0, 1]; NaN for a draw without positives.
    """
    order = np.argsort(-ranking, kind="stable")
    ends = last_of_equals(ranking[order])
    sorted_weights = weights[:, order]
    taken = np.cumsum(sorted_weights, axis=1)[:, ends]  # (draws, thresholds)
    hits = np.cumsum(sorted_weights * truth[order], axis=1)[:, ends]
    steps = np.diff(hits, axis=1, prepend=0.0)
    precision = hits / np.maximum(taken, 1e-12)
    positives = hits[:, -1] if len(ends) else np.zeros(len(weights))
    return ratio(np.einsum("dt,dt->d", steps, precision), positives)


def area_under_roc(truth: Array, ranking: Array, weights: Array) -> Array:
    """Chance that a positive ranks above a negative, equals count half -> (draws,); NaN with one kind."""
    order = np.argsort(ranking, kind="stable")
    ends = last_of_equals(ranking[order])
    positive = np.cumsum(weights[:, order] * truth[order], axis=1)[:, ends]
    negative = np.cumsum(weights[:, order] * ~truth[order], axis=1)[:, ends]
    if not len(ends):
        return np.full(len(weights), np.nan)
    positive_steps = np.diff(positive, axis=1, prepend=0.0)
    below = negative - 0.5 * np.diff(negative, axis=1, prepend=0.0)
    return ratio(np.einsum("dt,dt->d", positive_steps, below), positive[:, -1] * negative[:, -1])


def last_of_equals(ordered: Array) -> Array:
    """Indices of the last element of every run of equal values in an ordered array (n,)."""
    if not len(ordered):
        return np.zeros(0, np.int64)
    return np.append(np.flatnonzero(ordered[1:] != ordered[:-1]), len(ordered) - 1)


def calibration_bins(confidence: Array) -> Array:
    """Puts each value in one of 15 bins of equal mass, lowest first; equal values share a bin.

    Args:
        confidence: probabilities of any shape, m values in all.

    Returns:
        int64 array of the same shape, 0 to 14.
    """
    ordered = np.sort(confidence, axis=None)
    below = np.searchsorted(ordered, confidence, side="left")
    up_to = np.searchsorted(ordered, confidence, side="right")
    return np.asarray(CALIBRATION_BINS * (below + up_to) // (2 * max(1, len(ordered))))


def calibration_error(confidence: Array, correct: Array, weights: Array) -> Array:
    """Mean distance between confidence and the share that came true, over 15 equal-mass bins.

    The bins are those of the rows themselves; a draw weighs the rows inside them.

    Args:
        confidence: probabilities (n, k), k judged answers per row.
        correct: bool (n, k), which came true.
        weights: (draws, n).

    Returns:
        float64 (draws,) in [0, 1].
    """
    bins = calibration_bins(confidence)
    gaps = confidence.astype(np.float64) - correct
    row_gaps = np.zeros((len(confidence), CALIBRATION_BINS))  # summed gap of each row's answers per bin
    np.add.at(row_gaps, (np.arange(len(confidence))[:, None], bins), gaps)
    return ratio(np.abs(weights @ row_gaps).sum(axis=1), weights.sum(axis=1) * confidence.shape[1])


def chance_calibration_error(confidence: Array) -> float:
    """Calibration error that a perfectly calibrated head shows on average, from the luck of few rows per bin.

    Each bin's gap is close to normal with variance sum p (1 - p): its mean size is sqrt(2 / pi) deviations.
    """
    bins = calibration_bins(confidence).ravel()
    probability = confidence.astype(np.float64).ravel()
    variance = np.bincount(bins, probability * (1 - probability), minlength=CALIBRATION_BINS)
    return float(np.sqrt(2 / np.pi * variance).sum() / max(1, probability.size))


def dice(counts: Array) -> Array:
    """(..., 3) true positive, false positive, false negative -> 2 TP / (2 TP + FP + FN); NaN if all are 0."""
    return ratio(2 * counts[..., 0], 2 * counts[..., 0] + counts[..., 1] + counts[..., 2])


def iou(counts: Array) -> Array:
    """(..., 3) true positive, false positive, false negative -> TP / (TP + FP + FN); NaN if all are 0."""
    return ratio(counts[..., 0], counts.sum(axis=-1))


def presence_confusion(truth: Array, decided: Array) -> Array:
    """Counts (C, 2, 2) [[off as off, off as on], [on as off, on as on]] of two (n, C) arrays of 0 and 1."""
    both = np.stack([1 - truth, truth]), np.stack([1 - decided, decided])
    return np.asarray(np.einsum("tnc,dnc->ctd", *both))
