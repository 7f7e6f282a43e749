import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from scipy.ndimage import binary_erosion
from scipy.spatial.distance import cdist
from skimage import segmentation as skimage_segmentation

from carclf.labels import IGNORED_PIXEL
from carclf.mask_scores import (
    boundary_counts,
    boundary_f1,
    boundary_tolerance,
    nothing_scores,
    pixel_scores,
    true_class_probability,
)

segmentation: Any = skimage_segmentation  # has no types


def random_mask(random: np.random.Generator, height: int, width: int, ignored: bool = False) -> np.ndarray:
    """A few overlapping rectangles and single pixels of three classes."""
    mask = np.zeros((height, width), np.uint8)
    for _ in range(6):
        top, left = random.integers(0, height), random.integers(0, width)
        bottom, right = top + random.integers(1, height), left + random.integers(1, width)
        mask[top:bottom, left:right] = random.integers(0, 4)
    mask[random.random(mask.shape) < 0.02] = 2
    if ignored:
        mask[random.random(mask.shape) < 0.05] = IGNORED_PIXEL
        mask[: height // 4, width // 2 :] = IGNORED_PIXEL
    return mask


def slow_boundary(region: np.ndarray, judged: np.ndarray) -> np.ndarray:
    """Whatever is not judged, and what lies beyond the edge, is taken for inside: it erodes nothing."""
    return np.asarray(region & judged & ~binary_erosion(region | ~judged, border_value=1))


def slow_counts(predicted: np.ndarray, true: np.ndarray, num_classes: int, tolerance: float) -> np.ndarray:
    counts = []
    for class_id in range(1, num_classes + 1):
        judged = true != IGNORED_PIXEL
        answer, truth = (np.argwhere(slow_boundary(mask == class_id, judged)) for mask in (predicted, true))
        near = cdist(answer, truth) <= tolerance
        counts.append([len(answer), near.any(axis=1).sum(), len(truth), near.any(axis=0).sum()])
    return np.array(counts)


def square(top: int, left: int, side: int, shape: tuple[int, int] = (40, 40)) -> np.ndarray:
    mask = np.zeros(shape, np.uint8)
    mask[top : top + side, left : left + side] = 1
    return mask


@pytest.mark.parametrize("ignored", [False, True])
@pytest.mark.parametrize("tolerance", [1.0, math.sqrt(2), math.sqrt(3), 2.0, math.sqrt(5), 4.7, 100.0])
def test_boundary_counts_are_those_of_all_pairs(tolerance: float, ignored: bool) -> None:
    for seed in range(8):
        random = np.random.default_rng(seed)
        height, width = random.integers(1, 40, 2)
        predicted, true = random_mask(random, height, width), random_mask(random, height, width, ignored)
        found = boundary_counts(predicted, true, 3, tolerance)
        assert found.dtype == np.int64
        np.testing.assert_array_equal(found, slow_counts(predicted, true, 3, tolerance))


@pytest.mark.parametrize("tile", [1, 7, 16])
def test_boundary_counts_do_not_depend_on_the_tiles(tile: int, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(9)
    predicted, true = random_mask(random, 50, 33), random_mask(random, 50, 33, ignored=True)
    monkeypatch.setattr("carclf.mask_scores._TILE", tile)
    np.testing.assert_array_equal(boundary_counts(predicted, true, 3, 4.2), slow_counts(predicted, true, 3, 4.2))


def test_boundaries_far_from_the_corner_of_a_large_photo_are_exact() -> None:
    shape = (40, 7000)
    true, predicted = square(10, 6500, 20, shape), square(10, 6500, 20, shape)
    predicted[5:35, 6543:6546] = 1  # 23 pixels, and up to 3 diagonal steps, off
    for tolerance in (23.0, math.sqrt(24**2 + 1), 25.0):
        found = boundary_counts(predicted, true, 1, tolerance)
        np.testing.assert_array_equal(found, slow_counts(predicted, true, 1, tolerance))


def test_boundary_pixels_are_those_of_scikit_image() -> None:
    for seed in range(5):
        mask = random_mask(np.random.default_rng(seed), 30, 41)
        for class_id in (1, 2, 3):
            region = (mask == class_id).astype(np.uint8)
            inner = segmentation.find_boundaries(region, connectivity=1, mode="inner")
            ring = inner.astype(np.uint8)  # each of its pixels is a boundary, of the ring as of the region
            np.testing.assert_array_equal(boundary_counts(ring, region, 1, 0.0), [[inner.sum()] * 4])


def test_a_right_mask_is_all_near_whatever_is_predicted_in_ignored_pixels() -> None:
    true = random_mask(np.random.default_rng(0), 35, 45, ignored=True)
    assert {1, 2, 3} < set(true.ravel().tolist())
    expected = None
    for filler in (0, 1, 2):
        predicted = np.where(true == IGNORED_PIXEL, filler, true).astype(np.uint8)
        counts = boundary_counts(predicted, true, 3, 0.0)
        assert np.all(counts == counts[:, :1])
        np.testing.assert_array_equal(boundary_f1(counts), 1.0)
        np.testing.assert_array_equal(counts, counts if expected is None else expected)
        expected = counts


def test_the_edge_of_the_photo_is_no_boundary() -> None:
    full = np.ones((6, 9), np.uint8)
    np.testing.assert_array_equal(boundary_counts(full, full, 1, 1.0), [[0, 0, 0, 0]])
    assert np.isnan(boundary_f1(boundary_counts(full, full, 1, 1.0))).all()
    half = full.copy()
    half[:, 4:] = 0
    np.testing.assert_array_equal(boundary_counts(half, half, 1, 1.0), [[6, 6, 6, 6]])


def test_an_ignored_band_hides_an_outline() -> None:
    true = square(10, 10, 12)
    inner = square(11, 11, 10)
    true[9:23, 9:23][square(10, 10, 12)[9:23, 9:23] != inner[9:23, 9:23]] = IGNORED_PIXEL  # its own outermost ring
    np.testing.assert_array_equal(boundary_counts(inner, true, 1, 5.0), [[0, 0, 0, 0]])


def test_single_pixels_and_the_tolerance_are_euclidean() -> None:
    true, predicted = np.zeros((2, 20, 20), np.uint8)
    true[5, 5] = predicted[8, 9] = 1  # 3 and 4 off
    np.testing.assert_array_equal(boundary_counts(predicted, true, 1, 5.0), [[1, 1, 1, 1]])
    np.testing.assert_array_equal(boundary_counts(predicted, true, 1, 4.999), [[1, 0, 1, 0]])


def test_classes_are_near_only_to_their_own() -> None:
    counts = boundary_counts(square(5, 5, 9) * 2, square(5, 5, 9), 3, 3.0)
    np.testing.assert_array_equal(counts, [[0, 0, 32, 0], [32, 0, 0, 0], [0, 0, 0, 0]])
    np.testing.assert_array_equal(boundary_f1(counts), [0.0, 0.0, np.nan])


def test_boundary_f1_is_the_harmonic_mean_of_pooled_counts() -> None:
    counts = np.array([[[10, 5, 4, 4]], [[30, 5, 16, 1]], [[0, 0, 0, 0]]])
    assert boundary_f1(counts).shape == (3, 1)
    np.testing.assert_allclose(boundary_f1(counts.sum(axis=0)), [2 * 0.25 * 0.25 / 0.5])
    np.testing.assert_allclose(boundary_f1(counts[0]), [2 * 0.5 * 1 / 1.5])
    assert boundary_f1(np.array([7, 0, 9, 0])) == 0


@pytest.mark.parametrize(("shape", "expected"), [((3, 4), 1.0), ((300, 400), 3.75), ((3000, 4000), 37.5)])
def test_boundary_tolerance(shape: tuple[int, int], expected: float) -> None:
    assert boundary_tolerance(*shape) == pytest.approx(expected)


# The two figures that count the background as a class.


def planes(probabilities: np.ndarray) -> Callable[[int], np.ndarray]:
    """float32 (H, W, C), the background not among them, as class ids ask for them; nobody may write into them."""
    probabilities.setflags(write=False)
    return lambda class_id: probabilities[..., class_id - 1]


def random_probabilities(random: np.random.Generator, height: int, width: int) -> np.ndarray:
    powers = np.exp(random.normal(0, 2, (height, width, 4)))
    return np.asarray((powers / powers.sum(axis=-1, keepdims=True)).astype(np.float32)[..., 1:])


def slow_scores(probabilities: np.ndarray, true: np.ndarray) -> tuple[float, float]:
    overlap = sizes = cost = judged = 0.0
    for pixel in np.ndindex(*true.shape):
        if true[pixel] != IGNORED_PIXEL:
            wide = probabilities[pixel].astype(np.float64)
            p = [1 - wide.sum(), *wide]
            y = [float(true[pixel] == class_id) for class_id in range(len(p))]
            overlap += sum(a * b for a, b in zip(y, p, strict=True))
            sizes += sum(y) + sum(p)
            cost -= sum(a * math.log(min(max(b, 1e-7), 1 - 1e-7)) for a, b in zip(y, p, strict=True) if a)
            judged += 1
    return (2 * overlap + 1) / (sizes + 1), cost / judged


@pytest.mark.parametrize("ignored", [False, True])
def test_pixel_scores_are_those_of_a_slow_loop(ignored: bool) -> None:
    random = np.random.default_rng(2)
    true = random_mask(random, 17, 23, ignored)
    probabilities = random_probabilities(random, 17, 23)
    found = pixel_scores(planes(probabilities), true, 3)
    expected = slow_scores(probabilities, true)
    assert (found.dice_coef_multiclass, found.crossentropy) == pytest.approx(expected, rel=1e-6)


def test_crossentropy_is_that_of_keras() -> None:
    random = np.random.default_rng(3)
    true = random_mask(random, 17, 23)
    probabilities = random_probabilities(random, 17, 23)
    probabilities[:4] = np.eye(4, dtype=np.float32)[random.integers(0, 4, (4, 23))][..., 1:]  # sure, also of mistakes
    everything = np.concatenate([1 - probabilities.sum(axis=-1, keepdims=True), probabilities], axis=-1)
    expected = keras.losses.categorical_crossentropy(np.eye(4, dtype=np.float32)[true], everything)
    found = pixel_scores(planes(probabilities), true, 3)
    assert found.crossentropy == pytest.approx(float(np.mean(expected)), rel=1e-5)
    assert np.max(expected) > 16, "no sure mistake"


def test_ignored_pixels_change_nothing() -> None:
    random = np.random.default_rng(5)
    true = random_mask(random, 20, 20, ignored=True)
    probabilities = random_probabilities(random, 20, 20)
    other = probabilities.copy()
    other[true == IGNORED_PIXEL] = (0.0, 1.0, 0.0)
    assert pixel_scores(planes(other), true, 3) == pixel_scores(planes(probabilities), true, 3)


def test_true_class_probability_of_every_kind_of_pixel() -> None:
    true = np.array([[0, 1, 2, IGNORED_PIXEL, 0, 1]], np.uint8)
    sums_to_more = (0.75, 0.5)
    probabilities = np.array([[(0.25, 0.5), (0.25, 0.5), (0.25, 0.5), (0.25, 0.5), sums_to_more, sums_to_more]])
    found = true_class_probability(planes(probabilities.astype(np.float32)), true, 2)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [[0.25, 0.25, 0.5, 0.0, 0.0, 0.6]])


@pytest.mark.parametrize("ignored", [False, True])
def test_nothing_scores_are_those_of_a_constant(ignored: bool) -> None:
    true = random_mask(np.random.default_rng(6), 31, 27, ignored)
    constant = pixel_scores(lambda _: np.zeros(true.shape, np.float32), true, 3)
    found = nothing_scores(true)
    assert found.dice_coef_multiclass == pytest.approx(constant.dice_coef_multiclass, rel=1e-12)
    assert found.crossentropy == pytest.approx(constant.crossentropy, rel=1e-12)


def test_predicting_nothing_scores_high_where_the_background_is_a_class() -> None:
    true = np.zeros((100, 100), np.uint8)
    true[:10] = 1  # a tenth is damaged, and nothing of it is found
    assert nothing_scores(true).dice_coef_multiclass == pytest.approx(0.9, abs=1e-4)
    assert boundary_f1(boundary_counts(np.zeros_like(true), true, 1, 1.0)) == 0


def test_an_empty_photo_is_answered_perfectly_by_nothing() -> None:
    found = nothing_scores(np.zeros((4, 5), np.uint8))
    assert found.dice_coef_multiclass == 1
    assert found.crossentropy == pytest.approx(1e-7)


def test_a_photo_without_a_judged_pixel_has_no_score() -> None:
    true = np.full((4, 5), IGNORED_PIXEL, np.uint8)
    for found in (nothing_scores(true), pixel_scores(planes(np.zeros((4, 5, 2), np.float32)), true, 2)):
        assert math.isnan(found.dice_coef_multiclass)
        assert math.isnan(found.crossentropy)
    assert np.isnan(boundary_f1(boundary_counts(np.zeros_like(true), true, 2, 1.0))).all()
