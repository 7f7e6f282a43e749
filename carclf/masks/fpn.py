"""A feature pyramid decoder on frozen maps (after Feature Pyramid Networks, Lin et al., 2017)."""

from typing import Any

import keras
import numpy as np
from keras import layers

from carclf.masks.map_reader import grid_size
from carclf.masks.parts import FIRST_LOGIT, Parts
from carclf.masks.spec import NetworkSpec


def make_fpn(spec: NetworkSpec, dropout: float, seed: int) -> Any:
    """Builds a feature pyramid with fresh weights.

    All levels together give the logits. Nothing normalises over a batch, so small batches do no harm and a photo's
    answer depends on that photo alone.

    Args:
        spec: what is read and what comes out; option `channels`: width of the layers.
        dropout: share of the channels left out in training, in [0, 1).
        seed: of the fresh weights and the dropout.

    Returns:
        keras.Model: level -> float32 (b, h, w, c) to logits, float32 (b, H, W, C), on the finest map's grid.
    """
    part = Parts(spec.options["channels"], dropout, np.random.default_rng(seed))
    inputs, joined = make_pyramid(spec, part)
    return keras.Model(inputs, class_logits(spec, part, joined))


def make_pyramid(spec: NetworkSpec, part: Parts) -> tuple[dict[str, Any], Any]:
    """The trunk: every map is standardised, narrowed (see Entry) and added to the enlarged coarser one.

    Returns:
        (level -> input, all levels on the finest map's grid side by side, (b, H, W, levels × channels)).
    """
    height, width = grid_size(spec.map_shapes)
    inputs, heights, current = {}, [], None
    for level in spec.levels:
        shape = spec.map_shapes[level]
        inputs[level] = layers.Input(shape, name=level)
        side = part.enter(inputs[level], level)
        if current is not None:
            side = layers.Add()([part.enlarge(current, shape[0], shape[1]), side])
        current = part.block(layers.Activation("relu")(side), 3)
        heights.append(part.enlarge(current, height, width))
    return inputs, part.drop(layers.Concatenate()(heights) if len(heights) > 1 else heights[0])


def class_logits(spec: NetworkSpec, part: Parts, joined: Any) -> Any:
    """The trunk's maps -> logits, (b, H, W, C)."""
    wide = part.block(part.block(joined, 1), 3)
    return part.convolve(wide, 1, spec.num_classes, FIRST_LOGIT)
