import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from carclf.intervals import estimates
from carclf.mask_metrics import MASK_METRICS, mask_metrics
from carclf.metrics import MULTI_LABEL_METRICS, classification_metrics
from carclf.report import NOT_IN_INTERVALS, Tree, head_results, mask_results, plain, run_results
from carclf.report_text import results_text
from tests.fake_records import SEVERITY, make_mask_counts, make_predictions

LOCATIONS = ("front", "rear", "side")
METRIC_KEYS = ["mean", "pooled", "interval", "folds", "baseline"]
LABEL_KEYS = {"n", "precision", "recall", "f1", "ap", "auc", "threshold"}
CLASS_KEYS = {"n", "precision", "recall", "f1", "iou", "boundary_f1", "threshold"}
REGION_KEYS = {"regions", "found", "ap50", "ap", "produced", "false_alarm"}
HISTORY = [
    {"fold": fold, "epoch": epoch, "split": split, "loss": 1 / epoch, "metric": 1 - 0.5 / epoch}
    for fold in range(5)
    for split in ("train", "validation")
    for epoch in (1, 2, 3)
]


def make_choices(thresholds: list[float] | None) -> list[dict[str, Any]]:
    return [
        {
            "fold": fold,
            "temperature": np.float32(1.25),
            "thresholds": thresholds,
            "l2": 1e-5,
            "steps": np.int64(70),
        }
        for fold in range(5)
    ]


def make_header(**changes: Any) -> Tree:
    backbone = {
        "source": "local",
        "where": "keras/models/mobilenet",
        "sha256": "ab" * 32,
        "image_size": 224,
        "input_range": [0, 1],
        "engine": "openvino",
        "engine_version": "2026.4.1",
        "seen_drawn_cars": False,
    }
    header = {
        "carclf_version": "0.1.0",
        "model": "mobilenet",
        "backbone": backbone,
        "photos": 200,
        "groups": 120,
        "folds": 5,
        "seed": 42,
        "skipped": [
            {"name": "torn.jpg", "reason": "truncated"},
            {"name": "half.jpg", "reason": "truncated"},
            {"name": "notes.png", "reason": "not a photo"},
        ],
        "versions": {"python": "3.11.7", "numpy": "2.4.6"},
        "duration_s": {"features": 10.04, "total": 12.3},
    }
    return header | changes


def severity_head(**changes: Any) -> Tree:
    return head_results(replace(make_predictions(), **changes), HISTORY, make_choices(None), "whole", seed=42)


def location_head() -> Tree:
    rows = make_predictions("multi_label", LOCATIONS)
    return head_results(rows, HISTORY, make_choices([0.4, 0.3, 0.2]), None, seed=42)


@pytest.fixture(scope="module")
def tree() -> Tree:
    heads = {
        "severity": severity_head(),
        "location": location_head(),
        "damage_mask": mask_results(make_mask_counts(), HISTORY, make_choices(None), seed=42),
    }
    return run_results(make_header(), heads)


def test_the_tree_is_json_with_schema_version_first(tree: Tree) -> None:
    written = json.dumps(tree, allow_nan=False)
    assert json.loads(written) == tree
    assert next(iter(tree.items())) == ("schema_version", 1)
    assert list(tree["heads"]) == ["severity", "location", "damage_mask"]
    assert tree["intervals"]["note"] == NOT_IN_INTERVALS


def test_every_metric_and_label_has_the_promised_keys(tree: Tree) -> None:
    assert list(tree["heads"]["location"]["metrics"]) == list(MULTI_LABEL_METRICS)
    assert list(tree["heads"]["damage_mask"]["metrics"]) == list(MASK_METRICS)
    assert "accuracy_damaged" in tree["heads"]["severity"]["metrics"]
    for head in tree["heads"].values():
        assert all(list(metric) == METRIC_KEYS for metric in head["metrics"].values())
        keys = CLASS_KEYS | REGION_KEYS if head["kind"] == "segmentation" else LABEL_KEYS
        assert all(set(row) == keys for row in head["labels"].values())
        assert list(head["labels"]) == head["class_names"]


