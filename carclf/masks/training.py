"""Fits one decoder on one set of photos: loss, schedule, averaged weights."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from carclf.config import MaskTrainingConfig
from carclf.errors import TrainingError
from carclf.masks.decoder import DecoderSpec, MaskDecoder, make_decoder, map_signature, mirror_back, set_scaling
from carclf.masks.map_reader import MapReader, grid_size, read_ahead
from carclf.masks.targets import MaskTargets

Array = NDArray[Any]
_SCALING_PHOTOS = 128  # photos that tell the spread of the channels: 128 × 64 cells even of the coarsest map
_WARM_UP = 0.5  # epochs in which the step size grows
_GRADIENT_NORM = 1.0  # longer gradients are cut to it
_CURVE_THRESHOLD = 0.5  # of the Dice score in the curves; the decisions have their own thresholds


@dataclass(frozen=True)
class MaskData:
    """What the decoders of one head are taught, for m photos with a target.

    Attributes:
        reader: their maps.
        targets: their masks.
        groups: int64 (m,): photos of one group belong together.
        mirror: for every class the index of the class that it becomes when the photo is mirrored.
    """

    reader: MapReader
    targets: MaskTargets
    groups: Array
    mirror: tuple[int, ...]


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
        watched: split -> int (k,), rows that are scored after every epoch and decide nothing.
        seed: of everything random.
    """

    name: str
    train: Array
    watched: dict[str, Array]
    seed: int


