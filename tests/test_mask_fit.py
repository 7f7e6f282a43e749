"""One fold of a segmentation head: what its network learns, what the inner part decides, and what never may."""

from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
import tensorflow as tf

from carclf.config_masks import FlexUNetArchitecture, MaskTrainingConfig, effective_training
from carclf.errors import TrainingError
from carclf.masks import decoder as decoder_module
from carclf.masks.answers import Decider, make_grids
from carclf.masks.decoder import MaskDecoder
from carclf.masks.fit import HELD_OUT, INNER, TRAIN, MaskFit, fit_mask_head, split_inside
from carclf.masks.goals import make_goal
from carclf.masks.photo_scores import JudgedPhotos, judge_photos
from carclf.masks.scoring import mask_confidence
from carclf.masks.spec import mirror_back
from carclf.regions.splitting import RegionSettings
from tests.mask_photos import (
    MIRROR,
    NAMES,
    PATIENT,
    QUICK,
    REDUCED,
    SEED,
    SHAPES,
    SPLIT,
    TEST_ROWS,
    TRAIN_ROWS,
    Photos,
    assert_same_bytes,
    changed,
    differ,
    inner_rows,
    loaders,
    losses_of,
    make_photos,
    make_pixel_photos,
    pooled_dice,
    random_maps,
    scrambled,
    scrambled_inside,
)

ONCE = changed(QUICK, refit=False, epoch_previews=0)
SCRATCH = effective_training(
    "flexunet",
    MaskTrainingConfig(epochs=14, patience=4, learning_rate=0.01, batch_size=8),
    MaskTrainingConfig(reducer_patience=2),
)


@pytest.fixture(scope="module")
def photos() -> Photos:
    return make_photos()


@pytest.fixture(scope="module")
def fit(photos: Photos) -> MaskFit:
    return fit_mask_head(photos[0], SPLIT, QUICK, SEED)


@pytest.fixture(scope="module")
def once(photos: Photos) -> MaskFit:
    """Without a refit; previews are shown only if they are asked for."""
    return fit_mask_head(photos[0], SPLIT, ONCE, SEED, lambda *_: pytest.fail("shown"))


@pytest.fixture(scope="module")
def pixel_photos() -> Photos:
    data, masks = make_pixel_photos()
    spec = replace(data.spec, mirror=(0, 1))  # their colours know no side
    return replace(data, spec=spec), masks


@pytest.fixture(scope="module")
def pixel_fit(pixel_photos: Photos) -> MaskFit:
    return fit_mask_head(pixel_photos[0], SPLIT, SCRATCH, SEED)


def judge(photos: Photos, fit: MaskFit) -> JudgedPhotos:
    data, masks = photos
    grids = make_grids(fit.decoder.predict_photos(data.reader, TEST_ROWS), 2)
    decider = Decider(fit.thresholds, RegionSettings(split=False))
    return judge_photos(grids, decider, fit.mean_mask, loaders([masks[row] for row in TEST_ROWS]))


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


def test_no_more_photos_are_looked_at_together_than_memory_bears(fit: MaskFit, monkeypatch: pytest.MonkeyPatch) -> None:
    maps = random_maps(7)
    together = fit.decoder.predict_logits(maps)
    monkeypatch.setattr(decoder_module, "_MOST_CELLS", 3 * 8 * 8)
    run, seen = fit.decoder._run, list[int]()

    def note(given: dict[str, Any]) -> Any:
        seen.append(len(given["P3"]))
        return run(given)

    monkeypatch.setattr(fit.decoder, "_run", note)
    np.testing.assert_allclose(fit.decoder.predict_logits(maps), together, atol=1e-5)
    assert seen == [3, 3, 1]


def test_two_views_are_averaged_after_turning_the_mirrored_one_back(fit: MaskFit) -> None:
    one, other = random_maps(2, seed=1), random_maps(2, seed=2)
    both = {level: np.concatenate([one[level], other[level]]) for level in SHAPES}
    turned = mirror_back(fit.decoder.predict_logits(other), MIRROR)
    expected = (fit.decoder.predict_logits(one) + turned) / 2
    np.testing.assert_allclose(fit.decoder.predict_logits(both), expected, atol=1e-5)


def test_a_fold_beats_its_mean_mask_on_photos_it_has_not_seen(photos: Photos, fit: MaskFit) -> None:
    judged = judge(photos, fit)
    assert pooled_dice(judged.scores.counts) > pooled_dice(judged.baselines["mean_mask"].counts) + 0.3
    assert {(point.split, point.epoch) for point in fit.history} == {
        (split, epoch) for split in (TRAIN, INNER, HELD_OUT) for epoch in range(1, QUICK.epochs + 1)
    }


