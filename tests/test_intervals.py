from dataclasses import replace

import numpy as np
import pytest
from sklearn import metrics as reference

from carclf import intervals
from carclf.intervals import Estimate, baseline_values, constant_answer, estimates, group_draws, mean_draws
from carclf.mask_metrics import PER_FOLD_METRICS, POOLED_METRICS, mask_metrics
from carclf.metrics import Record, classification_metrics, one_hot
from tests.fake_records import make_mask_counts, make_predictions, repeat_photos

LOCATIONS = ("front", "rear", "side")


def some_records() -> list[tuple[Record, str | None]]:
    return [
        (make_predictions(), "whole"),
        (make_predictions("multi_label", LOCATIONS), None),
        (make_mask_counts(), None),
    ]


def test_a_draw_keeps_groups_whole_and_as_many_as_the_fold_has() -> None:
    rows = make_predictions()
    weights = group_draws(rows.groups, rows.folds, 50, seed=1)
    assert weights.dtype == np.float32
    assert weights.shape == (50, 200)
    for group in np.unique(rows.groups):
        assert np.ptp(weights[:, rows.groups == group], axis=1).max() == 0
    first_of_group = np.unique(rows.groups, return_index=True)[1]
    for fold in range(5):
        firsts = first_of_group[rows.folds[first_of_group] == fold]
        assert (weights[:, firsts].sum(axis=1) == len(firsts)).all()


def test_draws_differ_and_come_again_with_the_seed() -> None:
    groups, folds = np.arange(40), np.arange(40) % 2
    once = group_draws(groups, folds, 20, seed=3)
    assert len(np.unique(once, axis=0)) == 20
    np.testing.assert_array_equal(once, group_draws(groups, folds, 20, seed=3))
    assert (once != group_draws(groups, folds, 20, seed=4)).any()
    assert once.mean() == 1.0


