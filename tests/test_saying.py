"""What is said of a photo: an answer, or that there is none, and why."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from carclf.heads import FittedHead
from carclf.mask_heads import MaskHead
from carclf.mask_looking import Looking
from carclf.masks.answers import Decider
from carclf.masks.spec import PIXELS
from carclf.photo_source import PhotoSource
from carclf.pixels import open_pixels
from carclf.regions.splitting import RegionSettings
from carclf.saying import Answer, say_labels, say_mask
from carclf.terminal import print_answers
from tests.small_questions import make_label_set
from tests.test_predict import Terminal

NAMES = ("minor", "severe", "whole")


def make_head(kind: str, least_confidence: float) -> FittedHead:
    arrays = (np.zeros((1, 2, 3), np.float32), np.zeros((1, 3), np.float32), np.ones(1), np.full((1, 3), 0.4))
    return FittedHead(kind, make_label_set(NAMES), *arrays, least_confidence)


def say(kind: str, probabilities: list[float], least_confidence: float) -> dict[str, Any]:
    return say_labels(make_head(kind, least_confidence), np.array(probabilities, np.float32))


def make_mask_head(least_confidence: float) -> MaskHead:
    decider = Decider(np.array([0.3, 0.6]), RegionSettings(split=False))
    return MaskHead(make_label_set(("dent", "glass")), (), decider, Looking(open_pixels(4), (PIXELS,), 1, None, 8), 0.5)


def test_a_label_that_is_not_sure_enough_is_null_and_says_why() -> None:
    probabilities = [0.41, 0.34, 0.25]
    assert say("categorical", probabilities, 0.6) == {
        "kind": "categorical",
        "label": None,
        "confidence": 0.41,
        "reason": "its confidence 0.41 is below min_probability 0.60",
        "probabilities": dict(zip(NAMES, probabilities, strict=True)),
    }
    told = say("categorical", probabilities, 0.4)
    assert (told["label"], "reason" in told) == ("minor", False)


def test_labels_are_as_sure_as_that_all_are_right_given_or_not() -> None:
    said = say("multi_label", [0.9, 0.5, 0.2], 0.37)
    assert (said["labels"], said["confidence"]) == (None, 0.36)
    assert say("multi_label", [0.9, 0.5, 0.2], 0.35)["labels"] == ["minor", "severe"]
    nothing = say("multi_label", [0.1, 0.3, 0.2], 0.0)
    assert (nothing["labels"], nothing["confidence"]) == ([], 0.504)


def test_numbers_that_look_the_same_are_told_with_more_digits() -> None:
    reason = say("categorical", [0.5996, 0.4004, 0], 0.6)["reason"]
    assert reason == "its confidence 0.5996 is below min_probability 0.6000"


def test_a_head_that_never_answers_leaves_even_what_is_certain_to_people() -> None:
    said = say("categorical", [1, 0, 0], 1.0)
    assert (said["label"], said["reason"]) == (None, "min_probability 1 leaves every photo to people")


@pytest.mark.parametrize(
    ("marked", "confidence"),
    [
        ({}, 0.75),  # nothing marked: how probable the background is where it is least so
        ({(0, 0): (0.5, 0.4), (1, 1): (0.1, 0.9)}, 0.7),  # 0.5 of the first class, 0.9 of the second one
        ({(2, 2): (0.3, 0.2)}, 0.5),  # a cell at its threshold is not above it
    ],
)
def test_a_mask_is_as_sure_as_its_cells(marked: dict[tuple[int, int], tuple[float, float]], confidence: float) -> None:
    grid = np.full((4, 4, 2), (0.15, 0.1), np.float32)
    for cell, probabilities in marked.items():
        grid[cell] = probabilities
    head = make_mask_head(0.0)
    mask = head.decider.mask(grid, 8, 8)
    assert say_mask(head, grid, mask, [])["confidence"] == pytest.approx(confidence, abs=1e-6)
    said = say_mask(replace(head, least_confidence=confidence + 0.01), grid, mask, [])
    assert said["damaged_percent"] is None
    assert f"its confidence {confidence:.2f} is below" in said["reason"]
    assert said["percent"]["dent"] == pytest.approx(100 * (mask == 1).mean(), abs=0.01)


def test_a_terminal_says_why_there_is_no_answer_and_a_pipe_null(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    head = replace(make_mask_head(0.0), least_confidence=0.8)
    grid = np.zeros((4, 4, 2), np.float32)
    grid[1:3, 1:3, 0] = 0.5
    mask = head.decider.mask(grid, 8, 8)
    heads = {
        "severity": say("categorical", [0.41, 0.34, 0.25], 0.6),
        "parts": say("multi_label", [0.9, 0.5, 0.2], 0.6),
        "damage_mask": say_mask(head, grid, mask, head.decider.find(grid, mask)),
    }
    answer = Answer(PhotoSource(Path("car.jpg")), {"photo": "car.jpg", "heads": heads}, {}, {}, {})
    print_answers([answer])
    piped = json.loads(capsys.readouterr().out)["heads"]
    assert [piped["severity"]["label"], piped["parts"]["labels"], piped["damage_mask"]["damaged_percent"]] == [None] * 3
    screen = Terminal()
    monkeypatch.setattr("sys.stdout", screen)
    print_answers([answer])
    lines = screen.getvalue().splitlines()
    assert lines[1].split(maxsplit=1)[1].startswith("cannot say: its confidence 0.41 is below min_probability 0.60  ")
    assert lines[1].endswith("minor 41 %, severe 34 %, whole 25 %")
    for line, probability in zip(lines[2:], ("0.36", "0.50"), strict=True):
        assert f"cannot say: its confidence {probability} is below" in line
