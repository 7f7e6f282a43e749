"""Matches of found and true regions of one photo."""

import numpy as np
import pytest
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from carclf.annotations.instances import Instances
from carclf.annotations.shapes import make_runs
from carclf.region_matching import MOST_PREDICTIONS, match_regions
from carclf.region_scores import IOU_THRESHOLDS, JudgedRegions
from tests.drawn_regions import (
    HEIGHT,
    WIDTH,
    DrawnPhoto,
    Found,
    draw_photo,
    evaluate_with_coco,
    pack,
    whole_pixels,
)

NOTHING = np.zeros((HEIGHT, WIDTH), bool)


def square(left: int, top: int, probability: float = 0.9, class_id: int = 1, side: int = 4) -> Found:
    return Found(class_id, probability, make_runs(np.ones((side, side), bool), (left, top)))


def truths(*places: tuple[int, int], class_id: int = 1, side: int = 4) -> Instances:
    ids = np.zeros((HEIGHT, WIDTH), np.uint16)
    for number, (left, top) in enumerate(places, 1):
        ids[top : top + side, left : left + side] = number
    return Instances(ids, np.full(len(places), class_id, np.uint8))


def match(*regions: Found, true: Instances, ignored: NDArray[np.bool_] = NOTHING) -> JudgedRegions:
    return match_regions(regions, true, ignored, num_classes=3)


def reached(judged: JudgedRegions) -> list[int]:
    """At how many thresholds each prediction is a match."""
    assert (judged.matched == (np.arange(10) < judged.matched.sum(axis=1)[:, None])).all()
    return [int(number) for number in judged.matched.sum(axis=1)]


@pytest.mark.parametrize("seed", range(20))
def test_matches_are_those_of_cocos_evaluator(seed: int) -> None:
    photo = draw_photo(np.random.default_rng(seed), most_true=8, most_found=25)
    if not photo.found:
        photo = DrawnPhoto((square(0, 0),), photo.true)
    judged = photo.judge()
    everywhere = slice(0, 3)  # evalImgs: class by class, of each four ranges of area, "all" first
    parts = [part for part in evaluate_with_coco([photo]).evalImgs[::4][everywhere] if part is not None]
    np.testing.assert_array_equal(judged.probabilities, np.concatenate([part["dtScores"] for part in parts]))
    np.testing.assert_array_equal(judged.matched.T, np.concatenate([part["dtMatches"] > 0 for part in parts], axis=1))
    expected = [class_id for part in parts for class_id in [part["category_id"]] * len(part["dtIds"])]
    np.testing.assert_array_equal(judged.class_ids, expected)
    assert judged.true_counts.tolist() == [[int((photo.true.class_ids == class_id).sum()) for class_id in (1, 2, 3)]]
    assert not judged.photos.any()


@pytest.mark.parametrize("seed", range(5))
def test_a_region_is_matched_up_to_the_iou_that_pycocotools_gives(seed: int) -> None:
    rng = np.random.default_rng(seed)
    true = truths((10, 8), side=10)
    pixels = rng.random((11, 11)) < 0.95
    region = Found(1, 0.5, make_runs(pixels, (int(rng.integers(9, 12)), int(rng.integers(7, 10)))))
    iou = coco_mask.iou([pack(whole_pixels(region))], [pack(true.ids)], [0]).item()
    assert 0.3 < iou < 1
    assert reached(match(region, true=true)) == [int((iou >= IOU_THRESHOLDS).sum())]


def test_an_iou_of_just_the_threshold_is_a_match() -> None:
    true = truths((0, 0))
    half = Found(1, 0.5, make_runs(np.ones((2, 4), bool)))
    three_quarters = Found(1, 0.5, make_runs(np.ones((3, 4), bool)))
    assert reached(match(half, true=true)) == [1]
    assert reached(match(three_quarters, true=true)) == [6]
    assert reached(match(square(0, 0), true=true)) == [10]


def test_a_true_region_is_found_once_by_the_surest() -> None:
    true = truths((0, 0), (10, 0))
    judged = match(square(0, 0, 0.6), square(0, 1, 0.8), square(10, 0, 0.7), true=true)
    assert judged.probabilities.tolist() == [0.8, 0.7, 0.6]
    assert judged.matched[:, 0].tolist() == [True, True, False]  # IoU 0.6, 1, and 1 with what is taken
    assert judged.matched[:, 3].tolist() == [False, True, True]  # at 0.65 the second one gets it


@pytest.mark.parametrize(("left", "matches"), [(0, [True, True]), (4, [True, False])])
def test_of_two_true_regions_with_the_same_iou_the_last_is_taken(left: int, matches: list[bool]) -> None:
    both = Found(1, 0.9, make_runs(np.ones((4, 8), bool)))
    photo = DrawnPhoto((both, square(left, 0, 0.8)), truths((0, 0), (4, 0)))
    assert photo.judge().matched[:, 0].tolist() == matches
    assert (evaluate_with_coco([photo]).evalImgs[0]["dtMatches"][0] > 0).tolist() == matches


def test_classes_do_not_mix() -> None:
    judged = match(square(0, 0, class_id=2), true=truths((0, 0), class_id=1))
    assert not judged.matched.any()
    assert judged.class_ids.tolist() == [2]
    assert judged.true_counts.tolist() == [[1, 0, 0]]


def test_predicted_pixels_that_nobody_judged_do_not_count() -> None:
    true = truths((0, 0))
    ignored = NOTHING.copy()
    ignored[:, 4:] = True
    wide = Found(1, 0.9, make_runs(np.ones((4, 16), bool)))
    assert reached(match(wide, true=true)) == [0]
    assert reached(match(wide, true=true, ignored=ignored)) == [10]
    judged = match(square(8, 8), wide, square(20, 3, class_id=2), true=true, ignored=ignored)
    assert judged.class_ids.tolist() == [1]  # of the others nothing is left: neither right nor wrong
    assert reached(judged) == [10]


def test_of_more_than_100_predictions_of_a_class_the_surest_are_judged() -> None:
    many = [square(8, 8, 0.3 + index / 1000) for index in range(150)]
    judged = match(square(0, 0, 0.2), square(0, 0, 0.1, class_id=2), *many, true=truths((0, 0)))
    assert (judged.class_ids == 1).sum() == MOST_PREDICTIONS
    assert judged.probabilities[:MOST_PREDICTIONS].min() == pytest.approx(0.35)
    assert judged.class_ids[-1] == 2
    ignored = NOTHING.copy()
    ignored[8:, 8:] = True
    assert reached(match(square(0, 0, 0.2), *many, true=truths((0, 0)), ignored=ignored)) == [10]


def test_what_sticks_out_of_the_photo_is_cut_off() -> None:
    assert reached(match(square(-4, -4, side=8), square(40, 40), true=truths((0, 0)))) == [10]


def test_photos_without_truth_or_predictions() -> None:
    judged = match(square(0, 0), true=truths())
    assert not judged.matched.any()
    assert judged.true_counts.tolist() == [[0, 0, 0]]
    judged = match(true=truths((0, 0)))
    assert judged.matched.shape == (0, 10)
    assert judged.true_counts.tolist() == [[1, 0, 0]]
