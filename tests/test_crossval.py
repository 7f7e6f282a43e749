"""Every photo is answered by a head that never saw it, and every choice is made inside a training part."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from carclf.calibration import calibrated
from carclf.crossval import OutOfFold, Settings, cross_validate
from carclf.errors import TrainingError
from carclf.heads import Question, Views, merge_views
from carclf.labels import NOT_LABELLED
from carclf.linear import row_losses
from carclf.scores import Array
from tests.small_questions import SETTINGS, make_question, make_split, make_vectors

K = 4
KINDS = ("categorical", "multi_label")


def judge(question: Question, vectors: Array, settings: Settings = SETTINGS) -> OutOfFold:
    return cross_validate(question, Views(vectors), *make_split(vectors.shape[1]), settings)


@pytest.mark.parametrize("sides", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_every_photo_is_answered_by_the_head_that_never_saw_it(kind: str, sides: bool) -> None:
    vectors = make_vectors(views=2)
    outcome = judge(make_question(kind, vectors, sides=sides), vectors)
    folds, _ = make_split(vectors.shape[1])
    for number, fold in enumerate(folds):
        head = outcome.head
        raw = vectors @ head.kernels[number] + head.biases[number]
        np.testing.assert_allclose(outcome.logits[fold.test], merge_views(raw, head.label_set)[fold.test], atol=1e-3)
        temperature = head.temperatures[number]
        expected = calibrated(outcome.logits[fold.test], temperature, kind)
        np.testing.assert_allclose(outcome.probabilities[fold.test], expected, rtol=1e-5)


def test_a_head_is_the_optimum_on_its_training_part_alone() -> None:
    vectors = make_vectors(views=1)
    question = make_question("categorical", vectors)
    outcome = judge(question, vectors, Settings((1e-3,), 5000))
    folds, _ = make_split(vectors.shape[1])
    for fold in folds:
        centred = vectors[0].astype(np.float64) - 2
        part = centred[fold.train]
        strength = 1e-3 * part.var(axis=0).sum() * len(part)
        solver = LogisticRegression(C=1 / strength, tol=1e-6, max_iter=1000).fit(part, question.targets[fold.train])
        expected = solver.decision_function(centred[fold.test])
        np.testing.assert_allclose(outcome.logits[fold.test], expected, atol=0.05)


@pytest.mark.parametrize("kind", KINDS)
def test_shapes_and_types(kind: str) -> None:
    vectors = make_vectors(views=2)
    outcome = judge(make_question(kind, vectors, unlabelled=0.2), vectors)
    for values, dtype in (
        (outcome.logits, np.float32),
        (outcome.probabilities, np.float32),
        (outcome.decisions, np.bool_),
        (outcome.baseline, np.float64),
    ):
        assert values.shape == (120, 3)
        assert values.dtype == dtype
    assert outcome.head.kernels.shape == (K, 16, 3)
    assert outcome.head.biases.shape == outcome.head.thresholds.shape == (K, 3)
    assert outcome.head.temperatures.shape == (K,)
    assert [choice["fold"] for choice in outcome.choices] == list(range(K))
    for choice in outcome.choices:
        assert choice["l2"] in SETTINGS.l2
        assert (choice["thresholds"] is None) == (kind == "categorical")
    assert outcome.probabilities.min() >= 0
    assert outcome.probabilities.max() <= 1
    if kind == "categorical":
        assert (outcome.decisions.sum(axis=1) == 1).all()


@pytest.mark.parametrize("kind", KINDS)
def test_photos_without_a_label_train_nothing(kind: str) -> None:
    """Leaving them out of the data altogether gives the same answers, within what other shapes round otherwise."""
    vectors = make_vectors(views=2)
    question = make_question(kind, vectors, unlabelled=0.3)
    folds, inner = make_split(vectors.shape[1])
    outcome = cross_validate(question, Views(vectors), folds, inner, SETTINGS)
    kept = np.flatnonzero(question.labelled)
    place = np.full(len(question.labelled), -1)
    place[kept] = np.arange(len(kept))
    fewer = [
        replace(fold, **{part: place[index][place[index] >= 0] for part, index in vars(fold).items()}) for fold in folds
    ]
    smaller = replace(question, targets=question.targets[kept])
    alone = cross_validate(smaller, Views(vectors[:, kept]), fewer, [given[kept] for given in inner], SETTINGS)
    np.testing.assert_allclose(alone.probabilities, outcome.probabilities[kept], atol=0.02)
    np.testing.assert_allclose(alone.baseline, outcome.baseline[kept], atol=1e-9)
    assert [choice["l2"] for choice in alone.choices] == [choice["l2"] for choice in outcome.choices]


def test_an_unlabelled_photo_still_gets_an_answer_and_a_history_knows_only_labelled_ones() -> None:
    vectors = make_vectors()
    question = make_question("categorical", vectors, unlabelled=0.3)
    outcome = judge(question, vectors)
    assert (outcome.probabilities.sum(axis=1) > 0.999).all()
    folds, _ = make_split(vectors.shape[1])
    own = folds[0].test[question.labelled[folds[0].test]]
    last = [row for row in outcome.history if row["fold"] == 0 and row["split"] == "validation"][-1]
    right = outcome.logits[own].argmax(axis=1) == question.targets[own]
    assert last["metric"] == pytest.approx(right.mean(), abs=1e-6)
    expected = row_losses(outcome.logits[own], question.columns()[own], "categorical").mean()
    assert last["loss"] == pytest.approx(expected, rel=1e-4)


def test_curves_have_every_fold_split_and_step_once() -> None:
    vectors = make_vectors()
    history = judge(make_question("multi_label", vectors), vectors).history
    keys = [(row["fold"], row["split"], row["epoch"]) for row in history]
    steps = max(epoch for _, _, epoch in keys)
    assert len(set(keys)) == len(keys)
    outer = [key for key in keys if key[1] != "inner_validation"]
    assert sorted(outer) == sorted(
        (fold, split, epoch) for fold in range(K) for split in ("train", "validation") for epoch in range(1, steps + 1)
    )
    assert {fold for fold, split, _ in keys if split == "inner_validation"} == set(range(K))
    losses = [row["loss"] for row in history if row["fold"] == 0 and row["split"] == "train"]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("kind", KINDS)
def test_the_baseline_is_the_frequency_in_the_training_part(kind: str) -> None:
    vectors = make_vectors()
    question = make_question(kind, vectors, unlabelled=0.2)
    outcome = judge(question, vectors)
    folds, _ = make_split(vectors.shape[1])
    for fold in folds:
        own = fold.train[question.labelled[fold.train]]
        expected = question.columns()[own].mean(axis=0)
        np.testing.assert_allclose(outcome.baseline[fold.test], np.broadcast_to(expected, (len(fold.test), 3)))


@pytest.mark.parametrize("kind", KINDS)
def test_mirroring_all_photos_mirrors_all_answers(kind: str) -> None:
    vectors = make_vectors(views=2)
    question = make_question(kind, vectors, sides=True)
    mirror = np.array(question.label_set.mirror)
    targets = mirror[question.targets] if kind == "categorical" else question.targets[:, mirror]
    outcome = judge(question, vectors)
    mirrored = judge(replace(question, targets=targets), vectors[::-1])
    np.testing.assert_allclose(mirrored.probabilities, outcome.probabilities[:, mirror], atol=0.01)


def test_it_learns_and_a_repeat_gives_the_same_bytes() -> None:
    vectors = make_vectors(views=2)
    question = make_question("categorical", vectors)
    outcome, again = judge(question, vectors), judge(question, vectors)
    accuracy = (outcome.probabilities.argmax(axis=1) == question.targets).mean()
    assert accuracy > np.bincount(question.targets).max() / len(question.targets) + 0.1
    assert outcome.probabilities.tobytes() == again.probabilities.tobytes()
    assert outcome.choices == again.choices


def test_a_head_nobody_labelled_is_refused() -> None:
    vectors = make_vectors()
    question = make_question("categorical", vectors)
    nothing = replace(question, targets=np.full_like(question.targets, NOT_LABELLED))
    with pytest.raises(
        TrainingError, match=r"^side: the training part .* has no photo labelled for this head \(0 in all\)"
    ):
        judge(nothing, vectors)
