"""Folds × head -> predictions out of fold, learning curves, the k heads and what was chosen for each of them.

Everything a fold chooses (strength of the penalty, temperature, thresholds) it chooses on inner folds of its own
training part, and is then fitted again on the whole training part. The photos it is scored on decide nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from carclf.calibration import calibrated, choose_thresholds, decide, fit_temperature
from carclf.errors import TrainingError
from carclf.folds import Fold
from carclf.heads import FittedHead, Question, Views, merge_views
from carclf.linear import Problem, Rows, fit_linear, logits_of, original_weights, row_losses
from carclf.scores import Array, ratio

INNER_TOLERANCE = 1e-3  # of the inner fits, whose losses are only compared
TOLERANCE = 1e-4  # of the fits that are scored and kept


@dataclass(frozen=True)
class Settings:
    """How heads are fitted; see TrainingConfig."""

    l2: tuple[float, ...]
    max_steps: int


@dataclass(frozen=True)
class OutOfFold:
    """What the cross-validation of one head yields; rows are the photos, in their order.

    Attributes:
        logits: float32 (n, num_classes), by the head that never saw the photo.
        probabilities: float32 (n, num_classes), after the fold's temperature.
        decisions: bool (n, num_classes).
        baseline: float64 (n, num_classes), class frequencies of the fold's training part.
        history: rows of fold, epoch, split, loss, metric (accuracy); an epoch is a step over all photos.
        choices: what each fold chose inside its training part.
        head: the k heads.
    """

    logits: Array
    probabilities: Array
    decisions: Array
    baseline: Array
    history: list[dict[str, Any]]
    choices: list[dict[str, Any]]
    head: FittedHead


def cross_validate(
    question: Question, views: Views, folds: Sequence[Fold], inner: Sequence[Array], settings: Settings
) -> OutOfFold:
    """Fits and judges one head on every fold.

    Args:
        question: the head.
        views: the photos' feature vectors.
        folds: the k splits of the photos.
        inner: for each fold int64 (n,): the inner fold of its training photos, -1 for its test photos.
        settings: how to fit.

    Raises:
        TrainingError: if a training part has no labelled photo or the fit is not finite.
    """
    rows, per_photo = views.rows(question.has_sides)
    columns = [question.columns(), question.mirrored_columns()][:per_photo]
    desk = _Desk(question, rows, per_photo, np.concatenate(columns))
    inner_logits, strengths = _choose_strengths(desk, inner, settings)
    curves = _Curves(desk, folds)
    trained = np.stack([_member(fold.train, len(question.labelled)) for fold in folds])
    weights = fit_linear(rows, desk.problem(trained, strengths), settings.max_steps, TOLERANCE, observe=curves.observe)
    if not np.isfinite(weights).all():
        raise TrainingError(f"{question.name}: the fit is not finite. Raise training.l2 (now {list(settings.l2)}).")
    return _assemble(desk, folds, weights, curves, (inner_logits, strengths))


@dataclass(frozen=True)
class _Desk:
    """One head's rows and targets, where all its fits are made."""

    question: Question
    rows: Rows
    per_photo: int
    targets: Array  # float32 (per_photo * n, num_classes)

    def problem(self, trained: Array, l2: Array) -> Problem:
        """States the fits of training parts, bool (num_fits, n)."""
        members = np.tile(trained & self.question.labelled, (1, self.per_photo)).astype(np.float64)
        shares = members / np.maximum(members.sum(axis=1, keepdims=True), 1)
        return Problem(self.question.kind, self.targets, shares.astype(np.float32), l2)

    def logits(self, weights: Array) -> Array:
        """Logits of all photos, float32 (n, num_fits, num_classes): the mean over their views."""
        logits = logits_of(self.rows.coordinates, weights)
        return merge_views(logits.reshape(self.per_photo, -1, *logits.shape[1:]), self.question.label_set)


def _member(index: Array, count: int) -> Array:
    member = np.zeros(count, bool)
    member[index] = True
    return member


