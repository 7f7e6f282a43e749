"""The tables that published segmentation projects write, of a head's curves and scores: for spreadsheets."""

from collections.abc import Mapping, Sequence
from typing import Any

from carclf.rundir import RunDir

CURVES = {"train_losses.csv": "loss", "train_metrics.csv": "metric"}
EVALUATION = "evaluation.csv"
FILES = (EVALUATION, *CURVES)
SPLITS = {"train": "", "inner_validation": "inner_val_", "validation": "val_"}
"""Split of the curves -> what its columns begin with; "val" is the held-out fold, which decides nothing."""
METRIC = "dice"  # what the curves' metric is, at a probability of 0.5


def write_mask_tables(run: RunDir, head: str, tree: Mapping[str, Any], history: Sequence[Mapping[str, Any]]) -> None:
    """Writes <head>/evaluation.csv, train_losses.csv and train_metrics.csv.

    Args:
        run: a finished run.
        head: a segmentation head.
        tree: its part of results.json.
        history: its curves: rows with `fold`, `epoch`, `split`, `loss`, `metric`.
    """
    for file, key in CURVES.items():
        run.write_table(f"{head}/{file}", _curve_columns(history, key))
    metrics = tree["metrics"]
    columns: dict[str, list[Any]] = {"metric": list(metrics)}
    columns |= {name: [metric[name] for metric in metrics.values()] for name in ("mean", "pooled", "baseline")}
    columns["nothing"] = [tree["nothing"][name] for name in metrics]
    columns |= {
        end: [metric["interval"][place] for metric in metrics.values()] for place, end in enumerate(("low", "high"))
    }
    for place, fold in enumerate(tree["folds"]):
        columns[f"fold {fold}"] = [metric["folds"][place] for metric in metrics.values()]
    run.write_table(f"{head}/{EVALUATION}", columns)


def _curve_columns(history: Sequence[Mapping[str, Any]], key: str) -> dict[str, list[Any]]:
    """fold, epoch, and a column per split: empty where a split has no such epoch."""
    rows: dict[tuple[int, int], dict[str, Any]] = {}
    for row in history:
        rows.setdefault((int(row["fold"]), int(row["epoch"])), {})[str(row["split"])] = row[key]
    places = sorted(rows)
    name = METRIC if key == "metric" else key
    columns: dict[str, list[Any]] = {"fold": [fold for fold, _ in places], "epoch": [epoch for _, epoch in places]}
    return columns | {f"{start}{name}": [rows[place].get(split) for place in places] for split, start in SPLITS.items()}
