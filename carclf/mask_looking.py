"""How a segmentation head looks at photos: whole, or, where they are large, in tiles."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carclf.backbone import Backbone
from carclf.photo_source import PhotoSource
from carclf.tiling import TilePlan, cut_tiles, plan_tiles, stitch
from carclf.views import make_view

Array = NDArray[Any]
Answer = Callable[[Mapping[str, Array]], NDArray[np.float32]]
"""level -> (views, b, h, w, c)  ->  grids, float32 (b, h, w, K)"""
AnswerImages = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""float32 (b, S, S, 3) in [0, 1]  ->  grids, float32 (b, h, w, K)"""


@dataclass(frozen=True)
class Looking:
    """How photos are looked at.

    Attributes:
        backbone: whose maps are read.
        levels: which of them.
        views: 2 = the mirrored photo, too.
        tile: pixels; photos with a longer side are looked at in tiles; None = all as a whole.
        overlap: pixels that neighbouring tiles share.
    """

    backbone: Backbone
    levels: tuple[str, ...]
    views: int
    tile: int | None
    overlap: int

    def plan(self, size: tuple[int, int], grid: tuple[int, int]) -> TilePlan | None:
        """The tiles of a photo of `size` (width, height); None where it is looked at as a whole."""
        if self.tile is None or max(size) <= self.tile:
            return None
        plan = plan_tiles(size, self.tile, self.overlap, grid)
        return plan if len(plan) > 1 else None

    def answer_photo(self, photo: PhotoSource, whole: NDArray[np.float32], answer: Answer) -> NDArray[np.float32]:
        """The grid of a photo, float32 (rows, columns, K).

        Args:
            photo: which is read again where it is looked at in tiles.
            whole: float32 (h, w, K), what is said of it as a whole: the grid, unless it is looked at in tiles.
            answer: says something of the maps of tiles.

        Raises:
            PhotoError: if the photo cannot be read.
        """
        return self.answer_images(photo, whole, lambda tiles: answer(self.maps(tiles)))

    def answer_images(
        self, photo: PhotoSource, whole: NDArray[np.float32], answer: AnswerImages
    ) -> NDArray[np.float32]:
        """The same as answer_photo, where `answer` says something of the tiles themselves."""
        plan = None if self.tile is None else self.plan(photo.read_size(), (whole.shape[0], whole.shape[1]))
        if plan is None:
            return whole
        return stitch(plan, map(answer, cut_tiles(photo.read_full(), plan, self.backbone.image_size)))

    def maps(self, images: NDArray[np.float32]) -> dict[str, Array]:
        """The maps of images, float32 (b, S, S, 3) in [0, 1]: level -> float32 (views, b, h, w, c)."""
        each = [self.backbone.extract(make_view(images, view), maps=True)[1] for view in range(self.views)]
        return {level: np.stack([maps[level] for maps in each]) for level in self.levels}
