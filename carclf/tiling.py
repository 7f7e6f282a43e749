"""Large photos, looked at in overlapping tiles: where they lie, their pixels, and how their answers become one.

A photo that is larger than a tile is cut into tiles of about `tile` × `tile` of its own pixels. Each is resized to the
network's input, the network answers on its grid of cells, and the grids are laid over each other on one large grid
whose cells are those of the tiles. A side that is no longer than the tile is not cut.

Tiles begin and end at whole cells, so an answer is moved, never resampled. Pixels are resized as if the whole photo
were: the filter sees beyond a tile's edge, and a pixel of the photo looks the same in every tile that shows it. What
differs between tiles is how much a network sees around a cell; where tiles overlap, their answers fade into each other
linearly towards the edges, as in the overlap-tile strategy of U-Net (Ronneberger et al., 2015), blended.

Memory: the photo's own bytes, one batch of tiles, and a float32 per cell and class. Tiles see the photo as
`images.read_full_photo` gives it, in 8 bits: of a photo with 16 bits, or with pixels that shine through, that is up to
1/510 off what `images.decode_photo` gives for the whole photo.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[Any]
Box = tuple[float, float, float, float]

TILES_TOGETHER = 8  # tiles handed to the network at once: 10 MB at 320 × 320; never changes an answer


@dataclass(frozen=True)
class Side:
    """One side of a photo, cut into tiles; a cell is pixels / cells pixels wide.

    Attributes:
        pixels: of the photo, along this side.
        cells: of the stitched grid, along this side.
        tile_cells: of each tile.
        starts: the first cell of each tile, rising; the last tile ends with the last cell.
    """

    pixels: int
    cells: int
    tile_cells: int
    starts: tuple[int, ...]

    def span(self, start: int) -> tuple[float, float]:
        """Where the tile that begins with cell `start` lies, in pixels from 0 to self.pixels."""
        # products first: the last one is self.pixels to the last bit
        return start * self.pixels / self.cells, (start + self.tile_cells) * self.pixels / self.cells

    @cached_property
    def weights(self) -> NDArray[np.float32]:
        """How much each tile counts in each of its cells, float32 (tiles, tile_cells); sums to 1 in every cell."""
        raw = np.ones((len(self.starts), self.tile_cells))
        rising = np.arange(self.tile_cells) + 0.5  # cells between a tile's edge and the middle of a cell
        for index, (left, right) in enumerate(zip(self.starts, self.starts[1:], strict=False)):
            overlap = max(left + self.tile_cells - right, 0.5)  # 0.5: tiles that only touch do not fade
            raw[index] = np.minimum(raw[index], rising[::-1] / overlap)
            raw[index + 1] = np.minimum(raw[index + 1], rising / overlap)
        total = np.zeros(self.cells)
        for start, row in zip(self.starts, raw, strict=True):
            total[start : start + self.tile_cells] += row
        shares = [row / total[start : start + self.tile_cells] for start, row in zip(self.starts, raw, strict=True)]
        return np.array(shares, np.float32)


@dataclass(frozen=True)
class TilePlan:
    """The tiles of a photo, row by row from its upper left corner.

    Attributes:
        across: its width.
        down: its height.
    """

    across: Side
    down: Side

    def __len__(self) -> int:
        """The number of tiles; 1 = the photo is looked at whole."""
        return len(self.across.starts) * len(self.down.starts)

    @property
    def grid(self) -> tuple[int, int]:
        """(rows, columns) of the cells of one tile."""
        return self.down.tile_cells, self.across.tile_cells

    @property
    def cells(self) -> tuple[int, int]:
        """(rows, columns) of the stitched grid."""
        return self.down.cells, self.across.cells

    @property
    def offsets(self) -> list[tuple[int, int]]:
        """(row, column) of each tile's first cell in the stitched grid."""
        return list(product(self.down.starts, self.across.starts))

    @property
    def boxes(self) -> list[Box]:
        """(left, top, right, bottom) of each tile, in pixels of the photo."""
        made = []
        for row, column in self.offsets:
            (left, right), (top, bottom) = self.across.span(column), self.down.span(row)
            made.append((left, top, right, bottom))
        return made


