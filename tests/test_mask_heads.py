"""How segmentation heads look at photos and answer: through pixels, in views, in tiles, k networks together."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from carclf.mask_heads import MaskHead
from carclf.mask_looking import Looking
from carclf.masks.answers import Decider, make_grids
from carclf.masks.scoring import class_probabilities
from carclf.masks.spec import PIXELS
from carclf.photo_source import PhotoSource
from carclf.pixels import NO_BACKBONE, open_pixels
from carclf.regions.region import make_region
from carclf.regions.splitting import RegionSettings
from carclf.saying import say_mask
from carclf.scores import Array
from carclf.sight import describe
from tests.small_questions import make_label_set

SIZE = 16


class Reddish:
    """A network that says of every cell how red it is, times a factor, and of class 2 how green."""

    grid = (SIZE, SIZE)

    def __init__(self, factor: float) -> None:
        self.factor, self.seen = factor, dict[str, tuple[int, ...]]()

    def predict_logits(self, maps: Mapping[str, Array]) -> Array:
        self.seen = {level: value.shape for level, value in maps.items()}
        return np.asarray(self.factor * (maps[PIXELS].mean(axis=0)[..., :2] - 0.5), np.float32)


def make_head(*factors: float, tile: int | None = None, views: int = 1) -> MaskHead:
    looking = Looking(open_pixels(SIZE), (PIXELS,), views, tile, overlap=8)
    decider = Decider(np.array([0.5, 0.5]), RegionSettings(split=False, min_area_share=0.0))
    return MaskHead(make_label_set(("dent", "glass")), tuple(map(Reddish, factors)), decider, looking, 0.5)


def test_pixels_are_a_backbone_whose_only_map_is_the_photo() -> None:
    pixels = open_pixels(SIZE)
    images = np.random.default_rng(0).random((3, SIZE, SIZE, 3)).astype(np.float32)
    vectors, maps = pixels.extract(images, maps=True)
    assert vectors.shape == (3, 0)
    assert list(maps) == [PIXELS]
    np.testing.assert_array_equal(maps[PIXELS], images)
    facts = describe(pixels)
    assert (facts["source"], facts["image_size"], facts["seen_drawn_cars"]) == (NO_BACKBONE, SIZE, False)


def test_networks_answer_together_by_the_mean_of_their_logits() -> None:
    head = make_head(2.0, 6.0)
    images = np.random.default_rng(0).random((2, 4, SIZE, SIZE, 3)).astype(np.float32)  # views, photos
    grids = head.answer({PIXELS: images, "P9": images})
    expected = class_probabilities(np.float32(4.0) * (images[0, ..., :2] - np.float32(0.5)))
    np.testing.assert_allclose(grids, expected, atol=1e-6)
    assert head.decoders[0].seen == {PIXELS: (1, 4, SIZE, SIZE, 3)}  # its own levels and views alone
    assert make_head(1.0, views=2).looking.maps(images[0])[PIXELS].shape == (2, 4, SIZE, SIZE, 3)


def test_what_else_a_network_says_is_no_probability() -> None:
    outputs = np.random.default_rng(0).normal(0, 5, (2, 3, 3, 5)).astype(np.float32)
    grids = make_grids(outputs, 2)
    np.testing.assert_array_equal(grids[..., :2], class_probabilities(outputs[..., :2]))
    np.testing.assert_array_equal(grids[..., 2:], outputs[..., 2:])


def test_the_second_view_is_the_mirrored_photo() -> None:
    images = np.random.default_rng(0).random((2, SIZE, SIZE, 3)).astype(np.float32)
    maps = make_head(1.0, views=2).looking.maps(images)[PIXELS]
    np.testing.assert_array_equal(maps[0], images)
    np.testing.assert_array_equal(maps[1], images[:, :, ::-1])


@pytest.mark.parametrize(
    ("size", "tile", "tiles"),
    [((64, 48), None, False), ((32, 32), 32, False), ((33, 32), 32, False), ((35, 32), 32, True), ((64, 48), 32, True)],
)
def test_only_photos_larger_than_a_tile_and_a_cell_are_cut(
    size: tuple[int, int], tile: int | None, tiles: bool
) -> None:
    assert (make_head(1.0, tile=tile).looking.plan(size, (SIZE, SIZE)) is not None) is tiles


def test_tiles_see_what_a_whole_photo_is_too_small_for(tmp_path: Path) -> None:
    """A stripe of one pixel: gone where the photo is made small, there where it is looked at in tiles of its size."""
    photo = np.zeros((16, 96, 3), np.uint8)
    photo[:, 40:42, 0] = 255
    head = make_head(8.0, tile=16)
    Image.fromarray(photo).save(tmp_path / "stripe.png")
    photo_source = PhotoSource(tmp_path / "stripe.png")
    grid = head.looking.answer_photo(photo_source, np.zeros((SIZE, SIZE, 2), np.float32), head.answer)
    mask = head.decider.mask(grid, 96, 16)
    expected = np.zeros((16, 96), np.uint8)
    expected[:, 40:42] = 1
    assert (mask != expected).mean() < 0.02
    assert mask.any()


def test_an_answer_counts_pixels_and_names_only_regions_that_are_sure_enough() -> None:
    mask = np.zeros((10, 20), np.uint8)
    mask[2:6, 2:7], mask[7:9, 10:15] = 1, 2
    sure = make_region(1, 0.95, np.ones((4, 5), bool), (2, 2))
    doubtful = make_region(2, 0.89999, np.ones((2, 5), bool), (10, 7))
    head, grid = replace(make_head(1.0), min_probability=0.9), np.full((SIZE, SIZE, 2), 0.25, np.float32)
    said: dict[str, Any] = say_mask(head, grid, mask, [sure, doubtful])
    assert said["kind"] == "segmentation"
    assert (said["damaged_percent"], said["percent"]) == (15.0, {"dent": 10.0, "glass": 5.0})
    assert said["regions_left_out"] == 1
    (region,) = said["regions"]
    assert (region["class"], region["box"], region["area"]) == ("dent", [2, 2, 5, 4], 20)
    assert (said["confidence"], "reason" in said) == (0.5, False)
    assert say_mask(head, grid, mask, [])["regions"] == []
