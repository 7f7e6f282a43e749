"""Records of out-of-fold predictions -> the tree of results.json. Pure: same records, same tree."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from carclf import intervals, scores
from carclf.intervals import Estimate
from carclf.mask_metrics import MaskCounts, mask_confusion, mask_label_table
from carclf.metrics import (
    Predictions,
    Record,
    confusion_matrix,
    judged_confidence,
    label_table,
    raw_probabilities,
)
from carclf.risk_coverage import Cutoffs, risk_coverage
from carclf.scores import Array

Tree = dict[str, Any]

SCHEMA_VERSION = 1
SIGNIFICANT_DIGITS = 6  # more are noise, and differ between processors
NOT_IN_INTERVALS = "Variation from retraining is not in the intervals: the heads are fitted once."
OPENING_METRIC = {"categorical": "accuracy", "multi_label": "binary_accuracy", "segmentation": "dice"}


def run_results(header: Mapping[str, Any], heads: Mapping[str, Tree]) -> Tree:
    """Joins the results of all heads of one model into the tree of results.json.

    Args:
        header: what the file's head says. Keys: `carclf_version`, `model`, `backbone` (a dict: `source`,
            `where`, `sha256`, `image_size`, `input_range`, `engine`, `engine_version`, `seen_drawn_cars`),
            `photos` and `groups` (numbers), `folds` (number), `seed`, `skipped` (list of {`name`, `reason`}),
            `versions` (library: version), `duration_s` (stage: seconds, `total` among them). Further keys are
            kept. `separate_set`: true if the photos were no part of training (evaluate).
        heads: name -> `head_results` or `mask_results`, in the order of the config.

    Returns:
        A tree of dicts, lists, strings, ints, floats, bools and None that json writes the same every time.
    """
    intervals_are = {
        "coverage": 0.95,
        "draws": intervals.DRAWS,
        "of": "the mean over folds; masks: pooled, but for means over photos",
        "method": "percentile bootstrap, draws of groups within folds",
        "note": NOT_IN_INTERVALS,
    }
    tree: Tree = plain({"schema_version": SCHEMA_VERSION, **header, "intervals": intervals_are, "heads": dict(heads)})
    return tree


def head_results(
    predictions: Predictions,
    history: Sequence[Mapping[str, Any]],
    choices: Sequence[Mapping[str, Any]],
    none_label: str | None,
    seed: int,
    cutoffs: Cutoffs | None = None,
) -> Tree:
    """The results of one classification head.

    Args:
        predictions: out of fold (or of one pseudo-fold, for a separate set).
        history: rows with `fold`, `epoch`, `split`, `loss`, `metric`.
        choices: what was chosen inside each fold, one dict per fold: `fold`, `temperature`, `thresholds` (one
            per class, in the order of the classes; or None), `l2`, `steps`, ...
        none_label: the class that means "nothing found", for `accuracy_damaged`; or None.
        seed: of the bootstrap.
        cutoffs: from which confidence on it answers; None: it always does.
    """
    labels = label_table(predictions)
    thresholds = mean_thresholds(choices, len(predictions.class_names))
    for row, threshold in zip(labels.values(), thresholds, strict=True):
        row["threshold"] = threshold
    head = {"kind": predictions.kind, **_size(predictions), "none_label": none_label}
    head |= _estimates(predictions, predictions.kind, none_label, seed)
    head |= {
        "labels": labels,
        "confusion": confusion_matrix(predictions),
        "calibration": calibration(predictions),
        "risk_coverage": risk_coverage(predictions, cutoffs, seed),
    }
    return _finished(head, history, choices)


def mask_results(
    counts: MaskCounts,
    history: Sequence[Mapping[str, Any]],
    choices: Sequence[Mapping[str, Any]],
    seed: int,
    cutoffs: Cutoffs | None = None,
) -> Tree:
    """The results of one segmentation head; arguments as in `head_results`.

    `labels`: see mask_metrics.mask_label_table. `nothing`: what predicting nothing scores, in every metric.
    `min_probability`: from which on a region counts as produced.
    `confusion` counts photos: a region of the class is there or not, by truth (rows) and by the head.
    """
    labels = mask_label_table(counts)
    damaged = int((counts.counts[..., (0, 2)].sum(axis=(1, 2)) > 0).sum())
    thresholds = mean_thresholds(choices, len(counts.class_names))
    for row, threshold in zip(labels.values(), thresholds, strict=True):
        row["threshold"] = threshold
    head = {"kind": "segmentation", **_size(counts), "photos_with_foreground": damaged}
    head |= _estimates(counts, "segmentation", None, seed)
    nothing = intervals.mean_values(replace(counts, scores=counts.baselines["nothing"]))
    head |= {"nothing": nothing, "min_probability": counts.min_probability}
    head |= {"labels": labels, "confusion": mask_confusion(counts)}
    head |= {"risk_coverage": risk_coverage(counts, cutoffs, seed)}
    return _finished(head, history, choices)


def _size(record: Record) -> Tree:
    return {
        "class_names": record.class_names,
        "photos": len(record.photos),
        "groups": len(np.unique(record.groups)),
        "folds": np.unique(record.folds),
    }


def _estimates(record: Record, kind: str, none_label: str | None, seed: int) -> Tree:
    estimates = intervals.estimates(record, none_label, seed)
    return {
        "best_iteration": best_iteration(estimates[OPENING_METRIC[kind]]),
        "metrics": {name: vars(estimate) for name, estimate in estimates.items()},
    }


def _finished(head: Tree, history: Sequence[Mapping[str, Any]], choices: Sequence[Mapping[str, Any]]) -> Tree:
    names = head["class_names"]
    head["choices"] = [_named_thresholds(choice, names) for choice in choices]
    head["learning"] = last_of_curves(history)
    tree: Tree = plain(head)
    return tree


def best_iteration(estimate: Estimate) -> int | None:
    """The place, from 1, of the fold that scored best, as the predecessor printed it; None without scores."""
    values = np.asarray(estimate.folds)
    return None if np.isnan(values).all() else int(np.nanargmax(values)) + 1


def mean_thresholds(choices: Sequence[Mapping[str, Any]], num_classes: int) -> list[float]:
    """The mean over folds of each class' threshold; NaN where the head decides without."""
    chosen = [choice["thresholds"] for choice in choices if choice.get("thresholds") is not None]
    if not chosen:
        return [float("nan")] * num_classes
    return [float(value) for value in np.mean(np.asarray(chosen, np.float64), axis=0)]


