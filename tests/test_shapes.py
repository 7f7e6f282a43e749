import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pycocotools import mask as coco
from skimage import draw as skimage_draw

from carclf.annotations.shapes import (
    MaskFile,
    NoArea,
    Point,
    Polygon,
    Ring,
    Runs,
    ellipse_points,
    make_ring,
    make_runs,
    rasterise,
    rectangle_points,
)
from tests.drawn_annotations import draw_shape

WIDTH, HEIGHT = 900, 800
Pixels = NDArray[np.bool_]
draw: Any = skimage_draw  # has no types


def blob(seed: int, center: Point = (450, 400), radius: float = 380, corners: int = 14) -> Ring:
    """A star-shaped region, about 1.5 × radius wide."""
    rng = np.random.default_rng(seed)
    angles = np.sort(rng.uniform(0, 2 * np.pi, corners))
    radii = rng.uniform(0.7, 1, corners) * radius
    return tuple(
        (float(center[0] + r * np.cos(a)), float(center[1] + r * np.sin(a))) for a, r in zip(angles, radii, strict=True)
    )


def by_skimage(ring: Ring, width: int = WIDTH, height: int = HEIGHT) -> Pixels:
    """Its pixel centres lie at whole numbers, ours half a pixel on."""
    drawn = np.zeros((height, width), bool)
    drawn[draw.polygon([y - 0.5 for _, y in ring], [x - 0.5 for x, _ in ring], drawn.shape)] = True
    return drawn


