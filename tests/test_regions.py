from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage
from skimage import draw as skimage_draw
from skimage import segmentation

from carclf.annotations.shapes import Polygon, make_ring, rasterise
from carclf.mask_images import resize_mask_probability
from carclf.regions.polygons import flat_rings, make_polygons
from carclf.regions.region import Region, box_pixels, describe_region, make_region
from carclf.regions.splitting import RegionSettings, find_regions, make_regions
from tests.drawn_regions import region_pixels

Pixels = NDArray[np.bool_]
draw: Any = skimage_draw  # has no types
EXACT = RegionSettings(min_area_share=0)
WHOLE = RegionSettings(split=False, min_area_share=0)


def discs(*centers: tuple[float, float], radius: float = 30, size: tuple[int, int] = (160, 110)) -> NDArray[np.uint8]:
    y, x = np.mgrid[: size[1], : size[0]]
    inside = [np.hypot(x - left, y - top) < radius for left, top in centers]
    return np.asarray(np.any(inside, axis=0), dtype=np.uint8)


def smooth(seed: int, height: int, width: int, sigma: float) -> Pixels:
    """Random blobs, many with holes."""
    noise = np.random.default_rng(seed).standard_normal((height, width)).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(noise, (0, 0), sigma) > 0)


def sure(mask: NDArray[np.uint8], num_classes: int = 1) -> NDArray[np.float32]:
    return np.stack([mask == class_id for class_id in range(1, num_classes + 1)], axis=-1).astype(np.float32)


def paint(regions: tuple[Region, ...], shape: tuple[int, ...]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """(the class ids that the regions cover, how many regions cover a pixel)."""
    classes, times = np.zeros(shape, np.uint8), np.zeros(shape, np.int64)
    for region in regions:
        pixels = region_pixels(region, (shape[1], shape[0]))
        classes[pixels] = region.class_id
        times += pixels
    return classes, times


# --- components ---


@pytest.mark.parametrize("seed", range(4))
def test_regions_are_scipys_components(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = np.where(smooth(seed, 70, 90, 2), rng.integers(1, 4, dtype=np.uint8), 0).astype(np.uint8)
    mask[:, 40:] = np.where(mask[:, 40:], 2, 0)
    regions = find_regions(mask, sure(mask, 3), WHOLE)
    expected = []
    for class_id in (1, 2, 3):
        labels, _ = ndimage.label(mask == class_id, np.ones((3, 3)))
        for number, (rows, columns) in enumerate(ndimage.find_objects(labels), 1):
            box = (columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start)
            expected.append((class_id, box, int((labels == number).sum())))
    assert sorted((region.class_id, region.box, region.area) for region in regions) == sorted(expected)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("side", [40, 1000])  # reduced, pixel by pixel
def test_every_pixel_of_a_class_is_in_one_region(seed: int, side: int) -> None:
    mask = np.where(smooth(seed, 101, 83, 5), 1, 2 * smooth(seed + 9, 101, 83, 4)).astype(np.uint8)
    settings = RegionSettings(split_depth=0.3, min_area_share=0, working_side=side)
    regions = find_regions(mask, sure(mask, 2), settings)
    classes, times = paint(regions, mask.shape)
    np.testing.assert_array_equal(classes, mask)
    np.testing.assert_array_equal(times, mask > 0)
    assert len(regions) > len(find_regions(mask, sure(mask, 2), WHOLE))  # something was split


def test_specks_are_dropped_and_ignored_pixels_are_in_no_region() -> None:
    mask = np.zeros((100, 100), np.uint8)
    mask[10:14, 10:15], mask[50, 50], mask[80:, 80:] = 1, 1, 255
    (region,) = find_regions(mask, sure(mask), RegionSettings(min_area_share=0.002))
    assert (region.box, region.area) == ((10, 10, 5, 4), 20)
    assert len(find_regions(mask, sure(mask), RegionSettings(min_area_share=0.00205))) == 0
    assert len(find_regions(mask, sure(mask), EXACT)) == 2


def test_nothing_is_found_in_an_empty_mask() -> None:
    assert find_regions(np.zeros((30, 40), np.uint8), np.zeros((3, 4, 2), np.float32)) == ()


@pytest.mark.parametrize(
    "wrong", [{"split_depth": 1.0}, {"min_area_share": -0.1}, {"working_side": 0}, {"quantile": 1.5}]
)
def test_settings_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} is "):
        RegionSettings(**wrong)


# --- touching regions ---


@pytest.mark.parametrize("side", [1024, 80])
def test_two_discs_that_overlap_a_little_are_told_apart(side: int) -> None:
    mask = discs((45, 50), (102, 55))
    assert ndimage.label(mask, np.ones((3, 3)))[1] == 1
    regions = find_regions(mask, sure(mask), RegionSettings(working_side=side))
    assert len(regions) == 2
    for center in ((45, 50), (102, 55)):
        disc = discs(center).astype(bool)
        best = max((box_iou(region, disc) for region in regions), default=0)
        assert best > 0.97
    assert len(find_regions(mask, sure(mask), RegionSettings(split=False))) == 1


def box_iou(region: Region, pixels: Pixels) -> float:
    own = region_pixels(region, (pixels.shape[1], pixels.shape[0]))
    return float((own & pixels).sum() / (own | pixels).sum())


def test_discs_told_apart_do_not_depend_on_their_size() -> None:
    for scale in (1, 2, 4):
        mask = discs((45 * scale, 50 * scale), (102 * scale, 55 * scale), radius=30 * scale, size=(640, 440))
        assert len(find_regions(mask, sure(mask))) == 2


@pytest.mark.parametrize("seed", range(5))
def test_a_wobbly_blob_stays_whole(seed: int) -> None:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:200, :260]
    angle = np.arctan2(y - 100, (x - 130) / 1.4)
    waves = sum(rng.uniform(-4, 4) * np.cos(k * angle + rng.uniform(0, 6)) for k in range(2, 12))
    mask = (np.hypot(y - 100, (x - 130) / 1.4) < 65 + waves).astype(np.uint8)
    core = cv2.erode(mask, np.ones((5, 5)))
    mask[(core > 0) & (rng.random(mask.shape) < 0.002)] = 0  # pixels that are missing
    assert len(find_regions(mask, sure(mask))) == 1


