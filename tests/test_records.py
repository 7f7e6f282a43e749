"""What is written into a run directory is read back bit for bit."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from carclf.errors import RunDirError
from carclf.heads import FittedHead
from carclf.mask_metrics import MaskCounts, MaskScores
from carclf.metrics import Predictions
from carclf.records import (
    read_head,
    read_history,
    read_inner,
    read_mask_counts,
    read_predictions,
    write_head,
    write_history,
    write_inner,
    write_mask_counts,
    write_predictions,
)
from carclf.region_scores import JudgedRegions, join_photos
from carclf.report import last_of_curves
from carclf.rundir import RunDir
from carclf.selective import InnerAnswers
from tests.fake_records import make_mask_counts, make_predictions
from tests.small_questions import make_label_set

NAMES = ("front bumper", "rear", "NULL", "logit: odd, really")


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return RunDir(tmp_path / "run")


def assert_same(read: Any, written: Any, within: dict[str, float] | None = None) -> None:
    for name, expected in vars(written).items():
        got = getattr(read, name)
        if isinstance(expected, MaskScores | JudgedRegions):
            assert_same(got, expected, within)
        elif isinstance(expected, dict):
            assert got.keys() == expected.keys(), name
            for key, each in expected.items():
                assert_same(got[key], each, within)
        elif name in (within or {}):
            np.testing.assert_allclose(got, expected, rtol=(within or {})[name])
        elif isinstance(expected, np.ndarray):
            assert got.dtype == expected.dtype, name
            assert got.tobytes() == np.ascontiguousarray(expected).tobytes(), name
        else:
            assert got == expected, name


@pytest.mark.parametrize("names", [("minor", "moderate", "severe", "whole"), NAMES])
@pytest.mark.parametrize("kind", ["categorical", "multi_label"])
def test_predictions(run: RunDir, kind: str, names: tuple[str, ...]) -> None:
    written = make_predictions(kind, names)
    written = replace(written, photos=("NULL", "nan", "a b.jpg", "ü,;.jpg", *written.photos[4:]))
    if kind == "multi_label":
        targets, decisions = written.targets.copy(), written.decisions.copy()
        targets[:5], decisions[:5] = 0, False
        targets[5], decisions[5] = 1, True
        written = replace(written, targets=targets, decisions=decisions)
    write_predictions(run, "a head", written)
    assert_same(read_predictions(run, "a head", kind), written, within={"baseline": 1e-8})


def test_no_label_is_null_and_a_class_named_null_is_not_no_label(run: RunDir) -> None:
    plain = make_predictions("multi_label", ("dent", "glass"), 20)
    write_predictions(run, "type", replace(plain, decisions=np.zeros_like(plain.decisions)))
    assert set(run.read_table("type/predictions.csv", ("decision",))["decision"]) == {"NULL"}
    named = make_predictions("multi_label", ("dent", "NULL"), 20)
    decisions = np.zeros_like(named.decisions)
    decisions[::2, 1] = True
    write_predictions(run, "type", replace(named, decisions=decisions))
    assert np.array_equal(read_predictions(run, "type", "multi_label").decisions, decisions)


def test_predictions_written_twice_are_the_same_bytes(run: RunDir) -> None:
    write_predictions(run, "one", make_predictions())
    write_predictions(run, "two", read_predictions(run, "one", "categorical"))
    first, second = ((run.path / head / "predictions.csv").read_bytes() for head in ("one", "two"))
    assert first == second


@pytest.mark.parametrize("names", [("damage",), ("front bumper", "rear")])
def test_mask_counts(run: RunDir, names: tuple[str, ...]) -> None:
    written: MaskCounts = make_mask_counts(names)
    written = replace(written, photos=("NULL", "nan", "a b.jpg", "ü,;.jpg", *written.photos[4:]))
    write_mask_counts(run, "mask", written)
    read = read_mask_counts(run, "mask")
    assert_same(read, written, within={"soft": 1e-8})
    write_mask_counts(run, "again", read)
    for name in ("predictions.csv", "regions.csv"):
        assert (run.path / "again" / name).read_bytes() == (run.path / "mask" / name).read_bytes()


def test_masks_of_an_earlier_version_are_read_without_what_it_did_not_tell(run: RunDir) -> None:
    written = make_mask_counts()
    write_mask_counts(run, "mask", written)
    table = run.read_table("mask/predictions.csv", ("photo",)).drop(columns="confidence")
    run.write_table("mask/predictions.csv", {str(name): table[name].to_numpy() for name in table})
    read = read_mask_counts(run, "mask")
    assert np.isnan(read.confidence).all()
    assert np.array_equal(read.counts, written.counts)


def test_inner_answers_come_back_with_their_groups(run: RunDir) -> None:
    photos, groups = ("NULL", "b.jpg", "c.jpg", "d.jpg"), np.array([7, 7, 8, 9])
    inner = [
        InnerAnswers(np.array([1, 2, 3]), np.array([0.5, 0.25, 1.0]), np.array([1.0, 0.0, 1 / 3])),
        InnerAnswers(np.array([0]), np.array([0.1]), np.array([np.nan])),
    ]
    write_inner(run, "mask", inner, photos, groups)
    run.write_json("mask/choices.json", [{"fold": 0}, {"fold": 1}])
    read = read_inner(run, "mask")
    assert [group.tolist() for _, group in read] == [[7, 8, 9], [7]]
    for (given, _), expected in zip(read, inner, strict=True):
        np.testing.assert_allclose(given.confidence, expected.confidence, atol=1e-8)
        np.testing.assert_allclose(given.right, expected.right, atol=1e-8)
    with pytest.raises(RunDirError, match=r"old: was trained by a version that kept nothing to choose .* Train again"):
        read_inner(run, "old")


def test_regions_are_a_row_each_and_say_whose_they_are(run: RunDir) -> None:
    written = make_mask_counts(NAMES)
    write_mask_counts(run, "mask", written)
    table = run.read_table("mask/regions.csv", ("photo", "answer", "class", "matched"))
    assert list(table) == ["photo", "answer", "class", "probability", "matched"]
    counted = {"head": written.scores, **written.baselines}
    found = {answer: len(each.regions.photos) for answer, each in counted.items() if len(each.regions.photos)}
    assert table.groupby("answer").size().to_dict() == found
    assert "nothing" not in found
    first = written.scores.regions
    assert table["photo"][0] == written.photos[first.photos[0]]
    assert table["class"][0] == NAMES[first.class_ids[0] - 1]
    assert table["matched"][0] == "".join("1" if hit else "0" for hit in first.matched[0])


def test_masks_without_a_found_region(run: RunDir) -> None:
    written = make_mask_counts(num_photos=6)
    bare = replace(join_photos([], 1), true_counts=written.scores.regions.true_counts)
    quiet = {name: replace(each, regions=bare) for name, each in written.baselines.items()}
    written = replace(written, scores=replace(written.scores, regions=bare), baselines=quiet)
    write_mask_counts(run, "mask", written)
    assert_same(read_mask_counts(run, "mask"), written, within={"soft": 1e-8})


def test_a_record_is_read_as_what_it_is(run: RunDir) -> None:
    write_predictions(run, "severity", make_predictions())
    assert isinstance(read_predictions(run, "severity", "categorical"), Predictions)


def test_history_keeps_numbers_where_some_are_undefined(run: RunDir) -> None:
    """A fold without a labelled photo has no validation loss; that must not turn the other losses into text."""
    written = [
        {"fold": fold, "epoch": epoch, "split": split, "loss": 0.5 / epoch, "metric": 0.25}
        for fold in range(2)
        for split in ("train", "validation")
        for epoch in (1, 2)
    ]
    written[-1] |= {"loss": float("nan"), "metric": float("nan")}
    write_history(run, "severity", written)
    read = read_history(run, "severity")
    assert read[:-1] == written[:-1]
    assert np.isnan(read[-1]["loss"])
    assert np.isnan(read[-1]["metric"])
    assert all(isinstance(row["loss"], float) for row in last_of_curves(read))


@pytest.mark.parametrize("kind", ["categorical", "multi_label"])
def test_heads(run: RunDir, kind: str) -> None:
    random = np.random.default_rng(0)
    kernels, biases = random.normal(size=(5, 12, 4)), random.normal(size=(5, 4))
    label_set = make_label_set(NAMES, (1, 0, 2, 3))
    written = FittedHead(
        kind, label_set, kernels.astype(np.float32), biases.astype(np.float32), random.random(5), random.random((5, 4))
    )
    write_head(run, "severity", written)
    read = read_head(run, "severity")
    assert_same(replace(read, label_set=label_set), written)
    assert (read.label_set.names, read.label_set.mirror) == (NAMES, (1, 0, 2, 3))
    vectors = random.normal(size=(2, 7, 12)).astype(np.float32)
    assert read.probabilities(vectors).tobytes() == written.probabilities(vectors).tobytes()
