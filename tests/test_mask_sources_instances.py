"""The single regions of a mask source, beside its classes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from skimage import measure as skimage_measure

from carclf.annotations import instances
from carclf.annotations.instances import Instances
from carclf.annotations.records import ClassMask
from carclf.annotations.shapes import MaskFile, NoArea, Polygon, Shape, make_runs, rectangle_points
from carclf.errors import AnnotationError
from carclf.images import Frame, photo_frame
from carclf.labels import IGNORED_PIXEL
from carclf.mask_sources import MaskSource
from tests.drawn_masks import TWO, save

FRAME = Frame(40, 30)
TURNS = {
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
measure: Any = skimage_measure  # has no types


def rectangle(x: float, y: float, width: float, height: float) -> Polygon:
    return Polygon((rectangle_points(x, y, width, height),))


def load(*shapes: tuple[int, Shape], frame: Frame = FRAME, size: tuple[int, int] | None = None) -> Instances:
    """The regions of shapes, once they agree with the classes."""
    source = MaskSource(TWO, shapes, size=size, place="via.json: a.jpg")
    found = source.load_instances(frame)
    agrees(found, source.load(frame))
    return found


def agrees(found: Instances, mask: NDArray[np.uint8]) -> None:
    """Pixel by pixel the same classes; every id from 1 to k has a pixel."""
    assert found.ids.dtype == np.uint16
    assert found.class_ids.dtype == np.uint8
    classes = np.concatenate(([0], found.class_ids))[found.ids]
    np.testing.assert_array_equal(classes, np.where(mask == IGNORED_PIXEL, 0, mask))
    numbers = np.arange(1, len(found.class_ids) + 1)
    assert set(np.unique(found.ids)) - {0} == set(numbers)
    np.testing.assert_array_equal(found.count_pixels(), [(found.ids == number).sum() for number in numbers])


def random_shapes(seed: int, number: int, largest: int) -> list[tuple[int, Shape]]:
    rng = np.random.default_rng(seed)
    shapes: list[tuple[int, Shape]] = []
    for _ in range(number):
        x, y, width, height = (int(value) for value in rng.integers(0, [45, 35, largest, largest]))
        shape = rectangle(x - 3, y - 3, width, height)
        runs = make_runs(rng.random((height + 1, width + 1)) < 0.6, (x - 3, y - 3))
        shapes.append((int(rng.choice([1, 2, IGNORED_PIXEL])), shape if rng.random() < 0.7 else runs))
    return shapes


def test_touching_and_overlapping_shapes_are_regions_of_their_own() -> None:
    found = load((1, rectangle(2, 2, 8, 6)), (1, rectangle(10, 2, 5, 6)), (2, rectangle(4, 4, 3, 10)))
    assert found.class_ids.tolist() == [1, 1, 2]
    assert found.ids[2, 9:11].tolist() == [1, 2]
    assert found.ids[5, 5] == 3
    assert found.count_pixels().tolist() == [48 - 3 * 4, 30, 30]


def test_what_is_covered_vanishes_without_a_gap_and_what_is_cut_in_two_stays_one() -> None:
    found = load(
        (2, rectangle(5, 5, 4, 4)),
        (1, rectangle(4, 4, 20, 6)),
        (2, rectangle(10, 2, 3, 12)),
        (1, rectangle(-9, -9, 5, 5)),  # beside the photo
    )
    assert found.class_ids.tolist() == [1, 2]
    assert found.ids[6, [5, 11, 20]].tolist() == [1, 2, 1]


def test_ignored_pixels_belong_to_no_region() -> None:
    found = load((1, rectangle(0, 0, 10, 10)), (IGNORED_PIXEL, rectangle(0, 0, 5, 10)), (2, rectangle(0, 0, 2, 2)))
    assert found.class_ids.tolist() == [1, 2]
    assert found.count_pixels().tolist() == [50, 4]
    assert load((1, rectangle(3, 3, 4, 4)), (IGNORED_PIXEL, rectangle(0, 0, 40, 30))).class_ids.size == 0


@pytest.mark.parametrize("seed", range(5))
def test_regions_agree_with_the_classes_whatever_is_drawn(seed: int) -> None:
    load(*random_shapes(seed, 60, 12))


def test_more_regions_than_a_byte_counts() -> None:
    shapes: list[tuple[int, Shape]] = [
        (1 + index % 2, rectangle(index % 40, index // 40, 1, 1)) for index in range(600)
    ]
    found = load(*shapes)
    assert len(found.class_ids) == 600
    assert found.ids[14, 39] == 600


def test_known_empty_photos_have_no_region() -> None:
    found = load()
    assert found.ids.shape == (30, 40)
    assert found.class_ids.shape == (0,)
    assert not found.ids.any()


@pytest.mark.parametrize("orientation", TURNS)
def test_regions_are_turned_with_the_photo(orientation: int) -> None:
    shapes = random_shapes(7, 300, 4)
    as_drawn = load(*shapes)
    turned = load(*shapes, frame=Frame(30, 40, orientation), size=(40, 30))
    assert turned.ids.max() > 100
    expected = np.array(Image.fromarray(as_drawn.ids.astype(np.int32)).transpose(TURNS[orientation]))
    np.testing.assert_array_equal(turned.ids, expected)
    np.testing.assert_array_equal(turned.class_ids, as_drawn.class_ids)


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_regions_drawn_on_the_upright_photo_stay(orientation: int) -> None:
    shapes = random_shapes(8, 30, 12)
    np.testing.assert_array_equal(load(*shapes, frame=Frame(40, 30, orientation)).ids, load(*shapes).ids)


def test_pieces_of_a_mask_picture_are_regions_class_by_class(tmp_path: Path) -> None:
    mask = np.random.default_rng(3).choice([0, 0, 0, 1, 2, 255], (30, 40)).astype(np.uint8)
    path = save(tmp_path / "mask.png", mask)
    source = MaskSource(TWO, mask=ClassMask(path))
    found = source.load_instances(photo_frame(path))
    agrees(found, mask)
    pieces = [measure.label(mask == class_id, connectivity=2) for class_id in (1, 2)]
    assert found.class_ids.tolist() == [1] * pieces[0].max() + [2] * pieces[1].max()
    np.testing.assert_array_equal(found.ids, pieces[0] + np.where(pieces[1] > 0, pieces[1] + pieces[0].max(), 0))


def test_mask_pictures_are_turned_before_they_are_numbered(tmp_path: Path) -> None:
    mask = np.zeros((4, 6), np.uint8)
    mask[0, 5], mask[3, 0] = 1, 1
    source = MaskSource(TWO, mask=ClassMask(save(tmp_path / "mask.png", mask)))
    frame = Frame(4, 6, orientation=6)  # lies on its left side: the lower left pixel comes up
    found = source.load_instances(frame)
    agrees(found, source.load(frame))
    assert found.ids[0, 0] == 1
    assert found.ids[5, 3] == 2


def test_a_picture_that_is_a_shape_falls_into_its_pieces(tmp_path: Path) -> None:
    pixels = np.zeros((30, 40), np.uint8)
    pixels[2:5, 2:9] = pixels[5:8, 9:12] = 255  # hang together at a corner
    pixels[20:22, 30:33] = 255
    shape = MaskFile(save(tmp_path / "000_mask.png", pixels))
    found = load((1, shape), (2, rectangle(4, 0, 2, 30)))
    assert found.class_ids.tolist() == [1, 1, 2]
    assert found.ids[[2, 2, 6, 20, 3], [2, 8, 10, 31, 4]].tolist() == [1, 1, 1, 2, 3]


def test_errors_name_the_annotation(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match=r'^via\.json: a\.jpg: the shape "line" has no area'):
        load((1, NoArea("line")))
    with pytest.raises(AnnotationError, match="50 × 50 pixels, but its photo has 40 × 30"):
        load((1, rectangle(0, 0, 5, 5)), size=(50, 50))
    save(tmp_path / "small.png", np.ones((5, 5)))
    with pytest.raises(AnnotationError, match=r"small\.png: 5 × 5 pixels, but its photo has 40 × 30"):
        load((1, MaskFile(tmp_path / "small.png")))
    monkeypatch.setattr(instances, "MOST_INSTANCES", 2)
    noise = np.zeros((30, 40), np.uint8)
    noise[:20:10, 0], noise[20, 0] = 1, 2
    path = save(tmp_path / "noise.png", noise)
    message = "^mask of a: more than 2 single regions, the most that can be told apart"
    for source in (
        MaskSource(TWO, mask=ClassMask(path), place="mask of a"),
        MaskSource(TWO, ((1, MaskFile(path)),), place="mask of a"),
        MaskSource(TWO, tuple((1, rectangle(x, 0, 1, 1)) for x in range(3)), place="mask of a"),
    ):
        with pytest.raises(AnnotationError, match=message):
            source.load_instances(FRAME)
