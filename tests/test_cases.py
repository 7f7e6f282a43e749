"""One answer of several photos: what one photo shows is there, and a car is whole only if no photo shows damage."""

from typing import Any

import numpy as np
import pytest

from carclf.cases import HeadRule, combine_answers


def photo(name: str, **heads: dict[str, Any]) -> dict[str, Any]:
    return {"photo": name, "heads": heads}


def label(minor: float, severe: float, whole: float, **more: Any) -> dict[str, Any]:
    probabilities = {"minor": minor, "severe": severe, "whole": whole}
    given = max(probabilities, key=lambda name: probabilities[name])
    return {
        "kind": "categorical",
        "label": given,
        "confidence": probabilities[given],
        "probabilities": probabilities,
        **more,
    }


def labels(given: list[str] | None, **probabilities: float) -> dict[str, Any]:
    unsure = {"reason": "unsure"} if given is None else {}
    return {"kind": "multi_label", "labels": given, "confidence": 0.5, "probabilities": probabilities, **unsure}


def mask(percent: float | None, *probabilities: float, confidence: float = 0.9) -> dict[str, Any]:
    return {
        "kind": "segmentation",
        "damaged_percent": percent,
        "confidence": confidence,
        "percent": {"damage": percent or 1.0},
        "regions": [{"class": "damage", "probability": each} for each in probabilities],
        "regions_left_out": 1,
    }


def combined(head: dict[str, Any], *others: dict[str, Any], none_label: str | None = None, least: float = 0.0) -> Any:
    answers = [photo(f"{place}.jpg", head=each) for place, each in enumerate((head, *others))]
    return combine_answers(answers, {"head": HeadRule(none_label, least)})["heads"]["head"]


def test_a_car_is_whole_only_if_no_photo_shows_damage() -> None:
    clean, hit = label(0.02, 0.01, 0.97), label(0.2, 0.7, 0.1)
    said = combined(clean, clean, hit, clean, none_label="whole")
    assert said["label"] == "severe"
    assert said["probabilities"]["whole"] == 0.1
    weighted = np.array([0.2, 0.7]) * 0.9 + 3 * np.array([0.02, 0.01]) * 0.03
    expected = weighted / weighted.sum() * 0.9
    assert [said["probabilities"][name] for name in ("minor", "severe")] == pytest.approx(expected, abs=1e-6)
    assert said["confidence"] == said["probabilities"]["severe"]
    assert combined(clean, clean, none_label="whole")["label"] == "whole"


@pytest.mark.parametrize("none_label", ["whole", None])
def test_one_photo_is_a_case_of_its_own(none_label: str | None) -> None:
    one = label(0.3, 0.6, 0.1)
    assert combined(one, none_label=none_label) == one


def test_probabilities_of_a_case_sum_to_one_in_the_order_of_the_classes() -> None:
    random = np.random.default_rng(3)
    photos = [label(*random.dirichlet([1, 1, 1])) for _ in range(5)]
    for none_label in ("whole", "minor", None):
        said = combined(photos[0], *photos[1:], none_label=none_label)
        assert list(said["probabilities"]) == ["minor", "severe", "whole"]
        assert sum(said["probabilities"].values()) == pytest.approx(1, abs=3e-6)
    certain = combined(label(0, 0, 1), label(0, 0, 1), none_label="whole")
    assert certain["probabilities"] == {"minor": 0, "severe": 0, "whole": 1}


def test_without_a_label_for_none_the_mean_is_taken() -> None:
    said = combined(label(0.5, 0.4, 0.1), label(0.1, 0.8, 0.1))
    assert said["probabilities"] == pytest.approx({"minor": 0.3, "severe": 0.6, "whole": 0.1})
    assert said["label"] == "severe"


def test_what_one_photo_shows_is_there() -> None:
    said = combined(
        labels(["front"], front=0.8, rear=0.1), labels(["rear"], front=0.3, rear=0.6), labels([], front=0.2, rear=0.2)
    )
    assert said["labels"] == ["front", "rear"]
    assert said["probabilities"] == {"front": 0.8, "rear": 0.6}
    assert said["confidence"] == pytest.approx(0.8 * 0.6)


def test_none_is_given_only_if_no_other_label_is() -> None:
    clean, hit = labels(["none"], none=0.9, rear=0.1), labels(["rear"], none=0.2, rear=0.7)
    said = combined(clean, hit, none_label="none")
    assert said["labels"] == ["rear"]
    assert said["probabilities"] == {"none": 0.2, "rear": 0.7}
    assert said["confidence"] == pytest.approx(0.7 * 0.8)
    assert combined(clean, clean, none_label="none")["labels"] == ["none"]


def test_photos_that_disagree_leave_the_case_to_people() -> None:
    said = combined(label(0.8, 0.1, 0.1), label(0.1, 0.8, 0.1), least=0.6)
    assert said["label"] is None
    assert said["confidence"] == 0.45
    assert said["reason"] == "the photos disagree: the case's confidence 0.450 is below min_probability 0.600"


def test_photos_that_cannot_say_do_not_count_unless_all_cannot() -> None:
    unsure = label(0.0, 0.55, 0.45, label=None, reason="its confidence 0.55 is below min_probability 0.60")
    clean = label(0.1, 0.0, 0.9)
    assert combined(unsure, clean, none_label="whole") == clean
    said = combined(unsure, unsure, none_label="whole")
    assert said["label"] is None
    assert said["confidence"] == 0.55
    assert said["reason"] == "none of the 2 photos' answers is sure enough"
    assert combined(unsure)["reason"] == unsure["reason"]
    assert combined(labels(None, front=0.9), labels(["front"], front=0.7))["probabilities"] == {"front": 0.7}
    assert combined(labels(None, front=0.9))["labels"] is None
    assert combined(mask(None), mask(None))["damaged_percent"] is None


def test_the_worst_photo_and_the_regions_of_all() -> None:
    said = combined(mask(3.0, 0.6, 0.4), mask(12.5, 0.9, confidence=0.7), mask(None, 0.99))
    assert said["damaged_percent"] == 12.5
    assert said["confidence"] == 0.7
    assert said["percent"] == {"damage": 12.5}
    assert [(each["photo"], each["photo_index"], each["probability"]) for each in said["regions"]] == [
        ("1.jpg", 1, 0.9),
        ("0.jpg", 0, 0.6),
        ("0.jpg", 0, 0.4),
    ]
    assert said["regions_left_out"] == 2


def test_photos_that_cannot_be_read_keep_their_places() -> None:
    answers = [None, photo("b.jpg", head=mask(2.0, 0.5)), None]
    (region,) = combine_answers(answers, {})["heads"]["head"]["regions"]
    assert region["photo_index"] == 1
    assert combine_answers([None, None], {}) == {"heads": {}}
