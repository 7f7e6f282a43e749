"""Temperature and thresholds are the best there are."""

import numpy as np
import pytest

from carclf.calibration import LOG_TEMPERATURE_RANGE, calibrated, choose_thresholds, decide, fit_temperature
from carclf.linear import probabilities_of, row_losses
from carclf.scores import Array


def make_answers(kind: str, temperature: float, num_photos: int = 500) -> tuple[Array, Array]:
    """Logits that are too sure by `temperature`, and targets drawn from the right probabilities."""
    random = np.random.default_rng(3)
    logits = random.normal(size=(num_photos, 4)) * 1.5
    probabilities = probabilities_of(logits, kind)
    if kind == "categorical":
        drawn = (random.random((num_photos, 1)) < probabilities.cumsum(axis=1)).argmax(axis=1)
        targets = np.eye(4)[drawn]
    else:
        targets = (random.random(probabilities.shape) < probabilities).astype(np.float64)
    return (logits * temperature).astype(np.float32), targets.astype(np.float32)


def best_f1(column: Array, truth: Array) -> float:
    """The highest F1 of all thresholds, by trying each probability."""
    scores = []
    for threshold in column:
        given = column >= threshold
        scores.append(2 * (given & truth).sum() / (given.sum() + truth.sum()))
    return float(max(scores))


@pytest.mark.parametrize("true", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("kind", ["categorical", "multi_label"])
def test_the_temperature_is_that_of_a_grid_search(kind: str, true: float) -> None:
    logits, targets = make_answers(kind, true)
    grid = np.exp(np.linspace(*LOG_TEMPERATURE_RANGE, 2001))
    losses = [row_losses(logits / temperature, targets, kind).mean() for temperature in grid]
    found = fit_temperature(logits, targets, kind)
    assert found == pytest.approx(grid[int(np.argmin(losses))], rel=5e-3)
    assert found == pytest.approx(true, rel=0.2)
    assert row_losses(logits / found, targets, kind).mean() <= min(losses) + 1e-6


def test_logits_that_say_nothing_get_a_temperature_in_range() -> None:
    found = fit_temperature(
        np.zeros((20, 3), np.float32), np.eye(3, dtype=np.float32)[np.arange(20) % 3], "categorical"
    )
    low, high = np.exp(LOG_TEMPERATURE_RANGE)
    assert low <= found <= high


@pytest.mark.parametrize("levels", [5, 12, 100_000], ids=["many ties", "ties", "no ties"])
@pytest.mark.parametrize("seed", range(5))
def test_thresholds_give_the_highest_f1_there_is(seed: int, levels: int) -> None:
    random = np.random.default_rng(seed)
    targets = (random.random((80, 3)) < [0.5, 0.2, 0.05]).astype(np.int8)
    targets[0] = 1
    raw = np.clip(0.3 * targets + 0.5 * random.random(targets.shape), 0, 1)
    probabilities = (np.round(raw * levels) / levels).astype(np.float32)
    decisions = decide(probabilities, "multi_label", choose_thresholds(probabilities, targets))
    for column, given, truth in zip(probabilities.T, decisions.T, targets.T.astype(bool), strict=True):
        achieved = 2 * (given & truth).sum() / (given.sum() + truth.sum())
        assert achieved == pytest.approx(best_f1(column, truth), abs=1e-12)


def test_a_threshold_lies_halfway_between_two_photos() -> None:
    probabilities = np.array([[0.9], [0.7], [0.3], [0.1]], np.float32)
    assert choose_thresholds(probabilities, np.array([[1], [1], [0], [0]])) == pytest.approx(0.5)
    assert choose_thresholds(probabilities, np.array([[1], [0], [0], [0]])) == pytest.approx(0.8)


def test_a_label_that_every_photo_has_is_given_to_all() -> None:
    probabilities = np.array([[0.4], [0.2]], np.float32)
    threshold = choose_thresholds(probabilities, np.ones((2, 1)))
    assert 0 < threshold[0] < 0.2


def test_a_label_without_positives_keeps_one_half() -> None:
    probabilities = np.array([[0.9, 0.8], [0.7, 0.1]], np.float32)
    assert choose_thresholds(probabilities, np.array([[0, 1], [0, 0]]))[0] == 0.5


def test_a_categorical_answer_is_the_most_probable_class_and_only_one() -> None:
    probabilities = np.array([[0.2, 0.5, 0.3], [0.4, 0.4, 0.2]])
    decisions = decide(probabilities, "categorical", np.full(3, 0.9))
    assert decisions.tolist() == [[False, True, False], [True, False, False]]


def test_a_temperature_changes_no_order() -> None:
    logits, _ = make_answers("categorical", 1.0)
    warm = calibrated(logits, 2.5, "categorical")
    assert warm.dtype == np.float32
    assert np.array_equal(warm.argmax(axis=1), logits.argmax(axis=1))
    assert warm.max() < calibrated(logits, 1.0, "categorical").max()
