"""How sure a metric is, and what it must beat: a bootstrap over groups, and the best constant answers.

A draw takes, in every fold, as many groups as the fold has, with replacement; all photos of a drawn group
come along. Its value is the same mean over folds that is reported. A fold, or a label, that a draw leaves
without what a metric needs (a positive, a damaged car) is left out of that draw's mean, as it is left out
of the reported one. The heads are not trained again, so variation from retraining is not in the intervals.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from carclf import scores
from carclf.mask_metrics import MASK_METRICS, PER_FOLD_METRICS, MaskCounts, weighted_mask_metrics
from carclf.metrics import LOWER_IS_BETTER, Predictions, Record, weighted_record_metrics
from carclf.scores import Array

DRAWS = 2000  # the ends of a 95 % interval then move by about 3 % of its width from seed to seed
COVERAGE_PERCENTILES = (2.5, 97.5)
BLOCK_WEIGHTS = 4_000_000  # weights held at once, 32 MB; the draws are the same for any value


@dataclass(frozen=True)
class Estimate:
    """One metric of one head; NaN where the photos do not define it."""

    mean: float  # over folds; of masks the same as pooled, but for means over photos
    pooled: float  # over all out-of-fold photos at once
    interval: tuple[float, float]  # 95 %, of the mean
    folds: tuple[float, ...]
    baseline: float  # the same mean for the best constant answer of the training parts


def group_draws(groups: Array, folds: Array, draws: int, seed: int) -> Array:
    """Draws groups with replacement within each fold.

    Args:
        groups: int64 (n,).
        folds: int64 (n,); the photos of one group are in one fold.
        draws: how many.
        seed: same seed, groups and folds: same draws, in whatever order the photos come.

    Returns:
        float32 (draws, n): how often each photo counts in each draw.
    """
    return np.concatenate(list(draw_blocks(groups, folds, draws, seed))).astype(np.float32)


def draw_blocks(groups: Array, folds: Array, draws: int, seed: int) -> Iterator[Array]:
    """Yields the rows of `group_draws` as float64 blocks (some of the draws, n) of bounded size."""
    names = np.unique(folds)
    members = [np.flatnonzero(folds == name) for name in names]
    group_of = [np.unique(groups[index], return_inverse=True)[1] for index in members]
    generators = [np.random.default_rng([seed, int(name)]) for name in names]
    most = max(1, BLOCK_WEIGHTS // max(1, len(groups)))
    for start in range(0, draws, most):
        block = np.empty((min(most, draws - start), len(groups)))
        for index, group, generator in zip(members, group_of, generators, strict=True):
            block[:, index] = _times_drawn(int(group.max()) + 1, len(block), generator)[:, group]
        yield block


def _times_drawn(num_groups: int, draws: int, generator: np.random.Generator) -> Array:
    """How often each group comes in each draw of `num_groups` groups: int64 (draws, num_groups)."""
    picks = generator.integers(num_groups, size=(draws, num_groups))
    picks += num_groups * np.arange(draws)[:, None]
    return np.bincount(picks.ravel(), minlength=picks.size).reshape(draws, num_groups)


def fold_values(record: Record, none_label: str | None = None) -> dict[str, Array]:
    """Every metric per fold, float64 (folds,), in ascending order of the fold's number."""
    return {name: values[:, 0] for name, values in _by_fold(record, none_label, _ones(record)).items()}


def mean_values(record: Record, none_label: str | None = None) -> dict[str, float]:
    """Every metric as it is reported: the mean over folds; of masks pooled, but for means over photos."""
    means = _means(record, none_label, _ones(record))
    return {name: float(values[0]) for name, values in means.items()}


def mean_draws(record: Record, none_label: str | None, seed: int, draws: int = DRAWS) -> dict[str, Array]:
    """Every reported mean in every draw, float64 (draws,); records of the same photos get common draws."""
    blocks = [_means(record, none_label, weights) for weights in draw_blocks(record.groups, record.folds, draws, seed)]
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def _ones(record: Record) -> Array:
    return np.ones((1, len(record.photos)))


def _by_fold(record: Record, none_label: str | None, weights: Array) -> dict[str, Array]:
    """Every metric per fold and draw: (folds, draws)."""
    parts = []
    for fold in np.unique(record.folds):
        inside = record.folds == fold
        parts.append(weighted_record_metrics(record.rows(inside), none_label, weights[:, inside]))
    return {name: np.stack([part[name] for part in parts]) for name in parts[0]}


