"""DeepLabv3+ on frozen maps (Chen et al., 2018)."""

from typing import Any

import keras
import numpy as np
from keras import layers

from carclf.masks.parts import FIRST_LOGIT, Parts
from carclf.masks.spec import NetworkSpec

RATES = (2, 4, 6)
"""Distances of the dilated kernels' points in cells. The paper's 6, 12, 18 are for the 33 × 33 cells of 513 pixels; P5
of 320 pixels has 10 × 10, of which these are the same shares. Wider ones would see little but padding."""
_LOW_LEVEL = 48 / 256  # width of the fine map, as a share of the other layers': the paper's


def make_deeplabv3plus(spec: NetworkSpec, dropout: float, seed: int) -> Any:
    """Builds a DeepLabv3+ with fresh weights.

    The coarsest map goes through atrous spatial pyramid pooling: a 1 × 1 convolution, three dilated 3 × 3 ones and the
    mean over the photo, side by side. That is enlarged and joined with the finest map, narrowed so that it does not
    outweigh the rest; two 3 × 3 convolutions follow. Levels between are not looked at: of them the network has inputs,
    but no weights. With one level nothing is joined: that is DeepLabv3 (Chen et al., 2017).

    Unlike in the paper the coarsest map is first standardised and narrowed (see Entry), since its backbone is frozen,
    and nothing normalises over a batch.

    Args:
        spec: what is read and what comes out; options `channels`: width of the layers, `rates`: three whole numbers,
            by default RATES.
        dropout: share of the channels left out in training, in [0, 1).
        seed: of the fresh weights and the dropout.

    Returns:
        keras.Model: level -> float32 (b, h, w, c) to logits, float32 (b, H, W, C), on the finest map's grid.
    """
    part = Parts(spec.options["channels"], dropout, np.random.default_rng(seed))
    inputs = {level: layers.Input(spec.map_shapes[level], name=level) for level in spec.levels}
    coarsest, finest = spec.levels[0], spec.levels[-1]
    coarse = layers.Activation("relu")(part.enter(inputs[coarsest], coarsest))
    current = part.drop(_pool_pyramid(part, coarse, spec.options.get("rates", RATES)))
    if finest != coarsest:
        height, width, _ = spec.map_shapes[finest]
        narrow = part.enter(inputs[finest], finest, max(1, round(_LOW_LEVEL * part.channels)))
        fine = layers.Activation("relu")(narrow)
        current = layers.Concatenate()([part.enlarge(current, height, width), fine])
    wide = part.block(part.block(current, 3), 3)
    return keras.Model(inputs, part.convolve(wide, 1, spec.num_classes, FIRST_LOGIT))


def _pool_pyramid(part: Parts, x: Any, rates: tuple[int, ...]) -> Any:
    """Atrous spatial pyramid pooling: (b, h, w, channels) -> the same shape."""
    mean = part.block(layers.GlobalAveragePooling2D(keepdims=True)(x), 1)
    branches = [part.block(x, 1), *(part.block(x, 3, dilation=rate) for rate in rates)]
    return part.block(layers.Concatenate()([*branches, part.enlarge(mean, x.shape[1], x.shape[2])]), 1)
