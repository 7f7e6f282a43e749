"""Linear heads of all folds: the strength of the penalty from the inner folds, then the optimum for it."""

import numpy as np

from carclf.errors import TrainingError
from carclf.fitting import Curves, Desk, Fitted, Settings
from carclf.linear import Problem, fit_linear, logits_of, original_weights
from carclf.scores import Array

INNER_TOLERANCE = 1e-3  # of the inner fits, whose losses are only compared
TOLERANCE = 1e-4  # of the fits that are scored and kept


def fit_linear_heads(desk: Desk, settings: Settings) -> Fitted:
    """Fits the k heads; an epoch of their curves is a step over all photos.

    Raises:
        TrainingError: if a training part has no labelled photo or the features are too large to compute with. The
            solver has no learning rate: its steps cannot diverge.
    """
    inner_logits, strengths = _choose_strengths(desk, settings)
    curves = Curves(desk)
    weights = fit_linear(
        desk.rows,
        _problem(desk, desk.training, strengths),
        settings.max_steps,
        TOLERANCE,
        observe=lambda step, weights: curves.observe(step, _logits(desk, weights)),
    )
    if not np.isfinite(weights).all():
        raise TrainingError(
            f"{desk.question.name}: the fit is not finite, although its steps cannot diverge: the features are too "
            f"large. Check the backbone and its input_range."
        )
    kernels, biases = original_weights(desk.rows, weights)
    choices = [{"l2": float(strength)} for strength in strengths]
    return Fitted(inner_logits, _logits(desk, weights), {"kernels": kernels, "biases": biases}, choices, curves.rows)


def _problem(desk: Desk, trained: Array, l2: Array) -> Problem:
    return Problem(desk.question.kind, desk.targets, desk.shares(trained), l2)


def _logits(desk: Desk, weights: Array) -> Array:
    return desk.merge(logits_of(desk.rows.coordinates, weights))


def _choose_strengths(desk: Desk, settings: Settings) -> tuple[list[Array], Array]:
    """Chooses each fold's l2 by its inner log loss, from the strongest to the first that is worse for the fold.

    Returns:
        for each fold float32 (n, num_classes), the logits of its training photos by inner heads that never saw them;
        float64 (k,), the chosen l2.
    """
    trained, weights = desk.inner_training, None
    best_losses, strengths = np.full(len(desk.inner), np.inf), np.zeros(len(desk.inner))
    best_logits = [np.zeros_like(desk.columns) for _ in desk.inner]
    better = np.ones(len(desk.inner), bool)
    for strength in sorted(settings.l2, reverse=True):
        problem = _problem(desk, trained, np.full(len(trained), strength))
        weights = fit_linear(desk.rows, problem, settings.max_steps, INNER_TOLERANCE, weights)
        logits, losses = desk.pick_inner(_logits(desk, weights))
        better &= losses < best_losses  # how long the others go on must not matter to a fold
        for fold in np.flatnonzero(better):
            best_losses[fold], strengths[fold], best_logits[fold] = losses[fold], strength, logits[fold]
        if not better.any():
            break
    return best_logits, strengths