def _means(record: Record, none_label: str | None, weights: Array) -> dict[str, Array]:
    """Every metric as it is reported, per draw: (draws,)."""
    if not isinstance(record, MaskCounts):
        by_fold = _by_fold(record, none_label, weights)
        return {name: scores.mean_of_defined(values, axis=0) for name, values in by_fold.items()}
    parts = []
    for fold in np.unique(record.folds):
        inside = record.folds == fold
        parts.append(weighted_mask_metrics(record.rows(inside), weights[:, inside], PER_FOLD_METRICS))
    means = weighted_mask_metrics(record, weights)
    means |= {
        name: scores.mean_of_defined(np.stack([part[name] for part in parts]), axis=0) for name in PER_FOLD_METRICS
    }
    return {name: means[name] for name in MASK_METRICS}


def percentile_interval(draws: Array) -> tuple[float, float]:
    """The middle 95 % of the defined draws; (NaN, NaN) if there is none."""
    defined = draws[~np.isnan(draws)]
    if not len(defined):
        return (float("nan"), float("nan"))
    low, high = np.percentile(defined, COVERAGE_PERCENTILES)
    return (float(low), float(high))


def centred(name: str, draws: Array, reported: float) -> Array:
    """Takes the bias of resampling out of a calibration error's draws; other metrics stay as they are.

    A calibration error is a sum of sizes of gaps, and the luck of the draw only ever adds to the size of a
    gap: the draws lie above the value that they vary around. They are shifted so that their mean is that
    value.
    """
    if not name.startswith("calibration_error"):
        return draws
    return draws + (reported - float(scores.mean_of_defined(draws, axis=0)))


def estimates(record: Record, none_label: str | None, seed: int) -> dict[str, Estimate]:
    """Every metric of a head with its interval and baseline."""
    folds, means = fold_values(record, none_label), mean_values(record, none_label)
    pooled = weighted_record_metrics(record, none_label, _ones(record))
    draws = mean_draws(record, none_label, seed)
    baselines = baseline_values(record, none_label)
    return {
        name: Estimate(
            mean=mean,
            pooled=float(pooled[name][0]),
            interval=_interval(name, draws[name], mean),
            folds=tuple(float(value) for value in folds[name]),
            baseline=baselines[name],
        )
        for name, mean in means.items()
    }


def _interval(name: str, draws: Array, mean: float) -> tuple[float, float]:
    low, high = percentile_interval(centred(name, draws, mean))
    return (float(np.maximum(low, 0.0)), high)  # no metric goes below 0, a shifted draw can


def baseline_values(record: Record, none_label: str | None = None) -> dict[str, float]:
    """What the best constant answer scores in place of the head, as it is reported (mean over folds).

    Classification: "best" is judged on the training part alone; see `constant_answer`. Masks: the best of
    nothing, everything and the training part's mean mask, for each metric on the judged photos: a little in
    the baseline's favour.
    """
    if isinstance(record, MaskCounts):
        return _mask_baselines(record)
    values = mean_values(constant_answer(record), none_label)
    if "accuracy_damaged" in values:
        damaged = mean_values(constant_answer(record, never=none_label), none_label)
        values["accuracy_damaged"] = damaged["accuracy_damaged"]
    return values


def constant_answer(predictions: Predictions, never: str | None = None) -> Predictions:
    """Puts the best constant answer of each fold's training part in place of the head's.

    Probabilities: the class frequencies of the training part (best log loss, Brier score, binary accuracy;
    a constant ranking, so its average precision is the prevalence). Decisions: categorical, the most
    frequent class (other than `never`); multi-label, every label that occurs (F1 of all-positive is above
    0, that of none is 0).
    """
    frequencies = predictions.baseline.astype(np.float64)
    if predictions.kind == "multi_label":
        decisions = frequencies > 0
        off = np.maximum(1 - frequencies, scores.SMALLEST_PROBABILITY)
    else:
        allowed = np.array([name != never for name in predictions.class_names])
        most = np.where(allowed, frequencies, -1.0).argmax(axis=1)
        decisions = np.eye(len(predictions.class_names), dtype=bool)[most]
        off = np.ones_like(frequencies)
    logits = np.log(np.maximum(frequencies, scores.SMALLEST_PROBABILITY) / off)
    return replace(predictions, probabilities=frequencies, logits=logits, decisions=decisions)


def _mask_baselines(counts: MaskCounts) -> dict[str, float]:
    answers = [mean_values(replace(counts, scores=constant)) for constant in counts.baselines.values()]
    best = {}
    for name in answers[0]:
        defined = [answer[name] for answer in answers if not np.isnan(answer[name])]
        pick = min if name in LOWER_IS_BETTER else max
        best[name] = pick(defined, default=float("nan"))
    return best
