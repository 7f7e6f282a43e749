from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, cast

import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import confusion_matrix

from carclf.config import MaskTrainingConfig
from carclf.errors import TrainingError
from carclf.labels import IGNORED_PIXEL
from carclf.masks.decoder import DecoderSpec, MaskDecoder, make_decoder, mirror_back
from carclf.masks.fit import HELD_OUT, INNER, TRAIN, MaskFit, MaskSplit, fit_mask_head, split_inside
from carclf.masks.map_reader import MapReader, grid_size, read_ahead
from carclf.masks.scoring import (
    CANDIDATES,
    UNDECIDED,
    choose_thresholds,
    class_probabilities,
    confusion_counts,
    count_pixels,
    dice_curve,
    fit_mean_mask,
    mask_at_size,
    pooled_dice,
)
from carclf.masks.targets import MaskLoader, MaskTargets, make_mask_targets, training_targets
from carclf.masks.training import MaskData, evaluate, read_batch

SHAPES = {"P3": (8, 8, 6), "P4": (4, 4, 6), "P5": (2, 2, 6)}
MIRROR = (1, 0)  # "left" becomes "right"
QUICK = MaskTrainingConfig(epochs=12, least_steps=0, batch_size=8, learning_rate=0.01, channels=8, dropout=0.1)
TRAIN_ROWS, TEST_ROWS = np.arange(40), np.arange(40, 56)


