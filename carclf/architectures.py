"""Builds SavedModels from keras.applications that keep TF-Hub's conventions for image feature vectors.

Photos come in as float32 (batch, height, width, 3), RGB, in [0, 1], any size; the scaling to the range that
the weights were trained with lies inside the graph. The vector is the global mean of the last feature map.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from carclf.downloads import FACTS_FILE, check_on_line, is_savedmodel
from carclf.errors import BackboneError, did_you_mean

ARCHITECTURES = ("MobileNet", "MobileNetV2", "ResNet50V2")
_IMAGENET_WIDTHS = {"MobileNet": (0.25, 0.5, 0.75, 1.0), "MobileNetV2": (0.35, 0.5, 0.75, 1.0, 1.3, 1.4)}
_LEAST_ALPHA, _MOST_ALPHA = 0.05, 4.0  # below, a layer of MobileNet has no channel; above, no laptop holds it
_IMAGENET_HOST = "https://storage.googleapis.com"


def build_savedmodel(architecture: str, alpha: float, weights: str | Path | None, to: Path) -> None:
    """Builds one architecture with given weights and saves it as a SavedModel folder.

    Args:
        architecture: a name in ARCHITECTURES.
        alpha: width multiplier of the MobileNets; 1.0 for the others.
        weights: a Keras weights file of the model without its top, "imagenet" (downloaded), or None (random).
        to: the folder to make; it must not exist or be empty.

    Raises:
        BackboneError: for an unknown architecture or width, weights that do not fit, no network, or a
            folder in use.
    """
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise BackboneError(f"{to}: exists already. Give a new folder or delete it first.")
    network = make_network(architecture, alpha, weights)
    write_savedmodel(network, to, {"architecture": architecture, "alpha": alpha, "weights": _weights_name(weights)})


def make_network(architecture: str, alpha: float = 1.0, weights: str | Path | None = None) -> Any:
    """Makes a Keras model: photos float32 (batch, height, width, 3) in [0, 1] -> vectors float32 (batch, D).

    Args:
        architecture: a name in ARCHITECTURES.
        alpha: width multiplier of the MobileNets; 1.0 for the others.
        weights: a Keras weights file of the model without its top, "imagenet" (downloaded), or None (random).

    Raises:
        BackboneError: for an unknown architecture or width, weights that do not fit, or no network.
    """
    if architecture not in ARCHITECTURES:
        raise BackboneError(
            f'"{architecture}" is not a known architecture.{did_you_mean(architecture, ARCHITECTURES)} '
            f"Known ones: {', '.join(ARCHITECTURES)}."
        )
    _check_width(architecture, alpha, weights)
    import keras

    images = keras.Input((None, None, 3), name="images")
    scaled = keras.layers.Rescaling(2.0, offset=-1.0)(images)  # these weights expect [-1, 1]
    trunk = _make_trunk(keras, architecture, alpha, weights)
    return keras.Model(images, trunk(scaled), name=architecture.lower())


def check_replaceable(to: Path) -> None:
    """Makes sure that a SavedModel written to a folder replaces nothing but an older one that was written here.

    Raises:
        BackboneError: if there is anything else.
    """
    try:
        is_free = not to.exists() or (to.is_dir() and not any(to.iterdir()))
    except OSError as error:
        raise BackboneError(f"{to}: cannot be looked at ({error.strerror or error}).") from error
    if not is_free and not (is_savedmodel(to) and (to / FACTS_FILE).is_file()):
        raise BackboneError(
            f"{to}: exists already and is no SavedModel made here. Give a new folder or delete it first."
        )


def write_savedmodel(network: Any, to: Path, facts: dict[str, Any]) -> None:
    """Saves a Keras model as an image-feature SavedModel, whole or not at all.

    The loaded object is called as `module(images, training=False)` and has `variables`,
    `trainable_variables`, `regularization_losses` and the signature `serving_default`.

    Args:
        network: Keras model from float32 (batch, height, width, 3) in [0, 1] to float32 (batch, D).
        to: the folder; an older SavedModel that was written here is replaced.
        facts: what to tell about it in its side file, such as {"seen_drawn_cars": True}.

    Raises:
        BackboneError: if the folder cannot be written, or holds anything else.
    """
    check_replaceable(to)
    import tensorflow as tf

    module = tf.train.Checkpoint()  # tracks what hangs on it, under the names of TF-Hub
    images = tf.TensorSpec((None, None, None, 3), tf.float32, name="images")

    @tf.function(autograph=False)  # type: ignore[untyped-decorator]
    def call(images: Any, training: bool = False) -> Any:
        return network(images, training=training)

    signature = call.get_concrete_function(images, training=False)  # one trace only: each doubles the time to load
    module.__call__ = call
    module.variables = [weight.value for weight in network.weights]
    module.trainable_variables = [weight.value for weight in network.trainable_weights]
    module.regularization_losses = []
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=to.parent, prefix=f".{to.name}.") as scratch:
            half_written = Path(scratch) / to.name
            tf.saved_model.save(module, str(half_written), signatures={"serving_default": signature})
            (half_written / FACTS_FILE).write_text(json.dumps({"input_range": [0, 1], **facts}, indent=1) + "\n")
            if to.exists():
                shutil.rmtree(to)
            os.replace(half_written, to)
    except OSError as error:
        raise BackboneError(f"{to}: the SavedModel cannot be written ({error.strerror or error}).") from error


def _check_width(architecture: str, alpha: float, weights: str | Path | None) -> None:
    widths = _IMAGENET_WIDTHS.get(architecture)
    if widths is None and alpha != 1.0:
        raise BackboneError(f"{architecture} has one width only: alpha must be 1.0, not {alpha:g}.")
    if not _LEAST_ALPHA <= alpha <= _MOST_ALPHA:
        raise BackboneError(f"alpha must be from {_LEAST_ALPHA:g} to {_MOST_ALPHA:g}, not {alpha:g}.")
    if weights == "imagenet" and widths and alpha not in widths:
        known = ", ".join(f"{width:g}" for width in widths)
        raise BackboneError(
            f"{architecture} has imagenet weights of the widths {known}; alpha must be one, not {alpha:g}."
        )


def _make_trunk(keras: Any, architecture: str, alpha: float, weights: str | Path | None) -> Any:
    options: dict[str, Any] = {
        "include_top": False,
        "pooling": "avg",
        "input_shape": (None, None, 3),
        "weights": None,
    }
    if architecture in _IMAGENET_WIDTHS:
        options["alpha"] = alpha
    make = getattr(keras.applications, architecture)
    trunk = make(**options)
    if weights == "imagenet":
        trunk.set_weights(_download_weights(make, options))
    elif weights is not None:
        _load_weights(trunk, Path(weights), f"{architecture}, alpha {alpha:g}")
    return trunk


def _download_weights(make: Callable[..., Any], options: dict[str, Any]) -> Any:
    otherwise = "Give --weights FILE where there is no internet."
    check_on_line(_IMAGENET_HOST, otherwise)
    try:  # they are published for one size of photos
        return make(**options | {"weights": "imagenet", "input_shape": (224, 224, 3)}).get_weights()
    except Exception as error:  # Keras raises a bare one where a download fails
        raise BackboneError(f"the imagenet weights could not be downloaded ({error}). {otherwise}") from error


def _load_weights(trunk: Any, weights: Path, what: str) -> None:
    if not weights.is_file():
        raise BackboneError(f'{weights}: no such weights file. Give a file, or "imagenet" to download the weights.')
    try:
        trunk.load_weights(str(weights))
    except Exception as error:  # h5py and Keras raise many kinds on a foreign file
        reason = str(error).strip().split("\n")[0]
        raise BackboneError(
            f"{weights}: does not fit {what} without its top ({reason}). "
            "Give the weights of that architecture and width."
        ) from error


def _weights_name(weights: str | Path | None) -> str:
    if weights is None:
        return "random"
    return "imagenet" if weights == "imagenet" else Path(weights).name