def test_convex_damages_stay_whole() -> None:
    """Peaks of the same height along a ridge are one: a rectangle at a slant has many."""
    for angle in np.linspace(0, np.pi / 2, 7):
        corners = np.array([(-60, -18), (60, -18), (60, 18), (-60, 18)])
        turn = np.array([(np.cos(angle), np.sin(angle)), (-np.sin(angle), np.cos(angle))])
        points = corners @ turn + 70
        mask = draw.polygon2mask((140, 140), points[:, ::-1]).astype(np.uint8)
        assert len(find_regions(mask, sure(mask), RegionSettings(split_depth=0.3))) == 1


def test_a_part_too_small_to_be_a_region_stays_with_its_neighbour() -> None:
    mask = discs((60, 50)) | discs((97, 50), radius=8)
    assert len(find_regions(mask, sure(mask), RegionSettings(split_depth=0.3, min_area_share=0.005))) == 2
    (region,) = find_regions(mask, sure(mask), RegionSettings(split_depth=0.3, min_area_share=0.02))
    assert region.area == mask.sum()


def test_classes_are_never_joined() -> None:
    mask = discs((45, 50)) + 2 * (discs((90, 50)) & ~discs((45, 50)) & 1)
    assert [region.class_id for region in find_regions(mask, sure(mask, 2))] == [1, 2]


def test_a_mask_of_12_megapixels_is_split_on_a_small_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes: list[tuple[int, ...]] = []
    watershed: Any = segmentation.watershed

    def spy(image: NDArray[Any], *arguments: Any, **options: Any) -> Any:
        shapes.append(image.shape)
        return watershed(image, *arguments, **options)

    monkeypatch.setattr(segmentation, "watershed", spy)
    small = discs((45, 50), (102, 55), size=(160, 120))
    mask = np.kron(small, np.ones((25, 25), np.uint8))
    mask[5, 100:2000] = 1  # a scratch so thin that the copy does not have it
    regions = find_regions(mask, sure(small), RegionSettings(min_area_share=0))
    assert mask.shape == (3000, 4000)
    assert sum(region.area for region in regions) == mask.sum()
    assert {region.box for region in regions} >= {(100, 5, 1900, 1)}
    assert len(regions) == 3
    assert shapes
    assert all(max(shape) <= 1024 for shape in shapes)


