"""What is counted in masks -> metrics: against slow loops, scikit-learn, and photos that come several times."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from sklearn import metrics as reference

from carclf.annotations.instances import find_components
from carclf.intervals import estimates
from carclf.labels import IGNORED_PIXEL
from carclf.mask_metrics import (
    MASK_METRICS,
    MaskCounts,
    mask_confusion,
    mask_label_table,
    mask_metrics,
    weighted_mask_metrics,
)
from carclf.masks.answers import Decider
from carclf.masks.photo_scores import judge_photos
from carclf.masks.scoring import MeanMask
from carclf.masks.targets import Truth
from carclf.metrics import LOWER_IS_BETTER
from carclf.regions.splitting import RegionSettings
from carclf.scores import Array
from tests.fake_records import make_mask_counts, repeat_photos

NAMES = ("dent", "scratch")
NO_BOUND = ("categorical_crossentropy",)  # every other metric lies between 0 and 1


def counts_of_masks(truth: Sequence[Array], drawn: Sequence[Array], num_classes: int = 1) -> MaskCounts:
    """What is counted where the head is sure of drawn masks of class ids; bool ones show class 1."""
    ids = np.arange(1, num_classes + 1)
    grids = [(mask.astype(np.uint8)[..., None] == ids).astype(np.float32) for mask in drawn]
    truths = [Truth(mask.astype(np.uint8), find_components(mask.astype(np.uint8))) for mask in truth]
    loaders = [lambda given=given: given for given in truths]
    decider = Decider(np.full(num_classes, 0.5), RegionSettings(split=False, min_area_share=0.0))
    nothing = MeanMask(np.zeros((2, 2, num_classes), np.float32), np.full(num_classes, 0.5))
    judged = judge_photos(grids, decider, nothing, loaders)
    return MaskCounts(
        class_names=tuple(f"class {index}" for index in ids),
        photos=tuple(str(i) for i in range(len(truth))),
        groups=np.arange(len(truth)),
        folds=np.zeros(len(truth), np.int64),
        pixels=judged.pixels,
        scores=judged.scores,
        baselines=judged.baselines,
        min_probability=0.5,
        confidence=judged.confidence,
    )


def test_mask_metrics_equal_a_slow_loop_over_pixels() -> None:
    random = np.random.default_rng(2)
    truth = [random.random((6, 7)) < 0.3 if i < 5 else np.zeros((6, 7), bool) for i in range(8)]
    drawn = [random.random((6, 7)) < 0.3 if i < 6 else np.zeros((6, 7), bool) for i in range(8)]
    got = mask_metrics(counts_of_masks(truth, drawn))

    def loop(photos: range) -> tuple[float, float]:
        both = either = total = 0
        for i in photos:
            for t, d in zip(truth[i].flat, drawn[i].flat, strict=True):
                both, either, total = both + int(t and d), either + int(t or d), total + int(t) + int(d)
        return 2 * both / total, both / either

    assert tuple(got) == MASK_METRICS
    assert (got["dice"], got["iou"]) == pytest.approx(loop(range(8)))
    assert (got["dice_damaged"], got["iou_damaged"]) == pytest.approx(loop(range(5)))
    assert got["dice_per_photo"] == pytest.approx(np.mean([loop(range(i, i + 1))[0] for i in range(5)]))
    assert got["false_alarm"] == pytest.approx(1 / 3)
    flat = np.concatenate([mask.ravel() for mask in truth]), np.concatenate([mask.ravel() for mask in drawn])
    assert got["precision"] == pytest.approx(reference.precision_score(*flat))
    assert got["recall"] == pytest.approx(reference.recall_score(*flat))


def test_a_pixel_of_the_wrong_class_is_false_for_one_and_missed_for_the_other() -> None:
    truth, drawn = np.zeros((2, 8, 8), np.uint8)
    truth[2:4, 2:6], drawn[2:4, 2:6] = 1, 2
    got = mask_metrics(counts_of_masks([truth], [drawn], 2))
    for name in ("dice", "iou", "precision", "recall", "boundary_f1", "dice_per_photo", "region_recall", "ap50"):
        assert got[name] == 0.0, name
    truth[2, 2:6] = 2
    got = mask_metrics(counts_of_masks([truth], [drawn], 2))
    assert (got["precision"], got["recall"], got["dice"]) == (0.5, 0.5, 0.5)


def test_background_only_masks_score_zero_and_perfect_masks_one() -> None:
    truth = [np.eye(9, dtype=bool), np.zeros((9, 9), bool)]
    nothing = mask_metrics(counts_of_masks(truth, [np.zeros((9, 9), bool)] * 2))
    cost, share = nothing.pop("categorical_crossentropy"), nothing.pop("dice_coef_multiclass")
    assert cost == pytest.approx(9 / 81 * -np.log(1e-7) / 2, rel=1e-6)
    assert share == pytest.approx(((2 * 72 + 1) / (2 * 81 + 1) + 1) / 2)  # 94 % for seeing nothing
    assert np.isnan(nothing.pop("region_precision"))
    assert np.isnan(nothing.pop("precision"))
    assert set(nothing.values()) == {0.0}
    best = mask_metrics(counts_of_masks(truth, truth))
    assert best.pop("false_alarm") == 0.0
    assert best.pop("categorical_crossentropy") == pytest.approx(0, abs=1e-6)
    assert set(best.values()) == {1.0}


def test_masks_without_any_foreground_have_no_dice() -> None:
    empty = [np.zeros((3, 3), bool)] * 2
    got = mask_metrics(counts_of_masks(empty, empty))
    assert got.pop("false_alarm") == 0.0
    assert got.pop("dice_coef_multiclass") == 1.0
    assert got.pop("categorical_crossentropy") == pytest.approx(0, abs=1e-6)
    assert all(np.isnan(value) for value in got.values())


def test_photos_that_nobody_judged_have_no_score_and_spoil_none() -> None:
    truth = [np.eye(9, dtype=np.uint8), np.full((9, 9), IGNORED_PIXEL, np.uint8)]
    drawn = [np.tri(9, dtype=np.uint8)] * 2
    both, first = counts_of_masks(truth, drawn), counts_of_masks(truth[:1], drawn[:1])
    assert mask_metrics(both) == pytest.approx(mask_metrics(first), nan_ok=True)
    alone = mask_metrics(counts_of_masks(truth[1:], drawn[1:]))
    assert all(np.isnan(value) for value in alone.values())


def some_weights(rows: int, draws: int = 5) -> Array:
    return np.random.default_rng(5).integers(0, 4, (draws, rows)).astype(np.float64)


def slow_average_precision(counts: MaskCounts, times: Array, class_id: int, level: int) -> float:
    """COCO's, prediction by prediction: precision at 101 recalls, the best at that or any higher one."""
    regions = counts.scores.regions
    true = int((times * regions.true_counts[:, class_id - 1]).sum())
    own = [place for place in range(len(regions.photos)) if regions.class_ids[place] == class_id]
    ranked = [place for place in own for _ in range(int(times[regions.photos[place]]))]
    ranked.sort(key=lambda place: -regions.probabilities[place])
    curve, found = [], 0
    for number, place in enumerate(ranked, 1):
        found += int(regions.matched[place, level])
        curve.append((found / true, found / number))
    return float(np.mean([max([p for r, p in curve if r >= recall], default=0) for recall in np.linspace(0, 1, 101)]))


