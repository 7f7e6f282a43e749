"""Out-of-fold predictions and pixel counts -> accuracy, F1, average precision, Dice, calibration error."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class Predictions:
    """Predictions of one classification head, one row per labelled photo, each by a head that never saw it."""

    kind: str  # "categorical" | "multi_label"
    class_names: tuple[str, ...]
    photos: tuple[str, ...]
    groups: Array  # int64 (n,) photos of one group never straddle folds
    folds: Array  # int64 (n,) the fold whose head, which never saw the photo, made the row
    targets: Array  # int64 (n,) or int8 (n, C) of 0 and 1
    logits: Array  # float32 (n, C) raw, before temperature
    probabilities: Array  # float32 (n, C) after the fold's temperature
    decisions: Array  # bool (n, C): the most probable class, or probability >= the fold's threshold
    baseline: Array  # float64 (n, C): the constant answer: class frequencies of the fold's training part

    def rows(self, mask: Array) -> "Predictions":
        """Takes the rows where `mask`, bool (n,), is true (or the rows of an index array)."""
        index = np.arange(len(self.photos))[mask]
        return replace(
            self,
            photos=tuple(self.photos[i] for i in index),
            groups=self.groups[index],
            folds=self.folds[index],
            targets=self.targets[index],
            logits=self.logits[index],
            probabilities=self.probabilities[index],
            decisions=self.decisions[index],
            baseline=self.baseline[index],
        )


@dataclass(frozen=True)
class MaskCounts:
    """Pixel counts of one segmentation head at the photos' own sizes, one row per photo with a target."""

    class_names: tuple[str, ...]
    photos: tuple[str, ...]
    groups: Array  # int64 (n,)
    folds: Array  # int64 (n,)
    counts: Array  # int64 (n, C, 3): true positive, false positive, false negative pixels
    baselines: (
        Array  # int64 (3, n, C, 3): of three constant masks: nothing, everything, training part's mean mask
    )
    pixels: Array  # int64 (n,) judged pixels of the photo

    def rows(self, mask: Array) -> "MaskCounts":
        """Takes the rows where `mask`, bool (n,), is true (or the rows of an index array)."""
        index = np.arange(len(self.photos))[mask]
        return replace(
            self,
            photos=tuple(self.photos[i] for i in index),
            groups=self.groups[index],
            folds=self.folds[index],
            counts=self.counts[index],
            baselines=self.baselines[:, index],
            pixels=self.pixels[index],
        )
