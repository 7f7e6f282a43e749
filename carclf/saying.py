"""What is said of a photo: the JSON object of one line."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from carclf.calibration import decide
from carclf.heads import Head
from carclf.labels import LabelSet
from carclf.photo_source import PhotoSource
from carclf.regions.region import Region, describe_region
from carclf.scores import Array

PROBABILITY_DIGITS = 6
PERCENT_DIGITS = 2


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
    chosen = np.flatnonzero(decide(probabilities[None], head.kind, head.threshold)[0])
    said: dict[str, Any] = {"kind": head.kind}
    if head.kind == "categorical":
        said["label"] = names[int(chosen[0])]
    else:
        said["labels"] = [names[int(place)] for place in chosen]
    said["probabilities"] = {
        name: round(float(value), PROBABILITY_DIGITS) for name, value in zip(names, probabilities, strict=True)
    }
    return said


def say_mask(mask: Array, regions: Sequence[Region], label_set: LabelSet, min_probability: float) -> dict[str, Any]:
    """The answer of a segmentation head: how much of the photo is damaged, by what, and each damage by itself.

    Args:
        mask: uint8 (height, width), class ids.
        regions: of the mask, all of them.
        label_set: the classes.
        min_probability: regions below it are counted only.
    """
    names = label_set.names
    pixels = [np.count_nonzero(mask == index) for index in range(1, len(names) + 1)]
    percent = {name: 100 * count / mask.size for name, count in zip(names, pixels, strict=True)}
    sure = [region for region in regions if region.probability >= min_probability]
    return {
        "kind": "segmentation",
        "damaged_percent": round(sum(percent.values()), PERCENT_DIGITS),
        "percent": {name: round(share, PERCENT_DIGITS) for name, share in percent.items()},
        "regions": [describe_region(each, names[each.class_id - 1], (mask.shape[1], mask.shape[0])) for each in sure],
        "regions_left_out": len(regions) - len(sure),
    }
