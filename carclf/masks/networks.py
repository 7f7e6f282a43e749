"""The mask networks by name."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras

from carclf.errors import TrainingError, did_you_mean
from carclf.masks.deeplab import make_deeplabv3plus
from carclf.masks.flexunet import make_flexunet
from carclf.masks.fpn import make_fpn
from carclf.masks.panoptic_network import make_panoptic
from carclf.masks.spec import NetworkSpec
from carclf.masks.unet import make_unet
from carclf.masks.unet_xception import make_unet_xception

BUILDERS: dict[str, Callable[[NetworkSpec, float, int], Any]] = {
    "fpn": make_fpn,
    "unet": make_unet,
    "deeplabv3plus": make_deeplabv3plus,
    "panoptic": make_panoptic,
    "flexunet": make_flexunet,
    "unet_xception": make_unet_xception,
}


def make_network(spec: NetworkSpec, dropout: float, seed: int, precision: str = "float32") -> Any:
    """Builds a network with fresh weights; the same arguments give the same bytes.

    Args:
        spec: what is read, what comes out, and of which architecture.
        dropout: share of the channels left out in training, in [0, 1); flexunet and unet_xception do not use it.
        seed: of the fresh weights and the dropout.
        precision: "float32", or "bfloat16": activations in 16 bits, weights in 32.

    Returns:
        keras.Model: level -> float32 (b, h, w, c), for every level of the spec, to float32 (b, H, W, K): the classes'
        logits, the background's being 0, and what else the architecture says (see NetworkSpec.num_outputs).

    Raises:
        TrainingError: if nobody knows the architecture, or it cannot read maps of these sizes.
    """
    if spec.architecture not in BUILDERS:
        raise TrainingError(
            f'"{spec.architecture}" is no architecture of a mask network.{did_you_mean(spec.architecture, BUILDERS)} '
            f"Known: {', '.join(BUILDERS)}."
        )
    with _precision(precision):
        return BUILDERS[spec.architecture](spec, dropout, seed)


@contextmanager
def _precision(name: str) -> Iterator[None]:
    """Keras knows one policy for all layers that are made; it is put back."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16" if name == "bfloat16" else name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
