"""How sure and how right answers are; from where on they are told: as a slow loop finds, and right on other photos."""

import numpy as np
import pytest

from carclf.calibration import decide
from carclf.scores import Array
from carclf.selective import (
    ALWAYS,
    NEVER,
    STANDARD_ERRORS,
    choose_min_probability,
    is_told,
    label_confidence,
    labels_right,
    lower_end,
    mask_right,
)


def make_answers(num_photos: int, seed: int, levels: int = 0) -> tuple[Array, Array]:
    """Confidences, on some levels only or all different, and answers that are right as often as these say."""
    random = np.random.default_rng(seed)
    confidence = random.beta(2, 1, num_photos)
    if levels:
        confidence = np.round(confidence * levels) / levels
    return confidence, (random.random(num_photos) < confidence).astype(np.float64)


def slow_choice(confidence: Array, right: Array, groups: Array, target: float) -> float:
    """Tries every confidence from the lowest up."""
    values = sorted(set(confidence.tolist()))
    for place, value in enumerate(values):
        told = confidence >= value
        share, count = right[told].mean(), len(set(groups[told].tolist()))
        # Wilson's lower end is the share p with (share - p)² = z² p (1 - p) / count
        a, b, c = 1 + STANDARD_ERRORS**2 / count, -2 * share - STANDARD_ERRORS**2 / count, share**2
        lowest = (-b - np.sqrt(max(b * b - 4 * a * c, 0))) / (2 * a)
        if lowest >= target:
            return ALWAYS if place == 0 else (values[place - 1] + value) / 2
    return NEVER


@pytest.mark.parametrize("levels", [0, 4, 12], ids=["no ties", "many ties", "ties"])
@pytest.mark.parametrize("target", [0.3, 0.7, 0.85, 0.99])
@pytest.mark.parametrize("seed", range(4))
def test_the_least_confidence_is_that_of_a_slow_loop(seed: int, target: float, levels: int) -> None:
    confidence, right = make_answers(120, seed, levels)
    groups = np.random.default_rng(seed).integers(0, 80, 120)
    chosen = choose_min_probability(confidence, right, groups, target)
    assert chosen == pytest.approx(slow_choice(confidence, right, groups, target), abs=1e-12)


def test_the_order_of_the_photos_does_not_matter() -> None:
    confidence, right = make_answers(90, 5, levels=20)
    groups, order = np.arange(90) // 3, np.random.default_rng(0).permutation(90)
    chosen = choose_min_probability(confidence[order], right[order], groups[order], 0.8)
    assert chosen == choose_min_probability(confidence, right, groups, 0.8)


def test_a_few_lucky_photos_are_not_enough_and_photos_of_one_car_count_once() -> None:
    confidence, right = np.linspace(0.5, 0.9, 9), np.ones(9)
    assert choose_min_probability(confidence, right, np.arange(9), 0.89) == ALWAYS  # 9 / (9 + 1)
    assert choose_min_probability(confidence[1:], right[1:], np.arange(8), 0.89) == NEVER
    assert choose_min_probability(confidence, right, np.arange(9) // 2, 0.89) == NEVER
    assert lower_end(np.ones(1), np.array([9.0])) == pytest.approx(0.9)


def test_photos_that_cannot_be_judged_decide_nothing() -> None:
    confidence, right = make_answers(100, 1)
    unknown = np.full(20, np.nan)
    groups = np.arange(120)
    with_them = choose_min_probability(np.append(confidence, np.full(20, 0.9)), np.append(right, unknown), groups, 0.8)
    assert with_them == choose_min_probability(confidence, right, groups[:100], 0.8)
    assert choose_min_probability(np.ones(20), unknown, groups[:20], 0.8) == NEVER


@pytest.mark.parametrize("num_photos", [100, 400])
def test_the_precision_is_met_on_other_photos_in_seven_of_eight_draws(num_photos: int) -> None:
    others, _ = make_answers(100_000, 0)
    missed = []
    for seed in range(200):
        confidence, right = make_answers(num_photos, seed + 1)
        told = others[is_told(others, choose_min_probability(confidence, right, np.arange(num_photos), 0.8))]
        missed.append(len(told) > 0 and told.mean() < 0.795)
    assert 0.05 < np.mean(missed) < 0.2


def test_labels_are_right_together_and_as_sure_as_that() -> None:
    probabilities = np.array([[0.9, 0.4, 0.1], [0.6, 0.3, 0.45]], np.float32)
    several = decide(probabilities, "multi_label", np.full(3, 0.35))
    assert several.tolist() == [[True, True, False], [True, False, True]]
    np.testing.assert_allclose(
        label_confidence(probabilities, several, "multi_label"), [0.9 * 0.4 * 0.9, 0.6 * 0.7 * 0.45], atol=1e-7
    )
    assert labels_right(several, np.array([[True, True, False], [True, True, True]])).tolist() == [1, 0]
    one = decide(probabilities, "categorical", np.zeros(3))
    np.testing.assert_allclose(label_confidence(probabilities, one, "categorical"), [0.9, 0.6], atol=1e-7)
    assert labels_right(one, np.array([[True, False, False], [False, True, False]])).tolist() == [1, 0]


def test_a_mask_is_as_right_as_its_dice_score_and_an_empty_one_where_nothing_is() -> None:
    hits, drawn = np.array([30, 0, 0, 0, 0]), np.array([40, 10, 0, 0, 0])
    there, judged = np.array([50, 0, 0, 7, 0]), np.array([99, 99, 99, 99, 0])
    np.testing.assert_array_equal(mask_right(hits, drawn, there, judged), [60 / 90, 0, 1, 0, np.nan])


def test_the_ends_of_the_scale_are_always_and_never() -> None:
    confidence = np.array([0.0, 0.5, 1.0])
    assert is_told(confidence, ALWAYS).all()
    assert not is_told(confidence, NEVER).any()
    assert is_told(confidence, np.array([0.1, 0.5, 0.9])).tolist() == [False, True, True]