def _named_thresholds(choice: Mapping[str, Any], class_names: Sequence[str]) -> Tree:
    thresholds = choice.get("thresholds")
    if thresholds is None:
        return dict(choice)
    return {**choice, "thresholds": dict(zip(class_names, thresholds, strict=True))}


def calibration(predictions: Predictions) -> Tree:
    """The bins of the reliability diagram, and the calibration error that luck alone would show.

    Returns:
        `by_chance`: {mean, pooled}: what a perfectly calibrated head would show, per fold and pooled.
        `raw`, `after_temperature`: per bin of the pooled photos {n, confidence, came_true}.
    """
    by_fold = [_chance_error(predictions.rows(predictions.folds == fold)) for fold in np.unique(predictions.folds)]
    return {
        "by_chance": {"mean": float(np.mean(by_fold)), "pooled": _chance_error(predictions)},
        "raw": reliability_bins(predictions, raw_probabilities(predictions)),
        "after_temperature": reliability_bins(predictions, predictions.probabilities),
    }


def _chance_error(predictions: Predictions) -> float:
    confidence, _ = judged_confidence(predictions, predictions.probabilities)
    return scores.chance_calibration_error(confidence)


def reliability_bins(predictions: Predictions, probabilities: Array) -> list[Tree]:
    """Per bin of equal mass that holds any answer: n, mean confidence, share that came true."""
    confidence, came_true = judged_confidence(predictions, probabilities)
    bins = scores.calibration_bins(confidence)
    return [
        {
            "n": int((bins == place).sum()),
            "confidence": float(confidence[bins == place].mean(dtype=np.float64)),
            "came_true": float(came_true[bins == place].mean()),
        }
        for place in np.unique(bins)
    ]


def last_of_curves(history: Sequence[Mapping[str, Any]]) -> list[Tree]:
    """Per fold and split the last epoch of the curves: where training ended."""
    last: dict[tuple[int, str], Mapping[str, Any]] = {}
    for row in history:
        key = (int(row["fold"]), str(row["split"]))
        if key not in last or row["epoch"] >= last[key]["epoch"]:
            last[key] = row
    return [
        {"fold": fold, "split": split, "epoch": row["epoch"], "loss": row["loss"], "metric": row["metric"]}
        for (fold, split), row in sorted(last.items(), key=lambda item: item[0])
    ]


def plain(value: Any) -> Any:
    """Turns arrays, tuples and numpy numbers into what json knows; floats to 6 digits, NaN to None."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return float(f"{value:.{SIGNIFICANT_DIGITS}g}") if np.isfinite(value) else None
    return value
