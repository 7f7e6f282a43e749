"""What leaving photos to people is worth: the error of the rest against the share that is answered.

Photos are answered from the surest on; which share of them is the coverage, and the mean error of those that are
answered is the risk (El-Yaniv & Wiener, 2010). All out-of-fold photos of a head are ranked at once. Photos that are
equally sure are answered in random order: what counts is the mean over all orders.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from carclf import intervals, scores
from carclf.metrics import Predictions, Record, one_hot
from carclf.scores import Array
from carclf.selective import NEVER, is_told, label_confidence, labels_right, mask_right

Tree = dict[str, Any]

COVERAGES = np.arange(1, 101)  # percent of the photos answered: the points of the curve
LEFT_TO_PEOPLE = (0, 5, 10, 20, 30, 50)  # percent of the photos: the lines of the table


@dataclass(frozen=True)
class Cutoffs:
    """From which confidence on a head answers.

    Attributes:
        least: float64 (k,), of each fold.
        target_precision: what each fold chose its own for; None where the config gives one for all.
    """

    least: Array
    target_precision: float | None = None


@dataclass(frozen=True)
class RankedAnswers:
    """Answers to n photos, from the surest on.

    Attributes:
        confidence: float64 (n,).
        error: float64 (n,) in [0, 1].
        groups: int64 (n,).
        folds: int64 (n,).
    """

    confidence: Array
    error: Array
    groups: Array
    folds: Array

    @property
    def expected_error(self) -> Array:
        """float64 (n,): where photos are equally sure, the mean of their errors."""
        same = np.unique(self.confidence, return_inverse=True)[1]
        return np.asarray((np.bincount(same, weights=self.error) / np.bincount(same))[same])

    def draws(self, seed: int) -> Iterator[Array]:
        """Yields blocks of draws of groups: float64 (some draws, n), how often each photo counts."""
        return intervals.draw_blocks(self.groups, self.folds, intervals.DRAWS, seed)


def rank_answers(record: Record) -> RankedAnswers:
    """Says how sure a head was of each photo, and how wrong; photos without a judged pixel are left out.

    Error: categorical, 1 if the label is a wrong one; multi_label, 1 if any label is wrong; segmentation, 1 - Dice
    score of the photo, all classes together, and of an empty mask 0 if nothing is there, else 1.
    """
    if isinstance(record, Predictions):
        confidence = label_confidence(record.probabilities, record.decisions, record.kind)
        right = labels_right(record.decisions, one_hot(record))
    else:
        hits, extra, missed = record.counts.sum(axis=1).T.astype(np.float64)
        confidence = record.confidence.astype(np.float64)
        right = mask_right(hits, hits + extra, hits + missed, record.pixels)
    order = np.lexsort(
        (np.array(record.photos, np.str_), -confidence)
    )  # by name where equal: the order of rows decides nothing
    order = order[~np.isnan(right[order])]
    return RankedAnswers(confidence[order], 1 - right[order], record.groups[order], record.folds[order])


def risk_curve(errors: Array) -> Array:
    """Mean error of the m surest photos, for m = 1 … n; errors: float64 (n,), from the surest on."""
    return np.asarray(np.cumsum(errors) / np.arange(1, len(errors) + 1))


def num_answered(photos: int, percent: Array) -> Array:
    """How many photos some percent of them are: to whole photos, at least one."""
    return np.maximum(1, np.floor(photos * percent / 100 + 0.5).astype(np.int64))


def risk_coverage(record: Record, cutoffs: Cutoffs | None, seed: int) -> Tree:
    """The risk-coverage part of a head's results; intervals: bootstrap over groups, as of all metrics.

    Args:
        record: out of fold (or of one pseudo-fold, for a separate set).
        cutoffs: which answers are told; None: all.
        seed: of the bootstrap.

    Returns:
        `aurc`: area under the risk-coverage curve, the mean risk over all coverages (Geifman & El-Yaniv, 2017), its
            `interval`; `random`: the same if photos were left to people at random, which is the plain error;
            `perfect`: if those with the largest errors were; `excess`: what is above that (Geifman et al., 2019).
        `left_to_people`: per line `percent`, `answered` (photos), `error` of these, `interval`.
        `curve`: `coverage` in percent, `error`, `low`, `high`.
        `told`: None without cut-offs, else as of `told_answers`.
    """
    answers = rank_answers(record)
    curve = risk_curve(answers.expected_error)
    errors = curve[num_answered(len(curve), COVERAGES) - 1]
    areas, drawn = _drawn_risks(answers, seed)
    ends = np.array([intervals.percentile_interval(column) for column in drawn.T])  # (100, 2)
    area = {"value": curve.mean(), "interval": intervals.percentile_interval(areas)}
    area |= {"random": answers.error.mean(), "perfect": risk_curve(np.sort(answers.error)).mean()}
    area["excess"] = area["value"] - area["perfect"]
    answered = num_answered(len(curve), COVERAGES)
    lines = [
        {"percent": left, "answered": answered[99 - left], "error": errors[99 - left], "interval": ends[99 - left]}
        for left in LEFT_TO_PEOPLE
    ]
    return {
        "aurc": area,
        "left_to_people": lines,
        "curve": {"coverage": COVERAGES, "error": errors, "low": ends[:, 0], "high": ends[:, 1]},
        "told": None if cutoffs is None else told_answers(answers, cutoffs, seed),
    }


def _drawn_risks(answers: RankedAnswers, seed: int) -> tuple[Array, Array]:
    """AURC, (draws,), and the risk at COVERAGES, (draws, 100); a photo may come several times in a draw of groups."""
    errors, areas, points = answers.expected_error, [], []
    for block in answers.draws(seed):
        for times in block.astype(np.int64):
            curve = risk_curve(np.repeat(errors, times))
            areas.append(curve.mean())
            points.append(curve[num_answered(len(curve), COVERAGES) - 1])
    return np.array(areas), np.array(points)


def told_answers(answers: RankedAnswers, cutoffs: Cutoffs, seed: int) -> Tree:
    """How many photos are left to people, and how right the rest is, with each fold's own cut-off.

    Returns:
        `target_precision`; `min_probability` of each fold; `unmet`: the folds in which none met the target; `left`
        and `precision`: {`value`, `interval`} over all photos at once; of precision NaN if nothing is told, and
        `random`: what it is of photos taken at random.
    """
    told = np.asarray(is_told(answers.confidence, cutoffs.least[answers.folds]))

    def judge(weights: Array) -> tuple[Array, Array]:
        return scores.weighted_mean(~told, weights), scores.weighted_mean(1 - answers.error, weights, told)

    drawn = zip(*(judge(block) for block in answers.draws(seed)), strict=True)
    left, precision = (
        {"value": value[0], "interval": intervals.percentile_interval(np.concatenate(blocks))}
        for value, blocks in zip(judge(np.ones((1, len(told)))), drawn, strict=True)
    )
    target = cutoffs.target_precision
    return {
        "target_precision": target,
        "min_probability": cutoffs.least,
        "unmet": [] if target is None else np.flatnonzero(cutoffs.least >= NEVER),
        "left": left,
        "precision": precision | {"random": 1 - answers.error.mean()},
    }
