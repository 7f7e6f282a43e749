"""Light, blur and noise of a copy; its mask knows nothing of them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carclf.scores import Array

STRIP_ROWS = 128  # rows that noise is added to at a time


@dataclass(frozen=True)
class AppearanceRanges:
    """How far a copy may look unlike its photo."""

    brightness: float = 0.25  # of the values, either way
    contrast: float = 0.25  # the same, around the middle grey
    gamma: float = 0.25  # exponent from 1 / 1.25 to 1.25: shadows opened or closed
    tint: float = 0.06  # of each channel, either way: the colour of the light
    blurred: float = 0.3  # share of the copies: out of focus or shaken
    blur: float = 0.003  # of the shorter side: standard deviation at most, 1.5 pixels of 512
    noise: float = 8.0  # of 255: standard deviation at most, a phone at dusk


@dataclass(frozen=True)
class Appearance:
    """One way to look.

    Attributes:
        curves: uint8 (256, 3): value of each channel before -> after.
        blur: standard deviation, of the shorter side; 0 = sharp as it was.
        noise: standard deviation, of 255.
        noise_seed: of the noise.
    """

    curves: NDArray[np.uint8]
    blur: float
    noise: float
    noise_seed: int


def draw_appearance(generator: np.random.Generator, ranges: AppearanceRanges) -> Appearance:
    """Draws light, blur and noise."""
    brightness, contrast, gamma = generator.uniform(-1.0, 1.0, 3)
    tint = 1.0 + ranges.tint * generator.uniform(-1.0, 1.0, 3)
    values = (np.arange(256) / 255) ** ((1 + ranges.gamma) ** gamma)
    values = (values - 0.5) * (1 + ranges.contrast * contrast) + 0.5
    values = values[:, None] * (1 + ranges.brightness * brightness) * tint  # (256, 3)
    curves = np.clip(np.round(255 * values), 0, 255).astype(np.uint8)
    blurred = generator.random() < ranges.blurred
    blur = ranges.blur * generator.random() if blurred else 0.0
    return Appearance(curves, blur, ranges.noise * generator.random() ** 2, int(generator.integers(2**63)))


def change_look(photo: NDArray[np.uint8], look: Appearance) -> NDArray[np.uint8]:
    """Returns a photo, uint8 (height, width, 3), in other light, blurred and noisy."""
    import cv2

    changed: Array = cv2.LUT(photo, look.curves[None])
    if look.blur:
        changed = cv2.GaussianBlur(changed, (0, 0), look.blur * min(photo.shape[:2]))
    generator = np.random.default_rng(look.noise_seed)
    for start in range(0, len(changed), STRIP_ROWS):
        strip = changed[start : start + STRIP_ROWS]
        noise = generator.standard_normal(strip.shape, np.float32)
        noise *= np.float32(look.noise)
        noise += strip
        changed[start : start + STRIP_ROWS] = np.clip(np.rint(noise, out=noise), 0, 255, out=noise)
    return changed
