"""What the mask networks are made of: seeded layers, and the entry of a frozen map."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

Array = NDArray[Any]
FIRST_LOGIT = -2.0
"""A fresh decoder on frozen maps says 12 %: about the share of damaged pixels, so no first shock."""


@dataclass(frozen=True)
class Parts:
    """Layers with their own seeds, so that a network depends on nothing but its arguments.

    Attributes:
        channels: width of a layer if nothing else is said.
        dropout: share of the channels that `drop` leaves out in training, in [0, 1).
        random: where the seeds come from.
    """

    channels: int
    dropout: float
    random: np.random.Generator

    def seed(self) -> int:
        """Another one at each call."""
        return draw_seed(self.random)

    def enter(self, x: Any, level: str, filters: int | None = None) -> Any:
        """A frozen map, (b, h, w, c) -> (b, h, w, filters), without activation; see Entry."""
        return Entry(filters or self.channels, self.dropout, self.seed(), name=f"{level}{_ENTRY}")(x)

    def convolve(self, x: Any, size: int, filters: int | None = None, bias: float = 0.0, dilation: int = 1) -> Any:
        """A convolution of size × size; `bias` is what it says at first."""
        return layers.Conv2D(
            filters or self.channels,
            size,
            padding="same",
            dilation_rate=dilation,
            kernel_initializer=keras.initializers.GlorotUniform(self.seed()),
            bias_initializer=keras.initializers.Constant(bias),
        )(x)

    def block(self, x: Any, size: int, filters: int | None = None, dilation: int = 1) -> Any:
        """A convolution of size × size and a ReLU."""
        return layers.Activation("relu")(self.convolve(x, size, filters, dilation=dilation))

    def drop(self, x: Any) -> Any:
        """Leaves out whole channels in training."""
        return layers.SpatialDropout2D(self.dropout, seed=self.seed())(x) if self.dropout else x

    def enlarge(self, x: Any, height: int, width: int) -> Any:
        """Bilinear, (b, h, w, c) -> (b, height, width, c); sizes need not be multiples of each other."""
        if (x.shape[1], x.shape[2]) == (height, width):
            return x
        return layers.Resizing(height, width, interpolation="bilinear")(x)


def draw_seed(random: np.random.Generator) -> int:
    """The seed of one layer."""
    return int(random.integers(2**31))


def over_background(logits: Any) -> Any:
    """(b, h, w, C + 1), background first -> (b, h, w, C): relative to the background, so that its logit is 0.

    A softmax does not see a common shift, so its probabilities are those of the published networks, which say the
    background's logit, too.
    """
    return logits[..., 1:] - logits[..., :1]


_ENTRY = "_entry"  # behind the level, in the name of its Entry


@keras.saving.register_keras_serializable("carclf")
class Entry(layers.Layer):  # type: ignore[misc]
    """Brings a map to a network's width: a 1 × 1 convolution of its standardised channels.

    The scaling and the dropout (whole channels, for the whole batch) act on the small kernel, not on the large map:
    that makes a training step a third shorter.
    """

    def __init__(self, filters: int, dropout: float, seed: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.filters, self.dropout, self.seed = filters, dropout, seed
        self.noise = keras.random.SeedGenerator(seed)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes the weights; mean and scale are set by `set_scaling` and never trained."""
        channels = int(input_shape[-1] or 0)
        fresh = keras.initializers.GlorotUniform(self.seed)
        self.kernel = self.add_weight(name="kernel", shape=(channels, self.filters), initializer=fresh)
        self.bias = self.add_weight(name="bias", shape=(self.filters,), initializer="zeros")
        self.mean = self.add_weight(name="mean", shape=(channels,), initializer="zeros", trainable=False)
        self.scale = self.add_weight(name="scale", shape=(channels,), initializer="ones", trainable=False)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Float32 (b, h, w, c) -> (b, h, w, filters)."""
        scale = self.scale * 1.0
        if training and self.dropout:
            scale = keras.random.dropout(scale, self.dropout, seed=self.noise)
        kernel = self.kernel * scale[:, None]
        bias = self.bias - keras.ops.sum(kernel * self.mean[:, None], axis=0)
        return keras.ops.conv(inputs, kernel[None, None], padding="same") + bias

    def get_config(self) -> dict[str, Any]:
        """What __init__ takes."""
        return {
            **super().get_config(),
            "filters": self.filters,
            "dropout": self.dropout,
            "seed": self.seed,
        }


def set_scaling(model: Any, means: Mapping[str, Array], variances: Mapping[str, Array]) -> None:
    """Tells a network how the channels of the maps that it reads are spread; training leaves it alone.

    A network from pixels has no Entry and stays as it is.

    Args:
        model: keras.Model of one of the builders.
        means: level -> float (c,), of every level with an Entry.
        variances: likewise.
    """
    for entry in model.layers:
        if isinstance(entry, Entry):
            level = entry.name.removesuffix(_ENTRY)
            entry.mean.assign(means[level])
            entry.scale.assign(1.0 / np.sqrt(variances[level] + 1e-3))
