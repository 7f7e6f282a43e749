import io
import tracemalloc
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from carclf.images import decode_photo
from carclf.masks.scoring import mask_at_size
from carclf.tiling import TilePlan, cut_tiles, plan_tiles, stitch

Array = NDArray[Any]
SIZES = [(513, 513), (519, 200), (12000, 300), (300, 12000), (640, 480), (1024, 1024), (1025, 777), (4000, 3000)]


def noise(width: int, height: int, seed: int = 0) -> NDArray[np.uint8]:
    """The hardest photo for a filter: nothing is smooth."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def pixel_wise(tiles: Array, grid: tuple[int, int]) -> Array:
    """A network that sees no farther than a cell: the cell's mean colour, (b, S, S, 3) -> (b, g_h, g_w, 3)."""
    number, height, width, _ = tiles.shape
    rows, columns = grid
    return np.asarray(tiles.reshape(number, rows, height // rows, columns, width // columns, 3).mean(axis=(2, 4)))


def look(photo: NDArray[np.uint8], plan: TilePlan, image_size: int) -> Array:
    return stitch(plan, (pixel_wise(tiles, plan.grid) for tiles in cut_tiles(photo, plan, image_size)))


def triangle(length: int, size: int) -> Array:
    """The antialiased triangle filter of a whole side as a matrix (size, length), from its definition."""
    scale = length / size
    centres = (np.arange(size) + 0.5) * scale
    distances = np.abs(np.arange(length) + 0.5 - centres[:, None])
    weights = np.maximum(0.0, 1.0 - distances / max(scale, 1.0))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def resize_whole(photo: NDArray[np.uint8], height: int, width: int) -> Array:
    """The whole photo resized by `triangle`, (height, width, 3) in [0, 1]."""
    down = np.tensordot(triangle(photo.shape[0], height), photo / 255.0, axes=1)
    return np.tensordot(triangle(photo.shape[1], width), down, axes=(1, 1)).swapaxes(0, 1)


def constant(plan: TilePlan, values: Array) -> Iterator[Array]:
    """Answers that are one value per tile, one tile a batch."""
    return (np.full((1, *plan.grid, 1), value, np.float32) for value in values)


@pytest.mark.parametrize("size", [(512, 512), (512, 1), (100, 400), (1, 1), (524, 300)])
def test_a_photo_within_a_tile_is_one_tile_with_the_pixels_of_the_whole_photo(size: tuple[int, int]) -> None:
    plan = plan_tiles(size, tile=512, overlap=64, grid=(40, 40))
    assert len(plan) == 1
    assert plan.cells == (40, 40)
    assert plan.boxes == [(0, 0, *size)]
    photo = noise(*size)
    file = io.BytesIO()
    Image.fromarray(photo).save(file, format="PNG")
    (tiles,) = cut_tiles(photo, plan, 80)
    np.testing.assert_array_equal(tiles[0], decode_photo(file.getvalue(), 80))
    answer = np.random.default_rng(1).random((1, 40, 40, 3), np.float32)
    np.testing.assert_array_equal(stitch(plan, [answer]), answer[0])  # to the bit


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("overlap", "grid"), [(0, (40, 40)), (64, (40, 40)), (256, (28, 40)), (400, (7, 7))])
def test_tiles_cover_the_photo_lie_inside_it_and_overlap(
    size: tuple[int, int], overlap: int, grid: tuple[int, int]
) -> None:
    plan = plan_tiles(size, 512, overlap, grid)
    covered = np.zeros(plan.cells, np.int64)
    for (top, left), (x_0, y_0, x_1, y_1) in zip(plan.offsets, plan.boxes, strict=True):
        assert 0 <= x_0 < x_1 <= size[0]
        assert 0 <= y_0 < y_1 <= size[1]
        covered[top : top + grid[0], left : left + grid[1]] += 1
    assert covered.min() >= 1
    for side, pixels, cells in ((plan.across, size[0], grid[1]), (plan.down, size[1], grid[0])):
        cell = pixels / side.cells
        if pixels <= 512:
            assert side.starts == (0,)
            continue
        assert side.cells == pixels * cells // 512
        assert 512 <= cell * cells < 512 * (1 + 1 / cells)
        steps = np.diff(side.starts)
        assert ((cells - steps) * cell >= overlap - 1e-9).all()
        assert steps.size == 0 or steps.max() - steps.min() <= 1  # spread evenly


def test_a_photo_of_12_megapixels_has_the_cells_of_its_tiles() -> None:
    plan = plan_tiles((4000, 3000), 512, 64, (40, 40))
    assert plan.cells == (234, 312)
    assert len(plan) == 9 * 7  # 40 of 312 and of 234 cells, by steps of at most 35
    assert len(plan_tiles((12000, 300), 512, 64, (40, 40)).down.starts) == 1


@pytest.mark.parametrize("size", [(513, 700), *SIZES])
@pytest.mark.parametrize("overlap", [0, 64, 300, 400])
def test_the_same_answer_everywhere_stays_that_answer(size: tuple[int, int], overlap: int) -> None:
    plan = plan_tiles(size, 512, overlap, (20, 24))
    np.testing.assert_allclose(stitch(plan, constant(plan, np.full(len(plan), 0.3))), 0.3, atol=1e-6)


@pytest.mark.parametrize("size", [(200, 150), (171, 64), (65, 230), (90, 40)])
@pytest.mark.parametrize(("tile", "image_size"), [(64, 32), (64, 96), (50, 32), (100, 16)])
def test_tiles_see_what_the_whole_photo_resized_at_once_shows(
    size: tuple[int, int], tile: int, image_size: int
) -> None:
    photo, grid = noise(*size), (8, 8)
    plan = plan_tiles(size, tile, 12, grid)
    rows, columns = plan.cells
    scale = image_size // 8  # the network's pixels in a cell
    whole = resize_whole(photo, rows * scale, columns * scale)
    # shrunk or enlarged, with the margin that the filter needs: 1e-4 is Pillow's rounding of the box to float32
    tiles = np.concatenate(list(cut_tiles(photo, plan, image_size, batch_size=3)))
    for (top, left), pixels in zip(plan.offsets, tiles, strict=True):
        there = whole[top * scale : top * scale + image_size, left * scale : left * scale + image_size]
        np.testing.assert_allclose(pixels, there, atol=1e-4)
    expected = pixel_wise(whole[None], plan.cells)[0]
    np.testing.assert_allclose(look(photo, plan, image_size), expected, atol=1e-4)


def test_without_rescaling_tiled_equals_whole() -> None:
    photo = noise(200, 150)
    plan = plan_tiles((200, 150), tile=64, overlap=16, grid=(64, 64))
    assert plan.cells == (150, 200)
    stitched = look(photo, plan, 64)
    assert stitched.dtype == np.float32
    np.testing.assert_allclose(stitched, photo / 255.0, atol=1e-6)


def test_the_mask_of_a_photo_is_the_same_tiled_and_whole() -> None:
    photo = np.full((150, 200, 3), 40, np.uint8)
    photo[60:110, 50:140] = 220
    plan = plan_tiles((200, 150), tile=64, overlap=16, grid=(32, 32))
    tiled = mask_at_size(look(photo, plan, 64)[..., :1], 200, 150, np.array([0.45]))
    whole = resize_whole(photo, 75, 100)[..., :1].astype(np.float32)
    np.testing.assert_array_equal(tiled, mask_at_size(whole, 200, 150, np.array([0.45])))
    np.testing.assert_array_equal(tiled[64:106, 54:136], 1)


@pytest.mark.parametrize("size", [(900, 300), (1400, 1100)])
@pytest.mark.parametrize("overlap", [64, 300])
def test_tiles_that_disagree_fade_into_each_other(size: tuple[int, int], overlap: int) -> None:
    plan = plan_tiles(size, 512, overlap, (40, 40))
    offsets = np.random.default_rng(2).random(len(plan))
    slope = 0.01  # of what all tiles agree on, per cell
    rows, columns = np.indices(plan.cells)
    ramp = (slope * (rows + columns))[..., None]
    stitched = stitch(
        plan,
        (
            (ramp[top : top + 40, left : left + 40] + offset)[None]
            for (top, left), offset in zip(plan.offsets, offsets, strict=True)
        ),
    )
    for axis, side in ((0, plan.down), (1, plan.across)):
        shared = 40 - np.diff(side.starts).max(initial=0)
        # in a fade over n cells two tiles change shares by 1 / n a cell; a third one at most doubles that
        seam = (1 if shared <= 20 else 2) * np.ptp(offsets) / shared
        assert np.abs(np.diff(stitched, axis=axis)).max() <= slope + seam + 1e-5
    assert np.abs(stitched - ramp).max() <= offsets.max() + 1e-5


def test_the_middle_of_a_tile_is_its_own_answer() -> None:
    plan = plan_tiles((1280, 300), 512, 64, (40, 40))
    assert plan.across.starts == (0, 30, 60)
    stitched = stitch(plan, constant(plan, np.array([0.0, 1.0, 0.0])))[0, :, 0]
    fade = (np.arange(10) + 0.5) / 10
    expected = np.concatenate([np.zeros(30), fade, np.ones(20), fade[::-1], np.zeros(30)])
    np.testing.assert_allclose(stitched, expected, atol=1e-6)


def test_batches_change_nothing() -> None:
    photo, plan = noise(150, 130), plan_tiles((150, 130), 64, 10, (8, 8))
    singles = np.concatenate(list(cut_tiles(photo, plan, 32, batch_size=1)))
    batches = list(cut_tiles(photo, plan, 32, batch_size=4))
    assert [len(batch) for batch in batches] == [4] * (len(plan) // 4) + [len(plan) % 4] * (len(plan) % 4 > 0)
    assert singles.dtype == np.float32
    assert singles.min() >= 0.0
    assert singles.max() <= 1.0
    np.testing.assert_array_equal(np.concatenate(batches), singles)
    answers = pixel_wise(singles, (8, 8))
    np.testing.assert_array_equal(stitch(plan, [answers]), stitch(plan, (answer[None] for answer in answers)))


@pytest.mark.parametrize("value", [0, 255])
def test_pixels_stay_between_black_and_white(value: int) -> None:
    photo = np.full((131, 157, 3), value, np.uint8)
    for tiles in cut_tiles(photo, plan_tiles((157, 131), 64, 10, (7, 7)), 35):
        assert ((tiles >= 0.0) & (tiles <= 1.0)).all()
        np.testing.assert_allclose(tiles, value / 255.0, atol=1e-6)


def test_a_large_photo_is_never_held_in_floats(monkeypatch: pytest.MonkeyPatch) -> None:
    photo = np.zeros((3000, 4000, 3), np.uint8)
    plan = plan_tiles((4000, 3000), 512, 64, (40, 40))
    largest = 0
    resize = Image.Image.resize

    def watched(image: Image.Image, *arguments: Any) -> Image.Image:  # Pillow's memory is not Python's: count pixels
        nonlocal largest
        largest = max(largest, image.width * image.height)
        return resize(image, *arguments)

    monkeypatch.setattr(Image.Image, "resize", watched)
    tracemalloc.start()
    try:
        stitched = look(photo, plan, 80)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert stitched.shape == (*plan.cells, 3)
    assert largest < 540 * 540
    assert peak < 8e6  # bytes; one channel of the photo in float32 is 48e6


@pytest.mark.parametrize(
    ("size", "tile", "overlap", "grid", "message"),
    [
        ((900, 900), 512, 512, (40, 40), "an overlap of 512 is too much for tiles of 512 .* Set the overlap to 499 or"),
        ((20, 20), 64, 64, (40, 40), "Set the overlap to 62 or less"),  # whether or not this photo needs tiles
        ((900, 900), 512, 500, (40, 4), "in 40 × 4 cells: from tile to tile a whole cell .* Set the overlap to 384 or"),
        ((900, 900), 512, -1, (40, 40), "an overlap of 0 or more"),
        ((900, 900), 0, 0, (40, 40), "sizes of 1 or more"),
        ((900, 0), 512, 64, (40, 40), "a photo of 900 × 0 pixels"),
        ((900, 900), 512, 64, (40, 0), "a grid of 40 × 0"),
    ],
)
def test_what_cannot_be_tiled_says_why(
    size: tuple[int, int], tile: int, overlap: int, grid: tuple[int, int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        plan_tiles(size, tile, overlap, grid)


@pytest.mark.parametrize(("grid", "most"), [((1, 1), 0), ((3, 3), 43), ((4, 5), 48), ((40, 40), 63)])
def test_the_most_overlap_that_is_allowed_fits_every_photo(grid: tuple[int, int], most: int) -> None:
    with pytest.raises(ValueError, match=f"Set the overlap to {most} or less"):
        plan_tiles((9, 9), 65, most + 1, grid)
    for side in range(1, 2000):
        plan = plan_tiles((side, 2000 - side), 65, most, grid)
        for line, cells in ((plan.across, grid[1]), (plan.down, grid[0])):
            steps = np.diff(line.starts)
            assert line.starts[-1] + cells == line.cells
            assert line.span(line.starts[-1])[1] == line.pixels  # to the last bit: Pillow takes no box beyond
            assert steps.size == 0 or (steps > 0).all()
            assert ((cells - steps) * line.pixels >= most * line.cells).all()


def test_answers_that_are_not_the_tiles_are_refused() -> None:
    plan = plan_tiles((900, 300), 512, 64, (40, 40))
    assert len(plan) == 2
    grid = np.zeros((1, 40, 40, 2), np.float32)
    with pytest.raises(ValueError, match="2 grids were expected, but 1 came"):
        stitch(plan, [grid])
    with pytest.raises(ValueError, match="2 grids were expected, but 0 came"):
        stitch(plan, [])
    with pytest.raises(ValueError, match="number 3"):
        stitch(plan, [grid, grid, grid])
    with pytest.raises(ValueError, match=r"\(40, 40\) cells were expected; number 1: \(20, 40, 2\)"):
        stitch(plan, [grid[:, :20]])
    with pytest.raises(ValueError, match=r"\(300, 900, 3\) was planned for, but \(900, 300, 3\) came"):
        next(cut_tiles(noise(300, 900), plan, 80))
