"""What a network is fitted for: the loss of its architecture, and what its curves show."""

from typing import Any

import tensorflow as tf

from carclf.config_masks import MaskTrainingConfig
from carclf.masks.losses import curve_counts, mask_loss
from carclf.masks.optimizing import Evaluate
from carclf.masks.panoptic import instance_loss
from carclf.masks.spec import NetworkSpec


def make_goal(spec: NetworkSpec, settings: MaskTrainingConfig, class_names: tuple[str, ...]) -> Evaluate:
    """Returns (outputs, targets) -> float32 (1 + C, 3): the loss three times, then each class' cells.

    Args:
        spec: the network; of panoptic ones the regions' centres and offsets are learnt, too.
        settings: names the loss and its class weights.
        class_names: of the C classes.
    """
    classes = spec.num_classes
    weights = None
    if settings.class_weights is not None:
        weights = [settings.class_weights.get(name, 1.0) for name in class_names]
    loss = mask_loss(settings.loss, weights)

    def evaluate(outputs: Any, targets: Any) -> Any:
        logits, shares = outputs[..., :classes], targets[..., : classes + 1]
        total = loss(logits, shares)
        if spec.num_outputs > classes:
            total += instance_loss(outputs[..., classes:], targets[..., classes + 1 :])
        return tf.concat([tf.fill([1, 3], total), curve_counts(logits, shares)], axis=0)

    return evaluate
