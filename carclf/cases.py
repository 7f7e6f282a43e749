"""Several photos of one car as one case: one answer, combined of theirs.

The rule, head by head. Photos whose head cannot say (null and a reason) do not count, unless that holds for all of
them: then the combined head cannot say either.

- multi_label: every photo shows a part of the car, so what one of them shows is there. Per label the largest
  probability over the photos; the labels are those given of any photo. A label that means none is given only if no
  other one is, and its probability is the least.
- categorical with a label that means none ("whole"): a car is whole only if no photo shows damage. The probability of
  none is the least over the photos. The rest goes to the other labels, as the mean of the photos' probabilities of
  them, each photo weighted by 1 - its probability of none: a photo without damage says little about how bad it is.
  The label is the most probable one. Photos that are sure but disagree may leave none probable enough: then the head
  cannot say.
- categorical without such a label: the mean over the photos; all else as before.
- segmentation: how much of a photo is damaged where that is the most, of every class by itself, too; and the regions
  of all photos, each with the photo it is in. One damage in two photos is two regions.

How sure a combined answer is: as of one photo, by the combined probabilities; of a segmentation head as sure as the
photo with the most damage. How often combined answers are right was not measured: heads are judged photo by photo.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from carclf.saying import ANSWER_KEYS, PROBABILITY_DIGITS
from carclf.selective import is_told

Fields = Mapping[str, Any]
"""What a head says of a photo, see saying.py"""


@dataclass(frozen=True)
class HeadRule:
    """What the rule needs to know of a head.

    Attributes:
        none_label: its label that means none; None = there is no such label.
        least_confidence: below it the head cannot say.
    """

    none_label: str | None = None
    least_confidence: float = 0.0


def combine_answers(answers: Sequence[Fields | None], rules: Mapping[str, HeadRule]) -> dict[str, Any]:
    """Combines the answers of the photos of one car by the rule above.

    Args:
        answers: of the photos, in their order: the JSON objects of `predict`; None = one that could not be read.
        rules: head -> what is to be known of it; heads that always answer and have no label for none may be missing.

    Returns:
        {"heads": head -> fields as of one photo}. Each region has "photo", its name, and "photo_index", its place among
        `answers`. Without a photo that could be read there is no head.
    """
    read = [(place, answer) for place, answer in enumerate(answers) if answer is not None]
    heads = read[0][1]["heads"] if read else {}
    return {"heads": {head: _combine(head, read, rules.get(head, HeadRule())) for head in heads}}


def _combine(head: str, read: Sequence[tuple[int, Fields]], rule: HeadRule) -> dict[str, Any]:
    kind = read[0][1]["heads"][head]["kind"]
    key = ANSWER_KEYS[kind]
    told = [(place, answer) for place, answer in read if answer["heads"][head][key] is not None]
    counted = told or read
    said = [answer["heads"][head] for _, answer in counted]
    if kind == "segmentation":
        combined = _combine_masks(said) | {"regions": _regions(head, counted)}
    elif kind == "multi_label":
        combined = _combine_labels(said, rule.none_label)
    else:
        combined = _combine_label(said, rule)
    if not told:
        sentence = f"none of the {len(read)} photos' answers is sure enough"
        surest = max(each["confidence"] for each in said)
        combined |= {key: None, "confidence": surest, "reason": sentence if len(read) > 1 else said[0]["reason"]}
    return {"kind": kind, **combined}


def _combine_labels(said: Sequence[Fields], none_label: str | None) -> dict[str, Any]:
    names = list(said[0]["probabilities"])
    shown = {name: [each["probabilities"][name] for each in said] for name in names}
    probabilities = {name: min(shown[name]) if name == none_label else max(shown[name]) for name in names}
    given = [name for name in names if any(name in (each["labels"] or ()) for each in said)]
    if len(given) > 1:
        given = [name for name in given if name != none_label]
    sure = [value if name in given else 1 - value for name, value in probabilities.items()]
    return {"labels": given, "confidence": round(math.prod(sure), PROBABILITY_DIGITS), "probabilities": probabilities}


def _combine_label(said: Sequence[Fields], rule: HeadRule) -> dict[str, Any]:
    photos = [each["probabilities"] for each in said]
    if rule.none_label is not None:
        probabilities = _without_none(photos, rule.none_label)
    else:
        probabilities = {name: sum(photo[name] for photo in photos) / len(photos) for name in photos[0]}
    rounded = {name: round(value, PROBABILITY_DIGITS) for name, value in probabilities.items()}
    label = max(rounded, key=lambda name: rounded[name])
    confidence, least = rounded[label], rule.least_confidence
    combined: dict[str, Any] = {"label": label, "confidence": confidence, "probabilities": rounded}
    if not is_told(confidence, least):
        reason = f"the photos disagree: the case's confidence {confidence:.3f} is below min_probability {least:.3f}"
        combined |= {"label": None, "reason": reason}
    return combined


def _without_none(photos: Sequence[Mapping[str, float]], none_label: str) -> dict[str, float]:
    """The probabilities of a case; the label that means none is in its place among them."""
    none = min(photo[none_label] for photo in photos)
    others = {
        name: sum((1 - photo[none_label]) * photo[name] for photo in photos) for name in photos[0] if name != none_label
    }
    whole = sum(others.values())
    scale = (1 - none) / whole if whole else 0.0
    return {name: none if name == none_label else scale * others[name] for name in photos[0]}


def _combine_masks(said: Sequence[Fields]) -> dict[str, Any]:
    worst = max(said, key=lambda each: each["damaged_percent"] or 0.0)
    return {
        "damaged_percent": worst["damaged_percent"],
        "confidence": worst["confidence"],
        "percent": {name: max(each["percent"][name] for each in said) for name in said[0]["percent"]},
        "regions_left_out": sum(each["regions_left_out"] for each in said),
    }


def _regions(head: str, counted: Sequence[tuple[int, Fields]]) -> list[dict[str, Any]]:
    """The regions of all photos, the most probable first."""
    found = [
        {**region, "photo": answer["photo"], "photo_index": place}
        for place, answer in counted
        for region in answer["heads"][head]["regions"]
    ]
    return sorted(found, key=lambda region: -region["probability"])
