"""Classes, centres and offsets of regions from frozen maps (after Panoptic-DeepLab, Cheng et al., 2020)."""

import math
from typing import Any

import keras
import numpy as np
from keras import layers

from carclf.masks.fpn import class_logits, make_pyramid
from carclf.masks.parts import Parts
from carclf.masks.spec import NetworkSpec

_FIRST_CENTRE = 0.01  # what a fresh network says everywhere: hardly a cell is a centre, so no first shock
_OFFSET_CELLS = 8.0  # a usual distance to the centre: weights of usual size then say it, and are learnt sooner


def make_panoptic(spec: NetworkSpec, dropout: float, seed: int) -> Any:
    """Builds a network that says what a cell shows and where the middle of its region is.

    Cells of a class whose offsets lead to the same centre are one region, so touching regions are told apart. As in the
    paper, classes and regions have branches of their own, the latter half as wide; unlike there, both grow from the
    feature pyramid of fpn.py, which serves small damage better than a single enlarged map.

    Args:
        spec: what is read and what comes out; option `channels`: width of the layers.
        dropout: share of the channels left out in training, in [0, 1).
        seed: of the fresh weights and the dropout.

    Returns:
        keras.Model: level -> float32 (b, h, w, c) to float32 (b, H, W, C + 3), on the finest map's grid: the classes'
        logits; the logit of being a centre; how many cells further down (offset y) and right (offset x) the centre of
        the cell's region lies.
    """
    part = Parts(spec.options["channels"], dropout, np.random.default_rng(seed))
    inputs, joined = make_pyramid(spec, part)
    classes = class_logits(spec, part, joined)
    narrow = max(1, part.channels // 2)
    branch = part.block(part.block(joined, 1, narrow), 3, narrow)
    centre = part.convolve(branch, 1, 1, math.log(_FIRST_CENTRE / (1 - _FIRST_CENTRE)))
    offsets = layers.Rescaling(_OFFSET_CELLS)(part.convolve(branch, 1, 2))
    return keras.Model(inputs, layers.Concatenate()([classes, centre, offsets]))
