"""Grids of photos and their true masks -> what is counted in them, at the photos' own sizes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carclf.labels import IGNORED_PIXEL
from carclf.mask_images import resize_mask_probability
from carclf.mask_metrics import SOFT_SCORES, MaskScores
from carclf.mask_scores import PixelScores, boundary_counts, boundary_tolerance, nothing_scores, pixel_scores
from carclf.masks.answers import Decider
from carclf.masks.scoring import MeanMask, confusion_counts
from carclf.masks.targets import Truth, TruthLoader
from carclf.region_matching import match_regions
from carclf.region_scores import join_photos
from carclf.regions.region import Region, make_region

Array = NDArray[Any]
UNDEFINED = PixelScores(float("nan"), float("nan"))


@dataclass(frozen=True)
class JudgedPhotos:
    """What was counted in n photos.

    Attributes:
        scores: of the head.
        baselines: of nothing, everything (every pixel is of every class, one region) and the training part's mean mask.
        pixels: int64 (n,): judged pixels.
        confidence: float32 (n,) in [0, 1]: how sure the head is of its masks.
    """

    scores: MaskScores
    baselines: dict[str, MaskScores]
    pixels: Array
    confidence: Array


def judge_photos(
    grids: Iterable[NDArray[np.float32]], decider: Decider, mean_mask: MeanMask, loaders: Sequence[TruthLoader]
) -> JudgedPhotos:
    """Compares answers and constant answers with what is true.

    Args:
        grids: n answers, float32 (h, w, K) each.
        decider: of the head.
        mean_mask: of the training part.
        loaders: n truths.
    """
    constant = Decider(mean_mask.thresholds, decider.regions)
    classes = len(decider.thresholds)
    head, mean, nothing, everything = (list[MaskScores]() for _ in range(4))
    pixels, confidence = [], []
    for grid, load in zip(grids, loaders, strict=True):
        truth = load()
        head.append(count_photo(grid, decider, truth))
        confidence.append(decider.confidence(grid))
        mean.append(count_photo(mean_mask.probabilities, constant, truth))
        nothing.append(_count_nothing(truth, classes))
        everything.append(_count_everything(truth, classes))
        pixels.append(np.count_nonzero(truth.mask != IGNORED_PIXEL))
    baselines = {"nothing": nothing, "everything": everything, "mean_mask": mean}
    joined = {name: join_scores(each, classes) for name, each in baselines.items()}
    sure = np.array(confidence, np.float32)
    return JudgedPhotos(join_scores(head, classes), joined, np.array(pixels, np.int64), sure)


def join_judged(parts: Sequence[JudgedPhotos], num_classes: int) -> JudgedPhotos:
    """Puts photos one behind the other."""
    return JudgedPhotos(
        join_scores([part.scores for part in parts], num_classes),
        {name: join_scores([part.baselines[name] for part in parts], num_classes) for name in parts[0].baselines},
        np.concatenate([part.pixels for part in parts]),
        np.concatenate([part.confidence for part in parts]),
    )


def join_scores(parts: Sequence[MaskScores], num_classes: int) -> MaskScores:
    """Puts photos one behind the other; of no part: no photo."""
    return MaskScores(
        np.concatenate([np.zeros((0, num_classes, 3), np.int64), *(part.counts for part in parts)]),
        np.concatenate([np.zeros((0, num_classes, 4), np.int64), *(part.boundaries for part in parts)]),
        np.concatenate([np.zeros((0, len(SOFT_SCORES))), *(part.soft for part in parts)]),
        join_photos([part.regions for part in parts], num_classes),
    )


def count_photo(grid: NDArray[np.float32], decider: Decider, truth: Truth) -> MaskScores:
    """Compares one answer, float32 (h, w, K), with what is true."""
    height, width = truth.mask.shape
    classes = len(decider.thresholds)
    mask = decider.mask(grid, width, height)
    soft = pixel_scores(
        lambda class_id: resize_mask_probability(grid[..., class_id - 1], (width, height)), truth.mask, classes
    )
    return _counted(mask, soft, decider.find(grid, mask), truth, classes)


def _count_nothing(truth: Truth, classes: int) -> MaskScores:
    return _counted(np.zeros_like(truth.mask), nothing_scores(truth.mask), (), truth, classes)


def _count_everything(truth: Truth, classes: int) -> MaskScores:
    """Every pixel is of every class, which no mask can say: counted class by class, one region of each."""
    ids = range(1, classes + 1)
    parts = [confusion_counts(np.full_like(truth.mask, each), truth.mask, classes)[each - 1] for each in ids]
    regions = [make_region(each, 1.0, np.ones(truth.mask.shape, bool), (0, 0)) for each in ids]
    counted = _counted(np.zeros_like(truth.mask), UNDEFINED, regions, truth, classes)
    return MaskScores(np.stack(parts)[None], counted.boundaries, counted.soft, counted.regions)


def _counted(
    mask: NDArray[np.uint8], soft: PixelScores, regions: Sequence[Region], truth: Truth, classes: int
) -> MaskScores:
    tolerance = boundary_tolerance(*truth.mask.shape)
    return MaskScores(
        confusion_counts(mask, truth.mask, classes)[None],
        boundary_counts(mask, truth.mask, classes, tolerance)[None],
        np.array([[soft.dice_coef_multiclass, soft.crossentropy]]),
        match_regions(regions, truth.instances, truth.mask == IGNORED_PIXEL, classes),
    )