def test_weighted_metrics_equal_a_slow_loop_over_photos() -> None:
    counts = make_mask_counts(NAMES, 60)
    regions, weights = counts.scores.regions, some_weights(60)
    got = weighted_mask_metrics(counts, weights)
    for draw, times in enumerate(weights):
        sums = dict.fromkeys(("hit", "extra", "missed", "near", "drawn", "near true", "drawn true"), 0.0)
        found = dict.fromkeys(("hit", "extra", "true"), 0.0)
        produced = [[0.0, 0.0] for _ in NAMES]  # photos with the class; those of them with a region of it
        soft = np.zeros(2)
        for photo, often in enumerate(times):
            soft += often * counts.scores.soft[photo]
            for c in range(len(NAMES)):
                for key, value in zip(("hit", "extra", "missed"), counts.counts[photo, c], strict=True):
                    sums[key] += often * value
                edges = zip(
                    ("drawn", "near", "drawn true", "near true"), counts.scores.boundaries[photo, c], strict=True
                )
                for key, value in edges:
                    sums[key] += often * value
                own = np.flatnonzero((regions.photos == photo) & (regions.class_ids == c + 1))
                sure = [place for place in own if regions.probabilities[place] >= counts.min_probability]
                hits = sum(int(regions.matched[place, 0]) for place in sure)
                found["hit"] += often * hits
                found["extra"] += often * (len(sure) - hits)
                found["true"] += often * regions.true_counts[photo, c]
                if regions.true_counts[photo, c]:
                    produced[c][0] += often
                    produced[c][1] += often * bool(sure)
        near, near_true = sums["near"] / sums["drawn"], sums["near true"] / sums["drawn true"]
        expected = {
            "precision": sums["hit"] / (sums["hit"] + sums["extra"]),
            "recall": sums["hit"] / (sums["hit"] + sums["missed"]),
            "boundary_f1": 2 * near * near_true / (near + near_true),
            "region_recall": found["hit"] / found["true"],
            "region_precision": found["hit"] / (found["hit"] + found["extra"]),
            "produced_rate": np.mean([some / all_of for all_of, some in produced]),
            "dice_coef_multiclass": soft[0] / times.sum(),
            "categorical_crossentropy": soft[1] / times.sum(),
        }
        precisions = [[slow_average_precision(counts, times, c, level) for level in range(10)] for c in (1, 2)]
        expected |= {"ap50": np.mean([each[0] for each in precisions]), "ap": np.mean(precisions)}
        for name, value in expected.items():
            assert got[name][draw] == pytest.approx(value), name


