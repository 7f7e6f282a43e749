"""Probabilities -> masks, thresholds, pixel counts; masks -> targets on the grid."""

import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import confusion_matrix

from carclf.labels import IGNORED_PIXEL
from carclf.masks.scoring import (
    CANDIDATES,
    UNDECIDED,
    choose_thresholds,
    class_probabilities,
    confusion_counts,
    dice_curve,
    fit_mean_mask,
    mask_at_size,
    mask_confidence,
    masks_right,
)
from carclf.masks.spec import NetworkSpec
from carclf.masks.targets import make_mask_targets, training_targets
from tests.mask_photos import MIRROR, SHAPES, TRAIN_ROWS, Photos, loaders, make_photos


@pytest.fixture(scope="module")
def photos() -> Photos:
    return make_photos()


def test_targets_are_area_means() -> None:
    random = np.random.default_rng(0)
    mask = random.choice([0, 1, 2, IGNORED_PIXEL], size=(12, 20)).astype(np.uint8)
    mask[:3, :4] = IGNORED_PIXEL
    targets = training_targets(mask, 2, height=4, width=5)
    for row in range(4):
        for column in range(5):
            cell = mask[3 * row : 3 * row + 3, 4 * column : 4 * column + 4]
            judged = cell[cell != IGNORED_PIXEL]
            shares = [(judged == 1).mean(), (judged == 2).mean()] if judged.size else [0, 0]
            np.testing.assert_allclose(targets[row, column], [*shares, judged.size / 12], atol=1e-3)


def test_cells_stand_for_all_judged_pixels(photos: Photos) -> None:
    data, masks = photos
    class_pixels, judged = data.targets.class_pixels(np.arange(8))
    for row in range(8):
        assert judged[row].sum() == pytest.approx((masks[row] != IGNORED_PIXEL).sum(), rel=1e-3)
        for index in range(2):
            expected = (masks[row] == index + 1).sum()
            assert class_pixels[row, ..., index].sum() == pytest.approx(expected, rel=2e-3)


def test_single_regions_are_taught_only_to_a_network_that_tells_them_apart(photos: Photos) -> None:
    data, masks = photos
    assert data.targets.instances is None
    assert data.targets.taught is data.targets.shares
    panoptic = make_mask_targets(loaders(masks[:4]), NetworkSpec("panoptic", SHAPES, 2, MIRROR, {"channels": 8}))
    assert panoptic.taught.shape == (4, 8, 8, 3 + 4)
    np.testing.assert_array_equal(panoptic.taught[..., :3], data.targets.shares[:4])
    hot = panoptic.taught[..., 3].max(axis=(1, 2)) == 1  # one centre where there is a region, none where there is not
    assert hot.tolist() == [bool((mask % IGNORED_PIXEL).any()) for mask in masks[:4]]


def test_confusion_counts_equal_sklearn() -> None:
    random = np.random.default_rng(1)
    true = random.choice([0, 1, 2, 3, IGNORED_PIXEL], size=(30, 40)).astype(np.uint8)
    predicted = random.integers(0, 4, (30, 40)).astype(np.uint8)
    judged = true != IGNORED_PIXEL
    table = confusion_matrix(true[judged], predicted[judged], labels=range(4))
    hits = np.diag(table)
    expected = np.stack([hits, table.sum(0) - hits, table.sum(1) - hits], axis=1)[1:]
    np.testing.assert_array_equal(confusion_counts(predicted, true, 3), expected)


def test_dice_curve_equals_a_slow_loop() -> None:
    random = np.random.default_rng(2)
    probability = random.random((5, 4, 4)).astype(np.float32)
    judged = random.random((5, 4, 4)) * 9
    truth = judged * random.random((5, 4, 4))
    above = (probability[..., None] > CANDIDATES.astype(np.float32)).sum(axis=-1)
    counted = np.array([[pixels[above == count].sum() for count in range(100)] for pixels in (truth, judged)])
    for threshold, score in zip(CANDIDATES, dice_curve(counted), strict=True):
        marked = probability > np.float32(threshold)
        assert score == pytest.approx(2 * truth[marked].sum() / (judged[marked].sum() + truth.sum()))


def test_threshold_is_the_best_one_and_half_for_a_class_never_shown() -> None:
    probabilities = np.zeros((1, 1, 4, 2), np.float32)
    probabilities[0, 0, :, 0] = [0.1, 0.2, 0.3, 0.9]
    truth = np.zeros((1, 1, 4, 2))
    truth[0, 0, 2:, 0] = 1
    first, second = choose_thresholds([(probabilities, truth, np.ones((1, 1, 4)))])
    assert 0.2 <= first < 0.3
    assert second == UNDECIDED


