"""Draws the batches of a fit: which photos, in which view, with their targets."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carclf.config_masks import MaskTrainingConfig
from carclf.masks.augmentation import augment
from carclf.masks.map_reader import MapReader, read_ahead
from carclf.masks.spec import PIXELS, NetworkSpec, mirror_back
from carclf.masks.targets import MaskTargets

Array = NDArray[Any]


@dataclass(frozen=True)
class MaskData:
    """What the networks of one head are taught, for m photos with a target.

    Attributes:
        reader: what they look at.
        targets: their masks.
        groups: int64 (m,): photos of one group belong together.
        spec: the network.
        class_names: of the head.
    """

    reader: MapReader
    targets: MaskTargets
    groups: Array
    spec: NetworkSpec
    class_names: tuple[str, ...]


class Sampler:
    """Draws the batches: every photo with a region in every epoch, of the empty ones other ones each time."""

    def __init__(self, data: MaskData, train: Array, settings: MaskTrainingConfig, random: np.random.Generator) -> None:
        shows = data.targets.has_class()[train].any(axis=1)
        self.data, self.settings, self.random = data, settings, random
        self.shown, self.empty = train[shows], train[~shows]
        self.waiting = self.empty[:0]
        self.num_empty = min(len(self.empty), round(settings.empty_share * len(self.shown)))
        self.steps = -(-(len(self.shown) + self.num_empty) // settings.batch_size)

    def epoch(self) -> Iterator[tuple[dict[str, Array], Array]]:
        """Yields (inputs, targets) of batches whose sizes differ by at most 1."""
        while len(self.waiting) < self.num_empty:
            self.waiting = np.concatenate([self.waiting, self.random.permutation(self.empty)])
        drawn, self.waiting = self.waiting[: self.num_empty], self.waiting[self.num_empty :]
        photos = self.random.permutation(np.concatenate([self.shown, drawn]))
        views = self.random.integers(self.data.reader.views, size=len(photos))
        augmented = self.settings.augment and PIXELS in self.data.spec.map_shapes
        seeds = self.random.integers(2**63, size=len(photos) if augmented else 0)
        parts = (np.array_split(each, self.steps) for each in (photos, views, seeds))
        return read_ahead(lambda batch: read_batch(self.data, *batch), zip(*parts, strict=True))


def read_batch(
    data: MaskData, photos: Array, views: Array, seeds: Array | tuple[()] = ()
) -> tuple[dict[str, Array], Array]:
    """Reads one view of each photo.

    Args:
        data: the photos.
        photos: int (b,), rows.
        views: int (b,): 0 = the photo, 1 = mirrored.
        seeds: (b,), of the augmentation; empty = none.

    Returns:
        (level -> float16 (b, h, w, c), targets float16 (b, H, W, channels)).
    """
    shares = data.targets.taught[photos]
    mirrored = np.flatnonzero(views == 1)
    shares[mirrored] = mirror_back(shares[mirrored], *data.targets.mirrored(data.spec.mirror))
    inputs = data.reader.read(photos, views)
    for row, seed in enumerate(seeds):
        random = np.random.default_rng(int(seed))
        inputs[PIXELS][row], shares[row] = augment(inputs[PIXELS][row], shares[row], data.spec.mirror, random)
    return inputs, shares
