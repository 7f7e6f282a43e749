"""Answers and constant answers against what is true, photo by photo: equal to slow loops."""

import numpy as np
import pytest

from carclf.labels import IGNORED_PIXEL
from carclf.mask_metrics import MaskScores
from carclf.mask_scores import boundary_counts, boundary_tolerance
from carclf.masks.answers import Decider
from carclf.masks.photo_scores import JudgedPhotos, join_judged, join_scores, judge_photos
from carclf.masks.scoring import MeanMask
from carclf.region_matching import match_regions
from carclf.regions.splitting import RegionSettings
from carclf.scores import Array
from tests.mask_photos import draw_masks, loaders, pooled_dice, truth_of

DECIDER = Decider(np.array([0.5, 0.5]), RegionSettings(split=False, min_area_share=0.0))
HEIGHT, WIDTH = 24, 40


def sure_of(mask: np.ndarray) -> np.ndarray:
    """The grid of a head that knows the mask."""
    return np.stack([mask == 1, mask == 2], axis=-1).astype(np.float32)


def draw_photos(number: int = 9) -> list[np.ndarray]:
    """Masks with both classes, one without any, one that nobody has judged."""
    masks = draw_masks(number, np.random.default_rng(4))
    masks[1][14:20, 30:38] = 2
    masks[2][:] = IGNORED_PIXEL
    return masks


def make_mean_mask() -> MeanMask:
    probabilities = np.zeros((3, 5, 2), np.float32)
    probabilities[1, 1:4, 0], probabilities[1:, 2, 1] = 0.3, 0.2
    return MeanMask(probabilities, np.array([0.12, 0.15]))


def make_grids(masks: list[np.ndarray]) -> list[np.ndarray]:
    """What a head says that is fairly sure; of photo 3 on another grid, and nothing."""
    random = np.random.default_rng(0)
    grids = [(sure_of(mask) * 0.7 + random.random((*mask.shape, 2)) * 0.2).astype(np.float32) for mask in masks]
    grids[3] = np.zeros((4, 6, 2), np.float32)
    return grids


@pytest.fixture(scope="module")
def judged() -> JudgedPhotos:
    masks = draw_photos()
    return judge_photos(make_grids(masks), DECIDER, make_mean_mask(), loaders(masks))


def slow_counts(drawn: list[np.ndarray], true: np.ndarray) -> Array:
    """Pixels of each class where `drawn`, bool (H, W) for each class, meets the truth: (C, 3)."""
    counts = np.zeros((2, 3), np.int64)
    for row, column in np.ndindex(*true.shape):
        for index in range(2):
            is_true, is_drawn = true[row, column] == index + 1, drawn[index][row, column]
            if true[row, column] != IGNORED_PIXEL:
                counts[index] += [is_true and is_drawn, is_drawn and not is_true, is_true and not is_drawn]
    return counts


def test_an_answer_that_knows_everything_is_right() -> None:
    masks = draw_masks(8, np.random.default_rng(0))
    judged = judge_photos([sure_of(mask) for mask in masks], DECIDER, make_mean_mask(), loaders(masks))
    assert pooled_dice(judged.scores.counts) == 1.0
    assert judged.scores.regions.matched.all()
    assert judged.pixels.tolist() == [int((mask != IGNORED_PIXEL).sum()) for mask in masks]


def test_pixels_of_every_answer_equal_a_slow_loop(judged: JudgedPhotos) -> None:
    masks, mean = draw_photos(), make_mean_mask()
    constant = Decider(mean.thresholds, DECIDER.regions).mask(mean.probabilities, WIDTH, HEIGHT)
    assert set(np.unique(constant)) == {0, 1, 2}
    drawn = {
        "nothing": [np.zeros((HEIGHT, WIDTH), bool)] * 2,
        "everything": [np.ones((HEIGHT, WIDTH), bool)] * 2,
        "mean_mask": [constant == 1, constant == 2],
    }
    assert set(judged.baselines) == set(drawn)
    for name, classes in drawn.items():
        expected = np.stack([slow_counts(classes, mask) for mask in masks])
        np.testing.assert_array_equal(judged.baselines[name].counts, expected, err_msg=name)
        true_pixels = judged.scores.counts[..., 0] + judged.scores.counts[..., 2]
        np.testing.assert_array_equal(expected[..., 0] + expected[..., 2], true_pixels)
    everything = judged.baselines["everything"].counts
    np.testing.assert_array_equal(everything[..., :2].sum(axis=-1), np.stack([judged.pixels] * 2, axis=1))


def test_outlines_of_constant_answers(judged: JudgedPhotos) -> None:
    masks, mean = draw_photos(), make_mean_mask()
    constant = Decider(mean.thresholds, DECIDER.regions).mask(mean.probabilities, WIDTH, HEIGHT)
    for row, mask in enumerate(masks):
        tolerance = boundary_tolerance(HEIGHT, WIDTH)
        expected = boundary_counts(constant, mask, 2, tolerance)
        np.testing.assert_array_equal(judged.baselines["mean_mask"].boundaries[row], expected)
    for name in ("nothing", "everything"):  # neither has an outline: the photo's edge is none
        assert not judged.baselines[name].boundaries[..., [0, 1, 3]].any()
        np.testing.assert_array_equal(
            judged.baselines[name].boundaries[..., 2], judged.baselines["mean_mask"].boundaries[..., 2]
        )


