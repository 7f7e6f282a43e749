"""Feature maps -> logits: a feature pyramid decoder, its weights as plain arrays, prediction."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from numpy.typing import NDArray

from carclf.errors import TrainingError
from carclf.masks.map_reader import MapReader, grid_size

Array = NDArray[Any]
SPEC_KEY = "spec"
"""The entry of a decoder's arrays that says how it is built; the others are its weights."""
_PREDICTED_TOGETHER = 32  # photos; a photo's logits do not depend on it
_FIRST_LOGIT = -2.0  # a fresh decoder says 12 %: about the share of damaged pixels, so no first shock


@dataclass(frozen=True)
class DecoderSpec:
    """How a decoder is built.

    Attributes:
        map_shapes: level -> (h, w, c) of the maps that it reads.
        num_classes: C, without the background.
        channels: width of its layers.
        mirror: for every class the index of the class that it becomes when the photo is mirrored.
    """

    map_shapes: dict[str, tuple[int, int, int]]
    num_classes: int
    channels: int
    mirror: tuple[int, ...]

    @property
    def levels(self) -> list[str]:
        """Coarse to fine."""
        return sorted(self.map_shapes, key=lambda level: self.map_shapes[level])


class MaskDecoder:
    """A fitted decoder: maps of photos -> logits on the grid of the finest map."""

    def __init__(self, spec: DecoderSpec, model: Any) -> None:
        self.spec = spec
        self.model = model
        self._run = tf.function(
            lambda maps: model(maps, training=False), input_signature=[map_signature(spec, tf.float32)]
        )

    def predict_logits(self, maps: Mapping[str, Array]) -> NDArray[np.float32]:
        """Averages the logits over the views of each photo.

        Args:
            maps: level -> float16 or float32 (views, b, h, w, c); view 1 is the mirrored photo. Rounded to
                float16, as cached maps are.

        Returns:
            float32 (b, h, w, C): the classes' logits; the background's is 0.
        """
        views = len(next(iter(maps.values())))
        total: Any = 0.0
        for view in range(views):
            given = {
                level: tf.constant(maps[level][view].astype(np.float16), tf.float32) for level in self.spec.map_shapes
            }
            logits = self._run(given).numpy()
            total += mirror_back(logits, self.spec.mirror) if view == 1 else logits
        return np.asarray(total / np.float32(views), dtype=np.float32)

    def predict_photos(self, reader: MapReader, photos: Array, views: int | None = None) -> NDArray[np.float32]:
        """The logits of cached photos.

        Args:
            reader: their maps.
            photos: int (n,).
            views: how many of them are averaged; None = all.

        Returns:
            float32 (n, h, w, C), in the order of `photos`.
        """
        logits = np.zeros((len(photos), *grid_size(self.spec.map_shapes), self.spec.num_classes), np.float32)
        for start in range(0, len(photos), _PREDICTED_TOGETHER):
            batch = photos[start : start + _PREDICTED_TOGETHER]
            logits[start : start + len(batch)] = self.predict_logits(reader.read_views(batch, views))
        return logits

    def to_arrays(self) -> dict[str, Array]:
        """Everything that is needed to build it again; np.savez keeps it."""
        arrays = {SPEC_KEY: np.array(json.dumps(asdict(self.spec)))}
        for index, weight in enumerate(self.model.weights):
            arrays[f"{index:03d}"] = np.asarray(weight.numpy())
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> "MaskDecoder":
        """Builds the decoder that `to_arrays` described.

        Raises:
            TrainingError: if the arrays are no decoder's.
        """
        if SPEC_KEY not in arrays:
            raise TrainingError(f'a mask decoder without the entry "{SPEC_KEY}": it is incomplete, fit it again.')
        given = json.loads(str(arrays[SPEC_KEY]))
        shapes = {level: (h, w, c) for level, (h, w, c) in given["map_shapes"].items()}
        spec = DecoderSpec(shapes, given["num_classes"], given["channels"], tuple(given["mirror"]))
        model = make_decoder(spec, dropout=0.0, seed=0)
        weights = [arrays[key] for key in sorted(set(arrays) - {SPEC_KEY})]
        wanted = [tuple(weight.shape) for weight in model.weights]
        if [weight.shape for weight in weights] != wanted:
            raise TrainingError("a mask decoder whose weights do not fit its own description: fit it again.")
        model.set_weights(weights)
        return cls(spec, model)


