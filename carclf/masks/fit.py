"""One fold of a segmentation head: thresholds from an inner split, and the network that counts."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carclf.config_masks import MaskTrainingConfig
from carclf.errors import TrainingError
from carclf.masks.decoder import MaskDecoder
from carclf.masks.optimizing import Course
from carclf.masks.sampling import MaskData
from carclf.masks.scoring import (
    MeanMask,
    Part,
    choose_thresholds,
    class_probabilities,
    fit_mean_mask,
    mask_confidence,
    masks_right,
)
from carclf.masks.training import CurvePoint, Job, train_network
from carclf.selective import InnerAnswers

Array = NDArray[Any]
TRAIN, INNER, HELD_OUT = "train", "inner_validation", "validation"
"""The splits in the curves."""
Preview = Callable[[int, Array, Array], None]
"""Takes an epoch, rows of the data, int (k,), and the logits of their classes, float32 (k, H, W, C)."""


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
        decoder: fitted on the training part, or, without refit, on what the inner validation part leaves of it.
        thresholds: float64 (C,), chosen on an inner part that the decoder which judged it had not seen.
        mean_mask: the constant answer of the training part.
        history: loss and Dice score after each epoch: "train" and "validation" (the held-out fold) of the decoder,
            "inner_validation" of the one that chose the thresholds.
        course: how long the decoder was fitted.
        inner: the answers with these thresholds to the photos that they were chosen on.
    """

    decoder: MaskDecoder
    thresholds: NDArray[np.float64]
    mean_mask: MeanMask
    history: tuple[CurvePoint, ...]
    course: Course
    inner: InnerAnswers


def fit_mask_head(
    data: MaskData, split: MaskSplit, settings: MaskTrainingConfig, seed: int, preview: Preview | None = None
) -> MaskFit:
    """Fits one fold; the same arguments give the same bytes, whatever other folds are fitted.

    A first network learns from a part of the training part. The rest, whose groups it has not seen, says when to stop,
    when to take smaller steps and which thresholds are best. With `refit` a second network learns from the whole
    training part in the same way, and is the one that is judged and that predicts; else the first one is.

    Args:
        data: of all photos with a target.
        split: the fold.
        settings: mask_training of the head.
        seed: cross_validation.seed of the config.
        preview: is shown what the first network says about some inner validation photos after every epoch.

    Raises:
        TrainingError: if the training part shows no region, has too few groups, or the loss is not finite.
    """
    first_seed, second_seed, split_seed = np.random.SeedSequence([seed, split.fold]).generate_state(3)
    inner_train, inner_test = split_inside(data, split, settings.validation_share, int(split_seed))
    held_out = {HELD_OUT: split.test} if len(split.test) else {}
    judge = INNER if settings.patience is not None or settings.learning_rate_reducer else None
    watched = {INNER: inner_test} | ({} if settings.refit else held_out)
    job = Job(f"{split.name} (inner)", inner_train, watched, int(first_seed), judge)
    if preview is not None and settings.epoch_previews:
        job = replace(job, show=_shower(data, inner_test, settings.epoch_previews, preview))
    first = train_network(data, job, settings)
    thresholds = choose_thresholds(_answered(first.decoder, data, inner_test))
    answers = _inner_answers(first.decoder, data, inner_test, thresholds)
    mean_mask = fit_mean_mask(data.targets, split.train)
    if not settings.refit:
        return MaskFit(first.decoder, thresholds, mean_mask, _history(first.curves), first.course, answers)
    course = first.course if judge else None
    job = Job(split.name, split.train, held_out, int(second_seed), course=course)
    second = train_network(data, job, settings)
    inner = [point for point in first.curves if point.split == INNER]
    return MaskFit(second.decoder, thresholds, mean_mask, _history(second.curves + inner), second.course, answers)


def _answered(decoder: MaskDecoder, data: MaskData, rows: Array) -> Iterator[Part]:
    """What a network says of photos and what is true, of as many at a time as memory bears."""
    for start in range(0, len(rows), decoder.photos_together):
        few = rows[start : start + decoder.photos_together]
        outputs = decoder.predict_photos(data.reader, few)
        yield class_probabilities(outputs[..., : data.spec.num_classes]), *data.targets.class_pixels(few)


def _inner_answers(decoder: MaskDecoder, data: MaskData, rows: Array, thresholds: Array) -> InnerAnswers:
    """How sure a network is of photos, and how right; asked again, as all answers at once may not fit in memory."""
    told = [
        (mask_confidence(part[0], thresholds), masks_right(part, thresholds)) for part in _answered(decoder, data, rows)
    ]
    confidence, right = (np.concatenate(each) for each in zip(*told, strict=True))
    return InnerAnswers(rows, confidence, right)


def _history(points: list[CurvePoint]) -> tuple[CurvePoint, ...]:
    return tuple(sorted(points, key=lambda point: point.epoch))


def _shower(data: MaskData, rows: Array, count: int, preview: Preview) -> Callable[[int, MaskDecoder], None]:
    """Shows photos with a region, evenly spread over the inner validation part."""
    shown = rows[data.targets.has_class()[rows].any(axis=1)]
    chosen = shown[np.unique(np.linspace(0, len(shown) - 1, min(count, len(shown))).astype(int))]

    def show(epoch: int, decoder: MaskDecoder) -> None:
        preview(epoch, chosen, decoder.predict_photos(data.reader, chosen, views=1)[..., : data.spec.num_classes])

    return show


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
