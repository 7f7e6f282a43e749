"""A U-Net's expanding half on frozen maps (after Ronneberger et al., 2015)."""

from typing import Any

import keras
import numpy as np
from keras import layers

from carclf.masks.parts import FIRST_LOGIT, Parts
from carclf.masks.spec import NetworkSpec


def make_unet(spec: NetworkSpec, dropout: float, seed: int) -> Any:
    """Builds a U-Net's decoder with fresh weights.

    The frozen backbone is the contracting half. From coarse to fine: enlarge, set beside the next map, two 3 × 3
    convolutions. As in the paper, what is left out in training is left out at the end of the contracting half. Unlike
    there, maps are enlarged bilinearly, as theirs need not be twice as large as the coarser ones, the width is the same
    at all levels, and convolutions are padded.

    Args:
        spec: what is read and what comes out; option `channels`: width of the layers.
        dropout: share of the channels left out in training, in [0, 1).
        seed: of the fresh weights and the dropout.

    Returns:
        keras.Model: level -> float32 (b, h, w, c) to logits, float32 (b, H, W, C), on the finest map's grid.
    """
    part = Parts(spec.options["channels"], dropout, np.random.default_rng(seed))
    inputs, current = {}, None
    for level in spec.levels:
        shape = spec.map_shapes[level]
        inputs[level] = layers.Input(shape, name=level)
        skip = layers.Activation("relu")(part.enter(inputs[level], level))
        if current is None:
            current = part.drop(part.block(part.block(skip, 3), 3))
        else:
            joined = layers.Concatenate()([part.enlarge(current, shape[0], shape[1]), skip])
            current = part.block(part.block(joined, 3), 3)
    return keras.Model(inputs, part.convolve(current, 1, spec.num_classes, FIRST_LOGIT))
