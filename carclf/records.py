"""Records of out-of-fold predictions, learning curves and heads <-> files of the run directory."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from carclf.heads import Head, make_head
from carclf.label_file import LabelSet
from carclf.labels import NULL
from carclf.metrics import MaskCounts, Predictions
from carclf.rundir import RunDir
from carclf.scores import Array

COUNTS = ("true_positive", "false_positive", "false_negative")
BASELINES = ("nothing", "everything", "mean_mask")


def write_predictions(run: RunDir, head: str, predictions: Predictions) -> None:
    """Writes <head>/predictions.csv of a classification head."""
    names = predictions.class_names
    columns: dict[str, Any] = {
        "photo": predictions.photos,
        "group": predictions.groups,
        "fold": predictions.folds,
        "target": _cells(_on(predictions), names),
        "decision": _cells(predictions.decisions, names),
    }
    scores = {"logit": predictions.logits, "probability": predictions.probabilities, "baseline": predictions.baseline}
    for what, values in scores.items():
        columns |= {f"{what}:{name}": values[:, place] for place, name in enumerate(names)}
    run.write_table(f"{head}/predictions.csv", columns)


def read_predictions(run: RunDir, head: str, kind: str) -> Predictions:
    """Reads <head>/predictions.csv of a classification head."""
    table = run.read_table(f"{head}/predictions.csv", ("photo", "target", "decision"))
    names = _names(table, "logit:")
    targets = _rows(table["target"], names)
    return Predictions(
        kind,
        names,
        tuple(table["photo"]),
        table["group"].to_numpy(np.int64),
        table["fold"].to_numpy(np.int64),
        targets.argmax(axis=1) if kind == "categorical" else targets.astype(np.int8),
        _matrix(table, "logit", names, np.float32),
        _matrix(table, "probability", names, np.float32),
        _rows(table["decision"], names),
        _matrix(table, "baseline", names, np.float64),
    )


def write_mask_counts(run: RunDir, head: str, counts: MaskCounts) -> None:
    """Writes <head>/predictions.csv of a segmentation head: its pixel counts, a row a photo."""
    columns: dict[str, Any] = {
        "photo": counts.photos,
        "group": counts.groups,
        "fold": counts.folds,
        "pixels": counts.pixels,
    }
    for which, values in zip(("", *BASELINES), (counts.counts, *counts.baselines), strict=True):
        for place, name in enumerate(counts.class_names):
            for column, count in enumerate(COUNTS):
                columns[f"{which}{'_' if which else ''}{count}:{name}"] = values[:, place, column]
    run.write_table(f"{head}/predictions.csv", columns)


def read_mask_counts(run: RunDir, head: str) -> MaskCounts:
    """Reads <head>/predictions.csv of a segmentation head."""
    table = run.read_table(f"{head}/predictions.csv", ("photo",))
    names = _names(table, f"{COUNTS[0]}:")

    def counts_of(which: str) -> Array:
        each = [_matrix(table, f"{which}{count}", names, np.int64) for count in COUNTS]
        return np.stack(each, axis=-1)

    return MaskCounts(
        names,
        tuple(table["photo"]),
        table["group"].to_numpy(np.int64),
        table["fold"].to_numpy(np.int64),
        counts_of(""),
        np.stack([counts_of(f"{which}_") for which in BASELINES]),
        table["pixels"].to_numpy(np.int64),
    )


def write_history(run: RunDir, head: str, history: Sequence[dict[str, Any]]) -> None:
    """Writes <head>/history.csv: fold, epoch, split, loss, metric."""
    names = ("fold", "epoch", "split", "loss", "metric")
    run.write_table(f"{head}/history.csv", {name: [row[name] for row in history] for name in names})


def read_history(run: RunDir, head: str) -> list[dict[str, Any]]:
    """Reads <head>/history.csv."""
    table = run.read_table(f"{head}/history.csv", ("split",))
    scores = {name: pd.to_numeric(table[name], errors="coerce") for name in ("loss", "metric")}  # empty = undefined
    rows = table.assign(**scores).to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in rows]


def write_head(run: RunDir, name: str, head: Head) -> None:
    """Writes <head>/heads.npz: the k heads and their classes."""
    run.write_arrays(
        f"{name}/heads.npz",
        {
            "kind": np.array(head.kind),
            "class_names": np.array(head.label_set.names),
            "mirror": np.array(head.label_set.mirror),
            **head.arrays(),
        },
    )


def read_head(run: RunDir, name: str) -> Head:
    """Reads <head>/heads.npz."""
    arrays = run.read_arrays(f"{name}/heads.npz")
    names = tuple(str(each) for each in arrays["class_names"])
    label_set = LabelSet(names, tuple(arrays["mirror"].tolist()), (None,) * len(names), run.path / name / "heads.npz")
    return make_head(str(arrays["kind"]), label_set, arrays)


def _on(predictions: Predictions) -> Array:
    if predictions.kind == "categorical":
        return np.asarray(predictions.targets[:, None] == np.arange(len(predictions.class_names)))
    return predictions.targets.astype(bool)


def _cells(rows: Array, names: Sequence[str]) -> list[str]:
    """Bool (n, num_classes) -> cells as in a label table: `a`, `a;b`, NULL; empty if NULL is a class that is off."""
    none = "" if NULL in names else NULL
    return [";".join(names[int(place)] for place in np.flatnonzero(row)) or none for row in rows]


def _rows(cells: "pd.Series[str]", names: Sequence[str]) -> Array:
    """Cells -> bool (n, num_classes)."""
    return np.array([[name in cell.split(";") for name in names] for cell in cells], bool).reshape(-1, len(names))


def _names(table: pd.DataFrame, prefix: str) -> tuple[str, ...]:
    return tuple(column[len(prefix) :] for column in table.columns if column.startswith(prefix))


def _matrix(table: pd.DataFrame, what: str, names: Sequence[str], dtype: type) -> Array:
    return np.stack([table[f"{what}:{name}"].to_numpy(dtype) for name in names], axis=1)
