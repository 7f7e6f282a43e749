"""A U-Net of Xception blocks from pixels: Keras' example "Image segmentation with a U-Net-like architecture".

By Chollet, 2019/2020 (keras.io/examples/vision/oxford_pets_image_segmentation); built from its published table of
layers. With 3 classes it has 2,058,979 parameters, as there.
"""

from typing import Any

import keras
import numpy as np
from keras import layers

from carclf.errors import TrainingError, raise_all
from carclf.mask_architectures import XCEPTION_FILTERS, size_problem
from carclf.masks.parts import draw_seed, over_background
from carclf.masks.spec import PIXELS, NetworkSpec


def make_unet_xception(spec: NetworkSpec, dropout: float, seed: int) -> Any:
    """Builds a U-Net of Xception blocks with fresh weights.

    Unlike a U-Net's, its halves share nothing: every block has a shortcut around itself instead.

    Args:
        spec: reads PIXELS; options `momentum`: share of the running mean and variance that BatchNorm keeps at each
            step, `filters`: widths of the entry and the shrinking blocks, by default XCEPTION_FILTERS.
        dropout: not used; the published network has none.
        seed: of the fresh weights.

    Returns:
        keras.Model: {PIXELS: float32 (b, h, w, 3) in [0, 1]} to logits, float32 (b, h, w, C).

    Raises:
        TrainingError: if height or width cannot be halved once for each of `filters`.
    """
    options, shape = spec.options, spec.map_shapes[PIXELS]
    raise_all(TrainingError, [each for size in shape[:2] if (each := size_problem("unet_xception", options, size))])
    part = _XceptionParts(options["momentum"], np.random.default_rng(seed))
    entry, *shrinking = options.get("filters", XCEPTION_FILTERS)
    photo = layers.Input(shape, name=PIXELS)
    x = layers.Conv2D(entry, 3, strides=2, padding="same", kernel_initializer=part.glorot())(photo)
    x = layers.Activation("relu")(part.normalise(x))
    for filters in shrinking:
        x = part.shrink(x, filters)
    for filters in (*reversed(shrinking), entry):
        x = part.grow(x, filters)
    classes = layers.Conv2D(spec.num_classes + 1, 3, padding="same", kernel_initializer=part.glorot())(x)
    return keras.Model({PIXELS: photo}, over_background(classes))


class _XceptionParts:
    """The two kinds of blocks; each is ReLU, convolution, BatchNorm, twice, beside a 1 × 1 convolution."""

    def __init__(self, momentum: float, random: np.random.Generator) -> None:
        self.momentum, self.random = momentum, random

    def glorot(self) -> Any:
        return keras.initializers.GlorotUniform(draw_seed(self.random))

    def normalise(self, x: Any) -> Any:
        return layers.BatchNormalization(momentum=self.momentum)(x)

    def shrink(self, x: Any, filters: int) -> Any:
        """(b, h, w, c) -> (b, h / 2, w / 2, filters)."""
        side = layers.Conv2D(filters, 1, strides=2, padding="same", kernel_initializer=self.glorot())(x)
        for _ in range(2):
            separable = layers.SeparableConv2D(
                filters,
                3,
                padding="same",
                depthwise_initializer=self.glorot(),
                pointwise_initializer=self.glorot(),
            )
            x = self.normalise(separable(layers.Activation("relu")(x)))
        return layers.Add()([layers.MaxPooling2D(3, strides=2, padding="same")(x), side])

    def grow(self, x: Any, filters: int) -> Any:
        """(b, h, w, c) -> (b, 2 h, 2 w, filters)."""
        side = layers.UpSampling2D(2)(x)
        side = layers.Conv2D(filters, 1, padding="same", kernel_initializer=self.glorot())(side)
        for _ in range(2):
            transposed = layers.Conv2DTranspose(filters, 3, padding="same", kernel_initializer=self.glorot())
            x = self.normalise(transposed(layers.Activation("relu")(x)))
        return layers.Add()([layers.UpSampling2D(2)(x), side])
