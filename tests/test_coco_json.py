import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from carclf.annotations.coco import find_coco, read_coco
from carclf.annotations.records import ReadOptions, Record
from carclf.annotations.shapes import rasterise
from carclf.files import write_json
from carclf.regions.coco_json import PhotoRegions, coco_tree
from carclf.regions.region import Region, make_region
from carclf.regions.splitting import RegionSettings, find_regions
from tests.drawn_regions import region_pixels
from tests.test_regions import discs, smooth, sure

NAMES = ["dent", "scratch, deep"]
SIZE = (160, 110)


def some_regions(seed: int) -> tuple[Region, ...]:
    """Of two classes, some with holes, one a pixel, one a thin line."""
    mask = np.where(smooth(seed, 110, 160, 7), 1, 0).astype(np.uint8)
    mask[discs((90, 40)) > 0] = 2
    mask[discs((90, 40), radius=15) > 0] = 0
    mask[100:104], mask[102, 10:90], mask[102, 120] = 0, 2, 1
    return find_regions(mask, sure(mask, 2) * np.float32(0.9), RegionSettings(min_area_share=0))


def some_photos() -> list[PhotoRegions]:
    return [
        PhotoRegions("cars/a.jpg", SIZE, some_regions(1)),
        PhotoRegions("whole.jpg", (50, 40), ()),
        PhotoRegions("b ö.jpg", SIZE, some_regions(2)),
    ]


def written(folder: Path, tolerance: float) -> Path:
    path = folder / "regions.json"
    write_json(path, coco_tree(some_photos(), NAMES, tolerance))
    return path


def load(path: Path) -> Any:
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(path))


@pytest.mark.parametrize("tolerance", [0, 0.7])
def test_pycocotools_finds_the_same_areas_and_boxes(tmp_path: Path, tolerance: float) -> None:
    coco = load(written(tmp_path, tolerance))
    regions = [region for photo in some_photos() for region in photo.regions]
    assert len(coco.anns) == len(regions) > 10
    for annotation, region in zip(coco.anns.values(), regions, strict=True):
        drawn = coco.annToRLE(annotation)
        assert annotation["area"] == coco_mask.area(drawn)
        assert annotation["bbox"] == coco_mask.toBbox(drawn).tolist()
        assert annotation["category_id"] == region.class_id
        true = region_pixels(region, SIZE)
        pixels = coco.annToMask(annotation) > 0
        if tolerance:
            assert (pixels & true).sum() >= 0.97 * (pixels | true).sum()
        else:
            np.testing.assert_array_equal(pixels, true)
            assert (annotation["area"], annotation["bbox"]) == (region.area, list(region.box))


def test_pycocotools_scores_the_file_against_itself_as_perfect(tmp_path: Path) -> None:
    truth = load(written(tmp_path, 0.7))
    with contextlib.redirect_stdout(io.StringIO()):
        found = truth.loadRes(coco_tree(some_photos(), NAMES)["annotations"])
        scoring = COCOeval(truth, found, "segm")
        scoring.evaluate()
        scoring.accumulate()
        scoring.summarize()
    assert scoring.stats[0] == pytest.approx(1)


@pytest.mark.parametrize("tolerance", [0, 0.7])
def test_our_own_import_reads_the_masks_back(tmp_path: Path, tolerance: float) -> None:
    path = written(tmp_path, tolerance)
    assert find_coco(tmp_path) == [path]
    records = {record.photo: record for record in read_coco(path, ReadOptions()) if isinstance(record, Record)}
    assert list(records) == [photo.photo for photo in some_photos()]
    for photo in some_photos():
        record = records[photo.photo]
        assert record.size == photo.size
        assert [region.names for region in record.regions] == [(NAMES[each.class_id - 1],) for each in photo.regions]
        for read, region in zip(record.regions, photo.regions, strict=True):
            pixels, true = rasterise([(1, read.shape)], *photo.size) > 0, region_pixels(region, photo.size)
            if tolerance:
                assert (pixels & true).sum() >= 0.97 * (pixels | true).sum()
            else:
                np.testing.assert_array_equal(pixels, true)


def test_the_file_has_what_annotation_tools_ask_for(tmp_path: Path) -> None:
    """Datumaro, which CVAT reads COCO with, checks these types; Label Studio takes rings only."""
    tree = json.loads(written(tmp_path, 0.7).read_text())
    assert tree["categories"] == [{"id": 1, "name": "dent"}, {"id": 2, "name": "scratch, deep"}]
    for image in tree["images"]:
        assert {key: type(value) for key, value in image.items()} == {
            "id": int, "file_name": str, "width": int, "height": int,
        }  # fmt: skip
    for annotation in tree["annotations"]:
        assert {key: type(value) for key, value in annotation.items()} == {
            "id": int, "image_id": int, "category_id": int, "segmentation": list,
            "area": int, "bbox": list, "iscrowd": int, "score": float,
        }  # fmt: skip
        assert annotation["iscrowd"] == 0
        assert 0 <= annotation["score"] <= 1
        (ring,) = annotation["segmentation"]  # one shape for a person to correct, holes and all
        assert len(ring) >= 6
        assert len(ring) % 2 == 0
    assert [annotation["id"] for annotation in tree["annotations"]] == list(range(1, len(tree["annotations"]) + 1))


def test_a_region_of_several_pieces_is_one_annotation() -> None:
    pixels = np.zeros((20, 30), bool)
    pixels[2:8, 2:9] = pixels[12:18, 20:27] = True
    tree = coco_tree([PhotoRegions("a.jpg", (30, 20), [make_region(1, 0.5, pixels, (0, 0))])], NAMES, tolerance=0)
    (annotation,) = tree["annotations"]
    assert len(annotation["segmentation"]) == 2
    assert (annotation["area"], annotation["bbox"]) == (84, [2, 2, 25, 16])


def test_the_same_regions_give_the_same_bytes(tmp_path: Path) -> None:
    first = written(tmp_path, 0.7).read_bytes()
    assert written(tmp_path, 0.7).read_bytes() == first


def test_a_photo_that_is_there_twice_is_refused() -> None:
    photo = PhotoRegions("a.jpg", SIZE, ())
    with pytest.raises(ValueError, match=r"a\.jpg is there twice"):
        coco_tree([photo, photo], NAMES)
