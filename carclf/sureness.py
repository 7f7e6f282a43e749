"""From which confidence on the heads of a run answer: as the config says, or as each fold chose inside itself.

The choice is a pure function of <head>/inner.csv, so that another target_precision costs no fit.
"""

import numpy as np

from carclf.config_heads import Sureness
from carclf.records import read_inner
from carclf.rundir import RunDir
from carclf.scores import Array
from carclf.selective import ALWAYS, choose_min_probability


def least_confidences(run: RunDir, head: str, sureness: Sureness) -> Array:
    """The least confidence from which each fold of a head answers: float64 (k,) in [0, 1].

    Raises:
        RunDirError: if a target_precision is wanted of a head that an earlier version trained.
    """
    target = sureness.target_precision
    if target is None:
        least = ALWAYS if sureness.min_probability is None else sureness.min_probability
        return np.full(len(run.read_json(f"{head}/choices.json")), least)
    chosen = [
        choose_min_probability(inner.confidence, inner.right, groups, target) for inner, groups in read_inner(run, head)
    ]
    return np.array(chosen, np.float64)


def mean_least_confidence(run: RunDir, head: str, sureness: Sureness) -> float:
    """That of the k heads together: the mean over the folds, of which one that never answers counts with 1."""
    return float(least_confidences(run, head, sureness).mean())
