"""Photos of drawn true and found regions, and what COCO's evaluator makes of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from carclf.annotations.instances import Instances
from carclf.annotations.shapes import Runs, make_runs, rasterise
from carclf.region_matching import match_regions
from carclf.region_scores import JudgedRegions, join_photos
from carclf.regions.region import Region

HEIGHT, WIDTH = 24, 32


@dataclass(frozen=True)
class Found:
    """A found region; what match_regions asks of one."""

    class_id: int
    probability: float
    pixels: Runs


def region_pixels(region: Region, size: tuple[int, int]) -> NDArray[np.bool_]:
    """The pixels of a region in its photo of `size` (width, height): bool (height, width)."""
    return rasterise([(1, region.pixels)], *size).view(bool)


@dataclass(frozen=True)
class DrawnPhoto:
    found: tuple[Found, ...]
    true: Instances
    num_classes: int = 3

    def judge(self) -> JudgedRegions:
        return match_regions(self.found, self.true, np.zeros((HEIGHT, WIDTH), bool), self.num_classes)


def judge_all(photos: Sequence[DrawnPhoto]) -> JudgedRegions:
    return join_photos([photo.judge() for photo in photos], num_classes=photos[0].num_classes)


def draw_photo(rng: np.random.Generator, most_true: int = 6, most_found: int = 8, levels: int = 6) -> DrawnPhoto:
    """Draws true regions that touch, found ones like them and others; few `levels` make equal probabilities."""
    drawn = np.zeros((HEIGHT, WIDTH), np.int64)
    for number in range(1, int(rng.integers(most_true + 1)) + 1):
        drawn |= np.where(drawn == 0, number * draw_box(rng), 0)
    shown, ids = np.unique(drawn, return_inverse=True)
    true = Instances(ids.reshape(drawn.shape).astype(np.uint16), rng.integers(1, 4, len(shown) - 1).astype(np.uint8))
    found = []
    for _ in range(rng.integers(most_found + 1)):
        pixels, class_id = draw_box(rng), int(rng.integers(1, 4))
        if len(true.class_ids) and rng.random() < 0.8:
            number = int(rng.integers(len(true.class_ids)))
            pixels = np.roll(true.ids == number + 1, rng.choice([-1, 0, 0, 0, 1], 2), (0, 1))
            class_id = int(true.class_ids[number])
        pixels = pixels & (rng.random(pixels.shape) < rng.choice([0.8, 1.0]))
        pixels[0, 0] |= not pixels.any()
        found.append(Found(class_id, float(rng.integers(levels) / levels), pack_box(pixels)))
    return DrawnPhoto(tuple(found), true)


def draw_box(rng: np.random.Generator) -> NDArray[np.bool_]:
    """Draws a rectangle on a photo, on a grid, so that many touch."""
    (left, top), (width, height) = 4 * rng.integers(0, [7, 5]), rng.integers(4, 11, 2)
    pixels = np.zeros((HEIGHT, WIDTH), bool)
    pixels[top : top + height, left : left + width] = True
    return pixels


def pack_box(pixels: NDArray[np.bool_]) -> Runs:
    """Packs the box around the pixels, as a finder of regions does."""
    left, top, right, bottom = Image.fromarray(pixels).getbbox() or (0, 0, 1, 1)
    return make_runs(pixels[top:bottom, left:right], (left, top))


def pack(pixels: NDArray[Any]) -> dict[str, Any]:
    packed: dict[str, Any] = coco_mask.encode(np.asfortranarray(pixels, np.uint8))
    return packed


def whole_pixels(region: Found) -> NDArray[np.uint8]:
    """A found region at the photo's size, unpacked by pycocotools."""
    (width, height), (left, top) = region.pixels.size, region.pixels.origin
    canvas = np.zeros((HEIGHT, WIDTH), np.uint8)
    inner = coco_mask.decode({"size": [height, width], "counts": region.pixels.counts})
    canvas[top : top + height, left : left + width] = inner
    return canvas


def evaluate_with_coco(photos: Sequence[DrawnPhoto]) -> Any:
    """COCO's evaluator, after `accumulate` and `summarize`."""
    num_classes = photos[0].num_classes
    truths: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for row, photo in enumerate(photos, 1):
        for number, class_id in enumerate(photo.true.class_ids, 1):
            packed = pack(photo.true.ids == number)
            truths.append({"id": len(truths) + 1, "image_id": row, "category_id": int(class_id), "iscrowd": 0})
            truths[-1] |= {"segmentation": packed, "area": float(coco_mask.area(packed))}
        for region in photo.found:
            results.append({"image_id": row, "category_id": region.class_id, "score": region.probability})
            results[-1]["segmentation"] = pack(whole_pixels(region))
    known = COCO()
    known.dataset = {
        "info": {},
        "images": [{"id": row, "height": HEIGHT, "width": WIDTH} for row in range(1, len(photos) + 1)],
        "categories": [{"id": class_id, "name": str(class_id)} for class_id in range(1, num_classes + 1)],
        "annotations": truths,
    }
    known.createIndex()
    evaluator = COCOeval(known, known.loadRes(results), iouType="segm")
    evaluator.evaluate()
    evaluator.accumulate()
    evaluator.summarize()
    return evaluator