def _choose_strengths(desk: _Desk, inner: Sequence[Array], settings: Settings) -> tuple[list[Array], Array]:
    """Chooses each fold's l2 by its inner log loss, from the strongest to the first that is worse for the fold.

    Returns:
        for each fold float32 (n, num_classes), the logits of its training photos by inner heads that never saw them;
        float64 (k,), the chosen l2.
    """
    parts = [(fold, part) for fold, given in enumerate(inner) for part in range(int(given.max()) + 1)]
    trained = np.stack([(inner[fold] >= 0) & (inner[fold] != part) for fold, part in parts])
    judged = [(given >= 0) & desk.question.labelled for given in inner]
    columns = desk.question.columns()
    best_losses, strengths = np.full(len(inner), np.inf), np.zeros(len(inner))
    best_logits, weights = [np.zeros_like(columns) for _ in inner], None
    better = np.ones(len(inner), bool)
    for strength in sorted(settings.l2, reverse=True):
        problem = desk.problem(trained, np.full(len(parts), strength))
        weights = fit_linear(desk.rows, problem, settings.max_steps, INNER_TOLERANCE, weights)
        held_out = _held_out(desk.logits(weights), parts, inner)
        losses = np.array(
            [
                row_losses(logits[own], columns[own], desk.question.kind).mean()
                for logits, own in zip(held_out, judged, strict=True)
            ]
        )
        better &= losses < best_losses  # how long the others go on must not matter to a fold
        for fold in np.flatnonzero(better):
            best_losses[fold], strengths[fold], best_logits[fold] = losses[fold], strength, held_out[fold]
        if not better.any():
            break
    return best_logits, strengths


def _held_out(logits: Array, parts: Sequence[tuple[int, int]], inner: Sequence[Array]) -> list[Array]:
    """Picks for each fold, from logits (n, num_parts, num_classes), those of the inner head that never saw a photo."""
    picked = [np.zeros((len(logits), logits.shape[2]), np.float32) for _ in inner]
    for position, (fold, part) in enumerate(parts):
        own = inner[fold] == part
        picked[fold][own] = logits[own, position]
    return picked


class _Curves:
    """Loss and accuracy of the training and the held-out photos after each step: looked at, never used."""

    def __init__(self, desk: _Desk, folds: Sequence[Fold]) -> None:
        self.desk = desk
        self.columns = desk.question.columns()[:, None]
        labelled = desk.question.labelled
        self.splits = {
            split: np.stack([_member(getattr(fold, part), len(labelled)) & labelled for fold in folds], axis=1)
            for split, part in (("train", "train"), ("validation", "test"))
        }
        self.rows: list[dict[str, Any]] = []

    def observe(self, step: int, weights: Array) -> None:
        """Notes one step."""
        logits = self.desk.logits(weights)  # (n, k, num_classes)
        kind = self.desk.question.kind
        losses = row_losses(logits, self.columns, kind)  # (n, k)
        if kind == "categorical":
            right = logits.argmax(axis=2) == self.columns.argmax(axis=2)
        else:
            right = ((logits > 0) == (self.columns > 0)).mean(axis=2)
        for split, members in self.splits.items():
            loss, metric = (ratio((values * members).sum(axis=0), members.sum(axis=0)) for values in (losses, right))
            self.rows += [
                {"fold": fold, "epoch": step, "split": split, "loss": float(loss[fold]), "metric": float(metric[fold])}
                for fold in range(members.shape[1])
            ]


def _assemble(
    desk: _Desk, folds: Sequence[Fold], weights: Array, curves: _Curves, inner: tuple[list[Array], Array]
) -> OutOfFold:
    """Gives every photo the answer of the head that never saw it, with that head's own temperature and thresholds."""
    question, columns = desk.question, desk.question.columns()
    everything = desk.logits(weights)
    shape = columns.shape
    logits, probabilities = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    decisions, baseline = np.zeros(shape, bool), np.zeros(shape)
    temperatures, thresholds, choices = [], [], []
    for number, fold in enumerate(folds):
        own = fold.train[question.labelled[fold.train]]
        inner_logits, targets = inner[0][number][own], columns[own]
        temperature = fit_temperature(inner_logits, targets, question.kind)
        threshold = choose_thresholds(calibrated(inner_logits, temperature, question.kind), targets)
        logits[fold.test] = everything[fold.test, number]
        probabilities[fold.test] = calibrated(logits[fold.test], temperature, question.kind)
        decisions[fold.test] = decide(probabilities[fold.test], question.kind, threshold)
        baseline[fold.test] = targets.mean(axis=0)
        temperatures.append(temperature)
        thresholds.append(threshold)
        given = threshold.tolist() if question.kind == "multi_label" else None
        l2 = float(inner[1][number])
        choices.append({"fold": number, "l2": l2, "temperature": temperature, "thresholds": given})
    kernels, biases = original_weights(desk.rows, weights)
    head = FittedHead(question.kind, question.label_set, kernels, biases, np.array(temperatures), np.stack(thresholds))
    return OutOfFold(logits, probabilities, decisions, baseline, curves.rows, choices, head)
