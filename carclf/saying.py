"""What is said of a photo: the JSON object of one line."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from carclf.calibration import decide
from carclf.heads import Head
from carclf.mask_heads import MaskHead
from carclf.photo_source import PhotoSource
from carclf.regions.region import Region, describe_region
from carclf.scores import Array
from carclf.selective import NEVER, is_told, label_confidence

ANSWER_KEYS = {"categorical": "label", "multi_label": "labels", "segmentation": "damaged_percent"}
"""Kind of a head -> the field with its answer, which is null where it cannot say."""
PROBABILITY_DIGITS = 6
PERCENT_DIGITS = 2
REASON_DIGITS = 2  # more where two numbers would look the same


@dataclass(frozen=True)
class Answer:
    """What is said of one photo.

    Attributes:
        photo: which was asked about.
        fields: the JSON object of one line.
        masks: head -> uint8 (height, width) class ids at the photo's own size.
        probabilities: head -> float32 (h, w, C) in [0, 1], of the classes, on the head's grid.
        regions: head -> its regions that are sure enough, the most probable first.
    """

    photo: PhotoSource
    fields: dict[str, Any]
    masks: dict[str, Array]
    probabilities: dict[str, Array]
    regions: dict[str, tuple[Region, ...]]

    @property
    def path(self) -> Path:
        """As it was given."""
        return self.photo.path


def say_labels(head: Head, probabilities: Array) -> dict[str, Any]:
    """The answer of a classification head; probabilities: float32 (C,)."""
    names = head.label_set.names
    decisions = decide(probabilities[None], head.kind, head.threshold)
    confidence = float(label_confidence(probabilities[None], decisions, head.kind)[0])
    given = [names[int(place)] for place in np.flatnonzero(decisions[0])]
    answer = given[0] if head.kind == "categorical" else given
    shares = {name: round(float(value), PROBABILITY_DIGITS) for name, value in zip(names, probabilities, strict=True)}
    return {"kind": head.kind, **_say(head.kind, answer, confidence, head.least_confidence), "probabilities": shares}


def say_mask(head: MaskHead, grid: Array, mask: Array, regions: Sequence[Region]) -> dict[str, Any]:
    """The answer of a segmentation head: how much of the photo is damaged, by what, and each damage by itself.

    Args:
        head: which answers; regions below its min_probability are counted only.
        grid: float32 (h, w, K), what its networks say.
        mask: uint8 (height, width), class ids.
        regions: of the mask, all of them.
    """
    names = head.label_set.names
    pixels = [np.count_nonzero(mask == index) for index in range(1, len(names) + 1)]
    percent = {name: 100 * count / mask.size for name, count in zip(names, pixels, strict=True)}
    sure = [region for region in regions if region.probability >= head.min_probability]
    damaged = round(sum(percent.values()), PERCENT_DIGITS)
    return {
        "kind": "segmentation",
        **_say("segmentation", damaged, head.decider.confidence(grid), head.least_confidence),
        "percent": {name: round(share, PERCENT_DIGITS) for name, share in percent.items()},
        "regions": [describe_region(each, names[each.class_id - 1], (mask.shape[1], mask.shape[0])) for each in sure],
        "regions_left_out": len(regions) - len(sure),
    }


def _say(kind: str, answer: Any, confidence: float, least: float) -> dict[str, Any]:
    """The answer and how sure it is; null and the reason where that is not sure enough."""
    said = {ANSWER_KEYS[kind]: answer, "confidence": round(confidence, PROBABILITY_DIGITS)}
    unsaid = {ANSWER_KEYS[kind]: None, "reason": _reason(confidence, least)}
    return said if is_told(confidence, least) else said | unsaid


def _reason(confidence: float, least: float) -> str:
    if least >= NEVER:
        return f"min_probability {NEVER:g} leaves every photo to people"
    digits = REASON_DIGITS
    while digits < PROBABILITY_DIGITS and f"{confidence:.{digits}f}" == f"{least:.{digits}f}":
        digits += 1
    return f"its confidence {confidence:.{digits}f} is below min_probability {least:.{digits}f}"
