"""Fits one network on one set of photos."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from carclf.config_masks import MaskTrainingConfig
from carclf.errors import TrainingError
from carclf.masks.decoder import MaskDecoder
from carclf.masks.goals import make_goal
from carclf.masks.map_reader import MapReader
from carclf.masks.networks import make_network
from carclf.masks.optimizing import Course, Evaluate, Follower, Stepper
from carclf.masks.parts import set_scaling
from carclf.masks.sampling import MaskData, Sampler
from carclf.masks.spec import PIXELS

Array = NDArray[Any]
_SCALING_PHOTOS = 128  # photos that tell the spread of the channels: 128 × 64 cells even of the coarsest map


@dataclass(frozen=True)
class CurvePoint:
    """Loss and Dice score after an epoch; `split` names the photos."""

    epoch: int
    split: str
    loss: float
    metric: float


@dataclass(frozen=True)
class Job:
    """One fit.

    Attributes:
        name: for errors, as "damage_mask, fold 2".
        train: int (n,), rows of the data.
        watched: split -> int (k,), rows that are scored after every epoch.
        seed: of everything random.
        judge: the watched split whose loss says when to stop and when to take smaller steps; None = nothing does.
        course: repeats what an earlier fit's judge said; None = `judge`, or the settings alone.
        show: is called with the epoch and the network after every epoch.
    """

    name: str
    train: Array
    watched: dict[str, Array]
    seed: int
    judge: str | None = None
    course: Course | None = None
    show: Callable[[int, MaskDecoder], None] | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Fitted:
    """A fitted network.

    Attributes:
        decoder: the network, its weights averaged over the steps as the settings say.
        curves: loss and Dice score of every epoch.
        course: how long it was fitted.
    """

    decoder: MaskDecoder
    curves: list[CurvePoint]
    course: Course


def train_network(data: MaskData, job: Job, settings: MaskTrainingConfig) -> Fitted:
    """Fits a network for as many epochs as the settings, the judge or the course say.

    Raises:
        TrainingError: if the loss is not finite.
    """
    random = np.random.default_rng(job.seed)
    model = make_network(data.spec, settings.dropout, int(random.integers(2**31)), settings.precision)
    averaged = MaskDecoder(data.spec, make_network(data.spec, 0.0, 0, settings.precision))
    if PIXELS not in data.spec.map_shapes:
        spread = _spread(data.reader, random.permutation(job.train)[:_SCALING_PHOTOS])
        for each in (model, averaged.model):
            set_scaling(each, *spread)
    sampler = Sampler(data, job.train, settings, random)
    epochs = max(settings.epochs, -(-settings.least_steps // sampler.steps))
    goal = make_goal(data.spec, settings, data.class_names)
    stepper = Stepper(model, data.spec, settings, (sampler.steps, epochs), goal)
    return _Fit(data, job, settings, averaged, goal).run(stepper, sampler, epochs)


@dataclass
class _Fit:
    """A fit under way."""

    data: MaskData
    job: Job
    settings: MaskTrainingConfig
    averaged: MaskDecoder
    goal: Evaluate

    def run(self, stepper: Stepper, sampler: Sampler, epochs: int) -> Fitted:
        course, curves, factors = self.job.course, list[CurvePoint](), list[float]()
        follower = Follower(self.settings)
        best: list[Array] | None = None
        for epoch in range(1, (course.epochs if course else epochs) + 1):
            factors.append(course.factors[epoch - 1] if course else follower.factor)
            stepper.set_factor(factors[-1])
            curves += self._epoch(epoch, stepper, sampler)
            if self.job.judge is None:
                continue
            better = follower.see(epoch, next(p.loss for p in reversed(curves) if p.split == self.job.judge))
            if better and self.settings.patience is not None:
                best = [np.asarray(weight.numpy()) for weight in self.averaged.model.weights]
            if follower.is_over(epoch):
                break
        length = len(factors) if best is None else follower.best_epoch
        if best is not None:
            self.averaged.model.set_weights(best)
        exact = self.averaged
        if self.settings.precision != "float32":  # it is fitted in fewer bits, but answers with all of them
            exact = MaskDecoder.from_arrays(exact.to_arrays())
        return Fitted(exact, curves, Course(length, tuple(factors[:length])))

    def _epoch(self, epoch: int, stepper: Stepper, sampler: Sampler) -> list[CurvePoint]:
        points = [make_point(epoch, "train", [stepper.step(*batch) for batch in sampler.epoch()])]
        if not np.isfinite(points[0].loss):
            raise TrainingError(
                f"{self.job.name}, epoch {epoch}: the loss became NaN. "
                f"Lower mask_training.learning_rate (now {self.settings.learning_rate:g})."
            )
        stepper.copy_average(self.averaged.model)
        points += [self._watch(split, rows, epoch) for split, rows in self.job.watched.items()]
        if self.job.show is not None:
            self.job.show(epoch, self.averaged)
        return points

    def _watch(self, split: str, rows: Array, epoch: int) -> CurvePoint:
        size, sums = self.settings.batch_size, []
        for start in range(0, len(rows), size):
            batch = rows[start : start + size]
            outputs = self.averaged.predict_photos(self.data.reader, batch, views=1)  # half the work
            taught = self.data.targets.taught[batch].astype(np.float32)
            sums.append(self.goal(tf.constant(outputs), tf.constant(taught)).numpy())
        return make_point(epoch, split, sums)


def _spread(reader: MapReader, photos: Array) -> tuple[dict[str, Array], dict[str, Array]]:
    """Mean and variance of each channel over some photos: level -> float32 (c,)."""
    maps = reader.read(np.sort(photos), 0)
    means = {level: value.mean(axis=(0, 1, 2), dtype=np.float64) for level, value in maps.items()}
    variances = {level: value.var(axis=(0, 1, 2), dtype=np.float64) for level, value in maps.items()}
    return means, variances


def make_point(epoch: int, split: str, sums: list[Array]) -> CurvePoint:
    """Joins what a goal says about batches, (1 + C, 3) each."""
    stacked = np.stack(sums).astype(np.float64)
    hits, extra, missed = stacked[:, 1:].sum(axis=0).T
    scores = 2 * hits / np.maximum(2 * hits + extra + missed, 1e-12)
    shown = hits + missed > 0
    metric = float(scores[shown].mean()) if shown.any() else float("nan")
    return CurvePoint(epoch, split, float(stacked[:, 0, 0].mean()), metric)
