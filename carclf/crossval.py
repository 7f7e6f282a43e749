"""Folds × head -> predictions out of fold, learning curves, the k heads and what was chosen for each of them.

Everything a fold chooses (strength of the penalty, number of steps, temperature, thresholds, min_probability) it
chooses on inner folds of its own training part; its head is fitted on the whole training part. The photos it is scored
on decide nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from carclf.calibration import calibrated, choose_thresholds, decide, fit_temperature
from carclf.fitting import Desk, Fitted, Settings
from carclf.folds import Fold
from carclf.heads import Head, Question, Views, make_head
from carclf.linear_heads import fit_linear_heads
from carclf.mlp_heads import fit_mlp_heads
from carclf.scores import Array
from carclf.selective import InnerAnswers, label_confidence, labels_right

__all__ = ["OutOfFold", "Settings", "cross_validate"]


@dataclass(frozen=True)
class OutOfFold:
    """What the cross-validation of one head yields; rows are the photos, in their order.

    Attributes:
        logits: float32 (n, num_classes), by the head that never saw the photo.
        probabilities: float32 (n, num_classes), after the fold's temperature.
        decisions: bool (n, num_classes).
        baseline: float64 (n, num_classes), class frequencies of the fold's training part.
        history: rows of fold, epoch, split, loss, metric (accuracy); an epoch is a step or pass over all photos.
        choices: what each fold chose inside its training part.
        head: the k heads.
        inner: for each fold the answers to the photos of its training part by heads that never saw them.
    """

    logits: Array
    probabilities: Array
    decisions: Array
    baseline: Array
    history: list[dict[str, Any]]
    choices: list[dict[str, Any]]
    head: Head
    inner: list[InnerAnswers]


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
        TrainingError: if a training part has no labelled photo or a fit is not finite.
    """
    desk = Desk(question, views, folds, inner)
    fit = fit_mlp_heads if settings.hidden_units else fit_linear_heads
    return _assemble(desk, fit(desk, settings))


def _assemble(desk: Desk, fitted: Fitted) -> OutOfFold:
    """Gives every photo the answer of the head that never saw it, with that head's own temperature and thresholds."""
    question, columns = desk.question, desk.columns
    shape = columns.shape
    logits, probabilities = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    decisions, baseline = np.zeros(shape, bool), np.zeros(shape)
    temperatures, thresholds, choices, inner = [], [], [], []
    for number, fold in enumerate(desk.folds):
        own = fold.train[question.labelled[fold.train]]
        inner_logits, targets = fitted.inner_logits[number][own], columns[own]
        temperature = fit_temperature(inner_logits, targets, question.kind)
        believed = calibrated(inner_logits, temperature, question.kind)
        threshold = choose_thresholds(believed, targets)
        given = decide(believed, question.kind, threshold)
        sure = label_confidence(believed, given, question.kind)
        inner.append(InnerAnswers(own, sure, labels_right(given, targets > 0)))
        logits[fold.test] = fitted.logits[fold.test, number]
        probabilities[fold.test] = calibrated(logits[fold.test], temperature, question.kind)
        decisions[fold.test] = decide(probabilities[fold.test], question.kind, threshold)
        baseline[fold.test] = targets.mean(axis=0)
        temperatures.append(temperature)
        thresholds.append(threshold)
        told = threshold.tolist() if question.kind == "multi_label" else None
        choices.append({"fold": number, **fitted.choices[number], "temperature": temperature, "thresholds": told})
    arrays = {**fitted.layers, "temperatures": np.array(temperatures), "thresholds": np.stack(thresholds)}
    head = make_head(question.kind, question.label_set, arrays)
    return OutOfFold(logits, probabilities, decisions, baseline, fitted.history, choices, head, inner)