@pytest.mark.parametrize("names", [("damage",), NAMES])
def test_whole_weights_equal_photos_that_come_several_times(names: tuple[str, ...]) -> None:
    counts, weights = make_mask_counts(names, 50), some_weights(50)
    got = weighted_mask_metrics(counts, weights)
    for draw, times in enumerate(weights):
        expected = mask_metrics(repeat_photos(counts, times.astype(int)))
        assert {name: values[draw] for name, values in got.items()} == pytest.approx(expected)


def test_only_what_is_asked_for_comes_in_the_order_asked() -> None:
    counts, weights = make_mask_counts(num_photos=20), some_weights(20)
    every = weighted_mask_metrics(counts, weights)
    for names in (("false_alarm", "dice_per_photo"), ("ap", "dice")):
        some = weighted_mask_metrics(counts, weights, names)
        assert tuple(some) == names
        for name in names:
            np.testing.assert_array_equal(some[name], every[name])


def test_draws_without_damage_or_without_whole_cars_are_not_numbers() -> None:
    counts = make_mask_counts(num_photos=40)
    damaged = (counts.scores.regions.true_counts > 0).any(axis=1)
    got = weighted_mask_metrics(counts, np.stack([~damaged, damaged]).astype(np.float64))
    for name in ("dice_damaged", "dice_per_photo", "region_recall", "ap50", "ap", "produced_rate", "recall"):
        assert np.isnan(got[name]).tolist() == [True, False], name
    assert np.isnan(got["false_alarm"]).tolist() == [False, True]


@pytest.mark.parametrize("names", [("damage",), NAMES])
def test_every_interval_lies_between_0_and_1(names: tuple[str, ...]) -> None:
    counts = make_mask_counts(names)
    for name, estimate in estimates(counts, None, seed=0).items():
        low, high = estimate.interval
        assert 0 <= low <= estimate.mean <= high, name
        assert name in NO_BOUND or high <= 1, name
    assert set(LOWER_IS_BETTER) & set(MASK_METRICS) == {"false_alarm", "categorical_crossentropy"}


