"""Regularised logistic regression, solved to its optimum for many training parts at once.

The fits of all folds, inner folds and candidate strengths differ only in which photos have weight 0, so they are
columns of one matrix product. The problem is convex: no learning rate, no stopping rule that looks at a score.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh
from scipy.special import expit, log_softmax, softmax

from carclf.errors import TrainingError
from carclf.scores import Array

RANK_TOLERANCE = 1e-6  # directions whose variance is below this share of the largest hold rounding errors only
FIRST_SCALE = 0.25  # share of the bound that a fit begins with; the losses met so far seldom bend more
CURVATURE = {"categorical": 0.5, "multi_label": 0.25}  # bounds of the second derivative of the loss


@dataclass(frozen=True)
class Rows:
    """Feature vectors in their own principal axes: a rotation, so that a penalty on the weights means the same.

    Attributes:
        coordinates: float32 (num_rows, rank + 1), centred on the mean of all rows; the last column is 1, for the bias.
        variances: float64 (rank + 1,), the mean square of each column.
        axes: float32 (num_features, rank), orthonormal: vectors = coordinates[:, :-1] @ axes.T + mean.
        mean: float64 (num_features,).
    """

    coordinates: Array
    variances: Array
    axes: Array
    mean: Array


def make_rows(vectors: Array) -> Rows:
    """Rotates vectors of shape (num_rows, num_features) into their principal axes, through the smaller Gram matrix.

    Raises:
        TrainingError: if all vectors are the same.
    """
    mean = vectors.mean(axis=0, dtype=np.float64)
    centred = (vectors - mean).astype(np.float32)
    num_rows, num_features = centred.shape
    wide = num_features > num_rows
    gram = centred @ centred.T if wide else centred.T @ centred
    squares, basis = eigh(gram, overwrite_a=True, check_finite=False, driver="evd")
    kept = squares > max(squares[-1], 0.0) * RANK_TOLERANCE
    if not kept.any():
        raise TrainingError("The features of all photos are the same: the backbone does not see the photos.")
    squares, basis = squares[kept].astype(np.float64), basis[:, kept]
    axes = (centred.T @ basis) / np.sqrt(squares, dtype=np.float32) if wide else basis
    coordinates = np.concatenate([centred @ axes, np.ones((num_rows, 1), np.float32)], axis=1)
    return Rows(coordinates, (coordinates**2).mean(axis=0, dtype=np.float64), axes, mean)


def probabilities_of(logits: Array, kind: str) -> Array:
    """Softmax over the last axis of a categorical head, sigmoid of a multi-label one."""
    return np.asarray(softmax(logits, axis=-1) if kind == "categorical" else expit(logits))


def row_losses(logits: Array, targets: Array, kind: str) -> Array:
    """Cross-entropy of each row, summed over its classes; targets are one-hot or 0/1, shaped like the logits."""
    if kind == "categorical":
        return np.asarray(-(log_softmax(logits, axis=-1) * targets).sum(-1))
    return np.asarray((np.logaddexp(0, logits) - logits * targets).sum(-1))


@dataclass(frozen=True)
class Problem:
    """What the fits of one head share and what tells them apart.

    Attributes:
        kind: "categorical" or "multi_label".
        targets: float32 (num_rows, num_classes), one-hot or 0/1; rows without a label hold zeros.
        shares: float32 (num_fits, num_rows), a row's share in a fit's loss; each fit's shares sum to 1, a row that a
            fit must not see has 0.
        l2: float64 (num_fits,), strength of the penalty l2 / 2 · |weights|², in units of the total variance of the
            features over the fit's own rows, so that it means the same for every backbone.
    """

    kind: str
    targets: Array
    shares: Array
    l2: Array


def logits_of(coordinates: Array, weights: Array) -> Array:
    """Returns logits (num_rows, num_fits, num_classes) of weights (num_fits, rank + 1, num_classes)."""
    num_fits, rank, num_classes = weights.shape
    columns = weights.transpose(1, 0, 2).reshape(rank, num_fits * num_classes)
    return np.asarray((coordinates @ columns).reshape(-1, num_fits, num_classes))


def fit_linear(
    rows: Rows,
    problem: Problem,
    max_steps: int,
    tolerance: float,
    start: Array | None = None,
    observe: Callable[[int, Array], None] | None = None,
) -> Array:
    """Solves all fits of a problem by accelerated gradient steps on a quadratic bound of the loss.

    A part's covariance is at most its heaviest share times that of all rows, which is diagonal in these coordinates;
    so is the bound of the loss' curvature (Böhning and Lindsay, 1988), of which a fit takes as much as it has met so
    far. Momentum and its restarts are those of Nesterov (1983) and O'Donoghue and Candès (2015), each fit with its own.
    A fit whose step falls below the tolerance stands still, so that it does not matter what else is in the batch.

    Args:
        rows: the feature vectors.
        problem: the fits.
        max_steps: a fit that needs more ends there.
        tolerance: of the largest change of a weight, relative to the largest weight.
        start: weights to begin with, shaped like the result; None = zeros.
        observe: is told the step (from 1) and the weights after each step, for learning curves.

    Returns:
        float32 weights (num_fits, rank + 1, num_classes); the last row is the bias.

    Raises:
        TrainingError: if a fit has no rows.
    """
    penalty, bound = _penalty_and_bound(rows, problem)
    shape = (*penalty.shape[:2], problem.targets.shape[1])
    weights = np.zeros(shape, np.float32) if start is None else start
    ahead, pace, running = weights, np.ones(len(weights)), np.ones(len(weights), bool)
    scale, before = np.full(len(weights), FIRST_SCALE, np.float32), None
    for step in range(1, max_steps + 1):
        slope = _gradient(rows, problem, ahead)
        if before is not None:
            scale = np.maximum(scale, _curvature_seen(ahead - before[0], slope - before[1], bound))
        before = ahead, slope
        gradient = slope + penalty * ahead
        updated = np.where(running[:, None, None], ahead - gradient / (scale[:, None, None] * bound + penalty), weights)
        moved = updated - weights
        momentum, pace = _next_momentum(pace, (gradient * moved).sum(axis=(1, 2)) > 0)
        weights, ahead = updated, updated + momentum[:, None, None] * moved
        if observe is not None:
            observe(step, weights)
        running &= np.abs(moved).max(axis=(1, 2)) > tolerance * np.abs(weights).max(axis=(1, 2))
        if not running.any():
            break
    return weights


def _next_momentum(pace: Array, uphill: Array) -> tuple[Array, Array]:
    """Each fit's momentum, float32 (num_fits,), and its next pace; a fit that moved uphill begins anew without."""
    pace = np.where(uphill, 1.0, pace)
    next_pace = (1 + np.sqrt(1 + 4 * pace**2)) / 2
    return np.where(uphill, 0.0, (pace - 1) / next_pace).astype(np.float32), next_pace


