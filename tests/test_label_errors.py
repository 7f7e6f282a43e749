"""Planted label errors are found, by the formulas of confident learning; masks are ranked by Dice and area."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from carclf.errors import RunDirError
from carclf.label_errors import (
    LabelIssue,
    class_issues,
    find_label_issues,
    find_wrong,
    mask_issues,
)
from carclf.mask_metrics import MaskCounts
from carclf.metrics import Predictions
from carclf.records import write_mask_counts, write_predictions
from carclf.rundir import RunDir
from carclf.scores import Array
from tests.fake_records import make_mask_counts, make_predictions

NAMES = ("dent", "scratch", "glass")


def planted(kind: str, seed: int, noise: float = 0.6) -> tuple[Predictions, dict[str, Array]]:
    """Predictions of the truth, and labels of which one in twenty is wrong: photo -> what it should be."""
    truth = make_predictions(kind, NAMES, 900, seed, noise)
    random = np.random.default_rng(seed + 100)
    targets = truth.targets.copy()
    wrong = random.choice(900, 45, replace=False)
    if kind == "categorical":
        targets[wrong] = (targets[wrong] + random.integers(1, 3, 45)) % 3
    else:
        places = random.integers(0, 3, 45)
        targets[wrong, places] = 1 - targets[wrong, places]
    return replace(truth, targets=targets), {truth.photos[row]: truth.targets[row] for row in wrong}


def slow_joint(targets: Array, probabilities: Array) -> list[list[float]]:
    """Equations 1 to 3 of the paper, photo by photo: given × true, in photos."""
    classes = range(probabilities.shape[1])
    own = [[row[k] for row, target in zip(probabilities, targets, strict=True) if target == k] for k in classes]
    thresholds = [sum(values) / len(values) for values in own]
    counts = [[0] * len(classes) for _ in classes]
    for row, target in zip(probabilities, targets, strict=True):
        confident = [k for k in classes if row[k] >= thresholds[k]]
        if confident:
            counts[target][max(confident, key=lambda k: row[k])] += 1
    return [[count * len(own[k]) / sum(counts[k]) for count in counts[k]] for k in classes]


def slow_wrong(
    joint: list[list[float]], targets: Array, probabilities: Array, rounded: Callable[[float], int]
) -> set[int]:
    """Prune by noise rate (section 3.2): for each pair of classes so many as the joint says, by their lead."""
    listed = set()
    for given, counts in enumerate(joint):
        rows = np.flatnonzero(targets == given)
        for true, count in enumerate(counts):
            if true != given:
                lead = probabilities[rows, true] - probabilities[rows, given]
                listed |= set(rows[np.argsort(-lead)[: rounded(count)]].tolist())
    return {row for row in listed if probabilities[row].argmax() != targets[row]}


@pytest.mark.parametrize("seed", range(3))
def test_planted_wrong_classes_are_found_first(tmp_path: Path, seed: int) -> None:
    predictions, truth = planted("categorical", seed)
    run = RunDir(tmp_path)
    write_predictions(run, "severity", predictions)
    issues = find_label_issues(run, {"severity": "categorical"})["severity"]
    found = {issue.photo for issue in issues}
    assert len(found & truth.keys()) >= 0.85 * len(truth)  # recall
    assert len(found & truth.keys()) >= 0.85 * len(found)  # precision: the head errs, too
    assert {issue.photo for issue in issues[:20]} <= truth.keys()
    right = [issue.believed == (NAMES[int(truth[issue.photo])],) for issue in issues if issue.photo in truth]
    assert np.mean(right) > 0.9


@pytest.mark.parametrize("seed", range(3))
def test_planted_missing_and_extra_labels_are_found(seed: int) -> None:
    predictions, truth = planted("multi_label", seed)
    issues = class_issues("type", predictions)
    found = {issue.photo for issue in issues}
    assert len(found & truth.keys()) >= 0.7 * len(truth)
    assert len(found & truth.keys()) >= 0.7 * len(found)
    assert {issue.kind for issue in issues} == {"missing label", "extra label"}
    corrected = 0
    for issue in issues:
        assert len(set(issue.given) ^ set(issue.believed)) == 1
        assert (issue.kind == "missing label") == (len(issue.believed) > len(issue.given))
        row = truth.get(issue.photo)
        corrected += row is not None and issue.believed == tuple(np.array(NAMES)[row == 1])
    assert corrected >= 0.7 * len(truth)


def test_labels_without_errors_and_a_sure_head_raise_no_suspicion() -> None:
    for kind in ("categorical", "multi_label"):
        assert class_issues("head", make_predictions(kind, NAMES, 300, noise=0.1)) == []


@pytest.mark.parametrize("num_classes", [2, 3, 5])
@pytest.mark.parametrize("seed", range(4))
def test_the_same_rows_as_a_slow_loop_over_the_papers_formulas(num_classes: int, seed: int) -> None:
    names = tuple("abcde"[:num_classes])
    predictions = make_predictions("categorical", names, 400, seed, noise=2.0)
    probabilities = predictions.probabilities.astype(np.float64)
    joint = slow_joint(predictions.targets, probabilities)
    sure, possible = (slow_wrong(joint, predictions.targets, probabilities, way) for way in (math.floor, math.ceil))
    found = {row for row, _ in find_wrong(predictions.targets, probabilities)}
    assert 5 < len(sure) <= len(possible) < len(sure) + num_classes**2
    assert sure <= found <= possible  # the paper does not say how a part of a photo is rounded
    row_of = {photo: row for row, photo in enumerate(predictions.photos)}
    margins = []
    for issue in class_issues("head", predictions):
        row = probabilities[row_of[issue.photo]]
        given = names.index(issue.given[0])
        margins.append(row[given] - max(p for place, p in enumerate(row) if place != given))
        assert issue.confidence == pytest.approx((1 - margins[-1]) / 2)
    assert margins == sorted(margins)


def test_confidence_of_a_label_is_the_probability_of_what_is_believed() -> None:
    predictions, _ = planted("multi_label", 0)
    row_of = {photo: row for row, photo in enumerate(predictions.photos)}
    for issue in class_issues("type", predictions):
        (label,) = set(issue.given) ^ set(issue.believed)
        probability = predictions.probabilities[row_of[issue.photo], NAMES.index(label)]
        assert issue.confidence == pytest.approx(probability if label in issue.believed else 1 - probability)


@pytest.mark.parametrize("kind", ["categorical", "multi_label"])
def test_photos_without_label_are_passed_over(kind: str) -> None:
    predictions, _ = planted(kind, 1)
    targets = predictions.targets.copy()
    targets[::3] = -1
    kept = predictions.rows(np.arange(900) % 3 != 0)
    issues = class_issues("head", replace(predictions, targets=targets))
    assert issues == class_issues("head", kept)
    assert issues


@pytest.mark.parametrize("kind", ["categorical", "multi_label"])
def test_the_order_of_photos_and_equal_confidences_change_nothing(kind: str) -> None:
    predictions, _ = planted(kind, 2)
    doubled = predictions.rows(np.repeat(np.arange(900), 2))
    doubled = replace(doubled, photos=tuple(f"{row % 2}_{name}" for row, name in enumerate(doubled.photos)))
    issues = class_issues("head", doubled)
    shuffled = doubled.rows(np.random.default_rng(0).permutation(1800))
    assert class_issues("head", shuffled) == issues
    ranks = [(-issue.confidence, issue.photo) for issue in issues]
    assert ranks == sorted(ranks)
    assert len(set(issue.confidence for issue in issues)) < len(issues)


def test_a_class_never_given_is_believed_by_no_threshold_and_breaks_nothing() -> None:
    predictions, _ = planted("categorical", 0)
    three = class_issues("head", predictions)
    padded = np.pad(predictions.probabilities, ((0, 0), (0, 1)))
    never = replace(predictions, class_names=(*NAMES, "never"), probabilities=padded)
    assert class_issues("head", never) == three
    assert three


def test_a_class_given_once_breaks_nothing() -> None:
    predictions, _ = planted("categorical", 0)
    targets = np.where(predictions.targets == 2, 0, predictions.targets)
    targets[7] = 2
    assert class_issues("head", replace(predictions, targets=targets))


@pytest.mark.parametrize("value", [0, 1])
def test_a_label_given_to_none_or_to_all_has_no_issues(value: int) -> None:
    predictions, _ = planted("multi_label", 0)
    targets = predictions.targets.copy()
    targets[:, 1] = value
    issues = class_issues("type", replace(predictions, targets=targets))
    assert issues
    assert all(set(issue.given) ^ set(issue.believed) != {"scratch"} for issue in issues)


def test_one_class_alone_or_no_photo_at_all_has_no_issues() -> None:
    predictions, _ = planted("categorical", 0)
    assert class_issues("head", replace(predictions, targets=np.full(900, 2))) == []
    assert class_issues("head", predictions.rows(np.zeros(900, bool))) == []


def make_counts(rows: Sequence[Sequence[Sequence[int]]], names: tuple[str, ...] = ("dent", "glass")) -> MaskCounts:
    counts = np.array(rows, np.int64)
    example = make_mask_counts(names, len(rows))
    return replace(example, scores=replace(example.scores, counts=counts), pixels=np.full(len(rows), 1000))


def test_masks_are_ranked_by_dice_and_area() -> None:
    good = [[[95, 5, 5], [0, 0, 0]]] * 10  # 100 pixels annotated, nearly all found
    special: list[Any] = [
        [[0, 0, 400], [0, 0, 0]],  # 10: a large dent that was not found
        [[0, 0, 3], [0, 0, 0]],  # 11: a scratch that was not found
        [[0, 0, 0], [0, 200, 0]],  # 12: glass on a whole car
        [[0, 0, 0], [0, 5, 0]],  # 13: a speck on a whole car
        [[0, 0, 300], [0, 300, 0]],  # 14: another class
        [[0, 0, 0], [0, 0, 0]],  # 15: nothing there, nothing found
        [[150, 80, 70], [0, 0, 0]],  # 16: drawn badly
    ]
    issues = mask_issues("mask", make_counts(good + special))
    assert [(issue.photo, issue.given, issue.believed, issue.kind) for issue in issues] == [
        ("0010.jpg", ("dent",), (), "nothing found"),
        ("0014.jpg", ("dent",), ("glass",), "mask differs"),
        ("0012.jpg", (), ("glass",), "known empty"),
    ]
    # 14 photos are annotated; 11 of them have no more than 200 pixels
    assert [issue.confidence for issue in issues] == pytest.approx([1.0, 13 / 14, 11 / 14])


def test_masks_of_ignored_pixels_or_without_any_annotation_break_nothing() -> None:
    counts = make_counts([[[0, 0, 0], [0, 50, 0]], [[0, 0, 0], [0, 0, 0]]])
    assert mask_issues("mask", replace(counts, pixels=np.array([1000, 0]))) == []


def test_every_head_of_a_run_is_read_by_its_kind(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    severity, kinds, counts = planted("categorical", 0)[0], planted("multi_label", 0)[0], make_mask_counts()
    write_predictions(run, "severity", severity)
    write_predictions(run, "type", kinds)
    write_mask_counts(run, "mask", counts)
    issues = find_label_issues(run, {"mask": "segmentation", "type": "multi_label", "severity": "categorical"})
    assert list(issues) == ["mask", "type", "severity"]
    assert issues["type"] == class_issues("type", kinds)
    assert issues["severity"] == class_issues("severity", severity)
    assert issues["mask"] == mask_issues("mask", counts)
    assert all(0 <= issue.confidence <= 1 and issue.head == head for head in issues for issue in issues[head])


def test_a_head_that_was_not_trained_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunDirError, match=r"severity.predictions\.csv is not there\. Train first"):
        find_label_issues(RunDir(tmp_path), {"severity": "categorical"})


@pytest.mark.parametrize("kind", ["categorical", "multi_label", "segmentation"])
def test_answers_of_another_kind_of_head_are_a_users_error(tmp_path: Path, kind: str) -> None:
    run = RunDir(tmp_path)
    if kind == "segmentation":
        write_predictions(run, "head", make_predictions("categorical"))
    else:
        write_mask_counts(run, "head", make_mask_counts())
    with pytest.raises(RunDirError, match=rf"predictions\.csv: holds no answers of a {kind} head"):
        find_label_issues(run, {"head": kind})


@pytest.mark.parametrize(
    ("given", "believed", "kind", "sentence"),
    [
        (("minor",), ("whole",), "wrong class", "given minor, believed whole"),
        (("dent",), ("dent", "glass"), "missing label", "given dent; missing: glass"),
        ((), ("glass",), "missing label", "given nothing; missing: glass"),
        (("dent", "glass"), ("glass",), "extra label", "given dent, glass; too much: dent"),
        (("damage",), (), "nothing found", "annotated damage, found nothing"),
        ((), ("damage",), "known empty", "annotated nothing, found damage"),
    ],
)
def test_an_issue_in_words(given: tuple[str, ...], believed: tuple[str, ...], kind: Any, sentence: str) -> None:
    assert LabelIssue("head", "a.jpg", given, believed, 0.9, kind).sentence == sentence
