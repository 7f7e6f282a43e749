"""Records of out-of-fold predictions, learning curves and heads <-> files of the run directory."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from carclf.errors import RunDirError
from carclf.heads import Head, make_head
from carclf.label_file import LabelSet
from carclf.labels import NULL
from carclf.mask_metrics import SOFT_SCORES, MaskCounts, MaskScores
from carclf.metrics import Predictions
from carclf.region_scores import IOU_THRESHOLDS, JudgedRegions
from carclf.rundir import RunDir
from carclf.scores import Array
from carclf.selective import InnerAnswers

COUNTS = ("true_positive", "false_positive", "false_negative")
BOUNDARIES = ("boundary", "boundary_near", "true_boundary", "true_boundary_near")
BASELINES = ("nothing", "everything", "mean_mask")
INNER = "inner.csv"  # what min_probability is chosen from
HEAD = "head"  # in regions.csv, beside BASELINES: the head itself
_INNER_SCORES = ("confidence", "right")


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
    """Writes <head>/predictions.csv of a segmentation head, what was counted in its masks, and <head>/regions.csv.

    In regions.csv, a row is a region that the head or a constant answer found; `matched` says for the IoU thresholds
    0.50, 0.55 … 0.95 whether it is the match of a true one: 1110000000.
    """
    columns: dict[str, Any] = {
        "photo": counts.photos,
        "group": counts.groups,
        "fold": counts.folds,
        "pixels": counts.pixels,
        "confidence": counts.confidence,
        "min_probability": np.full(len(counts.photos), counts.min_probability),
    }
    answers = {"": counts.scores} | dict(counts.baselines)
    found: dict[str, list[Any]] = {name: [] for name in ("photo", "answer", "class", "probability", "matched")}
    for answer, each in answers.items():
        start = f"{answer}_" if answer else ""
        for place, name in enumerate(counts.class_names):
            columns |= {f"{start}{what}:{name}": each.counts[:, place, k] for k, what in enumerate(COUNTS)}
            columns |= {f"{start}{what}:{name}": each.boundaries[:, place, k] for k, what in enumerate(BOUNDARIES)}
        columns |= {f"{start}{what}": each.soft[:, k] for k, what in enumerate(SOFT_SCORES)}
        regions = each.regions
        found["photo"] += [counts.photos[row] for row in regions.photos]
        found["answer"] += [answer or HEAD] * len(regions.photos)
        found["class"] += [counts.class_names[class_id - 1] for class_id in regions.class_ids]
        found["probability"] += regions.probabilities.tolist()
        found["matched"] += ["".join("01"[bit] for bit in row) for row in regions.matched.astype(int)]
    true_counts = counts.scores.regions.true_counts
    columns |= {f"true_regions:{name}": true_counts[:, place] for place, name in enumerate(counts.class_names)}
    run.write_table(f"{head}/predictions.csv", columns)
    run.write_table(f"{head}/regions.csv", found)


def read_mask_counts(run: RunDir, head: str) -> MaskCounts:
    """Reads <head>/predictions.csv and <head>/regions.csv of a segmentation head.

    Raises:
        ValueError, KeyError: if they are those of another kind of head.
    """
    table = run.read_table(f"{head}/predictions.csv", ("photo",))
    names, photos = _names(table, f"{COUNTS[0]}:"), tuple(table["photo"])
    if not names:
        raise ValueError(f"{head}/predictions.csv counts no pixels")
    found = run.read_table(f"{head}/regions.csv", ("photo", "answer", "class", "matched"))

    def scores_of(answer: str) -> MaskScores:
        start = f"{answer}_" if answer else ""
        counts = [_matrix(table, f"{start}{what}", names, np.int64) for what in COUNTS]
        boundaries = [_matrix(table, f"{start}{what}", names, np.int64) for what in BOUNDARIES]
        soft = [pd.to_numeric(table[f"{start}{what}"], errors="coerce").to_numpy(np.float64) for what in SOFT_SCORES]
        own = found[found["answer"] == (answer or HEAD)]
        regions = _read_regions(own, photos, names, _matrix(table, "true_regions", names, np.int64))
        return MaskScores(np.stack(counts, axis=-1), np.stack(boundaries, axis=-1), np.stack(soft, axis=-1), regions)

    return MaskCounts(
        names,
        photos,
        table["group"].to_numpy(np.int64),
        table["fold"].to_numpy(np.int64),
        table["pixels"].to_numpy(np.int64),
        scores_of(""),
        {answer: scores_of(answer) for answer in BASELINES},
        float(table["min_probability"].iloc[0]),
        _confidence(table),
    )


def _confidence(table: pd.DataFrame) -> Array:
    """float32 (n,); NaN in a table of an earlier version, which did not tell it."""
    if "confidence" not in table:
        return np.full(len(table), np.nan, np.float32)
    return table["confidence"].to_numpy(np.float32)


def _read_regions(
    found: pd.DataFrame, photos: Sequence[str], names: Sequence[str], true_counts: Array
) -> JudgedRegions:
    place = {photo: row for row, photo in enumerate(photos)}
    matched = [[bit == "1" for bit in cell] for cell in found["matched"]]
    return JudgedRegions(
        np.array([place[photo] for photo in found["photo"]], np.int64),
        np.array([names.index(name) + 1 for name in found["class"]], np.int64),
        found["probability"].to_numpy(np.float32).astype(np.float64),  # they were float32: so they come back to the bit
        np.array(matched, bool).reshape(len(found), len(IOU_THRESHOLDS)),
        true_counts,
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


def write_inner(run: RunDir, head: str, inner: Sequence[InnerAnswers], photos: Sequence[str], groups: Array) -> None:
    """Writes <head>/inner.csv: what each fold answered to photos of its training part, by heads that never saw them.

    Args:
        run: the run.
        head: its name.
        inner: for each fold; its rows are places among `photos`.
        photos: names.
        groups: int64 (n,), of the photos.
    """
    rows = np.concatenate([each.rows for each in inner])
    columns = {
        "fold": np.repeat(np.arange(len(inner)), [len(each.rows) for each in inner]),
        "photo": [photos[row] for row in rows],
        "group": groups[rows],
        "confidence": np.concatenate([each.confidence for each in inner]),
        "right": np.concatenate([each.right for each in inner]),
    }
    run.write_table(f"{head}/{INNER}", columns)


def read_inner(run: RunDir, head: str) -> list[tuple[InnerAnswers, Array]]:
    """Reads <head>/inner.csv: for each fold its answers, whose rows are those of the table, and their groups.

    Raises:
        RunDirError: if an earlier version trained the head, which kept no such answers.
    """
    if not run.has(f"{head}/{INNER}"):
        raise RunDirError(
            f"{run.path / head}: was trained by a version that kept nothing to choose a min_probability from. Train "
            f"again: python main.py --config … , or delete heads.{head}.target_precision."
        )
    table = run.read_table(f"{head}/{INNER}", ("photo",))
    confidence, right = (pd.to_numeric(table[name], errors="coerce").to_numpy(np.float64) for name in _INNER_SCORES)
    fold, group = table["fold"].to_numpy(np.int64), table["group"].to_numpy(np.int64)
    own = [np.flatnonzero(fold == number) for number in range(len(run.read_json(f"{head}/choices.json")))]
    return [(InnerAnswers(rows, confidence[rows], right[rows]), group[rows]) for rows in own]


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