def plan_tiles(size: tuple[int, int], tile: int, overlap: int, grid: tuple[int, int]) -> TilePlan:
    """Cuts a photo into tiles.

    A side that is longer than the tile gets floor(side · g / tile) cells, g of which are a tile: so a tile is `tile`
    pixels wide or at most one in g more, and a photo that is that little larger is one tile. Tiles are spread evenly,
    as few as the overlap allows; neighbours may share more than it.

    Args:
        size: (width, height) of the photo held upright, pixels.
        tile: pixels of the photo that a tile is wide and high.
        overlap: pixels that neighbouring tiles share at least, from 0; a cell less than the tile at most.
        grid: (rows, columns) of the network's answer to one tile.

    Raises:
        ValueError: if the overlap is too much for the tile, whatever the photo, or a number is no size.
    """
    width, height = size
    if min(width, height, tile, *grid) < 1 or overlap < 0:
        raise ValueError(
            f"a photo of {width} × {height} pixels, tiles of {tile} with an overlap of {overlap} and a grid of "
            f"{grid[0]} × {grid[1]}: sizes of 1 or more and an overlap of 0 or more were expected."
        )
    most = tile - -(-tile // min(grid))  # a whole cell has to be new in every tile
    if overlap > most:
        raise ValueError(
            f"an overlap of {overlap} is too much for tiles of {tile} pixels that are answered in "
            f"{grid[0]} × {grid[1]} cells: from tile to tile a whole cell has to be new. "
            f"Set the overlap to {most} or less."
        )
    return TilePlan(_cut_side(width, tile, overlap, grid[1]), _cut_side(height, tile, overlap, grid[0]))


def cut_tiles(
    photo: NDArray[np.uint8], plan: TilePlan, image_size: int, batch_size: int = TILES_TOGETHER
) -> Iterator[NDArray[np.float32]]:
    """Yields the tiles for the network, in the order of the plan; only those of one batch are in memory.

    Args:
        photo: uint8 (height, width, 3), RGB, upright, of the size that was planned for.
        plan: where the tiles lie.
        image_size: S, pixels on each side of the network's input.
        batch_size: tiles that come together.

    Yields:
        float32 (b, S, S, 3), RGB, in [0, 1], with b = batch_size but for the last ones.

    Raises:
        ValueError: if the photo has another size than the plan.
    """
    planned = (plan.down.pixels, plan.across.pixels, 3)
    if photo.shape != planned:
        raise ValueError(f"a photo of shape {planned} was planned for, but {photo.shape} came.")
    boxes = plan.boxes
    for first in range(0, len(boxes), batch_size):
        yield np.stack([_resize_box(photo, box, image_size) for box in boxes[first : first + batch_size]])


def stitch(plan: TilePlan, grids: Iterable[Array]) -> NDArray[np.float32]:
    """Blends the answers to the tiles into one.

    Args:
        plan: where the tiles lie.
        grids: batches of the answers in the order of `cut_tiles`, float (b, g_h, g_w, C): anything whose mean means
            something, as probabilities do.

    Returns:
        float32 (cells_h, cells_w, C). Weights sum to 1 to float32's last bits; with one tile its answer, unchanged.

    Raises:
        ValueError: if the answers are not those of the plan's tiles.
    """
    offsets, shares = plan.offsets, list(product(plan.down.weights, plan.across.weights))
    stitched: NDArray[np.float32] | None = None
    seen = 0
    for grid in (grid for batch in grids for grid in batch):
        if grid.ndim != 3 or grid.shape[:2] != plan.grid or seen == len(plan):
            raise ValueError(f"{len(plan)} grids of {plan.grid} cells were expected; number {seen + 1}: {grid.shape}.")
        if stitched is None:
            stitched = np.zeros((*plan.cells, grid.shape[-1]), np.float32)
        (top, left), (rows, columns) = offsets[seen], shares[seen]
        part = stitched[top : top + plan.grid[0], left : left + plan.grid[1]]
        part += grid * (rows[:, None] * columns)[:, :, None]
        seen += 1
    if stitched is None or seen < len(plan):
        raise ValueError(f"{len(plan)} grids were expected, but {seen} came.")
    return stitched


def _cut_side(pixels: int, tile: int, overlap: int, tile_cells: int) -> Side:
    # rounded down: so cells are no smaller than tile / tile_cells, and no photo needs more of them for its overlap
    cells = max(tile_cells, pixels * tile_cells // tile) if pixels > tile else tile_cells
    new = tile_cells - -(-overlap * cells // pixels)  # cells of a tile that the one before it need not have
    # at even distances, rounded down: no step is larger than `new`, a whole number that no distance exceeds
    steps = -(-(cells - tile_cells) // new) if cells > tile_cells else 0
    starts = tuple(index * (cells - tile_cells) // max(steps, 1) for index in range(steps + 1))
    return Side(pixels, cells, tile_cells, starts)


def _resize_box(photo: NDArray[np.uint8], box: Box, image_size: int) -> NDArray[np.float32]:
    """Resizes a box of the photo to float32 (S, S, 3) in [0, 1], with the filter of images.resize_channel.

    Pillow cuts the filter off at the image's edges, not at the box': so a crop with a margin of the filter's reach
    gives what the whole photo would give. Pillow holds the box in float32: the smaller the crop, the finer.
    """
    left, width = _reach(box[0], box[2], photo.shape[1], image_size)
    top, height = _reach(box[1], box[3], photo.shape[0], image_size)
    crop = photo[top : top + height, left : left + width]
    within = (box[0] - left, box[1] - top, box[2] - left, box[3] - top)
    pixels = np.empty((image_size, image_size, 3), np.float32)
    for index in range(3):
        channel = Image.fromarray(crop[:, :, index].astype(np.float32))
        resized = channel.resize((image_size, image_size), Image.Resampling.BILINEAR, within)
        pixels[:, :, index] = np.asarray(resized)
    pixels /= np.float32(255.0)
    return np.clip(pixels, 0.0, 1.0, out=pixels)  # as images.decode_photo does


def _reach(begin: float, end: float, pixels: int, image_size: int) -> tuple[int, int]:
    """The first pixel and the number of pixels that the filter sees along one side of a box."""
    # beyond the box it sees half of an output pixel, or one of the photo where that is more; the rest is for rounding
    margin = int((end - begin) / image_size) + 2
    first = max(int(begin) - margin, 0)
    return first, min(int(end) + margin, pixels) - first
