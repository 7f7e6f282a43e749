from dataclasses import replace

import numpy as np
import pytest
from sklearn import metrics as reference

from carclf import scores
from carclf.metrics import (
    CATEGORICAL_METRICS,
    MULTI_LABEL_METRICS,
    Predictions,
    classification_metrics,
    confusion_matrix,
    label_table,
    one_hot,
    raw_probabilities,
)
from tests.fake_records import make_predictions

LOCATIONS = ("front", "rear", "side")


def test_categorical_metrics_equal_scikit_learn() -> None:
    rows = make_predictions()
    got = classification_metrics(rows, "whole")
    answers = rows.probabilities.argmax(axis=1)
    wide = rows.probabilities.astype(np.float64)
    wide /= wide.sum(axis=1, keepdims=True)
    damaged = rows.targets != 3
    expected = {
        "accuracy": reference.accuracy_score(rows.targets, answers),
        "accuracy_damaged": reference.accuracy_score(rows.targets[damaged], answers[damaged]),
        "macro_f1": reference.f1_score(rows.targets, answers, average="macro"),
        "log_loss": reference.log_loss(rows.targets, wide),
        "brier": reference.brier_score_loss(rows.targets, wide, scale_by_half=False, labels=[0, 1, 2, 3]),
    }
    assert tuple(got) == CATEGORICAL_METRICS
    for name, value in expected.items():
        assert got[name] == pytest.approx(value, abs=1e-6), name


def test_multi_label_metrics_equal_scikit_learn() -> None:
    rows = make_predictions("multi_label", LOCATIONS)
    got = classification_metrics(rows)
    per_label = [reference.log_loss(rows.targets[:, c], rows.probabilities[:, c].astype(np.float64)) for c in range(3)]
    expected = {
        "binary_accuracy": ((rows.probabilities > 0.5) == rows.targets).mean(),
        "macro_f1": reference.f1_score(rows.targets, rows.decisions, average="macro"),
        "mean_ap": reference.average_precision_score(rows.targets, rows.probabilities, average="macro"),
        "log_loss": np.mean(per_label),
    }
    assert tuple(got) == MULTI_LABEL_METRICS
    for name, value in expected.items():
        assert got[name] == pytest.approx(value, abs=1e-6), name


def test_multi_label_f1_takes_the_decisions_and_binary_accuracy_one_half() -> None:
    rows = make_predictions("multi_label", LOCATIONS)
    changed = replace(rows, decisions=~rows.decisions)
    before, after = classification_metrics(rows), classification_metrics(changed)
    assert before["macro_f1"] != after["macro_f1"]
    assert before["binary_accuracy"] == after["binary_accuracy"]


def test_calibration_error_is_of_the_top_class_after_and_before_temperature() -> None:
    rows = make_predictions()
    got = classification_metrics(rows)
    for name, probabilities in [
        ("calibration_error", rows.probabilities),
        ("calibration_error_raw", scores.softmax(rows.logits)),
    ]:
        right = (probabilities.argmax(axis=1) == rows.targets)[:, None]
        top = probabilities.max(axis=1)[:, None]
        expected = scores.calibration_error(top, right, np.ones((1, 200)))
        assert got[name] == pytest.approx(expected[0])
    assert got["calibration_error"] != got["calibration_error_raw"]


def test_without_a_none_label_there_is_no_accuracy_of_damaged() -> None:
    assert "accuracy_damaged" not in classification_metrics(make_predictions())


def perfect(rows: Predictions) -> Predictions:
    truth = one_hot(rows)
    return replace(rows, logits=np.where(truth, 40.0, -40.0), probabilities=truth.astype(np.float32), decisions=truth)


@pytest.mark.parametrize("kind", ["categorical", "multi_label"])
def test_a_perfect_head_scores_one_and_has_no_loss(kind: str) -> None:
    got = classification_metrics(perfect(make_predictions(kind)), "whole")
    for name, value in got.items():
        expected = 0.0 if name in ("log_loss", "brier") or name.startswith("calibration") else 1.0
        assert value == pytest.approx(expected, abs=1e-9), name


def test_a_sure_mistake_costs_a_finite_log_loss() -> None:
    rows = perfect(make_predictions("multi_label", LOCATIONS))
    wrong = replace(rows, probabilities=1 - rows.probabilities)
    assert classification_metrics(wrong)["log_loss"] == pytest.approx(-np.log(1e-7))


@pytest.mark.parametrize("kind", ["categorical", "multi_label"])
def test_the_order_of_photos_does_not_matter(kind: str) -> None:
    rows = make_predictions(kind)
    rounded = replace(rows, probabilities=rows.probabilities.round(1))  # many equal scores
    shuffled = rounded.rows(np.random.default_rng(3).permutation(200))
    assert shuffled.photos != rounded.photos
    assert classification_metrics(shuffled, "whole") == pytest.approx(
        classification_metrics(rounded, "whole"), abs=1e-12
    )


@pytest.mark.parametrize("kind", ["categorical", "multi_label"])
def test_label_table_equals_scikit_learn(kind: str) -> None:
    rows = make_predictions(kind)
    truth = one_hot(rows)
    for c, (name, row) in enumerate(label_table(rows).items()):
        assert name == rows.class_names[c]
        assert row["n"] == truth[:, c].sum()
        precision, recall, f1, _ = reference.precision_recall_fscore_support(
            truth[:, c], rows.decisions[:, c], average="binary"
        )
        ap = reference.average_precision_score(truth[:, c], rows.probabilities[:, c])
        auc = reference.roc_auc_score(truth[:, c], rows.probabilities[:, c])
        assert [row[key] for key in ("precision", "recall", "f1", "ap", "auc")] == pytest.approx(
            [precision, recall, f1, ap, auc]
        )


def test_a_label_that_never_occurs_has_no_f1() -> None:
    rows = make_predictions("multi_label", LOCATIONS)
    absent = replace(rows, targets=rows.targets * np.array([1, 1, 0], np.int8))
    row = label_table(absent)["side"]
    assert row["n"] == 0
    assert row["precision"] == 0.0
    assert all(np.isnan(row[key]) for key in ("recall", "f1", "ap", "auc"))
    kept = [label_table(absent)[name]["f1"] for name in ("front", "rear")]
    assert classification_metrics(absent)["macro_f1"] == pytest.approx(np.mean(kept))


def test_confusion_matrices_equal_scikit_learn() -> None:
    rows = make_predictions()
    expected = reference.confusion_matrix(rows.targets, rows.probabilities.argmax(axis=1))
    np.testing.assert_array_equal(confusion_matrix(rows), expected)
    rows = make_predictions("multi_label", LOCATIONS)
    expected = reference.multilabel_confusion_matrix(rows.targets, rows.decisions)
    np.testing.assert_array_equal(confusion_matrix(rows), expected)


def test_raw_probabilities_are_those_of_the_kind() -> None:
    rows = make_predictions()
    np.testing.assert_allclose(raw_probabilities(rows).sum(axis=1), 1)
    rows = make_predictions("multi_label")
    np.testing.assert_allclose(raw_probabilities(rows), 1 / (1 + np.exp(-rows.logits)), rtol=1e-6)


def test_rows_takes_every_field_of_the_same_photos() -> None:
    rows = make_predictions()
    part = rows.rows(rows.folds == 2)
    assert part.photos == tuple(np.array(rows.photos)[rows.folds == 2])
    np.testing.assert_array_equal(part.logits, rows.logits[rows.folds == 2])