@pytest.mark.parametrize("together", [1, 3, 40])
def test_thresholds_are_those_of_a_slow_search_however_many_photos_come_at_a_time(together: int) -> None:
    random = np.random.default_rng(3)
    judged = random.random((40, 4, 5)) * 9
    truth = judged[..., None] * random.random((40, 4, 5, 2)) * (random.random((40, 4, 5, 2)) < 0.3)
    probabilities = (0.08 * truth + 0.3 * random.random(truth.shape)).astype(np.float32)
    parts = [
        (probabilities[start : start + together], truth[start : start + together], judged[start : start + together])
        for start in range(0, 40, together)
    ]
    for index, chosen in enumerate(choose_thresholds(parts)):
        scores = []
        for candidate in CANDIDATES:
            marked = probabilities[..., index] > np.float32(candidate)
            scores.append(2 * truth[marked, index].sum() / (judged[marked].sum() + truth[..., index].sum()))
        assert chosen == CANDIDATES[int(np.argmax(scores))]


def test_one_class_is_a_sigmoid_and_more_are_a_softmax_with_background() -> None:
    logits = np.random.default_rng(0).normal(0, 30, (6, 3)).astype(np.float32)
    one = class_probabilities(logits[:, :1])
    np.testing.assert_allclose(one, tf.sigmoid(logits[:, :1]), atol=1e-6)
    background = np.concatenate([logits, np.zeros((6, 1), np.float32)], axis=1)
    np.testing.assert_allclose(class_probabilities(logits), tf.nn.softmax(background)[:, :-1], atol=1e-6)


def test_mask_is_the_class_highest_over_its_threshold() -> None:
    probabilities = np.zeros((2, 2, 2), np.float32)
    probabilities[0, 0] = [0.5, 0.4]  # 0.5 / 0.5 < 0.4 / 0.2
    probabilities[0, 1] = [0.6, 0.1]
    probabilities[1, 0] = [0.4, 0.1]  # neither is above its own
    mask = mask_at_size(probabilities, 2, 2, np.array([0.5, 0.2]))
    np.testing.assert_array_equal(mask, [[2, 1], [0, 0]])
    assert mask_at_size(probabilities, 301, 7, np.array([0.5, 0.2])).shape == (7, 301)


def test_how_sure_and_how_right_masks_are_equals_a_slow_loop_over_cells() -> None:
    random, thresholds = np.random.default_rng(4), np.array([0.5, 0.7])
    probabilities = (random.random((12, 5, 6, 2)) ** 2 / 1.5).astype(np.float32)
    probabilities[3:6] *= 0.5  # nothing is marked there
    class_pixels = random.integers(0, 5, (12, 5, 6, 2)).astype(np.float32)
    class_pixels[4:8] = 0
    judged = class_pixels.sum(axis=-1) + random.integers(0, 3, (12, 5, 6)).astype(np.float32)
    class_pixels[8], judged[8] = 0, 0
    sure, right = [], []
    for photo in range(12):
        marked, hits, drawn = [], 0.0, 0.0
        for cell in np.ndindex(5, 6):
            over = probabilities[photo][cell] / thresholds
            if over.max() > 1:
                marked.append(probabilities[photo][cell][over.argmax()])
                hits += class_pixels[photo][cell][over.argmax()]
                drawn += judged[photo][cell]
        sure.append(np.mean(marked) if marked else max(0.0, 1 - probabilities[photo].sum(axis=-1).max()))
        there = class_pixels[photo].sum()
        right.append(2 * hits / (drawn + there) if drawn + there else 1.0)
    right[8] = np.nan  # nothing of it is judged
    np.testing.assert_allclose(mask_confidence(probabilities, thresholds), sure, rtol=1e-5)
    np.testing.assert_allclose(masks_right((probabilities, class_pixels, judged), thresholds), right, rtol=1e-5)
    assert {0.0, 1.0} <= set(np.nan_to_num(right)[3:6])
    assert mask_confidence(probabilities[2], thresholds) == pytest.approx(sure[2])


def test_mean_mask_is_the_mean_over_what_was_judged(photos: Photos) -> None:
    data = photos[0]
    shares = data.targets.shares[TRAIN_ROWS].astype(np.float64)
    mean = fit_mean_mask(data.targets, TRAIN_ROWS)
    for cell in np.ndindex(8, 8):
        judged = shares[:, *cell, 2]
        expected = [(shares[:, *cell, index] * judged).sum() / judged.sum() for index in range(2)]
        np.testing.assert_allclose(mean.probabilities[cell], expected, atol=1e-6)
    class_pixels, judged = data.targets.class_pixels(TRAIN_ROWS)
    sums = class_pixels.sum(axis=0, dtype=np.float64), judged.sum(axis=0, dtype=np.float64)
    np.testing.assert_array_equal(mean.thresholds, choose_thresholds([(mean.probabilities, *sums)]))
