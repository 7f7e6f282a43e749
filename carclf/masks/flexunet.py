"""The flexible U-Net from pixels: TensorFlowFlexUNet (antillia.com, 2025), after Ronneberger et al., 2015.

Built from its published description and configuration, none of its code. As there: level i = 0 … num_layers - 1 (the
last is the bridge) has base_filters · 2^i filters, kernels 2 smaller than the level before and never below 3, dilation
1 less and never below 1, dropout of i · dropout_rate between its two convolutions, and batch normalisation, if any,
behind their activations. Levels are halved by the largest of 2 × 2, and doubled by a transposed 2 × 2 convolution
without activation, which halves the filters. A 1 × 1 convolution tells the classes, background first. With 16 filters,
kernels of 11, 8 levels and 8 classes, as published for car damages, it has 126,809,337 parameters: 507 MB.
"""

from typing import Any

import keras
import numpy as np
from keras import layers

from carclf.errors import TrainingError, raise_all
from carclf.mask_architectures import size_problem
from carclf.masks.parts import draw_seed, over_background
from carclf.masks.spec import PIXELS, NetworkSpec


def make_flexunet(spec: NetworkSpec, dropout: float, seed: int) -> Any:
    """Builds a flexible U-Net with fresh weights.

    Args:
        spec: reads PIXELS; options `base_filters`, `base_kernels` and `dilation` ([height, width] of the first level),
            `num_layers` (levels, the bridge included), `dropout_rate`, `normalization` (true or false), `activation` (a
            name that Keras knows).
        dropout: not used; `dropout_rate` says it, by levels.
        seed: of the fresh weights and the dropout.

    Returns:
        keras.Model: {PIXELS: float32 (b, h, w, 3) in [0, 1]} to logits, float32 (b, h, w, C).

    Raises:
        TrainingError: if height or width cannot be halved num_layers - 1 times.
    """
    options, shape = spec.options, spec.map_shapes[PIXELS]
    raise_all(TrainingError, [each for size in shape[:2] if (each := size_problem("flexunet", options, size))])
    pair = _Pair(options, np.random.default_rng(seed))
    photo = layers.Input(shape, name=PIXELS)
    bridge = options["num_layers"] - 1
    x, skips = photo, []
    for level in range(bridge):
        skips.append(pair.apply(x, level))
        x = layers.MaxPooling2D(2)(skips[-1])
    x = pair.apply(x, bridge)
    for level in reversed(range(bridge)):
        double = layers.Conv2DTranspose(pair.filters(level), 2, strides=2, kernel_initializer=pair.glorot())(x)
        x = pair.apply(layers.Concatenate()([double, skips[level]]), level)
    classes = layers.Conv2D(spec.num_classes + 1, 1, kernel_initializer=pair.glorot())(x)
    return keras.Model({PIXELS: photo}, over_background(classes))


class _Pair:
    """The two convolutions of each level, of the encoder and the decoder alike."""

    def __init__(self, options: dict[str, Any], random: np.random.Generator) -> None:
        self.options, self.random = options, random
        self.kernels = _shrinking(options["base_kernels"], 2, 3, options["num_layers"])
        self.dilations = _shrinking(options["dilation"], 1, 1, options["num_layers"])

    def filters(self, level: int) -> int:
        return int(self.options["base_filters"] * 2**level)

    def glorot(self) -> Any:
        return keras.initializers.GlorotUniform(draw_seed(self.random))

    def apply(self, x: Any, level: int) -> Any:
        rate = self.options["dropout_rate"] * level
        first = self._convolve(x, level)
        dropped = layers.Dropout(rate, seed=draw_seed(self.random))(first) if rate else first
        return self._convolve(dropped, level)

    def _convolve(self, x: Any, level: int) -> Any:
        x = layers.Conv2D(
            self.filters(level),
            self.kernels[level],
            padding="same",
            dilation_rate=self.dilations[level],
            activation=self.options["activation"],
            kernel_initializer=keras.initializers.HeNormal(draw_seed(self.random)),
        )(x)
        return layers.BatchNormalization()(x) if self.options["normalization"] else x


def _shrinking(first: list[int], step: int, least: int, levels: int) -> list[tuple[int, int]]:
    """Kernels or dilations, (height, width), of all levels: `step` less in each, but not less than `least`."""
    sides = [(int(first[0]), int(first[1]))]
    while len(sides) < levels:
        height, width = sides[-1]
        sides.append((max(height - step, least), max(width - step, least)))
    return sides
