"""What leaving photos to people is worth, against loops over photos, orders and draws."""

from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np
import pytest

from carclf import intervals
from carclf.mask_metrics import MaskCounts
from carclf.metrics import Predictions
from carclf.report import head_results, mask_results, run_results
from carclf.report_text import results_text
from carclf.risk_coverage import (
    COVERAGES,
    LEFT_TO_PEOPLE,
    Cutoffs,
    num_answered,
    rank_answers,
    risk_coverage,
    risk_curve,
    told_answers,
)
from carclf.scores import Array
from tests.fake_records import make_mask_counts, make_predictions
from tests.test_report import make_header


def make_record(confidence: list[float], right: list[int], folds: list[int] | None = None) -> Predictions:
    """Two classes, each photo a group of its own; the first class is always answered, so sure and so rightly."""
    count = len(confidence)
    probabilities = np.array([confidence, 1 - np.array(confidence)], np.float32).T
    return Predictions(
        "categorical",
        ("dent", "whole"),
        tuple(f"{row}.jpg" for row in range(count)),
        np.arange(count),
        np.array(folds or [0] * count),
        1 - np.array(right),
        probabilities,
        probabilities,
        np.tile([True, False], (count, 1)),
        np.full((count, 2), 0.5),
    )


def test_four_photos_by_hand() -> None:
    part = risk_coverage(
        make_record([0.7, 0.9, 0.6, 0.8], [1, 1, 0, 0]), None, 0
    )  # surest first: right wrong right wrong
    assert part["aurc"]["value"] == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 2) / 4)
    assert part["aurc"]["random"] == 0.5
    assert part["aurc"]["perfect"] == pytest.approx((0 + 0 + 1 / 3 + 1 / 2) / 4)
    lines = {line["percent"]: (line["answered"], line["error"]) for line in part["left_to_people"]}
    assert {left: answered for left, (answered, _) in lines.items()} == {0: 4, 5: 4, 10: 4, 20: 3, 30: 3, 50: 2}
    assert [error for _, error in lines.values()] == pytest.approx([1 / 2, 1 / 2, 1 / 2, 1 / 3, 1 / 3, 1 / 2])
    assert part["told"] is None


def test_equally_sure_photos_count_as_the_mean_over_all_their_orders() -> None:
    confidence, right = [0.9, 0.7, 0.7, 0.7, 0.6], [1, 0, 1, 0, 1]
    orders = [[0, *middle, 4] for middle in permutations((1, 2, 3))]
    wanted = np.mean([risk_curve(1.0 - np.array(right)[order]) for order in orders], axis=0)
    record = make_record(confidence, right)
    np.testing.assert_allclose(risk_curve(rank_answers(record).expected_error), wanted)
    alike = risk_coverage(make_record([0.7] * 5, right), None, 0)
    assert alike["aurc"]["value"] == pytest.approx(alike["aurc"]["random"])
    assert np.allclose(alike["curve"]["error"], 0.4)


def test_a_draw_is_the_curve_of_its_photos_each_as_often_as_drawn() -> None:
    record = make_predictions(num_photos=60)
    answers = rank_answers(record)
    areas, errors = [], []
    for times in next(answers.draws(3)):
        drawn = sorted(
            (-sure, wrong)
            for sure, wrong, count in zip(answers.confidence, answers.error, times, strict=True)
            for _ in range(int(count))
        )
        curve = [sum(wrong for _, wrong in drawn[:count]) / count for count in range(1, len(drawn) + 1)]
        areas.append(sum(curve) / len(curve))
        errors.append(curve[int(num_answered(len(curve), np.array(70))) - 1])
    part = risk_coverage(record, None, 3)
    assert part["aurc"]["interval"] == pytest.approx(np.percentile(areas, intervals.COVERAGE_PERCENTILES))
    (line,) = (line for line in part["left_to_people"] if line["percent"] == 30)
    assert line["interval"] == pytest.approx(np.percentile(errors, intervals.COVERAGE_PERCENTILES))


@pytest.mark.parametrize("record", [make_predictions(), make_predictions("multi_label"), make_mask_counts()])
def test_a_head_that_knows_when_it_is_wrong_leaves_the_wrong_ones(record: Any) -> None:
    area = risk_coverage(record, None, 0)["aurc"]
    assert area["perfect"] < area["value"] < area["random"]
    assert area["interval"][0] < area["value"] < area["interval"][1] < area["random"]


def test_a_head_that_does_not_know_leaves_them_at_random() -> None:
    record = make_mask_counts(num_photos=400)
    part = risk_coverage(replace(record, confidence=np.random.default_rng(0).random(400)), None, 0)
    assert part["aurc"]["interval"][0] < part["aurc"]["random"] < part["aurc"]["interval"][1]


def test_the_error_of_labels_is_that_any_is_wrong() -> None:
    record = make_predictions("multi_label", ("front", "rear"))
    errors = dict(zip(rank_answers(record).confidence, rank_answers(record).error, strict=True))
    for probabilities, decided, truth in zip(record.probabilities, record.decisions, record.targets, strict=True):
        sure = np.prod([float(p) if given else 1 - float(p) for p, given in zip(probabilities, decided, strict=True)])
        assert errors[sure] == float(any(decided != truth))


