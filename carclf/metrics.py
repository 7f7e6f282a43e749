"""Out-of-fold predictions and pixel counts -> accuracy, F1, average precision, Dice, calibration error."""

from dataclasses import dataclass, replace

import numpy as np

from carclf import scores
from carclf.mask_metrics import MaskCounts, weighted_mask_metrics
from carclf.scores import Array

CATEGORICAL_METRICS = (
    "accuracy",
    "accuracy_damaged",
    "macro_f1",
    "log_loss",
    "brier",
    "calibration_error",
    "calibration_error_raw",
)
MULTI_LABEL_METRICS = (
    "binary_accuracy",
    "macro_f1",
    "mean_ap",
    "log_loss",
    "calibration_error",
    "calibration_error_raw",
)
LOWER_IS_BETTER = (
    "log_loss",
    "brier",
    "calibration_error",
    "calibration_error_raw",
    "false_alarm",
    "categorical_crossentropy",
)


@dataclass(frozen=True)
class Predictions:
    """Predictions of one classification head, a row per labelled photo, each by a head that never saw it."""

    kind: str  # "categorical" | "multi_label"
    class_names: tuple[str, ...]
    photos: tuple[str, ...]
    groups: Array  # int64 (n,) photos of one group never straddle folds
    folds: Array  # int64 (n,) the fold whose head, which never saw the photo, made the row
    targets: Array  # int64 (n,) or int8 (n, C) of 0 and 1
    logits: Array  # float32 (n, C) raw, before temperature
    probabilities: Array  # float32 (n, C) after the fold's temperature
    decisions: Array  # bool (n, C): the most probable class, or probability >= the fold's threshold
    baseline: Array  # float64 (n, C): the constant answer: class frequencies of the fold's training part

    def rows(self, mask: Array) -> "Predictions":
        """Takes the rows where `mask`, bool (n,), is true (or the rows of an index array)."""
        index = np.arange(len(self.photos))[mask]
        return replace(
            self,
            photos=tuple(self.photos[i] for i in index),
            groups=self.groups[index],
            folds=self.folds[index],
            targets=self.targets[index],
            logits=self.logits[index],
            probabilities=self.probabilities[index],
            decisions=self.decisions[index],
            baseline=self.baseline[index],
        )


Record = Predictions | MaskCounts


def weighted_record_metrics(record: Record, none_label: str | None, weights: Array) -> dict[str, Array]:
    """The metrics of either kind of record under `weights`, float64 (draws, n): name -> float64 (draws,)."""
    if isinstance(record, MaskCounts):
        return weighted_mask_metrics(record, weights)
    return weighted_metrics(record, none_label, weights)


def classification_metrics(predictions: Predictions, none_label: str | None = None) -> dict[str, float]:
    """Every metric of a classification head over the given rows; NaN where the rows do not define it.

    Args:
        predictions: rows of one fold, or of all.
        none_label: the class that means "nothing found"; without it there is no `accuracy_damaged`.
    """
    weights = np.ones((1, len(predictions.photos)))
    drawn = weighted_metrics(predictions, none_label, weights)
    return {name: float(values[0]) for name, values in drawn.items()}


def weighted_metrics(predictions: Predictions, none_label: str | None, weights: Array) -> dict[str, Array]:
    """The metrics under every row of `weights`, float64 (draws, n): name -> float64 (draws,)."""
    if predictions.kind == "categorical":
        return _categorical_metrics(predictions, none_label, weights)
    return _multi_label_metrics(predictions, weights)


def _categorical_metrics(predictions: Predictions, none_label: str | None, weights: Array) -> dict[str, Array]:
    truth = one_hot(predictions)
    correct: Array = np.any(truth & predictions.decisions, axis=1)
    probabilities = predictions.probabilities.astype(np.float64)
    of_truth = np.maximum(probabilities[truth], scores.SMALLEST_PROBABILITY)  # (n,): one true class per row
    drawn = {"accuracy": scores.weighted_mean(correct, weights)}
    if none_label is not None:
        damaged = ~truth[:, predictions.class_names.index(none_label)]
        drawn["accuracy_damaged"] = scores.weighted_mean(correct, weights, damaged)
    f1 = scores.f1_scores(truth, predictions.decisions, weights)
    drawn["macro_f1"] = scores.mean_of_defined(f1, axis=1)
    drawn["log_loss"] = scores.weighted_mean(-np.log(of_truth), weights)
    drawn["brier"] = scores.weighted_mean(((probabilities - truth) ** 2).sum(axis=1), weights)
    return drawn | _calibration_metrics(predictions, weights)


