"""Scores of found regions against COCO's evaluator and slow loops."""

from dataclasses import replace

import numpy as np
import pytest

from carclf import region_scores as scores
from carclf.annotations.instances import Instances
from carclf.annotations.shapes import make_runs
from carclf.region_scores import JudgedRegions, average_precision, join_photos
from carclf.scores import Array
from tests.drawn_regions import HEIGHT, WIDTH, DrawnPhoto, Found, draw_photo, evaluate_with_coco, judge_all


def one_set(rows: int) -> Array:
    return np.ones((1, rows))


def draw_photos(seed: int, number: int, levels: int = 6) -> list[DrawnPhoto]:
    rng = np.random.default_rng(seed)
    photos = [draw_photo(rng, levels=levels) for _ in range(number)]
    nothing = Instances(np.zeros((HEIGHT, WIDTH), np.uint16), np.zeros(0, np.uint8))
    return [*photos, replace(photos[0], found=()), replace(photos[1], true=nothing), DrawnPhoto((), nothing)]


def crowded_photo(seed: int) -> DrawnPhoto:
    """More than 100 predictions of class 1."""
    rng = np.random.default_rng(seed)
    photo = draw_photo(rng)
    places = rng.integers(0, 18, (130, 2)).tolist()
    squares = [Found(1, float(rng.random()), make_runs(np.ones((5, 6), bool), (x, y))) for x, y in places]
    return replace(photo, found=(*photo.found, *squares))


@pytest.fixture
def judged() -> JudgedRegions:
    return judge_all(draw_photos(11, 30))


def some_weights(rows: int, draws: int = 7) -> Array:
    return np.random.default_rng(5).integers(0, 4, (draws, rows)).astype(np.float64)


def repeat(regions: JudgedRegions, times: Array) -> JudgedRegions:
    """Every photo as often as int (n,) says."""
    parts = [regions.rows(np.array([row])) for row in np.repeat(np.arange(len(times)), times.astype(int))]
    return join_photos(parts, regions.true_counts.shape[1])


@pytest.mark.parametrize("levels", [2, 6, 10_000])  # few: many equal probabilities
@pytest.mark.parametrize("seed", range(4))
def test_average_precision_equals_cocos_evaluator(seed: int, levels: int) -> None:
    photos = [*draw_photos(seed, 12, levels), crowded_photo(seed)]
    evaluator = evaluate_with_coco(photos)
    regions = judge_all(photos)
    at_half, mean = average_precision(regions, one_set(len(photos)))
    assert 0.05 < mean[0] < at_half[0] < 0.9
    assert mean[0] == pytest.approx(evaluator.stats[0], abs=1e-9)
    assert at_half[0] == pytest.approx(evaluator.stats[1], abs=1e-9)
    precisions = evaluator.eval["precision"][..., 0, 2].mean(axis=1).T  # of 10, 101, 3, 4 areas, 3 numbers
    by_class = scores.class_average_precisions(regions, one_set(len(photos)))[0]
    np.testing.assert_allclose(by_class, precisions, rtol=0, atol=1e-9)


def test_a_class_without_a_true_region_is_left_out_and_one_without_predictions_is_not() -> None:
    photos = draw_photos(3, 12)
    photos = [
        replace(photo, found=tuple(region for region in photo.found if region.class_id != 1), num_classes=4)
        for photo in photos
    ]
    regions = judge_all(photos)
    by_class = scores.class_average_precisions(regions, one_set(len(photos)))[0]
    assert not by_class[0].any()
    assert np.isnan(by_class[3]).all()
    at_half, mean = average_precision(regions, one_set(len(photos)))
    evaluator = evaluate_with_coco(photos)
    assert [mean[0], at_half[0]] == pytest.approx(evaluator.stats[:2], abs=1e-9)
    assert at_half[0] == pytest.approx(by_class[:3, 0].mean())


def test_the_order_of_predictions_does_not_matter(judged: JudgedRegions) -> None:
    order = np.random.default_rng(1).permutation(len(judged.photos))
    distinct = replace(judged, probabilities=np.argsort(np.argsort(judged.probabilities)) / len(order))
    shuffled = JudgedRegions(
        distinct.photos[order],
        distinct.class_ids[order],
        distinct.probabilities[order],
        distinct.matched[order],
        distinct.true_counts,
    )
    weights = some_weights(len(judged.true_counts))
    expected = scores.class_average_precisions(distinct, weights)
    np.testing.assert_array_equal(scores.class_average_precisions(shuffled, weights), expected)


def test_whole_weights_equal_photos_that_come_several_times() -> None:
    regions = judge_all(draw_photos(2, 25, levels=100_000))
    weights = some_weights(len(regions.true_counts))
    precisions = scores.class_average_precisions(regions, weights)
    counts = scores.region_counts(regions, weights, 0.5)
    rates = [rate(regions, weights, 0.5) for rate in (scores.produced_rate, scores.false_alarm_rate)]
    for draw, times in enumerate(weights):
        repeated = repeat(regions, times)
        ones = one_set(len(repeated.true_counts))
        expected = scores.class_average_precisions(repeated, ones)[0]
        np.testing.assert_allclose(precisions[draw], expected, rtol=0, atol=1e-12)
        np.testing.assert_array_equal(counts[draw], scores.region_counts(repeated, ones, 0.5)[0])
        np.testing.assert_allclose(rates[0][draw], scores.produced_rate(repeated, ones, 0.5)[0])
        np.testing.assert_allclose(rates[1][draw], scores.false_alarm_rate(repeated, ones, 0.5)[0])