def test_the_interval_of_a_perfect_average_precision_is_one() -> None:
    random = np.random.default_rng(0)
    truth = [np.zeros((10, 10), bool) for _ in range(12)]
    for mask in truth[:9]:
        top, left = random.integers(0, 6, 2)
        mask[top : top + 4, left : left + 4] = True
    got = estimates(replace(counts_of_masks(truth, truth), folds=np.arange(12) % 3), None, seed=0)
    for name in ("ap", "ap50", "region_recall", "produced_rate", "dice", "boundary_f1"):
        assert (got[name].mean, got[name].interval) == (1.0, (1.0, 1.0)), name


def test_mask_label_table_and_confusion_count_photos_and_pixels() -> None:
    masks = make_mask_counts(NAMES)
    table = mask_label_table(masks)
    hits, false, missed = masks.counts[:, 1].sum(axis=0)
    assert table["scratch"]["precision"] == pytest.approx(hits / (hits + false))
    assert table["scratch"]["recall"] == pytest.approx(hits / (hits + missed))
    assert table["scratch"]["f1"] == pytest.approx(2 * hits / (2 * hits + false + missed))
    assert table["scratch"]["iou"] == pytest.approx(hits / (hits + false + missed))
    confusion = mask_confusion(masks)
    assert confusion.shape == (2, 2, 2)
    assert confusion.sum(axis=(1, 2)).tolist() == [120, 120]
    assert confusion[1, 1].sum() == table["scratch"]["n"] == 60
    alarms = (masks.counts[1::2, 1, 1] > 0).sum()
    assert confusion[1, 0, 1] == alarms


def test_mask_label_table_tells_the_regions_of_every_class() -> None:
    masks = make_mask_counts(NAMES)
    table, pooled, times = mask_label_table(masks), mask_metrics(masks), np.ones(120)
    for class_id, name in enumerate(NAMES, 1):
        by_level = [slow_average_precision(masks, times, class_id, level) for level in range(10)]
        assert table[name]["ap50"] == pytest.approx(by_level[0])
        assert table[name]["ap"] == pytest.approx(np.mean(by_level))
        assert table[name]["regions"] == masks.scores.regions.true_counts[:, class_id - 1].sum()
    for of_class, of_all in (("ap50", "ap50"), ("ap", "ap"), ("produced", "produced_rate")):
        assert np.mean([row[of_class] for row in table.values()]) == pytest.approx(pooled[of_all])
    regions = masks.scores.regions
    bare = np.flatnonzero(~(regions.true_counts > 0).any(axis=1))
    sure = regions.probabilities >= masks.min_probability
    for class_id, name in enumerate(NAMES, 1):
        alarmed = set(regions.photos[sure & (regions.class_ids == class_id)].tolist()) & set(bare.tolist())
        assert table[name]["false_alarm"] == pytest.approx(len(alarmed) / len(bare))
    assert any(row["false_alarm"] for row in table.values())
    found = sum(row["found"] * row["regions"] for row in table.values())
    assert found / sum(row["regions"] for row in table.values()) == pytest.approx(pooled["region_recall"])


def test_rows_takes_every_field_of_the_same_photos() -> None:
    masks = make_mask_counts(NAMES)
    some = masks.rows(masks.folds == 2)
    assert some.photos == tuple(np.array(masks.photos)[masks.folds == 2])
    for name, each in some.baselines.items():
        np.testing.assert_array_equal(each.counts, masks.baselines[name].counts[masks.folds == 2])
        assert len(each.regions.true_counts) == len(some.photos)
    assert len(some.photos) == len(some.counts) == len(some.pixels) == len(some.scores.soft)
    weighted = weighted_mask_metrics(masks, (masks.folds == 2)[None].astype(np.float64))
    assert mask_metrics(some) == pytest.approx({name: values[0] for name, values in weighted.items()})


def test_the_order_of_photos_does_not_matter() -> None:
    masks = make_mask_counts(NAMES)
    shuffled = masks.rows(np.random.default_rng(3).permutation(120))
    assert shuffled.photos != masks.photos
    assert mask_metrics(shuffled) == pytest.approx(mask_metrics(masks), abs=1e-12)