def map_signature(spec: DecoderSpec, dtype: Any) -> dict[str, Any]:
    """What a decoder's graph takes: any number of photos, so that the first call's number changes no bit."""
    return {level: tf.TensorSpec((None, *shape), dtype, name=level) for level, shape in spec.map_shapes.items()}


def mirror_back(grid: Array, mirror: tuple[int, ...]) -> Array:
    """Turns what was said about mirrored photos, (b, h, w, C), into what it means for the photos."""
    return grid[:, :, ::-1][..., list(mirror)]


def make_decoder(spec: DecoderSpec, dropout: float, seed: int) -> Any:
    """Builds a decoder with fresh weights.

    Every map is standardised, brought to `channels` (see Entry) and added to the enlarged coarser one.
    All levels together give the logits. Nothing normalises over a batch, so small batches do no harm and a photo's
    answer depends on that photo alone.

    Args:
        spec: what is read and what comes out.
        dropout: share of the channels left out in training, in [0, 1).
        seed: of the fresh weights and the dropout.

    Returns:
        keras.Model: level -> float32 (b, h, w, c) to logits, float32 (b, H, W, C).
    """
    part = _Parts(spec.channels, dropout, np.random.default_rng(seed))
    height, width = grid_size(spec.map_shapes)
    inputs, heights, current = {}, [], None
    for level in spec.levels:
        shape = spec.map_shapes[level]
        inputs[level] = layers.Input(shape, name=level)
        entry = Entry(spec.channels, dropout, part.seed(), name=f"{level}_entry")
        side = entry(inputs[level])
        if current is not None:
            side = layers.Add()([part.enlarge(current, shape[0], shape[1]), side])
        current = part.block(layers.Activation("relu")(side), 3)
        heights.append(part.enlarge(current, height, width))
    joined = layers.Concatenate()(heights) if len(heights) > 1 else heights[0]
    wide = part.block(part.block(part.drop(joined), 1), 3)
    logits = part.convolve(wide, 1, spec.num_classes, _FIRST_LOGIT)
    return keras.Model(inputs, logits)


def set_scaling(model: Any, means: Mapping[str, Array], variances: Mapping[str, Array]) -> None:
    """Tells the decoder how each level's channels are spread, float32 (c,); training leaves it alone."""
    for level, mean in means.items():
        entry = model.get_layer(f"{level}_entry")
        entry.mean.assign(mean)
        entry.scale.assign(1.0 / np.sqrt(variances[level] + 1e-3))


@keras.saving.register_keras_serializable("carclf")
class Entry(layers.Layer):  # type: ignore[misc]
    """Brings a map to the decoder's width: a 1 × 1 convolution of its standardised channels.

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


@dataclass(frozen=True)
class _Parts:
    """Layers with their own seeds, so that a decoder depends on nothing but its arguments."""

    channels: int
    dropout: float
    random: np.random.Generator

    def seed(self) -> int:
        return int(self.random.integers(2**31))

    def convolve(self, x: Any, size: int, filters: int | None = None, bias: float = 0.0) -> Any:
        return layers.Conv2D(
            filters or self.channels,
            size,
            padding="same",
            kernel_initializer=keras.initializers.GlorotUniform(self.seed()),
            bias_initializer=keras.initializers.Constant(bias),
        )(x)

    def block(self, x: Any, size: int) -> Any:
        return layers.Activation("relu")(self.convolve(x, size))

    def drop(self, x: Any) -> Any:
        return layers.SpatialDropout2D(self.dropout, seed=self.seed())(x) if self.dropout else x

    def enlarge(self, x: Any, height: int, width: int) -> Any:
        if (x.shape[1], x.shape[2]) == (height, width):
            return x
        return layers.Resizing(height, width, interpolation="bilinear")(x)
