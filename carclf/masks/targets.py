"""Masks at the photos' own sizes -> soft targets on the decoder's grid."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from carclf.labels import IGNORED_PIXEL

Array = NDArray[Any]
MaskLoader = Callable[[], NDArray[np.uint8]]
"""Returns one photo's mask at its own size: uint8 (height, width), class ids, 0 = background, 255 = ignored."""


@dataclass(frozen=True)
class MaskTargets:
    """What a head's decoders are taught, a row per photo with a target.

    Attributes:
        shares: float16 (m, h, w, C + 1): the share of class c + 1 among a cell's judged pixels; in the last
            channel the share of judged pixels in the cell, 0 where all are ignored.
        pixels: int64 (m,): pixels of the photo's own mask, the ignored ones among them.
    """

    shares: Array
    pixels: Array

    @property
    def num_classes(self) -> int:
        """C, without the background."""
        return int(self.shares.shape[-1]) - 1

    def class_pixels(self, photos: Array) -> tuple[Array, Array]:
        """Pixels at the photos' own sizes that each cell stands for.

        Args:
            photos: int (n,), rows.

        Returns:
            (pixels of each class, float32 (n, h, w, C); judged pixels, float32 (n, h, w)).
        """
        shares = self.shares[photos].astype(np.float32)
        cells = shares.shape[1] * shares.shape[2]
        judged = shares[..., -1] * (self.pixels[photos] / cells).astype(np.float32)[:, None, None]
        return shares[..., :-1] * judged[..., None], judged

    def has_class(self) -> Array:
        """Which photos show which class: bool (m, C)."""
        shown = (self.shares[..., :-1] > 0) & (self.shares[..., -1:] > 0)
        return np.asarray(shown.any(axis=(1, 2)))


def training_targets(mask: NDArray[np.uint8], num_classes: int, height: int, width: int) -> Array:
    """Averages a mask over the areas of a grid's cells.

    Args:
        mask: uint8 (H, W), class ids, 0 = background, IGNORED_PIXEL = neither trains nor judges.
        num_classes: C, without the background.
        height: of the grid.
        width: of the grid.

    Returns:
        float16 (height, width, C + 1) as MaskTargets.shares.
    """
    judged = _area_mean(mask != IGNORED_PIXEL, height, width)
    shares = np.zeros((height, width, num_classes + 1), np.float32)
    for index in range(num_classes):
        covered = _area_mean(mask == index + 1, height, width)
        np.divide(covered, judged, out=shares[..., index], where=judged > 0)
    shares[..., -1] = judged
    return np.clip(shares, 0.0, 1.0).astype(np.float16)


def make_mask_targets(loaders: Sequence[MaskLoader], num_classes: int, height: int, width: int) -> MaskTargets:
    """Loads every photo's mask once and averages it over the grid.

    Args:
        loaders: one for each photo with a target.
        num_classes: C, without the background.
        height: of the decoder's grid.
        width: of the decoder's grid.
    """
    shares = np.zeros((len(loaders), height, width, num_classes + 1), np.float16)
    pixels = np.zeros(len(loaders), np.int64)
    for row, load in enumerate(loaders):
        mask = load()
        shares[row] = training_targets(mask, num_classes, height, width)
        pixels[row] = mask.size
    return MaskTargets(shares, pixels)


def _area_mean(pixels: NDArray[np.bool_], height: int, width: int) -> NDArray[np.float32]:
    if not pixels.any():
        return np.zeros((height, width), np.float32)
    image = Image.fromarray(pixels.astype(np.float32))
    return np.asarray(image.resize((width, height), Image.Resampling.BOX), dtype=np.float32)
