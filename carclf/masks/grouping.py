"""What a network says of centres and offsets -> single regions, on its grid and at the photo's own size.

Every cell of the foreground votes for a place, its own middle moved by its offset, and belongs to the centre that is
nearest to it (Panoptic-DeepLab; Cheng et al., 2020). Two things are not as there:

- A centre is not the hottest cell of a window, but a maximum that stands out (its dynamics; Grimaud, 1992). Where the
  middle of a large damage cannot be told to a cell, the heat is broad and rough, and every ripple would be a region.
- A component of the foreground whose votes lead to its own middle, and not to the centres that are known, is one
  region: so what no centre is found for does not fall to some centre far off, and false centres split nothing.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carclf.labels import IGNORED_PIXEL
from carclf.masks.instance_targets import cell_of_pixel

Array = NDArray[Any]
_WITH_CORNERS = np.ones((3, 3), bool)  # cells that touch at a corner hang together
_SLACK = 1.0  # cells: a centre is known to half a cell down and half a cell right, 0.7 away at most


@dataclass(frozen=True)
class GroupingSettings:
    """How cells are grouped.

    Attributes:
        least_heat: that a centre has, in (0, 1). The paper's 0.1 splits whole regions where a network is not sure; with
            more, what loses its centre still is a region, unless it touches another one.
        depth: by which share the heat must sink between a centre and a hotter one, in (0, 1). With a half, centres are
            told apart that are two cells from each other, or three if both lie at their cells' edges.
        most_centres: in one photo, the hottest ones; 200 as in the paper.
        least_foreground: probability of any class that a cell of the foreground has, in (0, 1].
    """

    least_heat: float = 0.2
    depth: float = 0.5
    most_centres: int = 200
    least_foreground: float = 0.5

    def __post_init__(self) -> None:
        """Refuses what is out of range."""
        if not 0 < self.least_heat < 1:
            raise ValueError(f"least_heat is {self.least_heat}; a number between 0 and 1 was expected.")
        if not 0 < self.depth < 1:
            raise ValueError(f"depth is {self.depth}; a share between 0 and 1 was expected.")
        if self.most_centres < 1:
            raise ValueError(f"most_centres is {self.most_centres}; a number from 1 was expected.")
        if not 0 < self.least_foreground <= 1:
            raise ValueError(f"least_foreground is {self.least_foreground}; a number above 0 up to 1 was expected.")


DEFAULTS = GroupingSettings()


def group_cells(
    centre_logits: Array, offsets: Array, foreground: Array, settings: GroupingSettings = DEFAULTS
) -> NDArray[np.int32]:
    """Groups the cells of the foreground into regions.

    Args:
        centre_logits: float32 (h, w), of being a centre.
        offsets: float32 (h, w, 2): how many cells further down and right the centre of the cell's region lies.
        foreground: float32 (h, w), probability of any class, in [0, 1].
        settings: see there.

    Returns:
        int32 (h, w): ids from 1 without a gap, those of the hottest centres first, then of components that vote for
        themselves; 0 outside the foreground, and only there.
    """
    from scipy.ndimage import label
    from scipy.spatial import KDTree

    inside = foreground >= settings.least_foreground
    ids = np.zeros(inside.shape, np.int32)
    components, count = label(inside, structure=_WITH_CORNERS)
    centres = find_centres(centre_logits, settings)
    places = np.argwhere(inside) + 0.5
    votes = places + offsets[inside]
    of_component = components[inside] - 1
    if not len(centres):
        ids[inside] = of_component + 1
        return ids
    away, nearest = KDTree(centres).query(votes)
    own = _votes_for_itself(places, votes, away, of_component, count)
    chosen = np.where(own[of_component], len(centres) + of_component, nearest)
    ids[inside] = np.unique(chosen, return_inverse=True)[1] + 1
    return ids


def find_centres(centre_logits: Array, settings: GroupingSettings = DEFAULTS) -> NDArray[np.float64]:
    """Finds the maxima of the heat that stand out: nothing hotter is met on any way down by the share `depth`.

    Cells of one maximum that touch are one centre, in their middle: a centre between two cells heats both alike.

    Args:
        centre_logits: float32 (h, w).
        settings: see there.

    Returns:
        float64 (n, 2): (y, x) in cells, the hottest first.
    """
    from scipy.ndimage import center_of_mass, label, maximum, maximum_filter
    from scipy.special import expit

    heat = expit(centre_logits.astype(np.float64))
    highest = centre_logits == maximum_filter(centre_logits, 3, mode="nearest")
    maxima, count = label(highest & (heat >= settings.least_heat), structure=_WITH_CORNERS)
    hotness = maximum(centre_logits, maxima, np.arange(1, count + 1))
    seen = np.zeros(heat.shape, bool)  # of maxima that are hotter
    chosen: list[int] = []
    for number in np.argsort(-np.asarray(hotness), kind="stable") + 1:
        here = maxima == number
        above, _ = label(heat > (1 - settings.depth) * heat[here].max(), structure=_WITH_CORNERS)
        if not seen[above == above[here][0]].any():
            chosen.append(number)
        if len(chosen) == settings.most_centres:
            break
        seen |= here
    return np.array(center_of_mass(highest, maxima, chosen)).reshape(-1, 2) + 0.5


def instances_at_size(cells: NDArray[np.int32], mask: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Brings ids from the grid to the pixels of a mask.

    A pixel takes the id of its cell. If that has none, it takes the nearest cell's of those ids that its component of
    the mask shows; a component that shows none becomes a region of its own.

    Args:
        cells: int32 (h, w), ids from 1; 0 = none.
        mask: uint8 (H, W), class ids, 0 = background, as is IGNORED_PIXEL.

    Returns:
        int32 (H, W), ids from 1; 0 in the background, and only there. An id of which the mask shows nothing is in none.
    """
    import cv2

    rows, columns = (cell_of_pixel(pixels, count) for pixels, count in zip(mask.shape, cells.shape, strict=True))
    inside = (mask > 0) & (mask != IGNORED_PIXEL)
    ids = cells[rows[:, None], columns]
    ids[~inside] = 0
    lacking = inside & (ids == 0)
    if not lacking.any():
        return ids
    _, components, table, _ = cv2.connectedComponentsWithStats(inside.view(np.uint8), connectivity=8)
    next_id = int(cells.max()) + 1
    for number in np.unique(components[lacking]):
        left, top, width, height, _ = table[number].tolist()
        place = slice(top, top + height), slice(left, left + width)
        without = lacking[place] & (components[place] == number)
        shown = np.setdiff1d(ids[place][components[place] == number], [0])
        if shown.size:
            filled = _nearest_of(cells, shown)
            ids[place][without] = filled[rows[place[0], None], columns[place[1]]][without]
        else:
            ids[place][without] = next_id
            next_id += 1
    return ids


def _votes_for_itself(places: Array, votes: Array, away: Array, of_component: Array, count: int) -> NDArray[np.bool_]:
    """Whether the votes of a component lie nearer to its own middle than to the centres nearest to them.

    Args:
        places: float (n, 2), of cells.
        votes: float (n, 2).
        away: float (n,), from each vote to the nearest centre.
        of_component: int (n,), which one a cell is in, from 0.
        count: of components.

    Returns:
        bool (count,).
    """
    sizes = np.bincount(of_component, minlength=count)
    sums = [np.bincount(of_component, places[:, axis], count) for axis in (0, 1)]
    middles = np.stack(sums, axis=1) / sizes[:, None]
    to_itself = np.linalg.norm(votes - middles[of_component], axis=1)
    further = np.bincount(of_component, away - to_itself, count) / sizes
    return np.asarray(further > _SLACK)


def _nearest_of(cells: NDArray[np.int32], known: NDArray[np.int32]) -> NDArray[np.int32]:
    """Returns for every cell, (h, w), which of the known ids is nearest to it."""
    from scipy.ndimage import distance_transform_edt

    nearest = distance_transform_edt(~np.isin(cells, known), return_distances=False, return_indices=True)
    return np.asarray(cells[tuple(nearest)])
