"""Answers that are left to people: how sure an answer is, how right, and from where on it is told.

Everything here works on plain arrays, a row per photo: `confidence` float64 (n,) in [0, 1], how sure the answer is, and
`right` float64 (n,) in [0, 1], how much of it is so; NaN where a photo cannot be judged.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carclf.scores import last_of_equals, ratio

Array = NDArray[Any]
ALWAYS, NEVER = 0.0, 1.0
"""Least confidences of heads that answer every photo, and none: nothing is as sure as 1, though rounding may say so."""
STANDARD_ERRORS = 1.0
"""How far a measured precision must lie above the wanted one. Of all least confidences the one is chosen with which the
most photos are answered, so luck is on its side: without, sets of 100 to 1,500 drawn photos missed the precision on
other photos of their kind every second time; with one, every eighth time, and with 1.645, which leaves twice as many
photos more to people, every 40th time. tests/test_selective.py draws such sets."""


@dataclass(frozen=True)
class InnerAnswers:
    """Answers to photos of a training part by heads, or networks, that had not seen them.

    Attributes:
        rows: int64 (m,), the photos.
        confidence: float64 (m,).
        right: float64 (m,).
    """

    rows: Array
    confidence: Array
    right: Array


def label_confidence(probabilities: Array, decisions: Array, kind: str) -> NDArray[np.float64]:
    """How sure the labels are that are given.

    Args:
        probabilities: float (n, C).
        decisions: bool (n, C), the labels that are given.
        kind: "categorical": the probability of the label; "multi_label": that all labels, given or not, are right,
            as if one told nothing of another. (The least of their probabilities, which needs no such belief, ranks real
            photos worse and says more than came true.)

    Returns:
        float64 (n,), in [0, 1].
    """
    wide = probabilities.astype(np.float64)
    if kind == "categorical":
        return np.asarray(np.where(decisions, wide, 0.0).max(axis=1))
    return np.asarray(np.where(decisions, wide, 1 - wide).prod(axis=1))


def labels_right(decisions: Array, truth: Array) -> NDArray[np.float64]:
    """1 where all labels of a photo are right, else 0: float64 (n,); both are bool (n, C)."""
    return np.asarray((decisions == truth).all(axis=1), np.float64)


def mask_right(hits: Array, drawn: Array, there: Array, judged: Array) -> NDArray[np.float64]:
    """How right masks are: their Dice score, all classes together; of an empty one whether nothing is there.

    Args:
        hits: float or int (n,): pixels that are drawn, and there, of one class.
        drawn: pixels that are drawn and judged.
        there: pixels of damage.
        judged: all pixels that are judged.

    Returns:
        float64 (n,); NaN where nothing is judged.
    """
    dice = np.where(drawn + there > 0, ratio(2 * hits, drawn + there), 1.0)
    return np.asarray(np.where(judged > 0, dice, np.nan))


def choose_min_probability(confidence: Array, right: Array, groups: Array, target: float) -> float:
    """Chooses from where on answers are told so that a share of them is right, and as many as can be are told.

    The share, measured over all photos at and above the choice, must reach the target when STANDARD_ERRORS are taken
    off it (the lower end of Wilson's interval, 1927, which holds for a few photos and for a share of 1, too). A group
    counts as one photo there, as what is wrong with one is wrong with all.

    Args:
        confidence: float (m,), of photos that did not train the head.
        right: float (m,).
        groups: int (m,): photos of one thing.
        target: in (0, 1).

    Returns:
        ALWAYS if all may be told, NEVER if the target cannot be met, else between the confidences of two photos.
    """
    known = np.flatnonzero(~np.isnan(right))
    order = known[np.argsort(-confidence[known], kind="stable")]
    ends = last_of_equals(confidence[order])  # equally sure ones are told together
    first_of_group = np.zeros(len(order))
    first_of_group[np.unique(groups[order], return_index=True)[1]] = 1
    shares = np.cumsum(right[order])[ends] / (ends + 1)
    met = np.flatnonzero(lower_end(shares, np.cumsum(first_of_group)[ends]) >= target)
    if not met.size:
        return NEVER
    last = int(met[-1])
    if last == len(ends) - 1:
        return ALWAYS
    return float((confidence[order[ends[last]]] + confidence[order[ends[last + 1]]]) / 2)


def lower_end(shares: Array, counts: Array) -> NDArray[np.float64]:
    """Shares of `counts` things, STANDARD_ERRORS below what was measured (Wilson, 1927); all float64 (...)."""
    z = STANDARD_ERRORS
    spread = z * np.sqrt(np.clip(shares * (1 - shares), 0, None) / counts + z**2 / (4 * counts**2))
    return np.asarray((shares + z**2 / (2 * counts) - spread) / (1 + z**2 / counts))


def is_told(confidence: Any, least: Any) -> Any:
    """Whether answers are told, bool; `least`: of their heads. Both are numbers or arrays of one shape."""
    return (confidence >= least) & (least < NEVER)
