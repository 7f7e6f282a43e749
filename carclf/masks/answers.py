"""What a network says about a photo, on its grid -> class mask and regions at the photo's own size."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carclf.masks.grouping import group_cells, instances_at_size
from carclf.masks.scoring import class_probabilities, mask_at_size, mask_confidence
from carclf.regions.region import Region
from carclf.regions.splitting import RegionSettings, find_regions, make_regions

Array = NDArray[Any]


def make_grids(outputs: Array, num_classes: int) -> NDArray[np.float32]:
    """Turns the classes' logits into probabilities, and leaves what else a network says as it is.

    Args:
        outputs: float32 (..., K), logits of the C classes, then what else the architecture says.
        num_classes: C.

    Returns:
        float32 (..., K): a grid is what is kept of a photo, blended over tiles, and decided on.
    """
    return np.concatenate([class_probabilities(outputs[..., :num_classes]), outputs[..., num_classes:]], axis=-1)


@dataclass(frozen=True)
class Decider:
    """Decides on grids.

    Attributes:
        thresholds: float64 (C,), in (0, 1).
        regions: how regions are told apart.
    """

    thresholds: Array
    regions: RegionSettings

    def mask(self, grid: NDArray[np.float32], width: int, height: int) -> NDArray[np.uint8]:
        """The class of every pixel: uint8 (height, width); grid: float32 (h, w, K)."""
        return mask_at_size(grid[..., : len(self.thresholds)], width, height, self.thresholds)

    def confidence(self, grid: NDArray[np.float32]) -> float:
        """How sure the mask of a grid, float32 (h, w, K), is: see mask_confidence."""
        return float(mask_confidence(grid[..., : len(self.thresholds)], self.thresholds))

    def find(self, grid: NDArray[np.float32], mask: NDArray[np.uint8]) -> tuple[Region, ...]:
        """The regions of a photo, the most probable first.

        Where the network says where the middle of each region is, it tells them apart; else their shape does.

        Args:
            grid: float32 (h, w, K).
            mask: uint8 (height, width), what `mask` has said.
        """
        classes = len(self.thresholds)
        probabilities = grid[..., :classes]
        if grid.shape[-1] == classes:
            return find_regions(mask, probabilities, self.regions)
        marked = np.any(probabilities >= self.thresholds, axis=-1).astype(np.float32)
        cells = group_cells(grid[..., classes], grid[..., classes + 1 :], marked)
        return make_regions(instances_at_size(cells, mask), mask, probabilities, self.regions)
