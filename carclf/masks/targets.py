"""Masks at the photos' own sizes -> soft targets on the decoder's grid."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from carclf.annotations.instances import Instances
from carclf.labels import IGNORED_PIXEL
from carclf.masks.instance_targets import MIRROR_SIGNS, instance_targets
from carclf.masks.map_reader import grid_size
from carclf.masks.spec import NetworkSpec

Array = NDArray[Any]


@dataclass(frozen=True)
class Truth:
    """What is true of a photo at its own size: its mask, uint8 (H, W), 255 = not judged, and its single regions."""

    mask: NDArray[np.uint8]
    instances: Instances


TruthLoader = Callable[[], Truth]


@dataclass(frozen=True)
class MaskTargets:
    """What a head's decoders are taught, a row per photo with a target.

    Attributes:
        shares: float16 (m, h, w, C + 1): the share of class c + 1 among a cell's judged pixels; in the last
            channel the share of judged pixels in the cell, 0 where all are ignored.
        pixels: int64 (m,): pixels of the photo's own mask, the ignored ones among them.
        instances: float16 (m, h, w, 4), as instance_targets.instance_targets; None where single regions are not taught.
    """

    shares: Array
    pixels: Array
    instances: Array | None = None

    @cached_property
    def taught(self) -> Array:
        """All that a network is taught: the shares, and the instances behind them; float16 (m, h, w, channels)."""
        return self.shares if self.instances is None else np.concatenate([self.shares, self.instances], axis=-1)

    def mirrored(self, mirror: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """(index, sign) of every channel of `taught` in a mirrored photo, as spec.mirror_back takes them."""
        channels = self.taught.shape[-1]
        index = (*mirror, *range(self.num_classes, channels))
        signs = [1] * channels
        if self.instances is not None:
            signs[-len(MIRROR_SIGNS) :] = MIRROR_SIGNS
        return index, tuple(signs)

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
        shown = np.zeros((len(self.shares), self.num_classes), bool)
        for row, shares in enumerate(self.shares):  # one by one: all at once would take half as much memory again
            shown[row] = ((shares[..., :-1] > 0) & (shares[..., -1:] > 0)).any(axis=(0, 1))
        return shown


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


def make_mask_targets(loaders: Sequence[TruthLoader], spec: NetworkSpec) -> MaskTargets:
    """Loads what is true of every photo once and averages it over the grid.

    Args:
        loaders: one for each photo with a target.
        spec: the network that is taught; single regions are taught only where it tells them apart.
    """
    height, width = grid_size(spec.map_shapes)
    shares = np.zeros((len(loaders), height, width, spec.num_classes + 1), np.float16)
    pixels = np.zeros(len(loaders), np.int64)
    instances = None
    if spec.num_outputs > spec.num_classes:
        instances = np.zeros((len(loaders), height, width, len(MIRROR_SIGNS)), np.float16)
    for row, load in enumerate(loaders):
        truth = load()
        shares[row] = training_targets(truth.mask, spec.num_classes, height, width)
        pixels[row] = truth.mask.size
        if instances is not None:
            instances[row] = instance_targets(truth.instances.ids, height, width)
    return MaskTargets(shares, pixels, instances)


def _area_mean(pixels: NDArray[np.bool_], height: int, width: int) -> NDArray[np.float32]:
    if not pixels.any():
        return np.zeros((height, width), np.float32)
    image = Image.fromarray(pixels.astype(np.float32))
    return np.asarray(image.resize((width, height), Image.Resampling.BOX), dtype=np.float32)
