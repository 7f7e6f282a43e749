"""Single regions at the photo's own size -> what a network that tells them apart is taught, on its grid.

The network says where the middles of regions are, and of every cell of a region how far away the middle lies
(Panoptic-DeepLab; Cheng et al., 2020). Lengths are in cells of the grid; the middle of the cell in row i and column j
is at (i + 0.5, j + 0.5). A pixel counts for the cell in which its middle lies.
"""

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

INSTANCE_TARGETS = ("centre", "offset_y", "offset_x", "weight")
"""The channels, in this order; the first three are what the network answers (carclf.masks.spec.INSTANCE_OUTPUTS)."""
MIRROR_SIGNS = (1, 1, -1, 1)
"""For every channel -1 if what it says points the other way in a mirrored photo; all keep their places."""
_LEAST_SPREAD = 0.8
"""Standard deviation of the heat of a small region, in cells. The paper's is 2 cells of grids that are four times as
fine. With 0.8 a centre is taught by some 9 cells and not by one alone, and the heat sinks to less than half between
centres two cells apart, or three if both lie at their cells' edges."""
_SPREAD_SHARE = 0.1
"""Standard deviation of the heat of a larger region, as a share of the side of a square of its area. Half of the
damages that people mark in photos of cars are above 15 cells of 56 wide; where their middle is cannot be told to a
cell, and of a narrow heat nothing but a trace would be learnt. So it grows with the region, as in CornerNet (Law and
Deng, 2018). The middles of touching discs of one size are 1.13 such sides apart: 11 standard deviations."""


def instance_targets(ids: NDArray[np.uint16], height: int, width: int) -> NDArray[np.float16]:
    """Makes the targets of one photo.

    - centre: the heat of the middles, in [0, 1]. Each region, however small, has a Gaussian around its centre of mass,
      the wider the larger it is, scaled to be 1 in the nearest cell; where several overlap, the highest counts.
    - offset_y, offset_x: from the middle of the cell down and right to the centre of mass of its region: the one that
      covers most of the cell. A centre of mass may lie outside its region.
    - weight: the share of the cell that this region covers, in [0, 1]: 0 without one, and then the offsets are 0, too.

    Args:
        ids: uint16 (H, W), which region a pixel belongs to; 0 = none, as is what is ignored.
        height: of the grid.
        width: of the grid.

    Returns:
        float16 (height, width, 4), INSTANCE_TARGETS.
    """
    targets = np.zeros((height, width, len(INSTANCE_TARGETS)), np.float32)
    ids = _fill_grid(ids, height, width)
    num_ids = int(ids.max()) + 1  # with 0
    pixels, centres = _measure(ids, num_ids)
    centres *= np.array([height, width]) / ids.shape
    shown = np.flatnonzero(pixels[1:]) + 1
    sides = np.sqrt(pixels[shown] * (height * width / ids.size))
    targets[..., 0] = _heat(centres[shown], np.maximum(_LEAST_SPREAD, _SPREAD_SHARE * sides), height, width)
    owners, shares = _owners(ids, num_ids, height, width)
    rows, columns = np.nonzero(owners)
    middles = np.stack([rows, columns], axis=1) + 0.5
    targets[rows, columns, 1:3] = centres[owners[rows, columns]] - middles
    targets[..., 3] = shares
    return targets.astype(np.float16)


def cell_of_pixel(num_pixels: int, num_cells: int) -> NDArray[np.int64]:
    """Returns the row (column) of cells in which the middles of a row (column) of pixels lie: int64 (num_pixels,)."""
    return (2 * np.arange(num_pixels) + 1) * num_cells // (2 * num_pixels)


def _fill_grid(ids: NDArray[np.uint16], height: int, width: int) -> NDArray[np.uint16]:
    """Repeats pixels of a photo that has fewer than the grid has cells, so that no cell is without one."""
    for axis, cells in enumerate((height, width)):
        if ids.shape[axis] < cells:
            ids = np.take(ids, cell_of_pixel(cells, ids.shape[axis]), axis=axis)
    return ids


def _measure(ids: NDArray[np.uint16], num_ids: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns (pixels of every id, float64 (num_ids,); where their centre of mass is, float64 (num_ids, 2): (y, x))."""
    pixels, sums = np.zeros(num_ids), np.zeros((num_ids, 2))
    columns = np.arange(ids.shape[1]) + 0.5
    for index, row in enumerate(ids):  # row by row, as numpy makes eight bytes of every id
        counts = np.bincount(row, minlength=num_ids)
        pixels += counts
        sums[:, 0] += counts * (index + 0.5)
        sums[:, 1] += np.bincount(row, columns, num_ids)
    return pixels, sums / np.maximum(pixels, 1)[:, None]


def _heat(centres: NDArray[np.float64], spreads: NDArray[np.float64], height: int, width: int) -> NDArray[np.float32]:
    """Returns the heat of centres, (n, 2) in cells, with standard deviations (n,): float32 (height, width)."""
    heat = np.zeros((height, width), np.float32)
    down, right = (_slices(centres[:, axis], spreads, cells) for axis, cells in enumerate((height, width)))
    for vertical, horizontal in zip(down, right, strict=True):
        np.maximum(heat, np.outer(vertical, horizontal), out=heat)
    return heat


def _slices(positions: NDArray[np.float64], spreads: NDArray[np.float64], num_cells: int) -> NDArray[np.float32]:
    """Gaussians along one axis, each 1 in the cell nearest to its position: float32 (n, num_cells)."""
    squares = (np.arange(num_cells) + 0.5 - positions[:, None]) ** 2
    powers = (squares.min(axis=1, keepdims=True) - squares) / (2 * spreads[:, None] ** 2)
    return np.asarray(np.exp(powers), dtype=np.float32)


def _owners(ids: NDArray[np.uint16], num_ids: int, height: int, width: int) -> tuple[NDArray[Any], NDArray[np.float32]]:
    """Returns (the id that covers most of each cell, int64 (height, width), 0 = none; the share that it covers)."""
    owners, shares = np.zeros((height, width), np.int64), np.zeros((height, width), np.float32)
    if num_ids == 1:
        return owners, shares
    edges = np.searchsorted(cell_of_pixel(len(ids), height), np.arange(height + 1))
    columns = cell_of_pixel(ids.shape[1], width) * num_ids
    for row, (start, stop) in enumerate(pairwise(edges)):
        counts = np.bincount((columns + ids[start:stop]).ravel(), minlength=width * num_ids).reshape(width, num_ids)
        most = counts[:, 1:].max(axis=1)
        owners[row] = np.where(most > 0, counts[:, 1:].argmax(axis=1) + 1, 0)
        shares[row] = most / counts.sum(axis=1)
    return owners, shares
