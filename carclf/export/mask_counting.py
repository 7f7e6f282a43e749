"""What is counted in the masks that an exported fold network draws, photo by photo, as in training."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from carclf.dataset import Dataset, Photo
from carclf.head_data import HeadData
from carclf.mask_fold import load_truth
from carclf.mask_heads import MaskHead
from carclf.mask_metrics import MaskCounts, MaskScores
from carclf.masks.answers import Decider
from carclf.masks.photo_scores import count_photo, join_scores
from carclf.rundir import RunDir

Counted = tuple[MaskScores, float]
"""What was counted in one photo, and how sure the network was of its mask."""


@dataclass(frozen=True)
class MaskCounter:
    """Counts for one segmentation head.

    Attributes:
        data: what is true.
        photos: name -> (photo, its row in the dataset).
        deciders: of the folds, each with its own thresholds.
    """

    data: HeadData
    photos: Mapping[str, tuple[Photo, int]]
    deciders: tuple[Decider, ...]

    def count(self, photo: str, fold: int, grid: NDArray[np.float32]) -> Counted:
        """Compares the answer of a fold's network, float32 (h, w, K), with what is true of the photo."""
        decider = self.deciders[fold]
        return count_photo(grid, decider, load_truth(self.data, *self.photos[photo])), decider.confidence(grid)


def make_counters(
    runs: Mapping[str, RunDir], mask_heads: Mapping[str, MaskHead], dataset: Dataset
) -> dict[str, MaskCounter]:
    """Makes a counter for every segmentation head.

    Args:
        runs: head -> the run that it was trained in.
        mask_heads: the heads.
        dataset: photos and what is true of them.
    """
    photos = {photo.name: (photo, row) for row, photo in enumerate(dataset.photos)}
    counters = {}
    for name, head in mask_heads.items():
        choices = runs[name].read_json(f"{name}/choices.json")
        deciders = tuple(replace(head.decider, thresholds=np.array(choice["thresholds"])) for choice in choices)
        counters[name] = MaskCounter(dataset.heads[name], photos, deciders)
    return counters


def join_counted(before: MaskCounts, counted: Sequence[Counted]) -> MaskCounts:
    """A record with what was counted anew, a photo after the other; constant answers stay what they are."""
    scores = join_scores([each for each, _ in counted], len(before.class_names))
    return replace(before, scores=scores, confidence=np.array([sure for _, sure in counted], np.float32))
