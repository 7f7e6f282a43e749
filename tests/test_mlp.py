"""Heads with a hidden layer: against a slow reference, alone and together, honest, stopped early, kept in files."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from carclf.crossval import OutOfFold, Settings, cross_validate
from carclf.errors import TrainingError
from carclf.heads import HiddenHead, Question, Views, make_head
from carclf.labels import NOT_LABELLED
from carclf.linear import make_rows, row_losses
from carclf.mlp import Networks, make_inputs
from carclf.records import read_head, write_head
from carclf.rundir import RunDir
from carclf.scores import Array
from tests.small_questions import make_label_set, make_question, make_split, make_vectors

NUM_PHOTOS = 120
HIDDEN = Settings(l2=(1e-3, 1e-2), max_steps=160, hidden_units=8, batch_size=32, learning_rate=0.02, patience=4, seed=3)
STEPS_PER_PASS = 4  # 120 photos, 32 at a time
KINDS = ("categorical", "multi_label")


def judge(question: Question, vectors: Array, settings: Settings = HIDDEN) -> OutOfFold:
    return cross_validate(question, Views(vectors), *make_split(vectors.shape[1]), settings)


def of_fold(outcome: OutOfFold, number: int, test: Array) -> tuple[bytes, ...]:
    """Every bit that fold `number` decides and answers."""
    answers = (outcome.logits, outcome.probabilities, outcome.decisions, outcome.baseline)
    heads = outcome.head.arrays().values()
    return (*(each[test].tobytes() for each in answers), *(each[number].tobytes() for each in heads))


class SlowNetwork:
    """One fit in float64 and in the features' own axes, on its own rows only; slopes are differences of the loss."""

    def __init__(self, vectors: Array, targets: Array, kind: str, hidden_units: int, l2: float) -> None:
        centred = vectors - vectors.mean(axis=0, dtype=np.float64)
        self.features = centred / np.sqrt((centred**2).mean())
        self.targets, self.kind = targets.astype(np.float64), kind
        num_features, random = vectors.shape[1], np.random.default_rng(11)
        hidden = random.standard_normal((num_features, hidden_units)) * np.sqrt(2 / num_features)
        output = random.standard_normal((hidden_units, targets.shape[1])) / np.sqrt(hidden_units)
        self.weights = [hidden, np.zeros((1, hidden_units)), output, np.zeros((1, targets.shape[1]))]
        self.penalties = [l2 * num_features, 0, l2 * hidden_units, 0]
        self.slopes = [np.zeros_like(each) for each in self.weights]
        self.squares = [np.zeros(each.shape[1]) for each in self.weights]

    def logits(self, features: Array) -> Array:
        first, first_bias, second, second_bias = self.weights
        return np.asarray(np.maximum(features @ first + first_bias, 0) @ second + second_bias)

    def loss(self, rows: Array) -> float:
        penalties = sum(p / 2 * (w**2).sum() for p, w in zip(self.penalties, self.weights, strict=True))
        logits = self.logits(self.features[rows])
        return float(row_losses(logits, self.targets[rows], self.kind).mean() + penalties)

    def slope(self, weights: Array, rows: Array) -> Array:
        found = np.zeros_like(weights)
        for place in np.ndindex(*weights.shape):
            kept = weights[place]
            weights[place] = kept + 1e-6
            above = self.loss(rows)
            weights[place] = kept - 1e-6
            found[place] = (above - self.loss(rows)) / 2e-6
            weights[place] = kept
        return found

    def step(self, number: int, rows: Array, learning_rate: float) -> None:
        found = [self.slope(weights, rows) for weights in self.weights]
        for weights, slope, mean, square in zip(self.weights, found, self.slopes, self.squares, strict=True):
            mean[:] = 0.9 * mean + 0.1 * slope
            square[:] = 0.999 * square + 0.001 * (slope**2).mean(axis=0)
            size = np.sqrt(square / (1 - 0.999**number)) + 1e-7
            weights -= learning_rate * mean / (1 - 0.9**number) / size


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_of_fits_is_a_slow_network_on_each_ones_own_rows(kind: str) -> None:
    vectors = make_vectors(40, 6)[0]
    targets = make_question(kind, vectors[None]).columns()
    trained = np.random.default_rng(1).random((3, 40)) < [[0.7], [0.5], [0.9]]
    shares = (trained / trained.sum(axis=1, keepdims=True)).astype(np.float32)
    networks = Networks(make_inputs(make_rows(vectors), kind, targets, shares), 4, 1e-2, 0.05, seed=11)
    batches = [np.random.default_rng(step).permutation(40)[:24] for step in range(12)]
    for batch in batches:
        networks.step(batch)
    for fit, own in enumerate(trained):
        slow = SlowNetwork(vectors[own], targets[own], kind, 4, 1e-2)
        for number, batch in enumerate(batches, start=1):
            places = np.flatnonzero(np.isin(np.flatnonzero(own), batch))
            slow.step(number, places, 0.05)
        np.testing.assert_allclose(networks.logits()[own, fit], slow.logits(slow.features), atol=2e-4)


