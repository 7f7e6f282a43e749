"""The cached feature maps of a head's photos, read batch by batch, so that they need no memory."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Given = TypeVar("Given")
Made = TypeVar("Made")


@dataclass(frozen=True)
class MapReader:
    """Maps of m photos in one or two views; the arrays may be memory maps of any size.

    Attributes:
        maps: level -> float16 (rows, h, w, c).
        rows: level -> int64 (views, m): where each photo's map lies; view 1 is the mirrored photo.
    """

    maps: Mapping[str, Array]
    rows: Mapping[str, Array]

    @property
    def views(self) -> int:
        """1 = the photos, 2 = and their mirror images."""
        return int(min(len(rows) for rows in self.rows.values()))

    @property
    def shapes(self) -> dict[str, tuple[int, int, int]]:
        """Level -> (h, w, c)."""
        return {
            level: (int(maps.shape[1]), int(maps.shape[2]), int(maps.shape[3])) for level, maps in self.maps.items()
        }

    def read(self, photos: Array, views: Array | int) -> dict[str, Array]:
        """Reads one view of each photo.

        Args:
            photos: int (b,), in 0 … m - 1.
            views: int (b,) or one number for all: 0 = the photo, 1 = mirrored.

        Returns:
            level -> float16 (b, h, w, c).
        """
        return {level: np.asarray(maps[self.rows[level][views, photos]]) for level, maps in self.maps.items()}

    def read_views(self, photos: Array, views: int | None = None) -> dict[str, Array]:
        """Reads the first views, or all: level -> float16 (views, b, h, w, c)."""
        each = [self.read(photos, view) for view in range(views or self.views)]
        return {level: np.stack([view[level] for view in each]) for level in self.maps}


def grid_size(shapes: Mapping[str, tuple[int, int, int]]) -> tuple[int, int]:
    """The (height, width) of a decoder's output: the finest map's."""
    height, width, _ = max(shapes.values())
    return height, width


def read_ahead(make: Callable[[Given], Made], given: Iterable[Given]) -> Iterator[Made]:
    """Yields make(item) for every item, in order, and makes the next one meanwhile in a thread."""
    with ThreadPoolExecutor(1) as pool:
        pending = None
        for item in given:
            following = pool.submit(make, item)
            if pending is not None:
                yield pending.result()
            pending = following
        if pending is not None:
            yield pending.result()
