"""What fewer bits cost is measured on photos that the answering head had not seen."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from carclf.config import Config
from carclf.errors import PhotoError
from carclf.export.precision import loss_text, measure_loss
from carclf.predict import Predictor
from carclf.results import read_record
from carclf.rundir import RunDir
from tests.drawn_set import MODEL


@pytest.fixture(scope="module")
def exact(config: Config, predictor: Predictor) -> dict[str, Any]:
    """Nothing is lost: each fold head is asked about its own photos, and decides as in training."""
    return measure_loss(config, predictor, "openvino", "float32")


def test_all_bits_lose_nothing(exact: dict[str, Any]) -> None:
    assert exact["photos"] == 48
    for name in ("severity", "damage_type"):
        assert exact["heads"][name]["largest_change"] < 1e-4
        assert exact["heads"][name]["answers_changed"] == 0


def test_the_scores_are_those_of_the_run(exact: dict[str, Any], drawn_run: Path) -> None:
    run = RunDir(drawn_run / "results" / MODEL)
    results = run.read_json("results.json")["heads"]
    for name, head in exact["heads"].items():
        for metric, value in head["means"]["float32"].items():
            expected = results[name]["metrics"][metric]["mean"]
            assert value == (
                pytest.approx(expected, abs=1e-3) if name == "damage_mask" else expected
            )  # pixels may flip
        assert head["photos"] == len(read_record(run, name, results[name]["kind"]).photos)


def test_few_bits_change_something_and_say_so(config: Config, predictor: Predictor) -> None:
    tree = measure_loss(config, predictor, "litert", "int8")
    text = loss_text(tree)
    assert text.startswith("int8 in litert, out of fold, 48 photos\nseverity: ")
    assert tree["not_measured"] == []
    for name in ("damage_type", "damage_mask"):
        assert f"{name}: float32 - int8" in text
    for name in ("severity", "damage_type"):
        assert 1e-4 < tree["heads"][name]["largest_change"] < 0.5
        (pair,) = tree["heads"][name]["pairs"]
        assert set(pair["metrics"]) == set(tree["heads"][name]["means"]["int8"])
        assert all(np.isfinite(row["difference"]) for row in pair["metrics"].values())
    mask = tree["heads"]["damage_mask"]
    assert mask["means"]["int8"]["dice"] != mask["means"]["float32"]["dice"]
    assert mask["photos"] == 48


def test_masks_that_look_at_tiles_are_not_measured(config: Config, predictor: Predictor) -> None:
    head = predictor.mask_heads["damage_mask"]
    in_tiles = replace(head, looking=replace(head.looking, tile=64))
    alone = replace(predictor, backbone=None, heads={}, mask_heads={"damage_mask": in_tiles})
    tree = measure_loss(config, alone, "openvino", "float32")
    assert (tree["not_measured"], tree["heads"], tree["photos"]) == (["damage_mask"], {}, 0)
    assert "not measured: damage_mask (looked at in tiles)" in loss_text(tree)


def test_a_photo_that_has_changed_is_an_error(config: Config, predictor: Predictor, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    shutil.copytree(config.dataset.photos, photos)  # type: ignore[union-attr]
    first, second = sorted(photos.iterdir())[:2]
    shutil.copyfile(second, first)
    moved = config.model_copy(update={"dataset": config.dataset.model_copy(update={"photos": photos})})
    with pytest.raises(PhotoError, match="is another photo than in training"):
        measure_loss(moved, predictor, "openvino", "float32")