def counts_of(counts: list[tuple[int, int, int]], pixels: list[int]) -> MaskCounts:
    """Photos with these true positive, false positive and false negative pixels, the surest first."""
    record = make_mask_counts(num_photos=len(counts))
    scores = replace(record.scores, counts=np.array(counts)[:, None])
    return replace(record, scores=scores, pixels=np.array(pixels), confidence=np.linspace(0.9, 0.1, len(counts)))


def test_the_error_of_a_mask_is_what_its_dice_score_lacks() -> None:
    counts = [(50, 10, 30), (0, 0, 0), (0, 5, 0), (0, 0, 7), (0, 0, 0)]
    answers = rank_answers(counts_of(counts, [900, 900, 900, 900, 0]))
    assert answers.error == pytest.approx([1 - 100 / 140, 0, 1, 1])  # the last photo has no judged pixel: left out
    assert answers.confidence == pytest.approx([0.9, 0.7, 0.5, 0.3])


def test_told_answers_are_those_at_their_own_folds_cut_off_and_above() -> None:
    record = make_record([0.9, 0.6, 0.5, 0.9, 0.6, 1.0], [1, 0, 1, 0, 1, 0], [0, 0, 0, 1, 1, 2])
    least = np.array([0.6, 0.7, 1.0], np.float32).astype(np.float64)
    told = told_answers(rank_answers(record), Cutoffs(least, 0.9), 0)
    assert told["left"]["value"] == pytest.approx(3 / 6)  # 0.5 of fold 0, 0.6 of fold 1, all of fold 2
    assert told["precision"]["value"] == pytest.approx(1 / 3)
    assert told["unmet"].tolist() == [2]
    assert told["left"]["interval"][0] <= 3 / 6 <= told["left"]["interval"][1]
    nothing = told_answers(rank_answers(record), Cutoffs(np.ones(3)), 0)
    assert nothing["left"]["value"] == 1
    assert np.isnan(nothing["precision"]["value"])
    assert list(nothing["unmet"]) == []


def test_without_cut_offs_in_the_way_told_answers_are_the_whole_curve() -> None:
    part = risk_coverage(make_predictions(), Cutoffs(np.zeros(5)), 0)
    assert part["told"]["left"]["value"] == 0
    assert part["told"]["precision"]["value"] == pytest.approx(1 - part["aurc"]["random"])


def make_text(least: Array, target: float | None) -> str:
    heads = {
        "severity": head_results(make_predictions(), [], [], "whole", 0, Cutoffs(least, target)),
        "damage_mask": mask_results(make_mask_counts(), [], [], 0),
    }
    return results_text(run_results(make_header(), heads))


def test_results_say_what_leaving_photos_to_people_is_worth() -> None:
    text = make_text(np.full(5, 0.6), None)
    severity, mask = text.split("damage_mask ===")
    part = risk_coverage(make_predictions(), Cutoffs(np.full(5, 0.6)), 0)
    rows = {tuple(line.split()[:4]) for line in severity.splitlines()}
    for line in part["left_to_people"]:
        assert (str(line["percent"]), "%", str(line["answered"]), f"{line['error']:.3f}") in rows
    assert [line["percent"] for line in part["left_to_people"]] == list(LEFT_TO_PEOPLE)
    assert f"AURC, the mean error over all shares: {part['aurc']['value']:.3f}" in severity
    assert "min_probability 0.6: answers that are less sure are left to people" in severity
    excess = part["aurc"]["value"] - part["aurc"]["perfect"]
    assert f"in the best order {part['aurc']['perfect']:.3f}: {excess:.3f} above that" in severity
    told = part["told"]
    assert f"of photos left at random {told['precision']['random']:.3f}" in severity
    assert told["precision"]["random"] == pytest.approx(make_accuracy(make_predictions()))
    share, low, high = (100 * value for value in (told["left"]["value"], *told["left"]["interval"]))
    assert f"left to people: {share:.1f} % of the photos [{low:.1f}, {high:.1f}]; precision of the rest" in severity
    assert "the least sure photos left to people" in mask
    assert "min_probability" not in mask.split("AURC")[1]


def test_results_say_where_a_target_cannot_be_met() -> None:
    text = make_text(np.array([0.5, 1.0, 0.55, 1.0, 0.6]), 0.95)
    assert "target_precision 0.95: each fold chose its min_probability inside its training part: 0.500 1.000" in text
    assert "NOT MET in folds 1, 3: all photos are left to people there" in text
    assert "precision of the rest - [-, -]" in make_text(np.ones(5), 0.99)


def test_the_curve_ends_at_the_plain_error() -> None:
    curve = risk_coverage(make_predictions(), None, 0)["curve"]
    assert list(curve["coverage"]) == list(COVERAGES)
    assert curve["error"][-1] == pytest.approx(1 - make_accuracy(make_predictions()))
    assert all(
        low <= error <= high for low, error, high in zip(curve["low"], curve["error"], curve["high"], strict=True)
    )


def make_accuracy(record: Predictions) -> float:
    return float((record.decisions.argmax(axis=1) == record.targets).mean())