def make_photos(num_photos: int = 56, seed: int = 0) -> tuple[MaskData, list[np.ndarray]]:
    """Photos whose maps tell, with noise, where their two classes are; every fourth one is empty."""
    random = np.random.default_rng(seed)
    masks = []
    for index in range(num_photos):
        mask = np.zeros((24, 40), np.uint8)
        if index % 4:
            top, left = random.integers(0, 12), random.integers(0, 20)
            mask[top : top + 12, left : left + 20] = 1 + index % 2
        if index % 8 == 1:
            mask[:4] = IGNORED_PIXEL
        masks.append(mask)
    targets = make_mask_targets(loaders(masks), 2, 8, 8)
    maps: dict[str, Any] = {}
    for level, (height, width, channels) in SHAPES.items():
        seen = targets.shares.astype(np.float32).reshape(num_photos, height, 8 // height, width, -1, 3).mean((2, 4))
        both = np.stack([seen, mirror_back(seen, (*MIRROR, 2))])
        noise = random.normal(0, 0.2, (2, num_photos, height, width, channels))
        noise[..., :2] += both[..., :2]
        maps[level] = noise.astype(np.float16).reshape(-1, height, width, channels)
    rows = np.arange(2 * num_photos).reshape(2, -1)
    reader = MapReader(maps, dict.fromkeys(SHAPES, rows))
    return MaskData(reader, targets, np.arange(num_photos) // 2, MIRROR), masks


def loaders(masks: Sequence[np.ndarray]) -> list[MaskLoader]:
    return [partial(np.copy, mask) for mask in masks]


def with_shares(data: MaskData, shares: np.ndarray) -> MaskData:
    return replace(data, targets=MaskTargets(shares, data.targets.pixels))


@pytest.fixture(scope="module")
def photos() -> tuple[MaskData, list[np.ndarray]]:
    return make_photos()


@pytest.fixture(scope="module")
def fit(photos: tuple[MaskData, list[np.ndarray]]) -> MaskFit:
    return fit_mask_head(photos[0], MaskSplit("damage_mask", 1, TRAIN_ROWS, TEST_ROWS), QUICK, seed=3)


def random_maps(num_photos: int, seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {level: random.normal(size=(1, num_photos, *shape)) for level, shape in SHAPES.items()}


def assert_same_bytes(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    assert one.keys() == other.keys()
    assert all(one[key].tobytes() == other[key].tobytes() for key in one)


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


def test_cells_stand_for_all_judged_pixels(photos: tuple[MaskData, list[np.ndarray]]) -> None:
    data, masks = photos
    class_pixels, judged = data.targets.class_pixels(np.arange(8))
    for row in range(8):
        assert judged[row].sum() == pytest.approx((masks[row] != IGNORED_PIXEL).sum(), rel=1e-3)
        for index in range(2):
            expected = (masks[row] == index + 1).sum()
            assert class_pixels[row, ..., index].sum() == pytest.approx(expected, rel=2e-3)


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
    for threshold, score in zip(CANDIDATES, dice_curve(probability, truth, judged), strict=True):
        marked = probability > np.float32(threshold)
        assert score == pytest.approx(2 * truth[marked].sum() / (judged[marked].sum() + truth.sum()))


def test_threshold_is_the_best_one_and_half_for_a_class_never_shown() -> None:
    probabilities = np.zeros((1, 1, 4, 2), np.float32)
    probabilities[0, 0, :, 0] = [0.1, 0.2, 0.3, 0.9]
    truth = np.zeros((1, 1, 4, 2))
    truth[0, 0, 2:, 0] = 1
    first, second = choose_thresholds(probabilities, truth, np.ones((1, 1, 4)))
    assert 0.2 <= first < 0.3
    assert second == UNDECIDED


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


def test_counts_and_constant_answers(photos: tuple[MaskData, list[np.ndarray]]) -> None:
    data, masks = photos
    mean_mask = fit_mean_mask(data.targets, TRAIN_ROWS)
    perfect = np.stack([np.stack([mask == 1, mask == 2], -1) for mask in masks[:8]]).astype(np.float32)
    counted = count_pixels(perfect, np.array([0.5, 0.5]), mean_mask, loaders(masks[:8]))
    assert pooled_dice(counted.counts) == 1.0
    nothing, everything, mean = counted.baselines
    assert nothing[..., :2].sum() == 0
    assert everything[..., 2].sum() == 0
    np.testing.assert_array_equal(everything[..., :2].sum(-1), np.stack([counted.pixels] * 2, axis=1))
    for baseline in (nothing, everything, mean):
        np.testing.assert_array_equal(baseline[..., 0] + baseline[..., 2], counted.counts[..., 0])
    assert counted.pixels.tolist() == [int((mask != IGNORED_PIXEL).sum()) for mask in masks[:8]]
    assert np.isnan(pooled_dice(np.zeros((2, 1, 3), np.int64)))


def test_loss_equals_a_reference_and_ignores_ignored_pixels() -> None:
    random = np.random.default_rng(0)
    logits = random.normal(size=(2, 4, 4, 1)).astype(np.float32)
    targets = np.concatenate([random.random((2, 4, 4, 1)), np.ones((2, 4, 4, 1))], axis=-1).astype(np.float32)
    targets[0, :2, :, 1] = 0
    judged = targets[..., 1] > 0
    p, t = 1 / (1 + np.exp(-logits[judged, 0])), targets[judged, 0]
    entropy = -(t * np.log(p) + (1 - t) * np.log(1 - p)).mean()
    soft = 1 - (2 * (p * t).sum() + 1) / (p.sum() + t.sum() + 1)
    sums = evaluate(tf.constant(logits), tf.constant(targets)).numpy()
    assert sums[0, 0] == pytest.approx(entropy + soft, rel=1e-4)
    hits = t[p > 0.5].sum()
    np.testing.assert_allclose(sums[1], [hits, (p > 0.5).sum() - hits, t.sum() - hits], rtol=1e-4)
    logits[0, :2] += 5
    targets[0, :2, :, 0] = 1
    np.testing.assert_array_equal(evaluate(tf.constant(logits), tf.constant(targets)).numpy(), sums)


def test_reader_finds_rows_of_each_view_and_level() -> None:
    maps = {"P4": np.arange(6, dtype=np.float16).reshape(6, 1, 1, 1), "P3": np.zeros((4, 2, 2, 1), np.float16)}
    reader = MapReader(maps, {"P4": np.array([[5, 0], [2, 3]]), "P3": np.array([[0, 1], [2, 3]])})
    assert reader.views == 2
    assert grid_size(reader.shapes) == (2, 2)
    assert reader.read(np.array([1, 0]), np.array([0, 1]))["P4"].ravel().tolist() == [0, 2]
    assert reader.read_views(np.array([0]))["P4"].ravel().tolist() == [5, 2]


def test_reading_ahead_keeps_the_order_and_the_errors() -> None:
    assert list(read_ahead(lambda x: x * x, range(5))) == [0, 1, 4, 9, 16]
    assert list(read_ahead(lambda x: x, [])) == []
    with pytest.raises(ZeroDivisionError):
        list(read_ahead(lambda x: 1 // x, [1, 0]))


def test_mirrored_photos_come_with_mirrored_masks(photos: tuple[MaskData, list[np.ndarray]]) -> None:
    data, masks = photos
    rows = np.array([1, 2, 3])
    shares = read_batch(data, rows, np.array([1, 0, 1]))[1]
    np.testing.assert_array_equal(shares[1], data.targets.shares[2])
    for place in (0, 2):
        mask = masks[rows[place]][:, ::-1]
        swapped = np.choose(mask % IGNORED_PIXEL, [0, 2, 1]).astype(np.uint8)
        swapped[mask == IGNORED_PIXEL] = IGNORED_PIXEL
        np.testing.assert_allclose(shares[place], training_targets(swapped, 2, 8, 8), atol=1e-3)
    twice = mirror_back(mirror_back(shares, (1, 0, 2)), (1, 0, 2))
    np.testing.assert_array_equal(twice, shares)


def test_alone_or_in_a_batch_and_saved_or_not_a_photo_has_the_same_logits(tmp_path: Any, fit: MaskFit) -> None:
    maps = random_maps(32)
    together = fit.decoder.predict_logits(maps)
    alone = fit.decoder.predict_logits({level: value[:, 3:4] for level, value in maps.items()})
    np.testing.assert_allclose(alone[0], together[3], atol=1e-5)
    np.savez(tmp_path / "heads.npz", **cast(dict[str, Any], fit.decoder.to_arrays()))
    with np.load(tmp_path / "heads.npz", allow_pickle=False) as arrays:
        loaded = MaskDecoder.from_arrays(arrays)
    np.testing.assert_array_equal(loaded.predict_logits(maps), together)
    rounded = {level: value.astype(np.float16) for level, value in maps.items()}
    np.testing.assert_array_equal(fit.decoder.predict_logits(rounded), together)


def test_two_views_are_averaged_after_turning_the_mirrored_one_back(fit: MaskFit) -> None:
    one, other = random_maps(2, seed=1), random_maps(2, seed=2)
    both = {level: np.concatenate([one[level], other[level]]) for level in SHAPES}
    turned = mirror_back(fit.decoder.predict_logits(other), MIRROR)
    expected = (fit.decoder.predict_logits(one) + turned) / 2
    np.testing.assert_allclose(fit.decoder.predict_logits(both), expected, atol=1e-5)


def test_maps_of_odd_sizes_fit_together() -> None:
    spec = DecoderSpec({"P3": (38, 38, 3), "P4": (19, 19, 4), "P5": (10, 10, 5)}, 1, 6, (0,))
    decoder = MaskDecoder(spec, make_decoder(spec, dropout=0.0, seed=0))
    maps = {level: np.zeros((1, 1, *shape), np.float16) for level, shape in spec.map_shapes.items()}
    assert decoder.predict_logits(maps).shape == (1, 38, 38, 1)


def test_a_fold_beats_its_mean_mask_on_photos_it_has_not_seen(
    photos: tuple[MaskData, list[np.ndarray]], fit: MaskFit
) -> None:
    data, masks = photos
    probabilities = class_probabilities(fit.decoder.predict_photos(data.reader, TEST_ROWS))
    tested = loaders([masks[row] for row in TEST_ROWS])
    counted = count_pixels(probabilities, fit.thresholds, fit.mean_mask, tested)
    assert pooled_dice(counted.counts) > pooled_dice(counted.baselines[2]) + 0.3
    assert {(point.split, point.epoch) for point in fit.history} == {
        (split, epoch) for split in (TRAIN, INNER, HELD_OUT) for epoch in range(1, QUICK.epochs + 1)
    }


def test_the_held_out_fold_decides_nothing_and_the_same_seed_gives_the_same_bytes(
    photos: tuple[MaskData, list[np.ndarray]], fit: MaskFit
) -> None:
    shares = photos[0].targets.shares.copy()
    shares[TEST_ROWS] = np.random.default_rng(0).permutation(shares[TEST_ROWS])[:, ::-1]
    again = fit_mask_head(
        with_shares(photos[0], shares), MaskSplit("damage_mask", 1, TRAIN_ROWS, TEST_ROWS), QUICK, seed=3
    )
    assert_same_bytes(again.decoder.to_arrays(), fit.decoder.to_arrays())
    np.testing.assert_array_equal(again.thresholds, fit.thresholds)
    np.testing.assert_array_equal(again.mean_mask.probabilities, fit.mean_mask.probabilities)


def test_inner_split_keeps_groups_whole(photos: tuple[MaskData, list[np.ndarray]]) -> None:
    data = photos[0]
    inner_train, inner_test = split_inside(data, MaskSplit("m", 0, TRAIN_ROWS, TEST_ROWS), 0.25, seed=5)
    assert sorted([*inner_train, *inner_test]) == TRAIN_ROWS.tolist()
    assert not set(data.groups[inner_train]) & set(data.groups[inner_test])
    assert 0.1 < len(inner_test) / len(TRAIN_ROWS) < 0.4


def test_a_small_training_part_is_passed_over_until_there_are_enough_steps(
    photos: tuple[MaskData, list[np.ndarray]],
) -> None:
    settings = QUICK.model_copy(update={"epochs": 2, "least_steps": 20})
    fit = fit_mask_head(photos[0], MaskSplit("damage_mask", 1, TRAIN_ROWS, TEST_ROWS), settings, seed=3)
    last = max(point.epoch for point in fit.history if point.split == TRAIN)
    shown = photos[0].targets.has_class()[TRAIN_ROWS].any(axis=1)
    num_empty = min(int((~shown).sum()), round(settings.empty_share * int(shown.sum())))
    steps = -(-(int(shown.sum()) + num_empty) // settings.batch_size)
    assert (last - 1) * steps < 20 <= last * steps


def test_errors_name_the_fold_and_the_cure(photos: tuple[MaskData, list[np.ndarray]]) -> None:
    data = photos[0]
    split = MaskSplit("damage_mask", 1, TRAIN_ROWS, TEST_ROWS)
    with pytest.raises(TrainingError, match=r"damage_mask, fold 1: no photo .* shows a region.*Add annotated"):
        fit_mask_head(data, replace(split, train=np.array([0, 4, 8])), QUICK, seed=0)
    with pytest.raises(TrainingError, match="regions of only 1 car"):
        fit_mask_head(data, replace(split, train=np.array([2, 3, 4])), QUICK, seed=0)
    wild = QUICK.model_copy(update={"learning_rate": float("inf"), "epochs": 1})
    with pytest.raises(TrainingError, match=r"fold 1 \(inner\), epoch 1: .* Lower mask_training.learning_rate"):
        fit_mask_head(data, split, wild, seed=0)
    with pytest.raises(TrainingError, match="incomplete, fit it again"):
        MaskDecoder.from_arrays({})
