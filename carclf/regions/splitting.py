"""A mask of classes -> regions: what hangs together, with touching damages told apart.

The pixels of a class that hang together by edges or corners are one component. A component becomes several regions
where it is narrow between wider parts: it is flooded from the middles of its parts (watershed; Beucher and Meyer, 1993;
Vincent and Soille, 1991) over the distance to its edge. The middles are h-maxima (Soille, 1999) of the distance's
logarithm: what counts is by which share the joint is narrower than the parts, the same for a small and a large damage.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carclf.config_masks import RegionConfig
from carclf.mask_images import resize_mask_probability
from carclf.regions.region import Region, make_region

Mask = NDArray[np.uint8]
Pixels = NDArray[np.bool_]
Part = tuple[Pixels, tuple[int, int]]
"""bool (h, w) and the (x, y) of its upper left pixel in the photo."""

_CONFIG = RegionConfig()  # its defaults, with their reasons
_LOADING = Lock()  # scikit-image loads its parts when asked for them: a second thread would find them half loaded


@dataclass(frozen=True)
class RegionSettings:
    """How regions are made of a mask.

    Attributes:
        split: tell touching damages apart.
        split_depth: by which share a joint must be narrower than the thinner of the parts that it joins, in (0, 1). Of
            400 damages, drawn by people and pushed together in pairs until they overlap a little, 0.6 finds 80 % again
            (0.7: 70 %, 0.5: 87 %); of people's masks of 453 photos with 468 damages it makes 16 more pieces than
            components do (0.7: 9, 0.5: 22).
        min_area_share: smaller regions are dropped: share of the photo's pixels. People's smallest damage, of 466, has
            0.0013; what is smaller than half of it is a speck.
        working_side: pixels; of a photo whose longer side is longer, a smaller copy of the mask is split, and the parts
            are brought back, which bounds time and memory. Smaller photos are split pixel by pixel.
        quantile: of the class' probability over a region's pixels, which stands for the region: in [0, 1].
    """

    split: bool = _CONFIG.split
    split_depth: float = _CONFIG.split_depth
    min_area_share: float = _CONFIG.min_area
    working_side: int = 1024
    quantile: float = 0.95

    def __post_init__(self) -> None:
        """Refuses what is out of range."""
        if not 0 < self.split_depth < 1:
            raise ValueError(f"split_depth is {self.split_depth}; a share between 0 and 1 was expected.")
        if not 0 <= self.min_area_share < 1:
            raise ValueError(f"min_area_share is {self.min_area_share}; a share from 0 to below 1 was expected.")
        if self.working_side < 1:
            raise ValueError(f"working_side is {self.working_side}; a number of pixels from 1 was expected.")
        if not 0 <= self.quantile <= 1:
            raise ValueError(f"quantile is {self.quantile}; a number from 0 to 1 was expected.")


DEFAULTS = RegionSettings()


def find_regions(
    mask: Mask, probabilities: NDArray[np.float32], settings: RegionSettings = DEFAULTS
) -> tuple[Region, ...]:
    """Finds the regions of a mask. Every pixel of a class is in one of them, but for those of dropped components.

    A region's probability says whether there is damage of the class, not how sure its edge is: a high quantile of the
    class' probability over its pixels. The mean would be pulled down by the soft edge, most of all in small and thin
    damages; the maximum would hang on one pixel.

    Args:
        mask: uint8 (H, W), class ids from 1; 0 = background; ids that have no probability, such as 255 = ignored,
            are in no region.
        probabilities: float32 (h, w, C), of the classes, in [0, 1], on any grid over the photo.
        settings: see there.

    Returns:
        the regions, the most probable first.
    """
    least, factor = _least_area(mask, settings), max(1.0, max(mask.shape) / settings.working_side)
    regions: list[Region] = []
    for class_id in range(1, probabilities.shape[-1] + 1):
        components = _components(mask == class_id, least)
        if settings.split:
            components = (part for whole in components for part in _split(whole, factor, least, settings.split_depth))
        regions += _measure(class_id, components, probabilities, mask.shape, settings.quantile)
    return _most_probable_first(regions)


def make_regions(
    instances: NDArray[np.int32], mask: Mask, probabilities: NDArray[np.float32], settings: RegionSettings = DEFAULTS
) -> tuple[Region, ...]:
    """Makes regions of instances that something else has told apart, such as a network.

    A region covers the pixels of its instance that have a class in the mask; its class is that of most of them.
    Instances are neither split nor need they hang together; pixels of no instance are in no region.

    Args:
        instances: int32 (H, W), ids from 1; 0 = none.
        mask: see find_regions.
        probabilities: see find_regions.
        settings: see there; those about splitting do nothing.

    Returns:
        the regions, the most probable first.

    Raises:
        ValueError: if the mask is of another size.
    """
    from scipy.ndimage import find_objects

    if instances.shape != mask.shape:
        raise ValueError(f"instances are {instances.shape}, but the mask is {mask.shape}.")
    num_classes = probabilities.shape[-1]
    least = _least_area(mask, settings)
    of_class: dict[int, list[Part]] = {}
    for number, place in enumerate(find_objects(instances), 1):
        if place is None:  # an id that no pixel has
            continue
        ids = mask[place]
        pixels = (instances[place] == number) & (ids > 0) & (ids <= num_classes)
        counts = np.bincount(ids[pixels], minlength=1)
        if counts.sum() >= least:
            of_class.setdefault(int(counts.argmax()), []).append((pixels, (place[1].start, place[0].start)))
    regions: list[Region] = []
    for class_id, parts in of_class.items():
        regions += _measure(class_id, parts, probabilities, mask.shape, settings.quantile)
    return _most_probable_first(regions)


def _least_area(mask: Mask, settings: RegionSettings) -> int:
    """Pixels that a region of this photo has at least."""
    return max(1, math.ceil(settings.min_area_share * mask.size))


def _components(pixels: Pixels, least: int) -> Iterator[Part]:
    """Yields what hangs together by edges or corners and has `least` pixels."""
    import cv2

    count, labels, table, _ = cv2.connectedComponentsWithStats(pixels.view(np.uint8), connectivity=8)
    for number in range(1, count):  # 0 is the background
        left, top, width, height, area = table[number].tolist()
        if area >= least:
            yield labels[top : top + height, left : left + width] == number, (left, top)


def _split(whole: Part, factor: float, least: int, depth: float) -> Iterator[Part]:
    """Yields the regions of a component.

    Args:
        whole: the component.
        factor: by which the copy that is split is smaller than the photo; from 1.
        least: pixels that a region has at least.
        depth: see RegionSettings.split_depth.
    """
    pixels, origin = whole
    small = _reduce(pixels, factor) if np.count_nonzero(pixels) >= 2 * least else None
    labels = _flood(small, least / factor**2, depth) if small is not None else None
    if labels is None:
        yield whole
        return
    height, width = pixels.shape
    rows = np.arange(height) * labels.shape[0] // height
    columns = np.arange(width) * labels.shape[1] // width
    enlarged = labels[rows[:, None], columns]
    for number in np.unique(labels):
        yield pixels & (enlarged == number), origin


def _reduce(pixels: Pixels, factor: float) -> Pixels:
    """Makes a component smaller by a factor; a pixel of the copy belongs to it if half of what it stands for does."""
    import cv2

    if factor == 1:
        return pixels
    height, width = (max(1, round(side / factor)) for side in pixels.shape)
    shares = cv2.resize(pixels.view(np.uint8) * np.uint8(255), (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(shares > 127)


def _flood(pixels: Pixels, least: float, depth: float) -> NDArray[np.int32] | None:
    """Tells the parts of a component apart; one of fewer than `least` pixels joins the nearest other.

    Returns:
        int32 (h, w): for every pixel, also beside the component, the part that it is in or nearest to; None if there
        are not two.
    """
    import cv2
    from scipy.ndimage import distance_transform_edt, label

    with _LOADING:
        from skimage import morphology, segmentation

        skimage: Any = morphology.reconstruction, morphology.local_maxima, segmentation.watershed  # have no types
    reconstruct, find_maxima, watershed = skimage
    solid = _fill_holes(pixels, least)
    distance = cv2.distanceTransform(np.pad(solid, 1).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    # one more pixel, or a line of changing width would fall apart at every step of a pixel
    height = np.log(distance + 1)
    # cut off at the depth below them, peaks that no deeper joint parts have one top; skimage's own h_maxima makes two
    # of peaks of the same height, as on every ridge
    cut = reconstruct(height + math.log(1 - depth), height, footprint=np.ones((3, 3)))
    markers, count = label(find_maxima(cut, connectivity=2) & solid, np.ones((3, 3)))
    if count < 2:
        return None
    parts = watershed(-height, markers, mask=solid, connectivity=2)
    large = np.bincount(parts.ravel(), minlength=count + 1) >= least
    large[0] = False
    if np.count_nonzero(large) < 2:
        return None
    nearest = distance_transform_edt(~large[parts], return_distances=False, return_indices=True)
    return np.asarray(parts[tuple(nearest)], dtype=np.int32)


def _fill_holes(pixels: Pixels, least: float) -> Pixels:
    """Fills holes of fewer than `least` pixels: a speck that is missing makes no joint of what is around it."""
    import cv2

    outside = np.pad(~pixels, 1, constant_values=True).view(np.uint8)
    _count, labels, table, _centers = cv2.connectedComponentsWithStats(outside, connectivity=4)
    small = table[:, cv2.CC_STAT_AREA] < least
    small[[0, labels[0, 0]]] = False  # the component itself; all that is around it
    return np.asarray(pixels | small[labels[1:-1, 1:-1]])


def _measure(
    class_id: int,
    parts: Iterable[Part],
    probabilities: NDArray[np.float32],
    shape: tuple[int, ...],
    quantile: float,
) -> Iterator[Region]:
    """Makes regions of the parts of one class."""
    probability: NDArray[np.float32] | None = None  # as large as the photo: only made for a class that is there
    for pixels, (left, top) in parts:
        if probability is None:
            probability = resize_mask_probability(probabilities[..., class_id - 1], (shape[1], shape[0]))
        height, width = pixels.shape
        values = probability[top : top + height, left : left + width][pixels]
        yield make_region(class_id, float(np.quantile(values, quantile)), pixels, (left, top))


def _most_probable_first(regions: Iterable[Region]) -> tuple[Region, ...]:
    return tuple(sorted(regions, key=lambda region: (-region.probability, -region.area, region.box, region.class_id)))
