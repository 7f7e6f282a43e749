"""What fewer bits cost is measured on photos that the answering head had not seen."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from carclf.config import Config, read_config
from carclf.errors import PhotoError
from carclf.export.precision import loss_text, measure_loss
from carclf.predict import Predictor
from carclf.records import read_predictions
from carclf.rundir import RunDir
from tests.drawn_set import MODEL


@pytest.fixture(scope="module")
def config(drawn_run: Path) -> Config:
    return read_config(drawn_run / "config.json")


@pytest.fixture(scope="module")
def exact(config: Config, predictor: Predictor) -> dict[str, Any]:
    """Nothing is lost: each fold head is asked about its own photos, and decides as in training."""
    return measure_loss(config, predictor, "openvino", "float32")


def test_all_bits_lose_nothing(exact: dict[str, Any]) -> None:
    assert exact["photos"] == 48
    for head in exact["heads"].values():
        assert head["largest_change"] < 1e-4
        assert head["answers_changed"] == 0


def test_the_scores_before_are_those_of_the_run(exact: dict[str, Any], drawn_run: Path) -> None:
    run = RunDir(drawn_run / "results" / MODEL)
    results = run.read_json("results.json")["heads"]
    for name, head in exact["heads"].items():
        for metric, value in head["means"]["float32"].items():
            assert value == results[name]["metrics"][metric]["mean"]
        assert head["photos"] == len(read_predictions(run, name, results[name]["kind"]).photos)


def test_few_bits_change_something_and_say_so(config: Config, predictor: Predictor) -> None:
    tree = measure_loss(config, predictor, "litert", "int8")
    text = loss_text(tree)
    assert text.startswith("int8 in litert, out of fold, 48 photos\nseverity: ")
    assert "not measured: damage_mask (masks)" in text
    assert "damage_type: float32 - int8" in text
    for head in tree["heads"].values():
        assert 1e-4 < head["largest_change"] < 0.5
        (pair,) = head["pairs"]
        assert set(pair["metrics"]) == set(head["means"]["int8"])
        assert all(np.isfinite(row["difference"]) for row in pair["metrics"].values())


def test_a_photo_that_has_changed_is_an_error(config: Config, predictor: Predictor, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    shutil.copytree(config.dataset.photos, photos)  # type: ignore[union-attr]
    first, second = sorted(photos.iterdir())[:2]
    shutil.copyfile(second, first)
    moved = config.model_copy(update={"dataset": config.dataset.model_copy(update={"photos": photos})})
    with pytest.raises(PhotoError, match="is another photo than in training"):
        measure_loss(moved, predictor, "openvino", "float32")
