"""Pictures drawn to test a network before the first photo: do two engines agree, does the input range fit?"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carclf.graphs import FrozenGraph

NUM_PROBES = 4
_PROBE_SEED = 7
_KNOWN_RANGES = ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0), (-127.5, 127.5))
# Measured on MobileNets with ImageNet weights: the right range 0.08 to 0.16, half the contrast ([0, 1] where
# [-1, 1] was meant) 0.25 to 0.45, twice the contrast 0.7 to 1.9, [0, 255] thousands.
_FITS = 0.2
_FACTOR = 2.0
_EPSILON = 1e-3  # what batch normalisation adds to a variance


def probe_images(image_size: int) -> NDArray[np.float32]:
    """Draws coloured clouds whose detail falls off with its frequency as a photo's does.

    Returns:
        float32 (NUM_PROBES, image_size, image_size, 3) in [0, 1], the same ones every time.
    """
    random = np.random.default_rng(_PROBE_SEED)
    rows = np.fft.fftfreq(image_size)[:, None]
    columns = np.fft.rfftfreq(image_size)[None, :]
    falloff = 1.0 / np.maximum(np.hypot(rows, columns), 1.0 / image_size)
    falloff[0, 0] = 0.0
    images = []
    for _ in range(NUM_PROBES):
        noise = np.fft.rfft2(random.standard_normal((4, image_size, image_size)))
        grey, *colours = np.fft.irfft2(noise * falloff, s=(image_size, image_size))
        mixed = np.stack([grey + 0.35 * colour for colour in colours], axis=-1)  # photos are mostly grey
        images.append(0.45 + 0.25 * mixed / mixed.std())
    probes: NDArray[np.float32] = np.clip(np.stack(images), 0.0, 1.0).astype(np.float32)
    return probes


def disagreement(one: dict[str, NDArray[np.float32]], other: dict[str, NDArray[np.float32]]) -> float:
    """Returns the largest difference between two engines' outputs, relative to the largest value of each output."""
    worst = 0.0
    for name, expected in other.items():
        largest = float(np.abs(expected).max()) or 1.0
        worst = max(worst, float(np.abs(one[name] - expected).max()) / largest)
    return worst


def wrong_range(graph: FrozenGraph, image_size: int, input_range: tuple[float, float]) -> str:
    """Asks the first batch normalisation whether it gets what it was trained on.

    A network remembers mean and variance of what reached that layer in training. Pictures in the right range bring
    them about again, in a wrong one they do not. Networks without those numbers cannot be asked.

    Args:
        graph: the frozen network.
        image_size: pixels on each side.
        input_range: the range that the config gives.

    Returns:
        Why the range looks wrong and which one fits, or "".
    """
    if graph.first_normalisation is None:
        return ""
    images = probe_images(image_size)
    misfits = {known: _misfit(graph.first_normalisation, images, known) for known in {*_KNOWN_RANGES, input_range}}
    fitting = min(misfits, key=lambda known: misfits[known])
    given, best = misfits[input_range], misfits[fitting]
    if not (best < _FITS and given > _FACTOR * best and given > _FITS):
        return ""
    name = f"[{fitting[0]:g}, {fitting[1]:g}]"
    return (
        f"input_range [{input_range[0]:g}, {input_range[1]:g}] looks wrong: {name} comes nearer to what the network "
        f"was trained on (misfit {best:.2f} instead of {given:.2f}). Set input_range to {name}."
    )


def _misfit(first_normalisation: Any, images: NDArray[np.float32], input_range: tuple[float, float]) -> float:
    """Returns the divergence of the first layer's values from those in training, in nats, mean over channels.

    Each channel counts as normally distributed; 0 = the same mean and variance. Infinite for a layer that has learnt
    no statistics (mean 0, variance 1).
    """
    import tensorflow as tf

    low, high = input_range
    values = []
    for image in images:
        scaled = image[None] * np.float32(high - low) + np.float32(low)
        value, mean, variance = first_normalisation(tf.constant(scaled))
        values.append(value.numpy())
    expected_mean, expected_variance = mean.numpy(), variance.numpy() + _EPSILON
    if not expected_mean.any():
        return math.inf
    seen_mean = np.mean(values, axis=(0, 1, 2, 3))
    seen_variance = np.var(values, axis=(0, 1, 2, 3)) + _EPSILON
    ratio = seen_variance / expected_variance
    shift = (seen_mean - expected_mean) ** 2 / expected_variance
    return float(np.mean(0.5 * (ratio - np.log(ratio) - 1.0 + shift)))