def test_soft_scores_equal_a_slow_loop_over_pixels_and_classes(judged: JudgedPhotos) -> None:
    masks = draw_photos()
    for row, (mask, grid) in enumerate(zip(masks, make_grids(masks), strict=True)):
        if row == 3:
            continue  # its answer lies on another grid
        overlap = answered = true = cost = pixels = 0.0
        without = 0.0  # of the answer "nothing"
        for place in np.ndindex(*mask.shape):
            if mask[place] == IGNORED_PIXEL:
                continue
            classes = np.array([1 - grid[place].sum(), *grid[place]]).clip(0)
            classes /= max(1.0, grid[place].sum())
            y = np.eye(3)[mask[place]]
            overlap, answered, true = overlap + (y * classes).sum(), answered + classes.sum(), true + 1
            cost -= np.log(np.clip(classes[mask[place]], 1e-7, 1 - 1e-7))
            without -= np.log(1 - 1e-7) if mask[place] == 0 else np.log(1e-7)
            pixels += 1
        if not pixels:
            assert np.isnan(judged.scores.soft[row]).all()
            assert np.isnan(judged.baselines["nothing"].soft[row]).all()
            continue
        expected = [(2 * overlap + 1) / (answered + true + 1), cost / pixels]
        np.testing.assert_allclose(judged.scores.soft[row], expected, rtol=1e-5)
        share = (2 * ((mask == 0).sum()) + 1) / (2 * pixels + 1)
        np.testing.assert_allclose(judged.baselines["nothing"].soft[row], [share, without / pixels], rtol=1e-5)
    assert np.isnan(judged.baselines["everything"].soft).all()  # all classes at once are no probabilities
    assert np.isfinite(np.delete(judged.baselines["mean_mask"].soft, 2, axis=0)).all()


def test_regions_of_constant_answers(judged: JudgedPhotos) -> None:
    masks = draw_photos()
    regions = judged.baselines["everything"].regions
    for row, mask in enumerate(masks):
        own = np.flatnonzero(regions.photos == row)
        assert regions.class_ids[own].tolist() == ([] if row == 2 else [1, 2])  # nothing was judged in photo 2
        assert (regions.probabilities[own] == 1).all()
        for place in own:
            share = (mask == regions.class_ids[place]).sum() / max(1, (mask != IGNORED_PIXEL).sum())
            single = regions.true_counts[row, regions.class_ids[place] - 1] == 1
            assert regions.matched[place, 0] == (single and share >= 0.5)
    assert not len(judged.baselines["nothing"].regions.photos)
    for each in (judged.scores, *judged.baselines.values()):
        truths = [np.bincount(truth_of(mask).instances.class_ids, minlength=3)[1:] for mask in masks]
        np.testing.assert_array_equal(each.regions.true_counts, truths)


def test_regions_of_the_head_are_those_that_it_answers(judged: JudgedPhotos) -> None:
    masks = draw_photos()
    mask, grid = masks[1], make_grids(masks)[1]
    found = DECIDER.find(grid, DECIDER.mask(grid, WIDTH, HEIGHT))
    expected = match_regions(found, truth_of(mask).instances, mask == IGNORED_PIXEL, 2)
    own = judged.scores.regions.rows(np.array([1]))
    for name, value in vars(expected).items():
        np.testing.assert_array_equal(getattr(own, name), value, err_msg=name)
    assert expected.matched[:, 0].any()


def assert_same_scores(one: MaskScores, other: MaskScores) -> None:
    for name in ("counts", "boundaries", "soft"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    for name, value in vars(other.regions).items():
        np.testing.assert_array_equal(getattr(one.regions, name), value, err_msg=name)


def test_photos_judged_in_parts_are_those_judged_together(judged: JudgedPhotos) -> None:
    masks = draw_photos()
    grids = make_grids(masks)
    parts = [
        judge_photos(grids[some], DECIDER, make_mean_mask(), loaders(masks[some]))
        for some in (slice(0, 4), slice(4, 4), slice(4, 9))
    ]
    joined = join_judged(parts, 2)
    assert_same_scores(joined.scores, judged.scores)
    for name, each in judged.baselines.items():
        assert_same_scores(joined.baselines[name], each)
    np.testing.assert_array_equal(joined.pixels, judged.pixels)


def test_rows_of_scores_in_any_order_and_back(judged: JudgedPhotos) -> None:
    order = np.random.default_rng(1).permutation(9)
    for each in (judged.scores, judged.baselines["everything"]):
        shuffled = each.rows(order)
        np.testing.assert_array_equal(shuffled.soft, each.soft[order])
        assert_same_scores(shuffled.rows(np.argsort(order)), each)
        single = join_scores([each.rows(np.array([row])) for row in order], 2)
        assert_same_scores(single, shuffled)


def test_every_photo_needs_its_truth() -> None:
    masks = draw_photos(4)
    with pytest.raises(ValueError, match="shorter"):
        judge_photos([sure_of(mask) for mask in masks], DECIDER, make_mean_mask(), loaders(masks[:3]))