@pytest.mark.parametrize("sides", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_folds_together_are_folds_one_by_one(kind: str, sides: bool) -> None:
    vectors = make_vectors(NUM_PHOTOS, views=2)
    question = make_question(kind, vectors, unlabelled=0.1, sides=sides)
    together = judge(question, vectors)
    folds, inner = make_split(NUM_PHOTOS)
    for number, fold in enumerate(folds):
        alone = cross_validate(question, Views(vectors), [fold], [inner[number]], HIDDEN)
        np.testing.assert_allclose(alone.logits[fold.test], together.logits[fold.test], atol=1e-5)
        np.testing.assert_allclose(alone.probabilities[fold.test], together.probabilities[fold.test], atol=1e-5)
        assert alone.choices[0]["steps"] == together.choices[number]["steps"]
        assert alone.choices[0]["l2"] == together.choices[number]["l2"]


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize(("kind", "sides"), [("categorical", False), ("multi_label", True)])
def test_the_labels_of_a_fold_change_nothing_of_that_fold(kind: str, sides: bool, number: int) -> None:
    vectors = make_vectors(NUM_PHOTOS, views=2)
    question = make_question(kind, vectors, unlabelled=0.1, sides=sides)
    folds, _ = make_split(NUM_PHOTOS)
    test = folds[number].test
    targets = question.targets.copy()
    targets[test] = np.random.default_rng(0).permutation(targets[test])
    targets[test[::4]] = NOT_LABELLED
    honest, other = judge(question, vectors), judge(replace(question, targets=targets), vectors)
    assert of_fold(other, number, test) == of_fold(honest, number, test)
    assert other.choices[number] == honest.choices[number]
    next_one = (number + 1) % 4
    assert of_fold(other, next_one, folds[next_one].test) != of_fold(honest, next_one, folds[next_one].test)


def test_the_features_of_a_photo_change_no_head_that_did_not_see_it() -> None:
    vectors = make_vectors(NUM_PHOTOS)
    question = make_question("categorical", vectors)
    folds, _ = make_split(NUM_PHOTOS)
    changed, kept = folds[0].test[:4], folds[0].test[4:]
    other = vectors.copy()
    other[:, changed] = np.random.default_rng(5).normal(2, 1, size=other[:, changed].shape)
    settings = replace(HIDDEN, l2=(1e-3,))
    honest, moved = judge(question, vectors, settings), judge(question, other, settings)
    assert moved.choices[0]["steps"] == honest.choices[0]["steps"]
    np.testing.assert_allclose(moved.logits[kept], honest.logits[kept], atol=5e-3)
    assert np.abs(moved.head.arrays()["kernels"][1] - honest.head.arrays()["kernels"][1]).max() > 0.02  # it saw them


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others() -> None:
    vectors = make_vectors(NUM_PHOTOS)
    question = make_question("categorical", vectors)
    first, again = judge(question, vectors), judge(question, vectors)
    other = judge(question, vectors, replace(HIDDEN, seed=4))
    assert again.logits.tobytes() == first.logits.tobytes()
    assert again.history == first.history
    assert other.logits.tobytes() != first.logits.tobytes()


@pytest.mark.parametrize("sides", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_the_kept_head_of_a_fold_gives_that_folds_logits(kind: str, sides: bool, tmp_path: Path) -> None:
    vectors = make_vectors(NUM_PHOTOS, views=2)
    question = make_question(kind, vectors, sides=sides)
    outcome = judge(question, vectors)
    write_head(RunDir(tmp_path), "side", outcome.head)
    head = read_head(RunDir(tmp_path), "side")
    assert isinstance(head, HiddenHead)
    assert head.probabilities(vectors).tobytes() == outcome.head.probabilities(vectors).tobytes()
    for number, fold in enumerate(make_split(NUM_PHOTOS)[0]):
        one = make_head(kind, head.label_set, {name: each[[number]] for name, each in head.arrays().items()})
        scaled = outcome.logits[fold.test] / outcome.choices[number]["temperature"]
        np.testing.assert_allclose(one.logits(vectors[:, fold.test]), scaled, atol=1e-4)


def test_each_fold_keeps_its_pass_with_the_best_inner_loss() -> None:
    vectors = make_vectors(NUM_PHOTOS)
    settings = replace(HIDDEN, l2=(1e-5,), learning_rate=0.05)
    outcome = judge(make_question("categorical", vectors), vectors, settings)
    for number, choice in enumerate(outcome.choices):
        inner = [row for row in outcome.history if (row["fold"], row["split"]) == (number, "inner_validation")]
        best = min(inner, key=lambda row: float(row["loss"]))["epoch"]
        assert choice["steps"] == best * STEPS_PER_PASS
        assert len(inner) == best + settings.patience  # then it has waited long enough
        assert {row["split"] for row in outcome.history} == {"train", "validation", "inner_validation"}
    assert len({choice["steps"] for choice in outcome.choices}) > 1  # each its own


def test_no_more_steps_than_allowed_and_the_kept_weights_are_those_of_the_step() -> None:
    vectors = make_vectors(NUM_PHOTOS)
    question, slow = make_question("categorical", vectors), replace(HIDDEN, l2=(1e-3,), learning_rate=1e-3)
    longer, shorter = (judge(question, vectors, replace(slow, max_steps=steps)) for steps in (12, 6))
    assert [choice["steps"] for choice in longer.choices] == [12] * 4
    assert [choice["steps"] for choice in shorter.choices] == [6] * 4  # half a pass, too
    assert longer.logits.tobytes() != shorter.logits.tobytes()


def test_each_fold_takes_the_penalty_with_the_best_inner_loss() -> None:
    vectors = make_vectors(NUM_PHOTOS)
    question = make_question("multi_label", vectors)
    candidates = {l2: judge(question, vectors, replace(HIDDEN, l2=(l2,))) for l2 in (1e-3, 1e-1)}
    losses = {l2: [_best_inner(outcome, fold) for fold in range(4)] for l2, outcome in candidates.items()}
    chosen = judge(question, vectors, replace(HIDDEN, l2=(1e-3, 1e-1)))
    for number, choice in enumerate(chosen.choices):
        assert choice["l2"] == min(losses, key=lambda l2: losses[l2][number])
        assert choice["steps"] == candidates[choice["l2"]].choices[number]["steps"]


def _best_inner(outcome: OutOfFold, fold: int) -> float:
    rows = [row for row in outcome.history if (row["fold"], row["split"]) == (fold, "inner_validation")]
    return min(float(row["loss"]) for row in rows)


def test_a_hidden_layer_answers_what_no_linear_head_can() -> None:
    random = np.random.default_rng(2)
    vectors = random.normal(size=(1, 200, 2)).astype(np.float32)
    targets: Any = (vectors[0].prod(axis=1) > 0).astype(np.int64)  # exclusive or
    question = Question("xor", "categorical", make_label_set(("no", "yes")), targets)
    settings = Settings((1e-4,), 1500, 32, 32, 0.02, 10, 0)
    right = {
        units: (
            judge(question, vectors, replace(settings, hidden_units=units)).decisions.argmax(axis=1) == targets
        ).mean()
        for units in (0, 32)
    }
    assert right[32] > 0.9
    assert right[0] < 0.65


def test_a_loss_that_is_not_finite_says_where_and_what_to_change() -> None:
    vectors = make_vectors(NUM_PHOTOS)
    question = replace(make_question("categorical", vectors), name="severity")
    with pytest.raises(TrainingError, match=r"^severity, fold 0, epoch 1: the loss became NaN\. Lower training\."
                       r"learning_rate \(now 1e\+30\)\.$"):  # fmt: skip
        judge(question, vectors, replace(HIDDEN, learning_rate=1e30))


def test_a_training_part_without_labels_is_an_error() -> None:
    vectors = make_vectors(NUM_PHOTOS)
    question = make_question("categorical", vectors)
    folds, _ = make_split(NUM_PHOTOS)
    targets = np.full_like(question.targets, NOT_LABELLED)
    targets[folds[0].test] = question.targets[folds[0].test]
    with pytest.raises(TrainingError, match=r"^side: .* has no photo labelled for this head \(30 in all\)"):
        judge(replace(question, targets=targets), vectors)
