"""Linear heads of all folds: the strength of the penalty from the inner folds, then the optimum for it."""

from typing import Any

import numpy as np

from carclf.errors import TrainingError
from carclf.fitting import Curves, Desk, Fitted, Settings
from carclf.linear import Problem, fit_linear, logits_of, original_weights
from carclf.scores import Array

INNER_TOLERANCE = 1e-3  # of the inner fits, whose losses are only compared
INNER_EVERY = 5  # steps between two points of the inner curves, which cost as much as a step
TOLERANCE = 1e-4  # of the fits that are scored and kept


def fit_linear_heads(desk: Desk, settings: Settings) -> Fitted:
    """Fits the k heads; an epoch of their curves is a step over all photos.

    Raises:
        TrainingError: if a training part has no labelled photo or the features are too large to compute with. The
            solver has no learning rate: its steps cannot diverge.
    """
    curves = Curves(desk)
    inner_logits, choices = _choose_strengths(desk, settings, curves)
    strengths = np.array([choice["l2"] for choice in choices])
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
    return Fitted(inner_logits, _logits(desk, weights), {"kernels": kernels, "biases": biases}, choices, curves.rows)


def _problem(desk: Desk, trained: Array, l2: Array) -> Problem:
    return Problem(desk.question.kind, desk.targets, desk.shares(trained), l2)


def _logits(desk: Desk, weights: Array) -> Array:
    return desk.merge(logits_of(desk.rows.coordinates, weights))


def _choose_strengths(desk: Desk, settings: Settings, curves: Curves) -> tuple[list[Array], list[dict[str, Any]]]:
    """Chooses each fold's l2 by its inner log loss, from the strongest to the first that is worse for the fold.

    Returns:
        for each fold float32 (n, num_classes), the logits of its training photos by inner heads that never saw them;
        for each fold the chosen l2 and its inner log loss. The curves get the chosen inner fits' points.
    """
    trained, weights = desk.inner_training, None
    best_losses, strengths = np.full(len(desk.inner), np.inf), np.zeros(len(desk.inner))
    best_logits = [np.zeros_like(desk.columns) for _ in desk.inner]
    best_points: list[list[dict[str, Any]]] = [[] for _ in desk.inner]
    better = np.ones(len(desk.inner), bool)
    for strength in sorted(settings.l2, reverse=True):
        problem = _problem(desk, trained, np.full(len(trained), strength))
        tried = InnerCurves(desk)
        weights = fit_linear(desk.rows, problem, settings.max_steps, INNER_TOLERANCE, weights, tried.observe)
        logits, losses = desk.pick_inner(_logits(desk, weights))
        better &= losses < best_losses  # how long the others go on must not matter to a fold
        for fold in np.flatnonzero(better):
            best_losses[fold], strengths[fold], best_logits[fold] = losses[fold], strength, logits[fold]
            best_points[fold] = [point for point in tried.rows if point["fold"] == fold]
        if not better.any():
            break
    curves.rows += [point for points in best_points for point in points]
    choices = zip(strengths.tolist(), best_losses.tolist(), strict=True)
    return best_logits, [{"l2": strength, "inner_log_loss": loss} for strength, loss in choices]


class InnerCurves:
    """Loss and accuracy of each fold's inner held-out photos, every few steps of the fits for one strength."""

    def __init__(self, desk: Desk) -> None:
        self.desk, self.curves = desk, Curves(desk)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Rows of fold, epoch, split, loss, metric."""
        return self.curves.rows

    def observe(self, step: int, weights: Array) -> None:
        """Notes one step in INNER_EVERY."""
        if step % INNER_EVERY == 0 or step == 1:
            inner_logits, _ = self.desk.pick_inner(_logits(self.desk, weights))
            self.curves.observe(step, None, inner_logits)
