"""The tables that published projects write hold what results.json and the curves hold."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from carclf.mask_tables import CURVES, EVALUATION, write_mask_tables
from carclf.report import mask_results
from carclf.rundir import RunDir
from tests.fake_records import make_mask_counts

HISTORY: list[dict[str, Any]] = [
    {"fold": fold, "epoch": epoch, "split": split, "loss": fold + epoch / 10, "metric": epoch / 100}
    for fold in (0, 1)
    for split, epochs in (("train", 3), ("validation", 3), ("inner_validation", 5))
    for epoch in range(1, epochs + 1)
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = RunDir(tmp_path_factory.mktemp("run"))
    tree = mask_results(make_mask_counts(), HISTORY, [], seed=0)
    write_mask_tables(run, "mask", tree, HISTORY)
    return run.path / "mask"


def test_scores_stand_beside_those_of_nothing(folder: Path) -> None:
    tree = mask_results(make_mask_counts(), HISTORY, [], seed=0)
    table = pd.read_csv(folder / EVALUATION, index_col="metric")
    assert list(table.index) == list(tree["metrics"])
    for name, metric in tree["metrics"].items():
        row = table.loc[name]
        assert [row["low"], row["high"]] == pytest.approx(metric["interval"])
        assert [row[f"fold {fold}"] for fold in range(5)] == pytest.approx(metric["folds"])
        assert [row["mean"], row["pooled"]] == pytest.approx([metric["mean"], metric["pooled"]])
        nothing = tree["nothing"][name]
        assert np.isnan(row["nothing"]) if nothing is None else row["nothing"] == pytest.approx(nothing)
    assert table.loc["dice", "nothing"] == 0


@pytest.mark.parametrize(("file", "key"), list(CURVES.items()))
def test_curves_have_a_column_for_every_split(folder: Path, file: str, key: str) -> None:
    table = pd.read_csv(folder / file)
    name = {"loss": "loss", "metric": "dice"}[key]
    assert list(table) == ["fold", "epoch", name, f"inner_val_{name}", f"val_{name}"]
    assert table[["fold", "epoch"]].to_numpy().tolist() == [[f, e] for f in (0, 1) for e in range(1, 6)]
    known = {(row["fold"], row["epoch"], row["split"]): row[key] for row in HISTORY}
    for split, column in (("train", name), ("inner_validation", f"inner_val_{name}"), ("validation", f"val_{name}")):
        places = table[["fold", "epoch"]].to_numpy().tolist()
        expected = [known.get((fold, epoch, split), np.nan) for fold, epoch in places]
        np.testing.assert_allclose(table[column], expected)
    assert table[f"val_{name}"].isna().sum() == 4  # a fit that patience ended sooner than the first one
