"""Photo and mask go through one geometry; masks stay exact."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from carclf.annotations.records import ClassMask
from carclf.appearance import AppearanceRanges, change_look, draw_appearance
from carclf.dataset import Photo
from carclf.geometry import Geometry, GeometryRanges, draw_geometry, warp_mask, warp_photo
from carclf.label_file import LabelSet
from carclf.mask_sources import MaskSource
from carclf.preparing.output import Recipe, Task, write_photo

STILL = np.arange(256, dtype=np.uint8)  # no class has a mirror image
CELLS = GeometryRanges().elastic_cells + 3


def geometry(mirrored: bool = False, **parts: float) -> Geometry:
    turn, zoom = np.radians(parts.get("turn", 0.0)), parts.get("zoom", 1.0)
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) / zoom
    shift = np.array([parts.get("right", 0.0), 0.0])
    bumps = np.random.default_rng(0).uniform(-1, 1, (2, CELLS, CELLS)) * parts.get("elastic", 0.0)
    return Geometry(mirrored, matrix, shift, parts.get("lens", 0.0), bumps)


def scene(width: int, height: int, seed: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A dark photo with one bright block, and the block's mask of class 7."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((height, width), np.uint8)
    top, left = rng.integers(height // 4, height // 2), rng.integers(width // 4, width // 2)
    mask[top : top + height // 3, left : left + width // 3] = 7
    return np.where(mask[:, :, None] == 7, 255, 0).astype(np.uint8).repeat(3, 2), mask


@pytest.mark.parametrize("size", [(301, 211), (97, 160), (128, 128)])
@pytest.mark.parametrize("seed", range(8))
def test_the_photo_and_its_mask_agree(size: tuple[int, int], seed: int) -> None:
    photo, mask = scene(*size, seed)
    drawn = draw_geometry(np.random.default_rng(seed), GeometryRanges())[0]
    seen = warp_photo(photo, drawn, size)[:, :, 0] > 127
    warped = warp_mask(mask, drawn, size, size, STILL)
    inside = warped != 255
    both, either = (seen & (warped == 7))[inside].sum(), (seen | (warped == 7))[inside].sum()
    assert both / either > 0.97  # half a pixel along the edge of a small block
    assert set(np.unique(warped)) <= {0, 7, 255}


def test_on_a_large_photo_they_agree_to_a_percent() -> None:
    photo, mask = scene(1200, 900)
    for seed in range(4):
        drawn = draw_geometry(np.random.default_rng(seed), GeometryRanges())[0]
        seen = warp_photo(photo, drawn, (1200, 900))[:, :, 0] > 127
        warped = warp_mask(mask, drawn, (1200, 900), (1200, 900), STILL)
        inside = warped != 255
        assert (seen & (warped == 7))[inside].sum() / (seen | (warped == 7))[inside].sum() >= 0.99


def test_the_mask_is_the_nearest_pixel_of_its_source() -> None:
    # every pixel has an id of its own column and row: the warped ids tell where they came from
    size, turned = (120, 90), geometry(turn=11.0, zoom=1.1, lens=0.1, elastic=0.03)
    columns = np.tile(np.arange(120, dtype=np.uint8), (90, 1))
    rows = np.tile(np.arange(90, dtype=np.uint8)[:, None], (1, 120))
    ramp = np.stack([columns * 2, rows * 2, rows * 0], axis=-1)  # linear: interpolation says where exactly
    exact = warp_photo(ramp, turned, size).astype(float) / 2
    came_from = warp_mask(columns, turned, size, size, STILL), warp_mask(rows, turned, size, size, STILL)
    inside = came_from[0] != 255
    assert inside.mean() > 0.8
    for channel, source in enumerate(came_from):
        middle = inside & (source > 0) & (source < source[inside].max())
        assert np.abs(exact[:, :, channel] - source)[middle].max() <= 0.5 + 0.26  # half a pixel, and rounded colours


def test_nothing_changes_nothing_and_mirroring_is_exact() -> None:
    rng = np.random.default_rng(1)
    photo = rng.integers(0, 256, (77, 130, 3), dtype=np.uint8)
    mask = rng.integers(0, 5, (77, 130), dtype=np.uint8)
    assert np.abs(warp_photo(photo, geometry(), (130, 77)).astype(int) - photo).max() <= 1
    np.testing.assert_array_equal(warp_mask(mask, geometry(), (130, 77), (130, 77), STILL), mask)
    flipped = warp_photo(photo, geometry(mirrored=True), (130, 77))
    assert np.abs(flipped.astype(int) - photo[:, ::-1]).max() <= 1
    swaps = STILL.copy()
    swaps[[1, 2]] = 2, 1  # left and right
    warped = warp_mask(mask, geometry(mirrored=True), (130, 77), (130, 77), swaps)
    np.testing.assert_array_equal(warped, swaps[mask[:, ::-1]])


def test_what_lies_outside_the_photo_is_ignored_and_never_background() -> None:
    mask = np.full((60, 100), 3, np.uint8)
    photo = np.full((60, 100, 3), 200, np.uint8)
    away = geometry(zoom=0.5)
    warped = warp_mask(mask, away, (100, 60), (100, 60), STILL)
    assert set(np.unique(warped)) == {3, 255}
    assert (warped == 3).mean() == pytest.approx(0.25, abs=0.01)
    assert warp_photo(photo, away, (100, 60)).min() == 200  # no black corners


def test_a_shift_moves_the_picture_the_other_way() -> None:
    mask = np.zeros((100, 100), np.uint8)
    mask[:, 60:70] = 1
    warped = warp_mask(mask, geometry(right=0.2), (100, 100), (100, 100), STILL)  # 0.2 of half a side: 10 pixels
    np.testing.assert_array_equal(np.flatnonzero(warped[50] == 1), np.arange(50, 60))
    assert (warped[50, 90:] == 255).all()


def test_a_lens_bends_straight_lines_at_the_border_and_leaves_the_middle() -> None:
    mask = np.zeros((201, 201), np.uint8)
    mask[:, 20] = 1
    mask[:, 100] = 2
    warped = warp_mask(mask, geometry(lens=0.1), (201, 201), (201, 201), STILL)
    middle, end = (int(np.flatnonzero(warped[row] == 1).mean()) for row in (100, 185))
    assert end >= middle + 3
    assert (warped[:, 100] == 2).sum() > 150


def test_a_smaller_mask_is_taken_from_its_full_size_in_one_step() -> None:
    mask = scene(800, 600)[1]
    turned = geometry(turn=9.0, lens=0.05)
    small = warp_mask(mask, turned, (800, 600), (128, 128), STILL)
    large = warp_mask(mask, turned, (800, 600), (800, 600), STILL)
    assert small.shape == (128, 128)
    shares = [(each == 7).mean() for each in (small, large)]
    assert shares[0] == pytest.approx(shares[1], rel=0.02)


def test_the_milder_forms_of_a_warp_end_with_mirroring_alone() -> None:
    for seed in range(6):
        warps = draw_geometry(np.random.default_rng(seed), GeometryRanges())
        np.testing.assert_allclose(warps[-1].matrix, np.eye(2))
        assert not warps[-1].bumps.any()
        assert len({warp.mirrored for warp in warps}) == 1
        strengths = [np.abs(warp.matrix - np.eye(2)).max() for warp in warps]
        assert strengths == sorted(strengths, reverse=True)


def test_no_warp_folds_the_photo() -> None:
    # a column's places in the source keep their order, whatever was drawn at the edges of the ranges
    ranges, columns = GeometryRanges(), np.tile(np.linspace(0, 254, 240).astype(np.uint8), (180, 1))
    photo = np.repeat(columns[:, :, None], 3, axis=2)
    for seed in range(20):
        drawn = draw_geometry(np.random.default_rng(seed), ranges)[0]
        inside = warp_mask(columns, drawn, (240, 180), (240, 180), STILL) != 255
        steps = np.diff(warp_photo(photo, drawn, (240, 180))[:, :, 0].astype(int), axis=1)
        steps = -steps if drawn.mirrored else steps
        assert (steps[inside[:, 1:] & inside[:, :-1]] >= -1).all()


def test_light_changes_colours_alone_and_the_same_seed_gives_the_same_noise() -> None:
    photo = np.full((40, 300, 3), 120, np.uint8)
    looks = [draw_appearance(np.random.default_rng(seed), AppearanceRanges()) for seed in range(30)]
    changed = [change_look(photo, look) for look in looks]
    means = np.array([each.mean() for each in changed])
    assert means.min() < 100 < 140 < means.max()
    assert (photo == 120).all()  # the photo itself is left alone
    for look, each in zip(looks, changed, strict=True):
        np.testing.assert_array_equal(change_look(photo, look), each)
        assert each.std(axis=(0, 1)).max() <= 1.3 * max(look.noise, 0.5)
        assert (np.diff(look.curves.astype(int), axis=0) >= 0).all()  # brighter stays brighter


def test_a_copy_keeps_a_good_part_of_every_class(tmp_path: Path) -> None:
    # a small dent in the corner: a third of the warps would push it out of the picture
    photo, mask = np.full((120, 160, 3), 90, np.uint8), np.zeros((120, 160), np.uint8)
    mask[:8, :10], mask[50:90, 40:100] = 1, 2
    Image.fromarray(photo).save(tmp_path / "corner.png")
    Image.fromarray(mask).save(tmp_path / "mask.png")
    label_set = LabelSet(("dent", "scratch"), (0, 1), (None, None), tmp_path / "labels.txt")
    source = MaskSource(label_set, mask=ClassMask(tmp_path / "mask.png", {1: "dent", 2: "scratch"}))
    task = Task(
        0, Photo("corner.png", tmp_path / "corner.png", "0" * 64, None), source, tmp_path / "train", "corner", 40
    )
    files = write_photo(task, Recipe(GeometryRanges(), AppearanceRanges(), None, 1, label_set))
    pixels = np.array([file.pixels for file in files])
    assert (pixels[:, 1:3] >= 0.25 * pixels[0, 1:3]).all()
    assert pixels.sum(axis=1).tolist() == [120 * 160] * 41
    assert (pixels[:, 3] > 0).mean() > 0.3  # the strong warps are not given up for all


def test_mirrored_copies_keep_what_their_class_becomes(tmp_path: Path) -> None:
    mask = np.zeros((60, 80), np.uint8)
    mask[20:40, 10:30] = 1
    Image.fromarray(np.full((60, 80, 3), 90, np.uint8)).save(tmp_path / "a.png")
    Image.fromarray(mask).save(tmp_path / "mask.png")
    label_set = LabelSet(("left", "right"), (1, 0), (None, None), tmp_path / "labels.txt")
    source = MaskSource(label_set, mask=ClassMask(tmp_path / "mask.png", {1: "left", 2: "right"}))
    task = Task(0, Photo("a.png", tmp_path / "a.png", "0" * 64, None), source, tmp_path / "train", "a", 20)
    files = write_photo(task, Recipe(GeometryRanges(), AppearanceRanges(), None, 1, label_set))
    mirrored = np.array([file.pixels for file in files if file.mirrored])
    assert (mirrored[:, 1] == 0).all()
    assert (mirrored[:, 2] >= 100).all()
    assert (mirrored[:, 3] > 0).any()  # they are turned as strongly as the others, too


def test_a_copy_does_not_depend_on_the_other_copies(tmp_path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    photo, recipe = (
        Photo("a.png", tmp_path / "a.png", "5" * 64, None),
        Recipe(GeometryRanges(), AppearanceRanges(), None, 1, None),
    )
    for folder, copies in (("few", 1), ("many", 4)):
        write_photo(Task(0, photo, None, tmp_path / folder, "a", copies), recipe)
    few, many = (
        {file.name: file.read_bytes() for file in (tmp_path / each).rglob("*.png")} for each in ("few", "many")
    )
    assert few.items() <= many.items()
    assert len(set(many.values())) == 5