# --- probability ---


def test_the_probability_is_a_high_quantile_of_the_regions_own_pixels() -> None:
    rng = np.random.default_rng(0)
    mask = discs((40, 50), (115, 50))
    probabilities = rng.random((28, 40, 1), dtype=np.float32)
    probabilities[:, :20] *= 0.5
    full = resize_mask_probability(probabilities[..., 0], (160, 110))
    regions = find_regions(mask, probabilities)
    assert [region.box[0] > 75 for region in regions] == [True, False]  # the most probable first
    for region in regions:
        expected = np.percentile(full[region_pixels(region, (160, 110))], 95)
        assert region.probability == pytest.approx(expected, abs=1e-6)


def test_a_soft_edge_does_not_lower_the_probability_of_a_sure_damage() -> None:
    grid = cv2.GaussianBlur(discs((45, 50)).astype(np.float32), (0, 0), 8)[..., None] * np.float32(0.99)
    mask = (grid[..., 0] > 0.3).astype(np.uint8)
    (region,) = find_regions(mask, grid)
    assert region.probability > 0.95
    assert grid[mask > 0].mean() < 0.9


# --- instances from elsewhere ---


def test_instances_become_regions_of_the_class_of_most_of_their_pixels() -> None:
    mask = np.zeros((20, 30), np.uint8)
    mask[2:10, 2:12], mask[2:10, 10:12], mask[12:18, 20:28], mask[0, 25:] = 1, 2, 2, 255
    instances = np.zeros((20, 30), np.int32)
    instances[1:11, 1:13], instances[12:18, 20:28], instances[0, 25:] = 7, 2, 3
    regions = make_regions(instances, mask, sure(mask, 2), EXACT)
    assert sorted((region.class_id, region.box, region.area) for region in regions) == [
        (1, (2, 2, 10, 8), 80),  # what lies on the background is none of it
        (2, (20, 12, 8, 6), 48),
    ]


def test_instances_may_touch_and_need_not_hang_together() -> None:
    mask = np.ones((10, 20), np.uint8)
    instances = np.ones((10, 20), np.int32)
    instances[:, 8:12] = 5
    regions = make_regions(instances, mask, sure(mask), EXACT)
    _, times = paint(regions, mask.shape)
    assert [region.area for region in regions] == [160, 40]
    np.testing.assert_array_equal(times, 1)


def test_instances_of_another_size_are_refused() -> None:
    mask = np.ones((10, 20), np.uint8)
    with pytest.raises(ValueError, match="but the mask is"):
        make_regions(np.ones((20, 10), np.int32), mask, sure(mask))


# --- polygons ---


def by_skimage(rings: list[list[float]], shape: tuple[int, ...]) -> Pixels:
    """Its pixel centres lie at whole numbers, ours half a pixel on."""
    drawn = np.zeros(shape, bool)
    for ring in rings:
        points = np.array(ring).reshape(-1, 2) - 0.5
        drawn |= draw.polygon2mask(shape, points[:, ::-1])
    return drawn


def redraw(rings: list[list[float]], shape: tuple[int, ...]) -> Pixels:
    return rasterise([(1, Polygon((make_ring(ring),))) for ring in rings], shape[1], shape[0]) > 0


