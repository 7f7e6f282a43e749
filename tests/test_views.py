from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from carclf.heads import merge_views
from carclf.labels import LabelSet
from carclf.views import VIEWS, ZOOM, is_mirrored, make_view

SIZE = 40


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(3).random((2, SIZE, SIZE, 3), dtype=np.float32)


@pytest.mark.parametrize("view", range(VIEWS))
def test_a_view_keeps_shape_and_range_and_leaves_the_photo_alone(images: np.ndarray, view: int) -> None:
    before = images.copy()
    seen = make_view(images, view)
    assert seen.shape == images.shape
    assert seen.dtype == np.float32
    assert seen.min() >= 0
    assert seen.max() <= 1
    np.testing.assert_array_equal(images, before)
    assert (view == 0) == np.array_equal(seen, images)


@pytest.mark.parametrize("view", range(1, VIEWS, 2))
def test_odd_views_mirror_the_view_before(images: np.ndarray, view: int) -> None:
    assert is_mirrored(view)
    np.testing.assert_array_equal(make_view(images, view)[:, :, ::-1], make_view(images, view - 1))


def test_a_view_does_not_depend_on_the_other_photos(images: np.ndarray) -> None:
    for view in range(VIEWS):
        np.testing.assert_array_equal(make_view(images[1:], view)[0], make_view(images, view)[1])


def test_the_enlarged_view_is_pillows_resized_middle(images: np.ndarray) -> None:
    edge = round(SIZE * (1 - ZOOM) / 2)
    box = (edge, edge, SIZE - edge, SIZE - edge)
    for channel in range(3):
        reference = Image.fromarray(images[0, :, :, channel]).resize((SIZE, SIZE), Image.Resampling.BILINEAR, box=box)
        inner = slice(3, -3)  # a box may look over its edge, a cut-out middle cannot
        found = make_view(images, 2)[0, inner, inner, channel]
        np.testing.assert_allclose(found, np.asarray(reference)[inner, inner], atol=1e-6)


def test_the_brighter_view_keeps_the_order_of_the_pixels(images: np.ndarray) -> None:
    bright = make_view(images, 4)
    assert (bright >= images).all()
    np.testing.assert_array_equal(np.argsort(bright[0], axis=None), np.argsort(images[0], axis=None))


def test_answers_of_mirrored_views_are_turned_back() -> None:
    sides = LabelSet(("left", "right"), (1, 0), (None, None), Path("sides.txt"))
    logits = np.array([[[1.0, 2.0]], [[4.0, 3.0]], [[5.0, 6.0]], [[8.0, 7.0]]], np.float32)  # (views, n, classes)
    np.testing.assert_allclose(merge_views(logits, sides), [[4.0, 5.0]])