def _multi_label_metrics(predictions: Predictions, weights: Array) -> dict[str, Array]:
    truth = one_hot(predictions)
    probabilities = predictions.probabilities.astype(np.float64)
    of_truth = np.where(truth, probabilities, 1 - probabilities)  # (n, C) probability of what came true
    losses = -np.log(np.maximum(of_truth, scores.SMALLEST_PROBABILITY))
    f1 = scores.f1_scores(truth, predictions.decisions, weights)
    precisions = np.stack(
        [scores.average_precision(truth[:, c], probabilities[:, c], weights) for c in range(truth.shape[1])],
        axis=1,
    )  # (draws, C)
    drawn = {
        "binary_accuracy": scores.weighted_mean(((probabilities > 0.5) == truth).mean(axis=1), weights),
        "macro_f1": scores.mean_of_defined(f1, axis=1),
        "mean_ap": scores.mean_of_defined(precisions, axis=1),
        "log_loss": scores.weighted_mean(losses.mean(axis=1), weights),
    }
    return drawn | _calibration_metrics(predictions, weights)


def _calibration_metrics(predictions: Predictions, weights: Array) -> dict[str, Array]:
    after, came_true = judged_confidence(predictions, predictions.probabilities)
    raw, raw_came_true = judged_confidence(predictions, raw_probabilities(predictions))
    return {
        "calibration_error": scores.calibration_error(after, came_true, weights),
        "calibration_error_raw": scores.calibration_error(raw, raw_came_true, weights),
    }


def one_hot(predictions: Predictions) -> Array:
    """The targets as bool (n, C)."""
    if predictions.kind == "categorical":
        return np.asarray(predictions.targets[:, None] == np.arange(len(predictions.class_names)))
    return np.asarray(predictions.targets == 1)


def raw_probabilities(predictions: Predictions) -> Array:
    """Softmax or sigmoid of the logits before temperature, float64 (n, C)."""
    activation = scores.softmax if predictions.kind == "categorical" else scores.sigmoid
    return activation(predictions.logits)


def judged_confidence(predictions: Predictions, probabilities: Array) -> tuple[Array, Array]:
    """What the calibration error judges: confidence (n, k) and whether it came true, bool (n, k).

    Categorical: the most probable class, k = 1. Multi-label: every label's probability, k = C.
    """
    truth = one_hot(predictions)
    if predictions.kind == "multi_label":
        return probabilities, truth
    top = probabilities.argmax(axis=1)[:, None]
    return np.take_along_axis(probabilities, top, axis=1), np.take_along_axis(truth, top, axis=1)


def label_table(predictions: Predictions) -> dict[str, dict[str, float]]:
    """Per label, over all rows: n (positives), precision, recall, f1, ap, auc; NaN where not defined."""
    truth, decided = one_hot(predictions), predictions.decisions
    weights = np.ones((1, len(truth)))
    f1 = scores.f1_scores(truth, decided, weights)[0]
    table = {}
    for c, name in enumerate(predictions.class_names):
        hits = (truth[:, c] & decided[:, c]).sum()
        ranking = predictions.probabilities[:, c]
        table[name] = {
            "n": int(truth[:, c].sum()),
            "precision": float(scores.ratio(hits, decided[:, c].sum())),
            "recall": float(scores.ratio(hits, truth[:, c].sum())),
            "f1": float(f1[c]),
            "ap": float(scores.average_precision(truth[:, c], ranking, weights)[0]),
            "auc": float(scores.area_under_roc(truth[:, c], ranking, weights)[0]),
        }
    return table


def confusion_matrix(predictions: Predictions) -> Array:
    """Counts of photos: categorical (C, C), true class by row; multi-label (C, 2, 2), truth off/on by row."""
    truth, decided = one_hot(predictions).astype(np.int64), predictions.decisions.astype(np.int64)
    if predictions.kind == "categorical":
        return np.asarray(truth.T @ decided)
    return scores.presence_confusion(truth, decided)