def shapes() -> dict[str, Pixels]:
    rng = np.random.default_rng(5)
    thin = np.zeros((40, 50), np.uint8)
    cv2.line(thin, (2, 3), (46, 30), 1, 1)
    cv2.polylines(thin, [np.array([(5, 35), (20, 22), (40, 38)])], False, 1, 1)
    ring = discs((45, 50)) - discs((45, 50), radius=20) + discs((45, 50), radius=9)  # an island in a hole
    cases = {f"blobs {seed}": smooth(seed, 45, 60, 1 + seed) for seed in range(5)}
    cases |= {f"noise {share}": rng.random((23, 31)) < share for share in (0.1, 0.5, 0.8)}
    cases |= {"thin": thin > 0, "island": ring > 0, "full": np.ones((7, 9), bool), "pixel": np.ones((1, 1), bool)}
    cases["corners"] = np.eye(9, dtype=bool) | np.eye(9, dtype=bool)[::-1]
    cases["hole touches"] = np.array([[1, 1, 1, 1], [1, 0, 1, 1], [1, 1, 0, 1], [1, 1, 1, 1]], bool)
    return cases


@pytest.mark.parametrize("name", list(shapes()))
def test_exact_polygons_give_the_same_pixels(name: str) -> None:
    pixels = shapes()[name]
    polygons = make_polygons(pixels, tolerance=0)
    rings = flat_rings(polygons)
    np.testing.assert_array_equal(rasterise([(1, each) for each in polygons], *pixels.shape[::-1]) > 0, pixels)
    np.testing.assert_array_equal(redraw(rings, pixels.shape), pixels)
    np.testing.assert_array_equal(by_skimage(rings, pixels.shape), pixels)
    assert len(polygons) == len(rings) == ndimage.label(pixels, np.ones((3, 3)))[1]
    assert sum(abs(signed_area(ring)) for ring in rings) == pixels.sum()  # non-zero winding: holes run the other way


def signed_area(ring: list[float]) -> float:
    x, y = np.array(ring).reshape(-1, 2).T
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2)


@pytest.mark.parametrize("tolerance", [0.7, 3.0])
@pytest.mark.parametrize("name", list(shapes()))
def test_simple_polygons_are_close_and_lose_no_part(name: str, tolerance: float) -> None:
    pixels = shapes()[name]
    rings = flat_rings(make_polygons(pixels, tolerance=tolerance))
    drawn = redraw(rings, pixels.shape)
    assert (drawn & pixels).sum() >= 0.97 * (drawn | pixels).sum()
    labels, count = ndimage.label(pixels, np.ones((3, 3)))
    assert set(range(1, count + 1)) <= set(labels[drawn].tolist())


def test_simple_polygons_have_far_fewer_corners() -> None:
    pixels = discs((45, 50), radius=40).astype(bool)
    (exact,), (simple,) = flat_rings(make_polygons(pixels, tolerance=0)), flat_rings(make_polygons(pixels))
    assert len(simple) < len(exact) / 4


def test_polygons_lie_where_the_pixels_are_in_the_photo() -> None:
    (polygon,) = make_polygons(np.ones((2, 3), bool), origin=(10, 20), tolerance=0)
    assert set(polygon.outer[0]) == {(10, 20), (13, 20), (13, 22), (10, 22)}


# --- a region ---


def test_a_region_keeps_its_pixels_and_a_tight_box() -> None:
    pixels = np.zeros((9, 12), bool)
    pixels[2:5, 3:9] = smooth(1, 3, 6, 0.5)
    pixels[2, 3] = pixels[4, 8] = True
    region = make_region(2, 0.7, pixels, (100, 50))
    assert (region.box, region.area) == ((103, 52, 6, 3), pixels.sum())
    np.testing.assert_array_equal(box_pixels(region), pixels[2:5, 3:9])
    whole = region_pixels(region, (200, 100))
    np.testing.assert_array_equal(whole[50:59, 100:112], pixels)
    assert whole.sum() == pixels.sum()
    with pytest.raises(ValueError, match="without a pixel"):
        make_region(1, 0.5, np.zeros((3, 3), bool), (0, 0))


def test_an_answer_says_all_of_a_region() -> None:
    region = make_region(1, 0.123456, np.ones((4, 5), bool), (10, 20))
    answer = describe_region(region, "dent", (200, 100), tolerance=0)
    (ring,) = answer.pop("polygon")
    assert answer == {"class": "dent", "probability": 0.1235, "box": [10, 20, 5, 4], "area": 20, "percent": 0.1}
    np.testing.assert_array_equal(redraw([ring], (100, 200)), region_pixels(region, (200, 100)))