def test_the_tree_holds_the_estimates_rounded_to_six_digits(tree: Tree) -> None:
    for name, estimate in estimates(make_predictions(), "whole", seed=42).items():
        metric = tree["heads"]["severity"]["metrics"][name]
        assert metric["mean"] == pytest.approx(estimate.mean, rel=1e-5)
        assert metric["interval"] == pytest.approx(list(estimate.interval), rel=1e-5)
        assert all(len(f"{value:.10g}".replace(".", "").lstrip("0")) <= 6 for value in metric["folds"])


def test_the_same_records_give_the_same_bytes(tree: Tree) -> None:
    again = run_results(make_header(), {"severity": severity_head()})
    assert json.dumps(again["heads"]["severity"]) == json.dumps(tree["heads"]["severity"])


def test_the_order_of_photos_changes_no_byte() -> None:
    rows = make_predictions()
    shuffled = rows.rows(np.random.default_rng(1).permutation(200))
    once, again = (head_results(r, HISTORY, make_choices(None), "whole", seed=1) for r in (rows, shuffled))
    assert json.dumps(once) == json.dumps(again)


def test_thresholds_are_named_and_averaged_and_choices_kept(tree: Tree) -> None:
    location = tree["heads"]["location"]
    assert location["labels"]["rear"]["threshold"] == 0.3
    assert location["choices"][2]["thresholds"] == {"front": 0.4, "rear": 0.3, "side": 0.2}
    assert location["choices"][2]["l2"] == 1e-5
    assert tree["heads"]["severity"]["labels"]["minor"]["threshold"] is None


def test_learning_ends_with_the_last_epoch_of_every_curve(tree: Tree) -> None:
    learning = tree["heads"]["severity"]["learning"]
    assert len(learning) == 10
    assert learning[1] == {
        "fold": 0,
        "split": "validation",
        "epoch": 3,
        "loss": pytest.approx(1 / 3, abs=1e-5),
        "metric": pytest.approx(1 - 0.5 / 3, abs=1e-5),
    }


def test_reliability_bins_hold_every_answer(tree: Tree) -> None:
    for name, answers in (("severity", 200), ("location", 600)):
        calibration = tree["heads"][name]["calibration"]
        for bins in (calibration["raw"], calibration["after_temperature"]):
            assert sum(row["n"] for row in bins) == answers
    pooled = tree["heads"]["location"]["metrics"]["calibration_error"]["pooled"]
    gaps = [row["n"] / 600 * abs(row["confidence"] - row["came_true"]) for row in calibration["after_temperature"]]
    assert sum(gaps) == pytest.approx(pooled, abs=1e-5)


def test_best_iteration_is_the_best_fold_counted_from_one(tree: Tree) -> None:
    folds = tree["heads"]["severity"]["metrics"]["accuracy"]["folds"]
    assert folds[tree["heads"]["severity"]["best_iteration"] - 1] == max(folds)


def test_what_is_not_defined_is_null_and_a_dash() -> None:
    rows = make_predictions()
    whole = rows.rows(rows.targets == 3)
    head = head_results(whole, [], [], "whole", seed=0)
    assert head["metrics"]["accuracy_damaged"]["mean"] is None
    assert head["metrics"]["accuracy_damaged"]["interval"] == [None, None]
    text = results_text(run_results(make_header(), {"severity": head}))
    assert "accuracy_damaged                             -" in text
    assert "nan" not in text


def test_plain_turns_numpy_into_json_and_nan_into_null() -> None:
    value = {
        "a": np.array([[1, 2]]),
        "b": (np.float32(0.1), np.bool_(True)),
        3: float("nan"),
        "d": 12345678.9,
    }
    assert plain(value) == {"a": [[1, 2]], "b": [0.1, True], "3": None, "d": 12345700.0}


def test_results_open_with_the_predecessors_lines(tree: Tree) -> None:
    text = results_text(tree)
    accuracy = tree["heads"]["severity"]["metrics"]["accuracy"]
    opening = (
        f"Categorical accuracies for cross validation splits:  {accuracy['folds']}\n"
        f"on average: {accuracy['mean']}\n"
        f"best iteration: {tree['heads']['severity']['best_iteration']}"
        "        (counted from 1; printed for comparison, never used)\n"
    )
    assert opening in text
    assert "Binary accuracies for cross validation splits:  [0." in text
    assert "Foreground Dice for cross validation splits:  [0." in text