def test_scores_are_the_same_for_any_size_of_block(judged: JudgedRegions, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = some_weights(len(judged.true_counts), draws=23)
    expected = scores.class_average_precisions(judged, weights)
    for block in (1, 300):
        monkeypatch.setattr(scores, "_BLOCK_WEIGHTS", block)
        np.testing.assert_array_equal(scores.class_average_precisions(judged, weights), expected)


def test_draws_that_do_not_define_a_score_are_not_numbers(judged: JudgedRegions) -> None:
    whole = (judged.true_counts == 0).all(axis=1)
    weights = np.stack([whole, ~whole, np.zeros(len(whole))]).astype(np.float64)
    for values in average_precision(judged, weights):
        assert np.isnan(values).tolist() == [True, False, True]
    undefined = [np.isnan(rate(judged, weights, 0.5)) for rate in (scores.produced_rate, scores.false_alarm_rate)]
    assert undefined[0].all(axis=1).tolist() == [True, False, True]
    assert undefined[1].all(axis=1).tolist() == [False, True, True]
    counts = scores.region_counts(judged, weights, 0.5).sum(axis=1)
    assert np.isnan(scores.region_recall(counts)).tolist() == [True, False, True]
    assert np.isnan(scores.region_precision(counts)).tolist() == [False, False, True]
    assert np.isnan(scores.region_precision(scores.region_counts(judged, weights, 1.1))).all()
    nothing = join_photos([], 3)
    assert np.isnan(average_precision(nothing, one_set(0))).all()
    assert np.isnan(scores.produced_rate(nothing, one_set(0), 0.5)).all()


@pytest.mark.parametrize("least", [0.0, 0.5, 2 / 3])  # 2 / 3 is one of the probabilities
def test_found_regions_equal_a_slow_loop(judged: JudgedRegions, least: float) -> None:
    weights = some_weights(len(judged.true_counts))
    counts = scores.region_counts(judged, weights, least)
    for draw, times in enumerate(weights):
        for class_id in (1, 2, 3):
            found = predicted = true = 0.0
            for row, often in enumerate(times):
                true += often * judged.true_counts[row, class_id - 1]
                for index in range(len(judged.photos)):
                    mine = judged.photos[index] == row and judged.class_ids[index] == class_id
                    if mine and judged.probabilities[index] >= least:
                        predicted += often
                        found += often * judged.matched[index, 0]
            one = counts[draw, class_id - 1]
            assert one.tolist() == [found, predicted - found, true - found]
            assert scores.region_recall(one) == pytest.approx(found / true)
            assert scores.region_precision(one) == pytest.approx(found / predicted)
    assert scores.region_recall(counts.sum(axis=1)).shape == (7,)


@pytest.mark.parametrize("least", [0.0, 0.5, 2 / 3])
def test_photos_with_a_produced_region_equal_a_slow_loop(judged: JudgedRegions, least: float) -> None:
    weights = some_weights(len(judged.true_counts))
    rates = scores.produced_rate(judged, weights, least)
    alarms = scores.false_alarm_rate(judged, weights, least)
    sure = {
        (int(judged.photos[index]), int(judged.class_ids[index]))
        for index in range(len(judged.photos))
        if judged.probabilities[index] >= least
    }
    for draw, times in enumerate(weights):
        for class_id in (1, 2, 3):
            shown, bare = [0.0, 0.0], [0.0, 0.0]  # photos, those with a produced region
            for row, often in enumerate(times):
                produced = (row, class_id) in sure
                if judged.true_counts[row, class_id - 1]:
                    shown = [shown[0] + often, shown[1] + often * produced]
                if not judged.true_counts[row].any():
                    bare = [bare[0] + often, bare[1] + often * produced]
            assert rates[draw, class_id - 1] == pytest.approx(shown[1] / shown[0])
            assert alarms[draw, class_id - 1] == pytest.approx(bare[1] / bare[0])


def test_a_region_anywhere_counts_as_produced_and_finds_nothing() -> None:
    ids = np.zeros((HEIGHT, WIDTH), np.uint16)
    ids[:4, :4] = 1
    elsewhere = Found(1, 0.95, make_runs(np.ones((4, 4), bool), (20, 12)))
    regions = judge_all([DrawnPhoto((elsewhere,), Instances(ids, np.array([1], np.uint8)))])
    assert scores.produced_rate(regions, one_set(1), 0.9)[0, 0] == 1
    assert scores.produced_rate(regions, one_set(1), 0.96)[0, 0] == 0
    assert scores.region_recall(scores.region_counts(regions, one_set(1), 0.9))[0, 0] == 0
    assert average_precision(regions, one_set(1))[0][0] == 0


def test_chosen_photos_score_as_the_others_weighted_with_0(judged: JudgedRegions) -> None:
    chosen = np.random.default_rng(4).random(len(judged.true_counts)) < 0.5
    part = judged.rows(np.flatnonzero(chosen))
    assert len(part.true_counts) == chosen.sum()
    weights = some_weights(len(chosen))
    expected = scores.class_average_precisions(judged, weights * chosen)
    np.testing.assert_allclose(scores.class_average_precisions(part, weights[:, chosen]), expected, atol=1e-12)
