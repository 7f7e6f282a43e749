"""Nothing that only the held-out fold knows reaches the heads, temperatures, thresholds and min_probabilities there.

Folds are given here, as they are balanced by all labels. Labels: no bit may change. Features: photos of all folds
share their principal axes, which is a rotation, so what may change is what rounding changes.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from carclf.crossval import OutOfFold, Settings, cross_validate
from carclf.dataset import Dataset, HeadData, Photo
from carclf.heads import Question, Views
from carclf.intervals import estimates
from carclf.labels import NOT_LABELLED
from carclf.metrics import Predictions
from carclf.scores import Array
from carclf.selective import choose_min_probability
from carclf.splits import Split, inner_folds
from tests.small_questions import SETTINGS, make_question, make_split, make_vectors

KINDS = ("categorical", "multi_label")
NUM_PHOTOS = 120


def scrambled(targets: Array, photos: Array, seed: int = 0) -> Array:
    """Permutes the labels of some photos, turns some over and takes others away."""
    random = np.random.default_rng(seed)
    changed = targets.copy()
    changed[photos] = targets[random.permutation(photos)]
    changed[photos[::3]] = (changed[photos[::3]] + 1) % (3 if targets.ndim == 1 else 2)
    changed[photos[1::5]] = NOT_LABELLED
    assert not np.array_equal(changed[photos], targets[photos])
    return changed


def judge(question: Question, vectors: Array, settings: Settings = SETTINGS) -> OutOfFold:
    return cross_validate(question, Views(vectors), *make_split(vectors.shape[1]), settings)


def of_fold(outcome: OutOfFold, number: int, test: Array) -> tuple[bytes, ...]:
    """Every bit that fold `number` decides and answers."""
    head = outcome.head
    answers = (outcome.logits, outcome.probabilities, outcome.decisions, outcome.baseline)
    heads = (head.kernels, head.biases, head.temperatures, head.thresholds)
    inner = (outcome.inner[number].rows, outcome.inner[number].confidence, outcome.inner[number].right)
    own = (*(each[number].tobytes() for each in heads), *(each.tobytes() for each in inner), least_of(outcome, number))
    return (*(each[test].tobytes() for each in answers), *own)


def least_of(outcome: OutOfFold, number: int) -> bytes:
    """The min_probability that a fold chooses."""
    inner = outcome.inner[number]
    return np.float64(choose_min_probability(inner.confidence, inner.right, inner.rows // 2, 0.8)).tobytes()


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("sides", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_the_labels_of_a_fold_change_nothing_of_that_fold(kind: str, sides: bool, number: int) -> None:
    vectors = make_vectors(NUM_PHOTOS, views=2)
    question = make_question(kind, vectors, unlabelled=0.1, sides=sides)
    folds, _ = make_split(NUM_PHOTOS)
    test = folds[number].test
    honest = judge(question, vectors)
    other = judge(replace(question, targets=scrambled(question.targets, test)), vectors)
    assert of_fold(other, number, test) == of_fold(honest, number, test)
    assert other.choices[number] == honest.choices[number]
    next_one = (number + 1) % 4
    assert of_fold(other, next_one, folds[next_one].test) != of_fold(honest, next_one, folds[next_one].test)


@pytest.mark.parametrize("seed", range(1, 4))
def test_how_long_other_folds_search_for_a_strength_changes_nothing(seed: int) -> None:
    """Fits of three steps from strength to strength: inner losses that go up and down again."""
    vectors = make_vectors(32, 40, seed=seed)
    question = make_question("multi_label", vectors, seed=seed)
    settings = Settings(tuple(10.0**power for power in range(-6, 3)), 3)
    folds, _ = make_split(32)
    honest = judge(question, vectors, settings)
    for number, fold in enumerate(folds):
        other = judge(replace(question, targets=scrambled(question.targets, fold.test, seed)), vectors, settings)
        assert other.choices[number] == honest.choices[number]
        assert of_fold(other, number, fold.test) == of_fold(honest, number, fold.test)


@pytest.mark.parametrize("kind", KINDS)
def test_the_features_of_a_photo_change_no_head_that_did_not_see_it(kind: str) -> None:
    vectors = make_vectors(NUM_PHOTOS, views=1)
    question = make_question(kind, vectors)
    folds, _ = make_split(NUM_PHOTOS)
    changed, kept = folds[0].test[:4], folds[0].test[4:]
    other = vectors.copy()
    other[:, changed] = np.random.default_rng(5).normal(2, 1, size=other[:, changed].shape)
    settings = Settings((3e-3,), 4000)
    honest, moved = judge(question, vectors, settings), judge(question, other, settings)
    np.testing.assert_allclose(moved.probabilities[kept], honest.probabilities[kept], atol=5e-3)
    np.testing.assert_allclose(moved.head.temperatures[0], honest.head.temperatures[0], rtol=2e-2)
    assert np.abs(moved.head.kernels[1] - honest.head.kernels[1]).max() > 0.02  # fold 1 was trained on them
    assert moved.baseline.tobytes() == honest.baseline.tobytes()  # knows labels only


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("kind", "metric"), [("categorical", "accuracy"), ("multi_label", "binary_accuracy")])
def test_random_labels_score_the_trivial_baseline(kind: str, metric: str, seed: int) -> None:
    num_photos = 200
    vectors = make_vectors(num_photos, 24, seed=seed)
    random = np.random.default_rng(seed + 100)
    if kind == "categorical":
        targets = random.choice(3, num_photos, p=[0.6, 0.25, 0.15])
    else:
        targets = (random.random((num_photos, 3)) < [0.2, 0.3, 0.15]).astype(np.int8)
    question = replace(make_question(kind, vectors), targets=targets)
    outcome = judge(question, vectors, Settings((1e-3, 1e-2, 1e-1, 1.0, 10.0), 300))
    folds, _ = make_split(num_photos)
    fold_of = np.zeros(num_photos, np.int64)
    for number, fold in enumerate(folds):
        fold_of[fold.test] = number
    names = tuple(f"{row}.jpg" for row in range(num_photos))
    answers = (outcome.logits, outcome.probabilities, outcome.decisions, outcome.baseline)
    record = Predictions(kind, question.label_set.names, names, np.arange(num_photos) // 2, fold_of, targets, *answers)
    found = estimates(record, None, 0)
    low, high = found[metric].interval
    assert low <= found[metric].baseline <= high


def test_inner_folds_hold_no_test_photo_and_do_not_know_its_labels() -> None:
    random = np.random.default_rng(0)
    question = make_question("multi_label", make_vectors())
    head = HeadData("multi_label", question.label_set, None, question.targets)
    photos = tuple(Photo(f"{row}.jpg", Path(f"{row}.jpg"), str(row), None) for row in range(NUM_PHOTOS))
    group = np.sort(random.integers(0, 50, NUM_PHOTOS))
    split = Split(group, group % 4, ())
    dataset = Dataset(photos, {"side": head})
    for number, (fold, inner) in enumerate(zip(split.folds, inner_folds(dataset, split, 3, 7), strict=True)):
        assert (inner[fold.test] == -1).all()
        assert set(inner[fold.train].tolist()) == {0, 1, 2}
        assert all(len(set(inner[fold.train][group[fold.train] == one].tolist())) <= 1 for one in np.unique(group))
        other = replace(head, targets=scrambled(head.targets, fold.test))
        again = inner_folds(replace(dataset, heads={"side": other}), split, 3, 7)
        assert np.array_equal(again[number], inner)


@pytest.mark.parametrize("kind", KINDS)
def test_temperatures_and_thresholds_come_from_photos_that_the_inner_heads_never_saw(kind: str) -> None:
    """Random labels learnt by heart: a head that had seen the photos would be right and sure, so need no cooling."""
    vectors = make_vectors(80, 160)
    targets = np.random.default_rng(3).integers(0, 2, (80, 3)).astype(np.int8)
    question = replace(make_question(kind, vectors), targets=targets[:, 0] if kind == "categorical" else targets)
    head = judge(question, vectors, Settings((1e-5,), 500)).head
    assert head.temperatures.min() > 3