def _curvature_seen(moved: Array, bent: Array, bound: Array) -> Array:
    """Curvature of each fit's loss along its last move, as a share of the bound (at most 1): float32 (num_fits,)."""
    bounded = (moved * bound * moved).sum(axis=(1, 2))
    return np.asarray((moved * bent).sum(axis=(1, 2)) / np.maximum(bounded, np.finfo(np.float32).tiny), np.float32)


def _gradient(rows: Rows, problem: Problem, weights: Array) -> Array:
    """Slope of each fit's mean loss, (num_fits, rank + 1, num_classes)."""
    errors = probabilities_of(logits_of(rows.coordinates, weights), problem.kind) - problem.targets[:, None]
    errors *= problem.shares.T[:, :, None]
    num_fits, rank, num_classes = weights.shape
    slopes = rows.coordinates.T @ errors.reshape(len(errors), -1).astype(np.float32)
    return np.asarray(slopes.reshape(rank, num_fits, num_classes).transpose(1, 0, 2))


def _penalty_and_bound(rows: Rows, problem: Problem) -> tuple[Array, Array]:
    """Strength of the penalty (0 for the bias) and bound of the loss' curvature, float32 (num_fits, rank + 1, 1)."""
    _, variances = spread_of(rows, problem.shares)
    penalty = np.zeros((len(problem.l2), len(rows.variances), 1))
    penalty[:, :-1, 0] = (problem.l2 * variances.sum(axis=1))[:, None]
    heaviest = problem.shares.max(axis=1) * len(rows.coordinates)
    bound = CURVATURE[problem.kind] * heaviest[:, None, None] * rows.variances[None, :, None]
    return penalty.astype(np.float32), bound.astype(np.float32)


def spread_of(rows: Rows, shares: Array) -> tuple[Array, Array]:
    """Means and variances of the features over each fit's own rows, both (num_fits, rank).

    Raises:
        TrainingError: if a fit has no rows.
    """
    if not (shares.sum(axis=1) > 0).all():
        raise TrainingError("A training part has no photo labelled for this head. Label more or use fewer folds.")
    features = rows.coordinates[:, :-1]
    means = shares @ features
    return means, shares @ (features**2) - means**2


def original_weights(rows: Rows, weights: Array) -> tuple[Array, Array]:
    """Turns weights back from principal axes: kernels (num_fits, num_features, num_classes) and biases, float32."""
    kernels = np.einsum("dr,frc->fdc", rows.axes, weights[:, :-1].astype(np.float64), optimize=True)
    biases = weights[:, -1] - np.einsum("d,fdc->fc", rows.mean, kernels)
    return kernels.astype(np.float32), biases.astype(np.float32)
