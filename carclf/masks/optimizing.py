"""The steps of a fit: optimiser, step size over the epochs, running average of the weights."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from carclf.config_masks import MaskTrainingConfig
from carclf.masks.decoder import map_signature
from carclf.masks.spec import NetworkSpec

Array = NDArray[Any]
Evaluate = Callable[[Any, Any], Any]
"""(outputs, targets) -> float32 (1 + C, 3): the loss (three times), then each class' cells as losses.curve_counts."""
_WARM_UP = 0.5  # epochs in which the step size grows, where it falls along a cosine
_GRADIENT_NORM = 1.0  # longer gradients are cut to it, where no clipvalue is given
_NO_DECAY = ["bias", "gamma", "beta"]


@dataclass(frozen=True)
class Course:
    """How long a fit goes on, and how its step size changes: chosen on inner validation photos, then repeated.

    Attributes:
        epochs: passes over the training part.
        factors: for each epoch what learning_rate is multiplied with; 1 along a cosine, which falls by itself.
    """

    epochs: int
    factors: tuple[float, ...]


@dataclass
class Follower:
    """Follows the loss of the inner validation part from epoch to epoch.

    Attributes:
        settings: patience and reducer.
        best_epoch: with the least loss so far.
        factor: of the step size in the next epoch.
    """

    settings: MaskTrainingConfig
    best_epoch: int = 0
    factor: float = 1.0
    _least: float = field(default=float("inf"), init=False)
    _waited: int = field(default=0, init=False)  # epochs since the best one, or since the step size last fell

    def see(self, epoch: int, loss: float) -> bool:
        """Takes note of an epoch's loss; says whether it is the best so far."""
        if loss < self._least:
            self._least, self.best_epoch, self._waited = loss, epoch, 0
            return True
        self._waited += 1
        if self.settings.learning_rate_reducer and self._waited >= self.settings.reducer_patience:
            self.factor, self._waited = self.factor * self.settings.reducer_factor, 0
        return False

    def is_over(self, epoch: int) -> bool:
        """Whether patience is at its end."""
        return self.settings.patience is not None and epoch - self.best_epoch >= self.settings.patience


class Stepper:
    """One network being fitted; `steps`: (of an epoch, epochs)."""

    def __init__(
        self, model: Any, spec: NetworkSpec, settings: MaskTrainingConfig, steps: tuple[int, int], evaluate: Evaluate
    ) -> None:
        self.model, self.settings, self.evaluate = model, settings, evaluate
        self.optimizer = make_optimizer(settings)
        self._schedule = make_schedule(settings, *steps) if falls(settings) else None
        self.optimizer.build(model.trainable_variables)
        self.average = [tf.Variable(variable.value) for variable in model.trainable_variables]
        self.count = tf.Variable(0.0)
        self._step = tf.function(
            self._train,
            input_signature=[map_signature(spec, tf.float16), tf.TensorSpec((None,) * 4, tf.float16)],
            autograph=False,
        )

    def set_factor(self, factor: float) -> None:
        """Multiplies the step size of the config; a cosine falls by itself."""
        if not falls(self.settings):
            self.optimizer.learning_rate.assign(self.settings.learning_rate * factor)

    def step(self, maps: dict[str, Array], targets: Array) -> Array:
        """One step on a batch; returns its loss and cells as `evaluate` does."""
        given = {level: tf.constant(value) for level, value in maps.items()}
        return np.asarray(self._step(given, tf.constant(targets)).numpy())

    def _train(self, maps: dict[str, Any], targets: Any) -> Any:
        with tf.GradientTape() as tape:
            maps = {level: tf.cast(value, tf.float32) for level, value in maps.items()}
            outputs = tf.cast(self.model(maps, training=True), tf.float32)
            sums = self.evaluate(outputs, tf.cast(targets, tf.float32))
            loss = sums[0, 0]
        variables = self.model.trainable_variables
        if self._schedule is not None:  # looked up once; an optimizer that has it looks it up for every weight
            self.optimizer.learning_rate = self._schedule(self.optimizer.iterations)
        self.optimizer.apply(tape.gradient(loss, variables), variables)
        self.count.assign_add(1.0)  # the first steps count more, so that no fresh weight stays in the average
        decay = tf.minimum(self.settings.average_decay, self.count / (9.0 + self.count))
        for mean, variable in zip(self.average, variables, strict=True):
            mean.assign(decay * mean + (1.0 - decay) * variable.value)
        return sums

    def copy_average(self, to: Any) -> None:
        """Gives a model of the same build, but for the dropout, the averaged weights and the running statistics."""
        for mean, target in zip(self.average, to.trainable_variables, strict=True):
            target.assign(mean)
        statistics = zip(self.model.non_trainable_weights, to.non_trainable_weights, strict=True)
        for ours, theirs in statistics:
            theirs.assign(ours.value)


def falls(settings: MaskTrainingConfig) -> bool:
    """Whether the step size falls along a cosine."""
    return settings.learning_rate_decay == "cosine" and not settings.learning_rate_reducer


def make_schedule(settings: MaskTrainingConfig, steps_per_epoch: int, epochs: int) -> Any:
    """Number of the step -> step size: up in a straight line, then down along a cosine (Loshchilov & Hutter, 2017)."""
    steps = steps_per_epoch * epochs
    warm_up = min(steps - 1, max(1, round(_WARM_UP * steps_per_epoch)))
    return keras.optimizers.schedules.CosineDecay(
        settings.learning_rate / max(1, warm_up),
        max(1, steps - warm_up),
        warmup_target=settings.learning_rate,
        warmup_steps=warm_up,
    )


def make_optimizer(settings: MaskTrainingConfig) -> Any:
    """Builds AdamW (Loshchilov & Hutter, 2019) or Adam (Kingma & Ba, 2015)."""
    clip: dict[str, float] = {"global_clipnorm": _GRADIENT_NORM}
    if settings.clipvalue is not None:
        clip = {"clipvalue": settings.clipvalue}
    if settings.optimizer == "adam":
        return keras.optimizers.Adam(settings.learning_rate, **clip)
    optimizer = keras.optimizers.AdamW(settings.learning_rate, weight_decay=settings.weight_decay, **clip)
    optimizer.exclude_from_weight_decay(var_names=_NO_DECAY)
    return optimizer
