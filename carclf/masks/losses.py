"""The losses that mask decoders are trained with, and what the Dice score in the curves is made of.

In the formulas below, y is the share of a class among the judged pixels of a cell, p its probability, j the share
of judged pixels in the cell; k runs over the classes and the background, c over the classes alone. Sums without a
name run over all cells of the batch. What is ignored (j = 0) counts in nothing.

    categorical_crossentropy  sum j sum_k w_k y_k (-log p_k) / sum j
    focal                     sum j sum_k w_k y_k (1 - p_k)^2 (-log p_k) / sum j     (Lin et al., 2017, softmax form)
    dice                      mean of 1 - (2 sum j p y + 1) / (sum j p + sum j y + 1)     (Milletari et al., 2016,
                              with plain sums in place of sums of squares)
    jaccard                   mean of 1 - (sum j p y + 1) / (sum j p + sum j y - sum j p y + 1)
                              (Rahman & Wang, 2016)
    crossentropy_dice         categorical_crossentropy + dice

The means of dice and jaccard are over the classes that the batch shows, weighted by w_c. A batch that shows none
costs nothing in them: alone they do not learn from it to leave an empty photo empty. The + 1, a cell, keeps them
defined. Cells on an edge have soft shares; there the best answer still costs something, in every one of the losses.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

MaskLoss = Callable[[Any, Any], Any]
"""(logits float32 (b, h, w, C), targets float32 (b, h, w, C + 1)) -> loss, a float32 scalar."""
_FOCUS = 2.0  # gamma of the focal loss, the best of Lin et al.: a cell that is 0.9 right counts a hundredth
_SMOOTH = 1.0  # cells added above and below the fraction bar
_CURVE_THRESHOLD = 0.5  # of the Dice score in the curves; the decisions have their own thresholds


def mask_loss(name: str, class_weights: Sequence[float] | None = None) -> MaskLoss:
    """Returns a loss by its name.

    Class weights enter in two ways. In categorical_crossentropy and focal, the term of class k is multiplied by
    w_k, and the mean is still over judged pixels, as with Keras' class_weight and the alpha of its focal loss:
    larger weights make a larger loss. In dice and jaccard, they weigh the mean over the classes that the batch
    shows: only their ratios matter, and with one class none does.

    Args:
        name: one of LOSS_NAMES.
        class_weights: w of each of the C classes, above 0; None: all 1. The background's is 1.

    Returns:
        A function of logits, float32 (b, h, w, C), the background's being 0, and targets, float32 (b, h, w, C + 1)
        as MaskTargets.shares. It raises ValueError if there is not one weight for each class.

    Raises:
        ValueError: if there is no such loss or a weight is not a finite number above 0.
    """
    if name not in _TERMS:
        raise ValueError(f'no loss "{name}"; known are {", ".join(LOSS_NAMES)}')
    if class_weights is not None and not all(0 < weight < math.inf for weight in class_weights):
        raise ValueError(f"class weights {list(class_weights)}: finite numbers above 0 were expected")
    given = None if class_weights is None else [float(weight) for weight in class_weights]

    def loss(logits: Any, targets: Any) -> Any:
        num_classes = logits.shape[-1]
        weights = [1.0] * num_classes if given is None else given
        if len(weights) != num_classes:
            raise ValueError(f"{len(weights)} class weights for {num_classes} classes")
        batch = _open_batch(logits, targets)
        return tf.add_n([term(batch, weights) for term in _TERMS[name]])

    return loss


def curve_counts(logits: Any, targets: Any) -> Any:
    """Counts what the Dice score in the curves is made of: cells whose probability is above 0.5 are decided for.

    Args:
        logits: float32 (b, h, w, C).
        targets: float32 (b, h, w, C + 1), as MaskTargets.shares.

    Returns:
        float32 (C, 3): true positive, false positive, false negative cells; a cell counts by its shares.
    """
    batch = _open_batch(logits, targets)
    decided = tf.cast(batch.probability > _CURVE_THRESHOLD * batch.judged, tf.float32)
    covered = batch.truth * batch.judged
    hits = tf.reduce_sum(decided * covered, axis=(0, 1, 2))
    marked = tf.reduce_sum(decided * batch.judged, axis=(0, 1, 2))
    return tf.stack([hits, marked - hits, tf.reduce_sum(covered, axis=(0, 1, 2)) - hits], axis=1)


@dataclass(frozen=True)
class _Batch:
    """What the losses share.

    Attributes:
        truth: float32 (b, h, w, C), shares of the classes.
        judged: float32 (b, h, w, 1), share of judged pixels.
        log_probability: float32 (b, h, w, C + 1), the background last.
        probability: float32 (b, h, w, C), times `judged`.
    """

    truth: Any
    judged: Any
    log_probability: Any
    probability: Any

    def distribution(self) -> Any:
        """The shares of the classes and, last, of the background: float32 (b, h, w, C + 1)."""
        background = tf.maximum(1.0 - tf.reduce_sum(self.truth, axis=-1, keepdims=True), 0.0)  # float16 may sum to more
        return tf.concat([self.truth, background], axis=-1)

    def class_sums(self) -> tuple[Any, Any, Any]:
        """Sums over the cells, each float32 (C,): of p y, of p, of y."""
        summed = (self.probability * self.truth, self.probability, self.truth * self.judged)
        overlap, answered, sizes = (tf.reduce_sum(each, axis=(0, 1, 2)) for each in summed)
        return overlap, answered, sizes


def _open_batch(logits: Any, targets: Any) -> _Batch:
    truth, judged = targets[..., :-1], targets[..., -1:]
    everything = tf.concat([logits, tf.zeros_like(logits[..., :1])], axis=-1)
    log_probability = tf.nn.log_softmax(everything)
    return _Batch(truth, judged, log_probability, tf.exp(log_probability[..., :-1]) * judged)


def _crossentropy(batch: _Batch, weights: list[float]) -> Any:
    return _mean_of_judged(batch, batch.distribution() * batch.log_probability, weights)


def _focal(batch: _Batch, weights: list[float]) -> Any:
    missing = -tf.math.expm1(batch.log_probability)  # 1 - p, exact where p is almost 1
    return _mean_of_judged(batch, batch.distribution() * missing**_FOCUS * batch.log_probability, weights)


def _mean_of_judged(batch: _Batch, gains: Any, weights: list[float]) -> Any:
    """Minus the mean over the judged pixels of weighted gains, float32 (b, h, w, C + 1)."""
    weighted = gains * batch.judged * tf.constant([*weights, 1.0])
    return -tf.reduce_sum(weighted) / tf.maximum(tf.reduce_sum(batch.judged), 1.0)


def _dice(batch: _Batch, weights: list[float]) -> Any:
    overlap, answered, sizes = batch.class_sums()
    costs = 1.0 - (2.0 * overlap + _SMOOTH) / (answered + sizes + _SMOOTH)
    return _mean_of_shown(costs, sizes, weights)


def _jaccard(batch: _Batch, weights: list[float]) -> Any:
    overlap, answered, sizes = batch.class_sums()
    costs = 1.0 - (overlap + _SMOOTH) / (answered + sizes - overlap + _SMOOTH)
    return _mean_of_shown(costs, sizes, weights)


def _mean_of_shown(costs: Any, sizes: Any, weights: list[float]) -> Any:
    """Weighted mean of the costs (C,) of the classes whose size (C,) is not 0; 0 if there is none."""
    shown = tf.cast(sizes > 0, tf.float32) * tf.constant(weights)
    least = min(weights)  # of what is shown, if anything is
    return tf.reduce_sum(costs * shown) / tf.maximum(tf.reduce_sum(shown), least)


_TERMS: dict[str, tuple[Callable[[_Batch, list[float]], Any], ...]] = {
    "categorical_crossentropy": (_crossentropy,),
    "dice": (_dice,),
    "crossentropy_dice": (_crossentropy, _dice),
    "focal": (_focal,),
    "jaccard": (_jaccard,),
}
LOSS_NAMES = tuple(_TERMS)
"""The losses that there are; a sum for those of two terms."""
