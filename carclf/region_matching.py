"""Found regions × true regions of one photo: which prediction is the match of which true region."""

from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from carclf.annotations.instances import Instances
from carclf.annotations.shapes import Runs, draw_part
from carclf.region_scores import IOU_THRESHOLDS, JudgedRegions
from carclf.scores import Array

MOST_PREDICTIONS = 100  # of a class in a photo, those with the highest probability: as COCO's evaluator (maxDets)


class FoundRegion(Protocol):
    """What is asked of a predicted region."""

    @property
    def class_id(self) -> int:
        """From 1 on."""

    @property
    def probability(self) -> float:
        """In [0, 1]."""

    @property
    def pixels(self) -> Runs:
        """The pixels of its box, which lies at `origin` in the photo."""


def match_regions(
    regions: Sequence[FoundRegion], true: Instances, ignored: NDArray[np.bool_], num_classes: int
) -> JudgedRegions:
    """Matches the regions that were found in one photo to the true ones, as COCO's evaluator does (Lin et al., 2014).

    Class by class, predictions choose by falling probability, the first 100 of them: each takes the true region with
    the highest IoU that no other one has taken, if the IoU reaches the threshold. Pixels that nobody has judged do not
    count: a prediction is cut down to the others, and one of which nothing is left is not judged.

    Args:
        regions: of classes 1 to C, at the photo's own size; they may overlap.
        true: at the photo's own size.
        ignored: bool (height, width), pixels that nobody has judged.
        num_classes: C, without the background.

    Returns:
        The photo as the only one (row 0); its predictions by class, within a class by falling probability.
    """
    class_ids: list[int] = []
    probabilities: list[float] = []
    matched = [np.zeros((0, len(IOU_THRESHOLDS)), bool)]
    areas = true.count_pixels()
    for class_id in range(1, num_classes + 1):
        own = [region for region in regions if region.class_id == class_id]
        own.sort(key=lambda region: -region.probability)  # stable: equal ones as they came
        common, sizes = _count_common(own, true, ignored)
        judged = np.flatnonzero(sizes)[:MOST_PREDICTIONS]
        truths = np.flatnonzero(true.class_ids == class_id)
        common, sizes = common[np.ix_(judged, truths)], sizes[judged]
        matched.append(_choose(common / (sizes[:, None] + areas[truths] - common)))
        class_ids += [class_id] * len(judged)
        probabilities += [own[index].probability for index in judged]
    return JudgedRegions(
        photos=np.zeros(len(class_ids), np.int64),
        class_ids=np.array(class_ids, np.int64),
        probabilities=np.array(probabilities, np.float64),
        matched=np.concatenate(matched),
        true_counts=np.bincount(true.class_ids, minlength=num_classes + 1)[None, 1:],
    )


def _count_common(regions: Iterable[FoundRegion], true: Instances, ignored: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Counts the judged pixels that predictions have in common with true regions.

    True regions never overlap, so one count of the ids under a prediction gives all its intersections, at the size of
    its box; packing both for pycocotools' `iou`, which gives the same ratios, takes an array of the photo's size each.

    Returns:
        (pixels in common, int64 (k, number of true regions); pixels of each prediction, int64 (k,)).
    """
    height, width = true.ids.shape
    rows = [np.zeros((0, len(true.class_ids) + 1), np.int64)]
    for region in regions:
        (left, top), drawn = draw_part(region.pixels, width, height)
        part = (slice(top, top + drawn.shape[0]), slice(left, left + drawn.shape[1]))
        under = true.ids[part][drawn & ~ignored[part]]
        rows.append(np.bincount(under, minlength=len(true.class_ids) + 1)[None])
    counts = np.concatenate(rows)  # of id 0, too: pixels on no true region
    return counts[:, 1:], counts.sum(axis=1)


def _choose(ious: Array) -> NDArray[np.bool_]:
    """Gives true regions to predictions, at every one of IOU_THRESHOLDS.

    Args:
        ious: float64 (k, number of true regions), predictions by falling probability.

    Returns:
        bool (k, 10): whether the prediction got one.
    """
    matched = np.zeros((len(ious), len(IOU_THRESHOLDS)), bool)
    if not ious.shape[1]:
        return matched
    levels = np.arange(len(IOU_THRESHOLDS))
    free = np.ones((len(levels), ious.shape[1]), bool)
    for row, line in enumerate(ious):
        open_to = np.where(free, line, -1.0)
        best = ious.shape[1] - 1 - open_to[:, ::-1].argmax(axis=1)  # of equal ones the last, as COCO's evaluator
        matched[row] = open_to[levels, best] >= IOU_THRESHOLDS
        free[levels[matched[row]], best[matched[row]]] = False
    return matched