def test_a_network_from_pixels_beats_its_mean_mask_on_photos_it_has_not_seen(
    pixel_photos: Photos, pixel_fit: MaskFit
) -> None:
    assert SCRATCH.augment
    judged = judge(pixel_photos, pixel_fit)
    assert pooled_dice(judged.scores.counts) > pooled_dice(judged.baselines["mean_mask"].counts) + 0.2


# -- the inner part and the held-out fold


def test_without_refit_the_first_network_counts(photos: Photos, once: MaskFit, fit: MaskFit) -> None:
    data = photos[0]
    assert differ(once.decoder.to_arrays(), fit.decoder.to_arrays())
    np.testing.assert_array_equal(once.thresholds, fit.thresholds)
    assert losses_of(once.history, INNER) == losses_of(fit.history, INNER)
    assert len(losses_of(once.history, HELD_OUT)) == len(losses_of(once.history, TRAIN)) == ONCE.epochs
    rows = inner_rows(data)
    np.testing.assert_array_equal(np.sort(once.inner.rows), np.sort(rows))
    sure = mask_confidence(make_grids(once.decoder.predict_photos(data.reader, once.inner.rows), 2), once.thresholds)
    np.testing.assert_allclose(once.inner.confidence, sure, rtol=1e-5)
    np.testing.assert_array_equal(fit.inner.right, once.inner.right)
    outputs = once.decoder.predict_photos(data.reader, rows, views=1)
    taught = data.targets.taught[rows].astype(np.float32)
    goal = make_goal(data.spec, ONCE, NAMES)
    batches = [
        float(goal(tf.constant(outputs[start : start + 8]), tf.constant(taught[start : start + 8])).numpy()[0, 0])
        for start in range(0, len(rows), 8)
    ]
    assert np.mean(batches) == pytest.approx(losses_of(once.history, INNER)[-1], rel=1e-4)
    blind = fit_mask_head(scrambled_inside(data), SPLIT, ONCE, SEED)
    assert_same_bytes(blind.decoder.to_arrays(), once.decoder.to_arrays())  # it never learnt from that part


def test_the_held_out_fold_decides_nothing(photos: Photos, fit: MaskFit) -> None:
    again = fit_mask_head(scrambled(photos[0], TEST_ROWS), SPLIT, QUICK, SEED)
    assert losses_of(again.history, HELD_OUT) != losses_of(fit.history, HELD_OUT)
    assert_same_fit(again, fit)


@pytest.mark.parametrize(
    "settings", [PATIENT, changed(REDUCED, refit=False, patience=3)], ids=["patience", "reducer, no refit"]
)
def test_the_held_out_fold_decides_nothing_about_the_length_of_a_fit(
    photos: Photos, settings: MaskTrainingConfig
) -> None:
    settings = changed(settings, epochs=5)
    honest = fit_mask_head(photos[0], SPLIT, settings, SEED)
    again = fit_mask_head(scrambled(photos[0], TEST_ROWS), SPLIT, settings, SEED)
    assert losses_of(again.history, HELD_OUT) != losses_of(honest.history, HELD_OUT)
    assert_same_fit(again, honest)


def test_the_held_out_fold_decides_nothing_about_a_network_from_pixels(
    pixel_photos: Photos, pixel_fit: MaskFit
) -> None:
    again = fit_mask_head(scrambled(pixel_photos[0], TEST_ROWS), SPLIT, SCRATCH, SEED)
    assert_same_fit(again, pixel_fit)


def assert_same_fit(one: MaskFit, other: MaskFit) -> None:
    assert_same_bytes(one.decoder.to_arrays(), other.decoder.to_arrays())
    np.testing.assert_array_equal(one.thresholds, other.thresholds)
    for name in ("rows", "confidence", "right"):
        np.testing.assert_array_equal(getattr(one.inner, name), getattr(other.inner, name))
    np.testing.assert_array_equal(one.mean_mask.probabilities, other.mean_mask.probabilities)
    assert one.course == other.course
    for split in (TRAIN, INNER):
        assert losses_of(one.history, split) == losses_of(other.history, split)


