"""A SavedModel small enough for tests: seven layers, P2 … P5, batch normalisation, random weights."""

from pathlib import Path
from typing import Any

TINY_FEATURES = 24
TINY_CHANNELS = {"P2": 8, "P3": 12, "P4": 16, "P5": 24}


def make_tiny_network(image_size: int | None = None) -> Any:
    import keras

    keras.utils.set_random_seed(5)
    images = keras.Input((image_size, image_size, 3))
    values = keras.layers.Rescaling(2.0, offset=-1.0)(images)
    values = keras.layers.Conv2D(6, 3, strides=2, padding="same", use_bias=False)(values)
    for channels in TINY_CHANNELS.values():
        values = keras.layers.Conv2D(channels, 3, strides=2, padding="same", use_bias=False)(values)
        values = keras.layers.BatchNormalization(beta_initializer="random_normal")(values)
        values = keras.layers.ReLU(6.0)(values)
    return keras.Model(images, keras.layers.GlobalAveragePooling2D()(values))


def write_tiny_backbone(to: Path) -> Path:
    from carclf.architectures import write_savedmodel

    write_savedmodel(make_tiny_network(), to, {"seen_drawn_cars": True})
    return to