def test_results_say_what_was_used_skipped_and_left_out(tree: Tree) -> None:
    text = results_text(tree)
    for words in (
        "local: keras/models/mobilenet; has not seen drawn cars",
        f"sha256 {'ab' * 32}",
        "224 × 224 px, input range 0 to 1, engine openvino 2026.4.1",
        "200 in 120 groups",
        "5 folds",
        "3 photos, used for nothing:",
        "2 truncated: torn.jpg, half.jpg",
        "1 not a photo: notes.png",
        "seed       42",
        "python 3.11.7, numpy 2.4.6",
        "features 10.0 s, total 12.3 s",
        "2,000 draws",
        NOT_IN_INTERVALS,
    ):
        assert words in text
    assert "HAS seen drawn cars" in results_text(
        run_results(make_header(backbone=make_header()["backbone"] | {"seen_drawn_cars": True}, skipped=[]), {})
    )


def test_results_hold_the_tables_of_every_head(tree: Tree) -> None:
    text = results_text(tree)
    accuracy = tree["heads"]["severity"]["metrics"]["accuracy"]
    low, high = accuracy["interval"]
    row = next(line for line in text.splitlines() if line.startswith("accuracy "))
    assert f"{accuracy['mean']:.3f}  ± {(high - low) / 2:.3f}  [{low:.3f}, {high:.3f}]" in row
    assert f"{accuracy['baseline']:.3f}" in row
    rows = make_predictions()
    for c, name in enumerate(SEVERITY):
        counts = tree["heads"]["severity"]["confusion"][c]
        assert sum(counts) == (rows.targets == c).sum()
        line = next(line for line in reversed(text.splitlines()) if line.startswith(f"{name} "))
        assert line.split()[1:5] == [str(count) for count in counts]
    assert "threshold front" in text
    assert text.count("chosen inside each fold") == 3
    assert max(len(line) for line in text.splitlines()) <= 125


def test_masks_stand_beside_what_predicting_nothing_scores(tree: Tree) -> None:
    head, counts = tree["heads"]["damage_mask"], make_mask_counts()
    nothing = mask_metrics(replace(counts, scores=counts.baselines["nothing"]))
    assert head["nothing"]["dice"] == head["nothing"]["ap50"] == 0.0
    assert head["nothing"]["dice_damaged"] == nothing["dice_damaged"]
    soft = [counts.baselines["nothing"].soft[counts.folds == fold].mean(axis=0) for fold in range(5)]
    share, cost = np.mean(soft, axis=0)
    assert head["nothing"]["dice_coef_multiclass"] == pytest.approx(share, rel=1e-5)
    assert head["min_probability"] == counts.min_probability
    text = results_text(tree)
    assert f"dice_coef_multiclass {share:.3f} and categorical_crossentropy {cost:.3f}" in " ".join(text.split())
    assert "with a probability of at least 0.5" in text
    assert "categorical_crossentropy (lower is better)" in text
    regions = head["labels"]["damage"]["regions"]
    (line,) = [line for line in text.splitlines() if line.split()[:2] == ["damage", str(regions)]]
    row = head["labels"]["damage"]
    assert line.split()[2:] == [f"{row[key]:.3f}" for key in ("found", "ap50", "ap", "produced", "false_alarm")]


def test_results_name_the_networks_and_say_where_there_is_no_backbone(tree: Tree) -> None:
    pixels = make_header()["backbone"] | {"source": "none"}
    described = {"car_mask": "flexunet, image_size 64, num_layers 3"}
    text = results_text(run_results(make_header(backbone=pixels, architectures=described), tree["heads"]))
    assert "masks      car_mask: flexunet, image_size 64, num_layers 3" in text
    assert "backbone   none: networks that look at the photo itself" in text
    assert "sha256" not in text


def test_a_separate_set_has_one_fold_and_no_lines_about_splits() -> None:
    rows = replace(make_predictions(), folds=np.zeros(200, np.int64))
    head = head_results(rows, [], [], "whole", seed=0)
    assert head["metrics"]["accuracy"]["mean"] == pytest.approx(classification_metrics(rows)["accuracy"])
    text = results_text(run_results(make_header(separate_set=True), {"severity": head}))
    assert "cross validation" not in text
    assert "a separate set" in text
    assert "pooled  " not in text