def train_decoder(data: MaskData, job: Job, settings: MaskTrainingConfig) -> tuple[MaskDecoder, list[CurvePoint]]:
    """Fits a decoder for a number of epochs fixed by the size of its training part.

    Its weights are the running average over the steps.

    Raises:
        TrainingError: if the loss is not finite.
    """
    random = np.random.default_rng(job.seed)
    spec = DecoderSpec(data.reader.shapes, data.targets.num_classes, settings.channels, data.mirror)
    model = make_decoder(spec, settings.dropout, int(random.integers(2**31)))
    averaged = MaskDecoder(spec, make_decoder(spec, dropout=0.0, seed=0))
    spread = _spread(data.reader, random.permutation(job.train)[:_SCALING_PHOTOS])
    for each in (model, averaged.model):
        set_scaling(each, *spread)
    sampler = _Sampler(data, job.train, settings, random)
    epochs = max(settings.epochs, -(-settings.least_steps // sampler.steps))
    fit = _Fit(model, spec, settings, (sampler.steps, epochs))
    curves = []
    for epoch in range(1, epochs + 1):
        curves.append(_point(epoch, "train", [fit.step(*batch) for batch in sampler.epoch()]))
        if not np.isfinite(curves[-1].loss):
            raise TrainingError(
                f"{job.name}, epoch {epoch}: the loss became NaN. "
                f"Lower mask_training.learning_rate (now {settings.learning_rate:g})."
            )
        fit.copy_average(averaged.model)
        for split, rows in job.watched.items():
            curves.append(_watch(averaged, data, split, rows, epoch, settings.batch_size))
    return averaged, curves


class _Sampler:
    """Draws the batches: every photo with a region in every epoch, of the empty ones other ones each time."""

    def __init__(self, data: MaskData, train: Array, settings: MaskTrainingConfig, random: np.random.Generator) -> None:
        shows = data.targets.has_class()[train].any(axis=1)
        self.data, self.settings, self.random = data, settings, random
        self.shown, self.empty = train[shows], train[~shows]
        self.waiting = self.empty[:0]
        self.num_empty = min(len(self.empty), round(settings.empty_share * len(self.shown)))
        self.steps = -(-(len(self.shown) + self.num_empty) // settings.batch_size)

    def epoch(self) -> Iterator[tuple[dict[str, Array], Array]]:
        """Yields (maps, targets) of batches whose sizes differ by at most 1."""
        while len(self.waiting) < self.num_empty:
            self.waiting = np.concatenate([self.waiting, self.random.permutation(self.empty)])
        drawn, self.waiting = self.waiting[: self.num_empty], self.waiting[self.num_empty :]
        photos = self.random.permutation(np.concatenate([self.shown, drawn]))
        views = self.random.integers(self.data.reader.views, size=len(photos))
        batches = zip(np.array_split(photos, self.steps), np.array_split(views, self.steps), strict=True)
        return read_ahead(lambda batch: read_batch(self.data, *batch), batches)


def read_batch(data: MaskData, photos: Array, views: Array) -> tuple[dict[str, Array], Array]:
    """Reads one view of each photo: (level -> float16 (b, h, w, c), targets float16 (b, h, w, C + 1))."""
    shares = data.targets.shares[photos]
    mirrored = np.flatnonzero(views == 1)
    shares[mirrored] = mirror_back(shares[mirrored], (*data.mirror, len(data.mirror)))
    return data.reader.read(photos, views), shares


class _Fit:
    """The optimiser's state and one step of it; `steps`: (of an epoch, epochs)."""

    def __init__(self, model: Any, spec: DecoderSpec, settings: MaskTrainingConfig, steps: tuple[int, int]) -> None:
        self.model = model
        self.optimizer = _make_optimizer(settings, *steps)
        self.optimizer.build(model.trainable_variables)
        self.average = [tf.Variable(variable.value) for variable in model.trainable_variables]
        self.count = tf.Variable(0.0)
        self.decay = settings.average_decay
        targets = tf.TensorSpec((None, *grid_size(spec.map_shapes), spec.num_classes + 1), tf.float16)
        self._step = tf.function(self._train, input_signature=[map_signature(spec, tf.float16), targets])

    def step(self, maps: dict[str, Array], targets: Array) -> Array:
        """One step on a batch; returns its loss and pixel sums as `evaluate` does."""
        given = {level: tf.constant(value) for level, value in maps.items()}
        return np.asarray(self._step(given, tf.constant(targets)).numpy())

    def _train(self, maps: dict[str, Any], targets: Any) -> Any:
        with tf.GradientTape() as tape:
            maps = {level: tf.cast(value, tf.float32) for level, value in maps.items()}
            sums = evaluate(self.model(maps, training=True), tf.cast(targets, tf.float32))
            loss = sums[0, 0]
        variables = self.model.trainable_variables
        self.optimizer.apply(tape.gradient(loss, variables), variables)
        self.count.assign_add(1.0)  # the first steps count more, so that no fresh weight stays in the average
        decay = tf.minimum(self.decay, self.count / (9.0 + self.count))
        for mean, variable in zip(self.average, variables, strict=True):
            mean.assign(decay * mean + (1.0 - decay) * variable.value)
        return sums

    def copy_average(self, to: Any) -> None:
        """Gives a model of the same build, but for the dropout, the averaged weights."""
        for mean, target in zip(self.average, to.trainable_variables, strict=True):
            target.assign(mean)


def evaluate(logits: Any, targets: Any) -> Any:
    """The loss of a batch, and what the Dice score in the curves is made of.

    The loss is the cross entropy over the classes and the background, plus 1 - Dice, softly and over the batch,
    averaged over the classes that the batch shows. Ignored pixels count in neither.

    Args:
        logits: float32 (b, h, w, C).
        targets: float32 (b, h, w, C + 1), as MaskTargets.shares.

    Returns:
        float32 (1 + C, 3): the loss (three times); then for each class true positive, false positive, false
        negative cells.
    """
    truth, judged = targets[..., :-1], targets[..., -1:]
    everything = tf.concat([logits, tf.zeros_like(logits[..., :1])], axis=-1)
    background = tf.maximum(1.0 - tf.reduce_sum(truth, axis=-1, keepdims=True), 0.0)
    distribution = tf.concat([truth, background], axis=-1)
    log_probability = tf.nn.log_softmax(everything)
    entropy = -tf.reduce_sum(distribution * log_probability * judged) / tf.maximum(tf.reduce_sum(judged), 1.0)
    probability = tf.exp(log_probability[..., :-1]) * judged
    covered = truth * judged
    sizes = tf.reduce_sum(covered, axis=(0, 1, 2))
    overlap = tf.reduce_sum(probability * truth, axis=(0, 1, 2))
    soft = 1.0 - (2.0 * overlap + 1.0) / (tf.reduce_sum(probability, axis=(0, 1, 2)) + sizes + 1.0)
    shown = tf.cast(sizes > 0, tf.float32)
    loss = entropy + tf.reduce_sum(soft * shown) / tf.maximum(tf.reduce_sum(shown), 1.0)
    decided = tf.cast(probability > _CURVE_THRESHOLD * judged, tf.float32)
    hits = tf.reduce_sum(decided * covered, axis=(0, 1, 2))
    marked = tf.reduce_sum(decided * judged, axis=(0, 1, 2))
    return tf.concat([tf.fill([1, 3], loss), tf.stack([hits, marked - hits, sizes - hits], axis=1)], axis=0)


def _make_optimizer(settings: MaskTrainingConfig, steps_per_epoch: int, epochs: int) -> Any:
    steps = steps_per_epoch * epochs
    warm_up = min(steps - 1, max(1, round(_WARM_UP * steps_per_epoch)))
    schedule = keras.optimizers.schedules.CosineDecay(
        settings.learning_rate / max(1, warm_up),
        max(1, steps - warm_up),
        warmup_target=settings.learning_rate,
        warmup_steps=warm_up,
    )
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=settings.weight_decay, global_clipnorm=_GRADIENT_NORM)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def _spread(reader: MapReader, photos: Array) -> tuple[dict[str, Array], dict[str, Array]]:
    """Mean and variance of each channel over some photos: level -> float32 (c,)."""
    maps = reader.read(np.sort(photos), 0)
    means = {level: value.mean(axis=(0, 1, 2), dtype=np.float64) for level, value in maps.items()}
    variances = {level: value.var(axis=(0, 1, 2), dtype=np.float64) for level, value in maps.items()}
    return means, variances


def _watch(decoder: MaskDecoder, data: MaskData, split: str, rows: Array, epoch: int, batch_size: int) -> CurvePoint:
    logits = decoder.predict_photos(data.reader, rows, views=1)  # half the work; curves decide nothing
    targets = data.targets.shares[rows].astype(np.float32)
    starts = range(0, len(rows), batch_size)
    sums = [
        evaluate(tf.constant(logits[i : i + batch_size]), tf.constant(targets[i : i + batch_size])).numpy()
        for i in starts
    ]
    return _point(epoch, split, sums)


def _point(epoch: int, split: str, sums: list[Array]) -> CurvePoint:
    """Joins what `evaluate` says about batches, (1 + C, 3) each."""
    stacked = np.stack(sums).astype(np.float64)
    hits, extra, missed = stacked[:, 1:].sum(axis=0).T
    scores = 2 * hits / np.maximum(2 * hits + extra + missed, 1e-12)
    shown = hits + missed > 0
    metric = float(scores[shown].mean()) if shown.any() else float("nan")
    return CurvePoint(epoch, split, float(stacked[:, 0, 0].mean()), metric)