def test_a_network_that_was_fitted_in_fewer_bits_answers_with_all_of_them(photos: Photos) -> None:
    data = photos[0]
    fit = fit_mask_head(data, SPLIT, changed(ONCE, epochs=1, precision="bfloat16"), SEED)
    loaded = MaskDecoder.from_arrays(fit.decoder.to_arrays())
    answers, expected = (decoder.predict_photos(data.reader, TEST_ROWS) for decoder in (fit.decoder, loaded))
    np.testing.assert_array_equal(answers, expected)
    assert (answers != answers.astype(tf.bfloat16.as_numpy_dtype)).mean() > 0.9


def test_another_seed_or_fold_gives_another_network(photos: Photos, once: MaskFit) -> None:
    for fold, seed in ((2, SEED), (SPLIT.fold, SEED + 1)):
        other = fit_mask_head(photos[0], replace(SPLIT, fold=fold), ONCE, seed)
        assert differ(other.decoder.to_arrays(), once.decoder.to_arrays())


def test_a_fold_without_a_photo_to_judge_is_fitted(photos: Photos) -> None:
    fit = fit_mask_head(photos[0], replace(SPLIT, test=TEST_ROWS[:0]), changed(QUICK, epochs=1), SEED)
    assert {point.split for point in fit.history} == {TRAIN, INNER}


def test_inner_split_keeps_groups_whole(photos: Photos) -> None:
    data = photos[0]
    inner_train, inner_test = split_inside(data, SPLIT, 0.25, seed=5)
    assert sorted([*inner_train, *inner_test]) == TRAIN_ROWS.tolist()
    assert not set(data.groups[inner_train]) & set(data.groups[inner_test])
    assert 0.1 < len(inner_test) / len(TRAIN_ROWS) < 0.4


# -- what is shown, and what goes wrong


def test_a_preview_is_shown_every_epoch_of_the_first_fit_from_inner_photos_with_a_region(
    photos: Photos, once: MaskFit
) -> None:
    data, settings = photos[0], changed(ONCE, epoch_previews=4)
    shown: list[tuple[int, list[int], np.ndarray]] = []
    with_previews = fit_mask_head(
        data, SPLIT, settings, SEED, lambda epoch, rows, outputs: shown.append((epoch, rows.tolist(), outputs))
    )
    assert [epoch for epoch, _, _ in shown] == list(range(1, ONCE.epochs + 1))
    inner = inner_rows(data)
    rows = shown[0][1]
    assert len(rows) == len(set(rows)) == 4
    assert set(rows) <= set(inner.tolist())
    assert data.targets.has_class()[rows].any(axis=1).all()
    assert all(each == rows and outputs.shape == (4, 8, 8, 2) for _, each, outputs in shown)
    assert (shown[0][2] != shown[-1][2]).any()
    assert_same_fit(with_previews, once)  # looking on changes nothing


def test_class_weights_reach_the_fit_by_name(photos: Photos) -> None:
    settings = changed(ONCE, epochs=1, loss="categorical_crossentropy")
    light, heavy = (
        fit_mask_head(photos[0], SPLIT, changed(settings, class_weights=weights), SEED)
        for weights in ({"left": 1.0}, {"right": 20.0})
    )
    assert differ(light.decoder.to_arrays(), heavy.decoder.to_arrays())


def test_published_settings_are_those_of_the_architecture_unless_the_config_says_otherwise() -> None:
    assert (SCRATCH.loss, SCRATCH.optimizer, SCRATCH.clipvalue) == ("categorical_crossentropy", "adam", 0.5)
    assert (SCRATCH.epochs, SCRATCH.reducer_patience, SCRATCH.refit, SCRATCH.views) == (14, 2, False, 1)
    assert FlexUNetArchitecture(name="flexunet").num_layers == 8


def test_errors_name_the_fold_and_the_cure(photos: Photos) -> None:
    data = photos[0]
    with pytest.raises(TrainingError, match=r"damage_mask, fold 1: no photo .* shows a region.*Add annotated"):
        fit_mask_head(data, replace(SPLIT, train=np.array([0, 4, 8])), QUICK, seed=0)
    with pytest.raises(TrainingError, match="regions of only 1 car"):
        fit_mask_head(data, replace(SPLIT, train=np.array([2, 3, 4])), QUICK, seed=0)
    wild = changed(QUICK, learning_rate=float("inf"), epochs=1)
    with pytest.raises(TrainingError, match=r"fold 1 \(inner\), epoch 1: .* Lower mask_training.learning_rate"):
        fit_mask_head(data, SPLIT, wild, seed=0)
    with pytest.raises(TrainingError, match="incomplete, fit it again"):
        MaskDecoder.from_arrays({})