def by_pillow(ring: Ring, width: int = WIDTH, height: int = HEIGHT, fine: int = 5) -> Pixels:
    """Pillow fills the pixels that the edges cross, too: drawn five times as large, the middle of each five counts."""
    canvas = Image.new("1", (width * fine, height * fine))
    ImageDraw.Draw(canvas).polygon([(x * fine - 0.5, y * fine - 0.5) for x, y in ring], fill=1)
    return np.array(canvas)[fine // 2 :: fine, fine // 2 :: fine]


def by_pycocotools(ring: Ring, width: int = WIDTH, height: int = HEIGHT) -> Pixels:
    flat = [value for point in ring for value in point]
    drawn: Pixels = coco.decode(coco.merge(coco.frPyObjects([flat], height, width))).astype(bool)
    return drawn


RASTERISERS = [by_skimage, by_pillow, by_pycocotools]


def overlap(one: Pixels, other: Pixels) -> float:
    return float((one & other).sum() / (one | other).sum())


@pytest.mark.parametrize("theirs", RASTERISERS)
@pytest.mark.parametrize(
    "ring",
    [
        blob(1),
        blob(2, corners=60),
        blob(3, center=(0, 400), radius=700),  # crosses three borders
        blob(4, center=(900, 800), radius=900),
        rectangle_points(0, 0, WIDTH, 650),  # touches three borders
        rectangle_points(100.3, 80.7, 650.4, 640.1),
        ((100, 100), (800, 700), (800, 100), (100, 700)),  # crosses itself
    ],
    ids=["blob", "corners", "crossing", "corner", "border", "fractions", "eight"],
)
def test_polygons_are_drawn_as_others_draw_them(ring: Ring, theirs: Any) -> None:
    assert overlap(draw_shape(Polygon((ring,)), WIDTH, HEIGHT), theirs(ring)) >= 0.999


def test_a_pixel_belongs_to_a_polygon_that_holds_its_centre() -> None:
    drawn = draw_shape(Polygon((((1, 1), (4, 1), (4, 3), (1, 3)),)), 6, 5)
    assert [tuple(map(int, place)) for place in np.argwhere(drawn)] == [(y, x) for y in (1, 2) for x in (1, 2, 3)]
    assert not draw_shape(Polygon((rectangle_points(0.6, 0, 1.0, 4),)), 4, 4)[:, 0].any()
    assert draw_shape(Polygon((rectangle_points(0.4, 0, 1.0, 4),)), 4, 4)[:, 0].all()


@pytest.mark.parametrize("far", [20_000.0, 999_000.0])
def test_corners_far_outside_cost_nothing_and_change_nothing(far: float) -> None:
    ring = ((100.0, 100.0), (far, 300.0), (500.0, far), (-far, 500.0))
    assert overlap(draw_shape(Polygon((ring,)), WIDTH, HEIGHT), by_skimage(ring)) >= 0.999
    around = ((-far, -far), (far, -far), (far, far), (-far, far))
    assert draw_shape(Polygon((around,)), 30, 20).all()


def test_long_edges_are_cut_before_they_are_walked_along(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[float] = []
    draw = coco.frPyObjects

    def watch(rings: list[list[float]], *size: int) -> Any:
        given.extend(value for ring in rings for value in ring)
        return draw(rings, *size)

    monkeypatch.setattr(coco, "frPyObjects", watch)
    draw_shape(Polygon((tuple((9e5 * (-1) ** corner, float(corner)) for corner in range(40)),)), 100, 100)
    assert 0 < max(abs(value) for value in given) < 2e4  # pycocotools takes 5 steps for each pixel of an edge


@pytest.mark.parametrize("ring", [rectangle_points(20, 20, 5, 5), rectangle_points(-9, -9, 9, 9)])
def test_what_lies_outside_is_not_drawn(ring: Ring) -> None:
    assert not draw_shape(Polygon((ring,)), 10, 8).any()
    assert not draw_shape(Polygon((ring,), outlined=True), 10, 8).any()


def test_holes_are_left_out_and_rings_are_joined() -> None:
    outer, hole = blob(5), blob(6, radius=150)
    drawn = draw_shape(Polygon((outer,), (hole, rectangle_points(300, 0, 20, HEIGHT))), WIDTH, HEIGHT)
    expected = by_skimage(outer) & ~by_skimage(hole)
    expected[:, 300:320] = False
    assert overlap(drawn, expected) >= 0.999
    rings = (rectangle_points(0, 0, 6, 6), rectangle_points(4, 4, 6, 6))
    assert draw_shape(Polygon(rings), 10, 10).sum() == 36 + 36 - 4  # where they overlap is no hole


def test_later_shapes_lie_over_earlier_ones() -> None:
    below, above = Polygon((rectangle_points(-5, -5, 12, 12),)), Polygon((rectangle_points(4, 4, 100, 100),))
    mask = rasterise([(1, below), (2, above)], 10, 8)
    assert mask.shape == (8, 10)
    assert mask.dtype == np.uint8
    expected = np.zeros((8, 10), np.uint8)
    expected[:7, :7] = 1
    expected[4:, 4:] = 2
    np.testing.assert_array_equal(mask, expected)
    assert rasterise([(2, above), (1, below)], 10, 8)[5, 5] == 1
    assert not rasterise([], 10, 8).any()


@pytest.mark.parametrize(
    ("ring", "pixels"),
    [
        (((2.1, 1.0), (2.2, 6.0), (2.3, 1.0)), [(y, 2) for y in range(1, 7)]),
        (((3.1, 3.1), (3.3, 3.1), (3.3, 3.3)), [(3, 3)]),
        (((5, 5), (5, 5), (5, 5)), [(5, 5)]),
        (((10, 2), (10, 4), (10, 3)), [(2, 9), (3, 9), (4, 9)]),  # on the right border
        (((0, 8), (2, 8), (1, 8)), [(7, 0), (7, 1), (7, 2)]),  # on the lower border
        (((-3, 0), (2, 0), (1, 0)), [(0, 0), (0, 1), (0, 2)]),
    ],
)
def test_thin_polygons_do_not_vanish(ring: Ring, pixels: list[tuple[int, int]]) -> None:
    drawn = draw_shape(Polygon((ring,)), 10, 8)
    assert [tuple(map(int, place)) for place in np.argwhere(drawn)] == pixels


def test_outlined_polygons_hold_the_pixels_of_their_edges() -> None:
    ring = ((2.5, 2.5), (5.5, 2.5), (5.5, 4.5), (2.5, 4.5))  # from the middle of one pixel to that of another
    drawn = draw_shape(Polygon((ring,), outlined=True), 10, 8)
    expected = np.zeros((8, 10), bool)
    expected[2:5, 2:6] = True
    np.testing.assert_array_equal(drawn, expected)


def test_circles_and_ellipses_are_round() -> None:
    circle = draw_shape(Polygon((ellipse_points((450, 400), 350, 350),)), WIDTH, HEIGHT)
    expected = np.zeros_like(circle)
    expected[draw.disk((399.5, 449.5), 350, shape=expected.shape)] = True
    assert overlap(circle, expected) >= 0.999
    turned = draw_shape(Polygon((ellipse_points((450, 400), 370, 250, 0.6),)), WIDTH, HEIGHT)
    expected[:] = False
    expected[draw.ellipse(399.5, 449.5, 250, 370, shape=expected.shape, rotation=-0.6)] = True
    assert overlap(turned, expected) >= 0.999
    right, below = (450 + 340 * math.cos(0.6), 400 + 340 * math.sin(0.6)), (450, 400 + 340)
    assert turned[int(right[1]), int(right[0])]  # clockwise, as a person sees it
    assert not turned[below[1], below[0]]


def test_runs_are_drawn_at_their_origin_and_cut_off() -> None:
    pixels = np.random.default_rng(1).random((5, 7)) < 0.5
    drawn = draw_shape(make_runs(pixels, (2, 1)), 12, 9)
    np.testing.assert_array_equal(drawn[1:6, 2:9], pixels)
    assert drawn.sum() == pixels.sum()
    np.testing.assert_array_equal(draw_shape(make_runs(pixels, (-3, -2)), 3, 2), pixels[2:4, 3:6])
    np.testing.assert_array_equal(draw_shape(make_runs(pixels, (4, 5)), 6, 7)[5:, 4:], pixels[:2, :2])
    for origin in ((-7, 0), (12, 0), (0, -5), (0, 9), (500, -500)):
        assert not draw_shape(make_runs(pixels, origin), 12, 9).any()
    with pytest.raises(ValueError, match="a mask of 0 × 3 pixels covers nothing"):
        make_runs(np.zeros((3, 0), bool))


def test_mask_files_have_the_size_of_their_photo(tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).random((8, 10)) < 0.5
    Image.fromarray(pixels).save(tmp_path / "mask.png")
    np.testing.assert_array_equal(draw_shape(MaskFile(tmp_path / "mask.png"), 10, 8), pixels)
    with pytest.raises(ValueError, match=r"mask\.png: 10 × 8 pixels, but its photo has 8 × 10"):
        draw_shape(MaskFile(tmp_path / "mask.png"), 8, 10)


def test_what_has_no_area_cannot_be_drawn() -> None:
    with pytest.raises(ValueError, match='the shape "polyline" has no area that could be filled'):
        rasterise([(1, NoArea("polyline"))], 10, 8)


@pytest.mark.parametrize(
    ("outer", "holes", "message"),
    [
        ((((0, 0), (1, 1)),), (), "needs 3 corners or more, not 2"),
        (((),), (), "needs 3 corners or more, not 0"),
        ((), (), "needs an outline, not holes alone"),
        ((rectangle_points(0, 0, 5, 5),), (((1, 1), (2, 2)),), "3 corners or more, not 2"),
        ((((0, 0), (1, math.nan), (2, 2)),), (), r"a corner lies at \(1, nan\): no number"),
        ((((0, 0), (math.inf, 1), (2, 2)),), (), "no number"),
        ((((0, 0), (1, -1e6), (2, 2)),), (), "farther off than any photo is wide"),
    ],
)
def test_bad_polygons(outer: tuple[Ring, ...], holes: tuple[Ring, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Polygon(outer, holes)


def test_rings_are_pairs_of_numbers() -> None:
    assert make_ring([1, 2.5, np.float64(3), 4]) == ((1, 2.5), (3, 4))
    with pytest.raises(ValueError, match="3 numbers are no pairs of x and y"):
        make_ring([1, 2, 3])
    wrong: list[Any] = ["2", None, True, [1]]
    for value in wrong:
        with pytest.raises(ValueError, match="stands where a number was expected"):
            make_ring([1, value])


def test_runs_say_what_they_fill() -> None:
    runs = make_runs(np.ones((3, 4), bool), (1, 2))
    assert runs == Runs(runs.counts, (4, 3), (1, 2))