def test_draws_are_the_same_in_blocks_and_in_any_order_of_photos(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = make_predictions()
    order = np.random.default_rng(0).permutation(200)
    whole = group_draws(rows.groups, rows.folds, 31, seed=1)
    np.testing.assert_array_equal(whole[:, order], group_draws(rows.groups[order], rows.folds[order], 31, seed=1))
    monkeypatch.setattr(intervals, "BLOCK_WEIGHTS", 700)
    np.testing.assert_array_equal(whole, group_draws(rows.groups, rows.folds, 31, seed=1))


def test_one_draw_equals_a_slow_loop_over_drawn_photos() -> None:
    rows = make_predictions("multi_label", LOCATIONS)
    weights = group_draws(rows.groups, rows.folds, 3, seed=9)
    drawn = mean_draws(rows, None, seed=9, draws=3)
    for draw in range(3):
        f1, precision, accuracy = [], [], []
        for fold in range(5):
            photos = [i for i in range(200) if rows.folds[i] == fold for _ in range(int(weights[draw, i]))]
            truth, chance = rows.targets[photos], rows.probabilities[photos]
            f1.append(reference.f1_score(truth, rows.decisions[photos], average="macro"))
            precision.append(reference.average_precision_score(truth, chance, average="macro"))
            accuracy.append(((chance > 0.5) == truth).mean())
        assert drawn["macro_f1"][draw] == pytest.approx(np.mean(f1))
        assert drawn["mean_ap"][draw] == pytest.approx(np.mean(precision))
        assert drawn["binary_accuracy"][draw] == pytest.approx(np.mean(accuracy))


def test_one_draw_of_masks_equals_the_metrics_of_the_drawn_photos() -> None:
    masks = make_mask_counts()
    weights = group_draws(masks.groups, masks.folds, 2, seed=9).astype(int)
    drawn = mean_draws(masks, None, seed=9, draws=2)
    for draw in range(2):
        again = repeat_photos(masks, weights[draw])
        pooled = mask_metrics(again)
        for name in POOLED_METRICS:
            assert drawn[name][draw] == pytest.approx(pooled[name]), name
        by_fold = [mask_metrics(again.rows(again.folds == fold)) for fold in range(5)]
        for name in PER_FOLD_METRICS:
            assert drawn[name][draw] == pytest.approx(np.mean([values[name] for values in by_fold])), name


def test_mean_folds_and_pooled_are_what_they_say() -> None:
    rows = make_predictions()
    got = estimates(rows, "whole", seed=0)
    by_fold = [classification_metrics(rows.rows(rows.folds == fold), "whole") for fold in range(5)]
    for name, estimate in got.items():
        assert estimate.folds == pytest.approx([values[name] for values in by_fold])
        assert estimate.mean == pytest.approx(np.mean(estimate.folds))
        assert estimate.pooled == pytest.approx(classification_metrics(rows, "whole")[name])


def test_scores_of_one_sum_are_pooled_and_means_over_photos_are_means_over_folds() -> None:
    got = estimates(make_mask_counts(), None, seed=0)
    assert {"dice", "iou", "dice_damaged", "iou_damaged", "ap50"} < set(POOLED_METRICS)
    for name in POOLED_METRICS:
        assert got[name].mean == got[name].pooled
        assert len(got[name].folds) == 5
    for name in PER_FOLD_METRICS:
        assert got[name].mean == pytest.approx(np.mean(got[name].folds))
    assert set(got) == {*POOLED_METRICS, *PER_FOLD_METRICS}


@pytest.mark.parametrize(("record", "none_label"), some_records())
def test_every_interval_holds_its_mean_and_comes_again(record: Record, none_label: str | None) -> None:
    got = estimates(record, none_label, seed=0)
    for name, estimate in got.items():
        low, high = estimate.interval
        assert 0 <= low < estimate.mean < high, name
    assert got == estimates(record, none_label, seed=0)
    assert got != estimates(record, none_label, seed=1)


def test_the_interval_of_an_accuracy_is_as_wide_as_the_normal_one() -> None:
    rows = make_predictions(num_photos=1000)
    single = replace(rows, groups=np.arange(1000))
    low, high = estimates(single, "whole", seed=0)["accuracy"].interval
    accuracy = classification_metrics(rows)["accuracy"]
    assert (high - low) / 2 == pytest.approx(1.96 * np.sqrt(accuracy * (1 - accuracy) / 1000), rel=0.1)


def test_copies_in_one_group_do_not_narrow_the_interval() -> None:
    rows = make_predictions(num_photos=150)
    single = replace(rows, groups=np.arange(150))
    copied = single.rows(np.repeat(np.arange(150), 4))
    low, high = estimates(single, None, seed=0)["accuracy"].interval
    copied_low, copied_high = estimates(copied, None, seed=0)["accuracy"].interval
    assert (copied_low, copied_high) == pytest.approx((low, high))


def test_one_fold_works() -> None:
    rows = replace(make_predictions(), folds=np.zeros(200, np.int64))
    for name, estimate in estimates(rows, "whole", seed=0).items():
        assert estimate.mean == pytest.approx(estimate.pooled), name
        assert len(estimate.folds) == 1


def test_a_fold_without_damaged_cars_is_left_out_of_the_mean() -> None:
    rows = make_predictions()
    rows = rows.rows((rows.folds != 3) | (rows.targets == 3))
    damaged = estimates(rows, "whole", seed=0)["accuracy_damaged"]
    assert np.isnan(damaged.folds[3])
    assert damaged.mean == pytest.approx(np.nanmean(damaged.folds))
    assert damaged.interval[0] < damaged.mean < damaged.interval[1]


def test_what_no_photo_defines_has_neither_mean_nor_interval() -> None:
    rows = make_predictions()
    whole = rows.rows(rows.targets == 3)
    got = estimates(whole, "whole", seed=0)["accuracy_damaged"]
    assert all(np.isnan([got.mean, got.pooled, *got.interval, *got.folds, got.baseline]))


def test_categorical_baselines_are_the_majority_of_the_training_part() -> None:
    rows = make_predictions()
    frequencies = np.tile([0.2, 0.1, 0.3, 0.4], (200, 1))
    got = baseline_values(replace(rows, baseline=frequencies), "whole")
    shares = [np.mean([(rows.targets[rows.folds == f] == c).mean() for f in range(5)]) for c in range(4)]
    assert got["accuracy"] == pytest.approx(shares[3])
    damaged = [rows.targets[(rows.folds == f) & (rows.targets != 3)] for f in range(5)]
    assert got["accuracy_damaged"] == pytest.approx(np.mean([(part == 2).mean() for part in damaged]))
    losses = [
        reference.log_loss(rows.targets[rows.folds == f], frequencies[rows.folds == f], labels=range(4))
        for f in range(5)
    ]
    assert got["log_loss"] == pytest.approx(np.mean(losses))


def test_multi_label_baselines_are_prevalence_and_all_positive() -> None:
    rows = make_predictions("multi_label", LOCATIONS)
    got = baseline_values(rows)
    prevalence = np.array([rows.targets[rows.folds == f].mean(axis=0) for f in range(5)])
    assert got["mean_ap"] == pytest.approx(prevalence.mean())
    assert got["macro_f1"] == pytest.approx((2 * prevalence / (1 + prevalence)).mean())
    assert got["binary_accuracy"] == pytest.approx((1 - prevalence).mean())


def test_the_constant_answer_does_not_see_the_judged_targets() -> None:
    rows = make_predictions("multi_label", LOCATIONS)
    other = replace(rows, targets=1 - rows.targets, logits=-rows.logits)
    for name in ("logits", "probabilities", "decisions"):
        np.testing.assert_array_equal(getattr(constant_answer(rows), name), getattr(constant_answer(other), name))


def test_mask_baseline_is_the_best_constant_mask_of_each_metric() -> None:
    masks = make_mask_counts()
    answers = [mask_metrics(replace(masks, scores=scores)) for scores in masks.baselines.values()]
    got = baseline_values(masks)
    for name in ("dice", "recall", "boundary_f1", "ap50", "produced_rate"):
        assert got[name] == pytest.approx(max(answer[name] for answer in answers)), name
    assert got["false_alarm"] == 0.0
    costs = [
        np.mean([np.mean(scores.soft[masks.folds == fold, 1]) for fold in range(5)])
        for name, scores in masks.baselines.items()
        if name != "everything"  # says nothing of probabilities
    ]
    assert got["categorical_crossentropy"] == pytest.approx(min(costs))


@pytest.mark.parametrize("kind", ["categorical", "multi_label"])
def test_random_answers_score_no_better_than_the_baseline(kind: str) -> None:
    rows = make_predictions(kind, num_photos=600)
    truth = one_hot(rows)[np.random.default_rng(8).permutation(600)]  # targets that belong to other photos
    targets = truth.argmax(axis=1) if kind == "categorical" else truth.astype(np.int8)
    got = estimates(replace(rows, targets=targets), "whole", seed=0)
    name = "accuracy" if kind == "categorical" else "mean_ap"
    assert got[name].interval[0] < got[name].baseline + 0.02


def test_an_estimate_is_plain_numbers() -> None:
    for record, none_label in some_records():
        for estimate in estimates(record, none_label, seed=0).values():
            assert isinstance(estimate, Estimate)
            values = [estimate.mean, estimate.pooled, *estimate.interval, *estimate.folds, estimate.baseline]
            assert all(type(value) is float for value in values)
