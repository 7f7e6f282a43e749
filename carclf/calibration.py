"""Logits of photos a head never saw -> the temperature and the thresholds its answers are given with."""

import numpy as np
from scipy.optimize import minimize_scalar

from carclf.linear import probabilities_of, row_losses
from carclf.scores import Array

LOG_TEMPERATURE_RANGE = (-2.5, 2.5)  # temperatures of 0.08 to 12; a fit at the edge has nothing to learn from


def fit_temperature(logits: Array, targets: Array, kind: str) -> float:
    """Finds the temperature that makes the log loss of logits / temperature smallest (Guo et al., 2017).

    Args:
        logits: float32 (n, num_classes), of photos that did not train the head.
        targets: float32 (n, num_classes), one-hot or 0/1.
        kind: "categorical" or "multi_label".
    """

    def loss(log_temperature: float) -> float:
        return float(row_losses(logits / np.exp(log_temperature), targets, kind).mean())

    return float(np.exp(minimize_scalar(loss, bounds=LOG_TEMPERATURE_RANGE, method="bounded").x))


def choose_thresholds(probabilities: Array, targets: Array) -> Array:
    """Chooses for each label the threshold with the highest F1 (Lipton et al., 2014), between two photos.

    A label without a positive photo keeps 0.5.

    Args:
        probabilities: float (n, num_classes), of photos that did not train the head.
        targets: (n, num_classes) of 0 and 1.

    Returns:
        float64 (num_classes,): a label is given at this probability and above.
    """
    thresholds = np.full(targets.shape[1], 0.5)
    for label, (column, truth) in enumerate(zip(probabilities.T, targets.T, strict=True)):
        if not truth.any():
            continue
        order = np.argsort(-column, kind="stable")
        ranked = column[order].astype(np.float64)
        hits = np.cumsum(truth[order])
        f1 = 2 * hits / (np.arange(1, len(ranked) + 1) + truth.sum())
        f1[:-1][ranked[:-1] == ranked[1:]] = -1  # equal probabilities are given or withheld together
        best = int(f1.argmax())
        below = ranked[best + 1] if best + 1 < len(ranked) else 0.0
        thresholds[label] = (ranked[best] + below) / 2
    return thresholds


def decide(probabilities: Array, kind: str, thresholds: Array) -> Array:
    """Returns bool (n, num_classes): the most probable class, or every label at its threshold and above."""
    if kind == "categorical":
        return np.asarray(np.arange(probabilities.shape[1]) == probabilities.argmax(axis=1)[:, None])
    return np.asarray(probabilities >= thresholds)


def calibrated(logits: Array, temperature: float, kind: str) -> Array:
    """Returns float32 probabilities of logits / temperature."""
    return probabilities_of(logits / temperature, kind).astype(np.float32)
