"""The loss that a network learns to tell regions apart with: where their middles are, and which way they lie.

In the formulas below, sums run over all cells of the batch of b photos.

    centres  sum |y - p|^2 (-y log p - (1 - y) log(1 - p)) / (sum y + b)  p = sigmoid of the centre logit, y = the heat
    offsets  sum w (|dy| + |dx|) / sum w                                  in cells; w = the share that the region covers

Panoptic-DeepLab (Cheng et al., 2020) learns the heat by its squared error. Few cells have any, and a fresh network says
1 % everywhere: through the sigmoid the squared error hardly has a slope there, and the many empty cells outweigh the
few that matter. The focal loss (Lin et al., 2017) has no such start. Its form for centres (CenterNet; Zhou et al.,
2019) knows the nearest cell to a centre and all others, and does not have its minimum at the heat. The one for soft
targets (Li et al., 2020), taken here, is the same where y is 0 or 1, and is 0 where p = y.
"""

from typing import Any

import tensorflow as tf

_CENTRE_WEIGHT = 0.5
"""The first term falls from 1.9 to 0.3 in a fit on photos of cars, while the loss of the classes falls from 1.3 to 0.3:
so it adds less than that throughout, and does not drown it."""
_OFFSET_WEIGHT = 0.05
"""The second falls from 13 cells to 6 in the same fit: it adds half of the loss of the classes at first, and as much in
the end. With 0.2, the classes come out worse. The paper has 0.01, on grids that are four times as fine."""


def instance_loss(outputs: Any, targets: Any) -> Any:
    """Returns the weighted sum of both terms.

    Args:
        outputs: float32 (b, h, w, 3): centre logit; offset y, offset x in cells, any values.
        targets: float32 (b, h, w, 4), carclf.masks.instance_targets.INSTANCE_TARGETS.

    Returns:
        float32 scalar, from 0; 0 if heat and offsets are those of the targets.
    """
    centres = _centre_loss(outputs[..., 0], targets[..., 0])
    offsets = _offset_loss(outputs[..., 1:], targets[..., 1:3], targets[..., 3])
    return _CENTRE_WEIGHT * centres + _OFFSET_WEIGHT * offsets


def _centre_loss(logits: Any, heat: Any) -> Any:
    """Both float32 (b, h, w)."""
    costs = tf.nn.sigmoid_cross_entropy_with_logits(labels=heat, logits=logits)
    missing = tf.square(heat - tf.sigmoid(logits))
    photos = tf.cast(tf.shape(heat)[0], tf.float32)  # so that a batch without a centre stays cheap
    return tf.reduce_sum(missing * costs) / (tf.reduce_sum(heat) + photos)


def _offset_loss(answered: Any, offsets: Any, weight: Any) -> Any:
    """Float32 (b, h, w, 2), likewise, and (b, h, w)."""
    distances = tf.reduce_sum(tf.abs(answered - offsets), axis=-1)
    return tf.reduce_sum(weight * distances) / tf.maximum(tf.reduce_sum(weight), 1.0)
