import numpy as np
import pytest
from sklearn import metrics as reference

from carclf import scores
from carclf.scores import Array


def one_set(rows: int) -> Array:
    return np.ones((1, rows))


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(5)


def some_weights(random: np.random.Generator, rows: int) -> Array:
    return random.integers(0, 4, size=(7, rows)).astype(np.float64)


def test_softmax_and_sigmoid_stay_finite_for_huge_logits() -> None:
    logits = np.array([[1e4, -1e4], [0.0, 0.0]], np.float32)
    np.testing.assert_allclose(scores.softmax(logits), [[1.0, 0.0], [0.5, 0.5]])
    np.testing.assert_allclose(scores.sigmoid(logits), [[1.0, 0.0], [0.5, 0.5]])


def test_mean_of_nothing_is_not_a_number(random: np.random.Generator) -> None:
    values = np.array([1.0, np.nan, 3.0])
    assert scores.mean_of_defined(values, axis=0) == 2.0
    assert np.isnan(scores.mean_of_defined(np.full(3, np.nan), axis=0))
    assert np.isnan(scores.weighted_mean(values, one_set(3), np.zeros(3, bool)))[0]
    assert scores.weighted_mean(values, one_set(3), ~np.isnan(values))[0] == 2.0


@pytest.mark.parametrize("num_levels", [3, 1000])  # few levels: many equal scores
def test_ranking_scores_equal_scikit_learn(random: np.random.Generator, num_levels: int) -> None:
    truth = random.random(150) < 0.3
    ranking = random.integers(0, num_levels, 150) / num_levels + 0.0 * truth
    weights = some_weights(random, 150)
    precisions = scores.average_precision(truth, ranking, weights)
    areas = scores.area_under_roc(truth, ranking, weights)
    for draw in range(len(weights)):
        expected = reference.average_precision_score(truth, ranking, sample_weight=weights[draw])
        assert precisions[draw] == pytest.approx(expected, abs=1e-12)
        expected = reference.roc_auc_score(truth, ranking, sample_weight=weights[draw])
        assert areas[draw] == pytest.approx(expected, abs=1e-12)


def test_ranking_scores_without_positives_are_not_numbers() -> None:
    truth, ranking = np.zeros(4, bool), np.arange(4.0)
    assert np.isnan(scores.average_precision(truth, ranking, one_set(4)))[0]
    assert np.isnan(scores.area_under_roc(truth, ranking, one_set(4)))[0]
    assert np.isnan(scores.average_precision(truth[:0], ranking[:0], one_set(0)))[0]
    assert np.isnan(scores.area_under_roc(truth[:0], ranking[:0], one_set(0)))[0]


def test_f1_equals_scikit_learn_and_leaves_absent_labels_out(random: np.random.Generator) -> None:
    truth, decided = random.random((90, 3)) < 0.4, random.random((90, 3)) < 0.5
    truth[:, 2] = False
    weights = some_weights(random, 90)
    f1 = scores.f1_scores(truth, decided, weights)
    assert np.isnan(f1[:, 2]).all()
    for draw in range(len(weights)):
        expected = reference.f1_score(truth[:, :2], decided[:, :2], average=None, sample_weight=weights[draw])
        np.testing.assert_allclose(f1[draw, :2], expected, atol=1e-12)


def slow_calibration_error(confidence: Array, correct: Array, weights: Array) -> float:
    """One loop over answers, one over bins; no answers of equal confidence."""
    answers = sorted(
        (confidence[i, j], correct[i, j], weights[i])
        for i in range(len(confidence))
        for j in range(confidence.shape[1])
    )
    gaps = [0.0] * 15
    for position, (value, came_true, weight) in enumerate(answers):
        gaps[int(15 * (position + 0.5) / len(answers))] += weight * (value - came_true)
    return float(sum(abs(gap) for gap in gaps) / sum(weight for _, _, weight in answers))


def test_calibration_error_equals_a_slow_loop(random: np.random.Generator) -> None:
    confidence = random.random((101, 3))
    correct = random.random((101, 3)) < confidence**2
    weights = some_weights(random, 101)
    errors = scores.calibration_error(confidence, correct, weights)
    for draw in range(len(weights)):
        expected = slow_calibration_error(confidence, correct, weights[draw])
        assert errors[draw] == pytest.approx(expected, abs=1e-12)


def test_calibration_bins_hold_equal_mass_and_keep_equals_together(random: np.random.Generator) -> None:
    counts = np.bincount(scores.calibration_bins(random.random((50, 3))).ravel(), minlength=15)
    assert counts.tolist() == [10] * 15
    assert np.ptp(scores.calibration_bins(np.full(40, 0.7))) == 0
    assert scores.calibration_bins(np.array([0.2])).tolist() == [7]


def test_calibrated_answers_have_a_small_error_sure_mistakes_a_large_one(
    random: np.random.Generator,
) -> None:
    confidence = random.random((20_000, 1))
    correct = random.random((20_000, 1)) < confidence
    error = scores.calibration_error(confidence, correct, one_set(20_000))[0]
    assert error < 0.02
    assert error == pytest.approx(scores.chance_calibration_error(confidence), rel=0.5)
    assert scores.calibration_error(np.ones((9, 1)), np.zeros((9, 1), bool), one_set(9))[0] == 1.0


def test_chance_calibration_error_is_the_mean_of_calibrated_heads(random: np.random.Generator) -> None:
    confidence = 0.5 + 0.5 * random.random((300, 1))
    drawn = [
        scores.calibration_error(confidence, random.random((300, 1)) < confidence, one_set(300))[0] for _ in range(300)
    ]
    assert scores.chance_calibration_error(confidence) == pytest.approx(np.mean(drawn), rel=0.05)


def test_dice_and_iou_of_nothing_perfect_and_half() -> None:
    counts = np.array([[0, 0, 0], [7, 0, 0], [0, 0, 7], [5, 5, 0]])
    np.testing.assert_equal(scores.dice(counts), [np.nan, 1, 0, 10 / 15])
    np.testing.assert_equal(scores.iou(counts), [np.nan, 1, 0, 0.5])
