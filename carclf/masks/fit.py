"""One fold of a segmentation head: thresholds from an inner split, then the decoder that counts."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carclf.config import MaskTrainingConfig
from carclf.errors import TrainingError
from carclf.masks.decoder import MaskDecoder
from carclf.masks.scoring import MeanMask, choose_thresholds, class_probabilities, fit_mean_mask
from carclf.masks.training import CurvePoint, Job, MaskData, train_decoder

Array = NDArray[Any]
TRAIN, INNER, HELD_OUT = "train", "inner_validation", "validation"
"""The splits in the curves."""


@dataclass(frozen=True)
class MaskSplit:
    """One fold of one head.

    Attributes:
        head: its name, for errors.
        fold: counted from 0.
        train: int (n,), rows of the data.
        test: int (k,), rows of the data; they are watched and decide nothing.
    """

    head: str
    fold: int
    train: Array
    test: Array

    @property
    def name(self) -> str:
        """As errors call it; folds are counted from 0, as in folds.csv."""
        return f"{self.head}, fold {self.fold}"


@dataclass(frozen=True)
class MaskFit:
    """What came out of one fold.

    Attributes:
        decoder: fitted on the whole training part.
        thresholds: float64 (C,), chosen on an inner part that the decoder which judged it had not seen.
        mean_mask: the constant answer of the training part.
        history: loss and Dice score after each epoch: "train" and "validation" (the held-out fold) of the decoder,
            "inner_validation" of the one that chose the thresholds.
    """

    decoder: MaskDecoder
    thresholds: NDArray[np.float64]
    mean_mask: MeanMask
    history: tuple[CurvePoint, ...]


def fit_mask_head(data: MaskData, split: MaskSplit, settings: MaskTrainingConfig, seed: int) -> MaskFit:
    """Fits one fold; the same arguments give the same bytes, whatever other folds are fitted.

    A first decoder learns from a part of the training part and chooses the thresholds on the rest, whose groups it
    has not seen. A second one learns from the whole training part; it is the one that is judged and that predicts.

    Args:
        data: of all photos with a target.
        split: the fold.
        settings: mask_training of the config.
        seed: cross_validation.seed of the config.

    Raises:
        TrainingError: if the training part shows no region, has too few groups, or the loss is not finite.
    """
    first_seed, second_seed, split_seed = np.random.SeedSequence([seed, split.fold]).generate_state(3)
    inner_train, inner_test = split_inside(data, split, settings.validation_share, int(split_seed))
    job = Job(f"{split.name} (inner)", inner_train, {INNER: inner_test}, int(first_seed))
    chooser, inner_curves = train_decoder(data, job, settings)
    probabilities = class_probabilities(chooser.predict_photos(data.reader, inner_test))
    thresholds = choose_thresholds(probabilities, *data.targets.class_pixels(inner_test))
    job = Job(split.name, split.train, {HELD_OUT: split.test} if len(split.test) else {}, int(second_seed))
    decoder, curves = train_decoder(data, job, settings)
    inner = [point for point in inner_curves if point.split == INNER]
    history = tuple(sorted(curves + inner, key=lambda point: point.epoch))
    return MaskFit(decoder, thresholds, fit_mean_mask(data.targets, split.train), history)


def split_inside(data: MaskData, split: MaskSplit, share: float, seed: int) -> tuple[Array, Array]:
    """Takes whole groups out of the training part, the same share of those with and without a region.

    Returns:
        (rows to learn from, rows to choose thresholds on), both int64, in the order of split.train.

    Raises:
        TrainingError: if either part would show no region.
    """
    groups = data.groups[split.train]
    shows = data.targets.has_class()[split.train].any(axis=1)
    if not shows.any():
        raise TrainingError(
            f"{split.name}: no photo of the training part shows a region, so there is nothing to learn. "
            "Add annotated photos, or delete the head."
        )
    random = np.random.default_rng(seed)
    with_region = np.unique(groups[shows])
    without = np.setdiff1d(groups, with_region)
    if len(with_region) < 2:
        raise TrainingError(
            f"{split.name}: the training part shows regions of only 1 car, and thresholds must be chosen on another "
            "one. Add annotated photos."
        )
    taken = [random.permutation(kind)[: _count(len(kind), share)] for kind in (with_region, without)]
    chosen = np.isin(groups, np.concatenate(taken))
    return split.train[~chosen], split.train[chosen]


def _count(groups: int, share: float) -> int:
    """How many of the groups are taken: at least one, and never all."""
    return min(max(1, round(share * groups)), groups - 1) if groups else 0
