import json
from dataclasses import replace

import numpy as np
import pytest

from carclf.compare import compare_models, comparison_text
from carclf.errors import FoldError
from carclf.intervals import mean_values
from carclf.metrics import Predictions
from tests.fake_records import make_mask_counts, make_predictions


def two_models() -> dict[str, Predictions]:
    """The second model answers as the first, but wrongly on some photos more."""
    good = make_predictions()
    worse = make_predictions(noise=4.0)
    return {"good": good, "worse": worse}


def test_the_better_model_is_above_in_nearly_all_draws() -> None:
    tree = compare_models(two_models(), "whole", seed=0)
    (pair,) = tree["pairs"]
    accuracy = pair["metrics"]["accuracy"]
    low, high = accuracy["interval"]
    assert 0 < low < accuracy["difference"] < high
    assert accuracy["share_above_0"] > 0.99
    assert pair["metrics"]["log_loss"]["share_above_0"] < 0.01
    expected = {name: mean_values(record, "whole")["accuracy"] for name, record in two_models().items()}
    assert accuracy["difference"] == pytest.approx(expected["good"] - expected["worse"], abs=1e-5)
    assert tree["means"]["good"]["accuracy"] == pytest.approx(expected["good"], abs=1e-5)
    json.dumps(tree, allow_nan=False)


def test_a_model_and_its_copy_differ_by_exactly_nothing() -> None:
    models = {"one": make_mask_counts(), "copy": make_mask_counts()}
    (pair,) = compare_models(models, None, seed=0)["pairs"]
    for row in pair["metrics"].values():
        assert row == {"difference": 0.0, "interval": [0.0, 0.0], "share_above_0": 0.0}


def test_pairing_makes_the_interval_narrower_than_of_models_alone() -> None:
    good = make_predictions(num_photos=400)
    flipped = good.decisions.copy()
    flipped[::40] = np.roll(flipped[::40], 1, axis=1)  # the answer to every 40th photo
    (pair,) = compare_models({"good": good, "other": replace(good, decisions=flipped)}, None, seed=0)["pairs"]
    low, high = pair["metrics"]["accuracy"]["interval"]
    assert high - low < 0.04 < 2 * 1.96 * np.sqrt(0.1 * 0.9 / 400) * np.sqrt(2)


def test_photos_are_matched_by_name_and_only_common_ones_count() -> None:
    models = two_models()
    order = np.random.default_rng(1).permutation(200)[:180]
    shuffled = {"good": models["good"], "worse": models["worse"].rows(order)}
    again = {"good": models["good"].rows(np.sort(order)), "worse": models["worse"].rows(np.sort(order))}
    tree = compare_models(shuffled, "whole", seed=0)
    assert tree["photos"] == 180
    assert tree == compare_models(again, "whole", seed=0)


def test_three_models_make_three_pairs() -> None:
    tree = compare_models(two_models() | {"third": make_predictions(noise=2.0)}, "whole", seed=0)
    pairs = [(pair["first"], pair["second"]) for pair in tree["pairs"]]
    assert pairs == [("good", "worse"), ("good", "third"), ("worse", "third")]


def test_other_folds_are_an_error_that_says_how_to_mend_it() -> None:
    models = two_models()
    moved = replace(models["worse"], folds=(models["worse"].folds + 1) % 5)
    with pytest.raises(FoldError, match=r"200 of 200 photos are in other folds for worse than for good.*folds_file"):
        compare_models({"good": models["good"], "worse": moved}, None, seed=0)


def test_models_without_a_common_photo_are_an_error() -> None:
    models = two_models()
    renamed = replace(models["worse"], photos=tuple(f"other_{name}" for name in models["worse"].photos))
    with pytest.raises(FoldError, match="good, worse have no photo in common"):
        compare_models({"good": models["good"], "worse": renamed}, None, seed=0)


def test_the_text_names_models_heads_and_what_is_not_in_the_intervals() -> None:
    text = comparison_text({"severity": compare_models(two_models(), "whole", seed=0)})
    assert "severity: good - worse, 200 photos" in text
    assert "Variation from retraining is not in the intervals" in text
    assert "log_loss (lower is better)" in text
