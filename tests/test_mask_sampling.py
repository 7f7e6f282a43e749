"""What a fit is shown: maps and pixels in the right rows and views, batches, augmented photos with their masks."""

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest

from carclf.geometry import GeometryRanges, draw_geometry, warp_planes
from carclf.labels import IGNORED_PIXEL
from carclf.masks import augmentation
from carclf.masks.augmentation import augment
from carclf.masks.map_reader import MapReader, grid_size, read_ahead
from carclf.masks.sampling import MaskData, Sampler, read_batch
from carclf.masks.spec import PIXELS, mirror_back
from carclf.masks.targets import training_targets
from carclf.scores import Array
from tests.mask_photos import (
    FROM_PIXELS,
    MIRROR,
    QUICK,
    SIDE,
    TRAIN_ROWS,
    Photos,
    changed,
    make_photos,
    make_pixel_photos,
)

SEEDS = range(40)


@pytest.fixture(scope="module")
def photos() -> Photos:
    return make_photos()


@pytest.fixture(scope="module")
def pixel_photos() -> MaskData:
    return make_pixel_photos()[0]


def test_reader_finds_rows_of_each_view_and_level() -> None:
    maps = {"P4": np.arange(6, dtype=np.float16).reshape(6, 1, 1, 1), "P3": np.zeros((4, 2, 2, 1), np.float16)}
    reader = MapReader(maps, {"P4": np.array([[5, 0], [2, 3]]), "P3": np.array([[0, 1], [2, 3]])})
    assert reader.views == 2
    assert grid_size(reader.shapes) == (2, 2)
    assert reader.read(np.array([1, 0]), np.array([0, 1]))["P4"].ravel().tolist() == [0, 2]
    assert reader.read_views(np.array([0]))["P4"].ravel().tolist() == [5, 2]


def test_reading_ahead_keeps_the_order_and_the_errors() -> None:
    assert list(read_ahead(lambda x: x * x, range(5))) == [0, 1, 4, 9, 16]
    assert list(read_ahead(lambda x: x, [])) == []
    with pytest.raises(ZeroDivisionError):
        list(read_ahead(lambda x: 1 // x, [1, 0]))


def test_mirrored_photos_come_with_mirrored_masks(photos: Photos) -> None:
    data, masks = photos
    rows = np.array([1, 2, 3])
    shares = read_batch(data, rows, np.array([1, 0, 1]))[1]
    np.testing.assert_array_equal(shares[1], data.targets.shares[2])
    for place in (0, 2):
        mask = masks[rows[place]][:, ::-1]
        swapped = np.choose(mask % IGNORED_PIXEL, [0, 2, 1]).astype(np.uint8)
        swapped[mask == IGNORED_PIXEL] = IGNORED_PIXEL
        np.testing.assert_allclose(shares[place], training_targets(swapped, 2, 8, 8), atol=1e-3)
    twice = mirror_back(mirror_back(shares, (1, 0, 2)), (1, 0, 2))
    np.testing.assert_array_equal(twice, shares)


def rows_of(batch: dict[str, Any], data: MaskData) -> list[int]:
    """Which photos a batch of pixels shows, unaugmented."""
    known = {image.tobytes(): row for row, image in enumerate(data.reader.maps[PIXELS])}
    return [known[image.tobytes()] for image in batch[PIXELS]]


def test_every_photo_with_a_region_comes_once_in_an_epoch_and_other_empty_ones_each_time(
    pixel_photos: MaskData,
) -> None:
    settings = changed(QUICK, augment=False, empty_share=0.1)
    sampler = Sampler(pixel_photos, TRAIN_ROWS, settings, np.random.default_rng(0))
    shows = pixel_photos.targets.has_class()[TRAIN_ROWS].any(axis=1)
    shown, empty = set(TRAIN_ROWS[shows].tolist()), set(TRAIN_ROWS[~shows].tolist())
    assert (len(shown), len(empty)) == (30, 10)
    orders, drawn = [], []
    for _ in range(4):
        batches = [rows_of(inputs, pixel_photos) for inputs, _ in sampler.epoch()]
        assert len(batches) == sampler.steps
        assert np.ptp([len(batch) for batch in batches]) <= 1
        assert max(len(batch) for batch in batches) <= settings.batch_size
        rows = [row for batch in batches for row in batch]
        assert sorted(row for row in rows if row in shown) == sorted(shown)
        assert len(rows) == 30 + 3
        orders.append(rows)
        drawn.append([row for row in rows if row in empty])
    assert len({tuple(order) for order in orders}) == 4
    assert len({row for some in drawn[:3] for row in some}) == 9  # none comes again before the others have
    assert {row for some in drawn for row in some} == empty


def test_the_seed_alone_decides_the_batches(pixel_photos: MaskData) -> None:
    settings = changed(QUICK, augment=True)

    def two_epochs(seed: int) -> list[tuple[bytes, bytes]]:
        sampler = Sampler(pixel_photos, TRAIN_ROWS, settings, np.random.default_rng(seed))
        batches = [batch for _ in range(2) for batch in sampler.epoch()]
        return [(inputs[PIXELS].tobytes(), shares.tobytes()) for inputs, shares in batches]

    assert two_epochs(1) == two_epochs(1)
    assert not set(two_epochs(1)) & set(two_epochs(2))


def test_only_pixels_are_augmented_and_only_where_that_is_wanted(photos: Photos, pixel_photos: MaskData) -> None:
    frozen = Sampler(photos[0], TRAIN_ROWS, changed(QUICK, augment=True), np.random.default_rng(0))
    maps = photos[0].reader.maps["P3"]
    known = {each.tobytes() for each in maps}
    assert all(each.tobytes() in known for inputs, _ in frozen.epoch() for each in inputs["P3"])
    warped = Sampler(pixel_photos, TRAIN_ROWS, changed(QUICK, augment=True), np.random.default_rng(0))
    known = {each.tobytes() for each in pixel_photos.reader.maps[PIXELS]}
    assert not any(each.tobytes() in known for inputs, _ in warped.epoch() for each in inputs[PIXELS])


def test_a_batch_changes_nothing_of_what_is_kept(pixel_photos: MaskData) -> None:
    rows, before = np.arange(6), pixel_photos.targets.shares.copy()
    images = pixel_photos.reader.maps[PIXELS].copy()
    inputs, shares = read_batch(pixel_photos, rows, np.zeros(6, int), np.arange(6))
    assert inputs[PIXELS].dtype == shares.dtype == np.dtype(np.float16)
    np.testing.assert_array_equal(pixel_photos.targets.shares, before)
    np.testing.assert_array_equal(pixel_photos.reader.maps[PIXELS], images)
    for row in rows:
        expected = augment(images[row], before[row], MIRROR, np.random.default_rng(row))
        np.testing.assert_array_equal(inputs[PIXELS][row], expected[0])
        np.testing.assert_array_equal(shares[row], expected[1])


# -- augmentation


def speaking_photo(seed: int = 3, side: int = 48) -> tuple[Array, Array]:
    """A photo whose red says how much of "left" there is, its green of "right": float16, and the shares of its mask."""
    random = np.random.default_rng(seed)
    mask = np.zeros((side, side), np.uint8)
    mask[10:30, 6:20], mask[22:42, 24:44] = 1, 2
    mask[random.random(mask.shape) < 0.1] = 0
    shares = training_targets(mask, 2, side, side)
    image = np.concatenate([shares[..., :2], np.full_like(shares[..., :1], 0.5)], axis=-1)
    return image.astype(np.float16), shares


def is_mirrored(seed: int) -> bool:
    return draw_geometry(np.random.default_rng(seed), GeometryRanges())[0].mirrored


@pytest.fixture
def same_light(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(augmentation, "change_look", lambda photo, look: photo)


@pytest.mark.usefixtures("same_light")
def test_after_a_warp_the_mask_still_says_what_the_pixels_say() -> None:
    image, shares = speaking_photo()
    mirrored = [is_mirrored(seed) for seed in SEEDS]
    assert any(mirrored)
    assert not all(mirrored)
    for seed in SEEDS:
        warped, taught = augment(image, shares, MIRROR, np.random.default_rng(seed))
        inside = taught[..., 2] == 1
        assert inside.mean() > 0.4
        red, green = (1, 0) if is_mirrored(seed) else (0, 1)  # what was "left" is on the right of a mirrored photo
        said = np.stack([warped[..., red], warped[..., green]], axis=-1)
        np.testing.assert_allclose(said[inside], taught[..., :2][inside], atol=0.01)
        assert np.abs(warped.astype(np.float32) - image).max() > 0.5


def test_what_lies_outside_the_photo_is_its_reflection_and_is_not_judged() -> None:
    image, shares = speaking_photo()
    shares = shares.copy()
    shares[:4] = 0  # nobody has judged the uppermost rows
    seen = 0
    for seed in SEEDS:
        warped, taught = augment(image, shares, MIRROR, np.random.default_rng(seed))
        geometry = draw_geometry(np.random.default_rng(seed), GeometryRanges())[0]
        judged = warp_planes(shares[..., 2:].astype(np.float32), geometry, cv2.BORDER_CONSTANT)
        np.testing.assert_allclose(taught[..., 2:], judged, atol=1e-3)
        unjudged = taught[..., 2] == 0
        assert not taught[unjudged].any()
        seen += int(unjudged.sum())
        assert np.isfinite(taught).all()
        assert 0 <= taught.min() <= taught.max() <= 1
        assert 0 <= warped.min() <= warped.max() <= 1
        assert taught[..., :2].sum(axis=-1).max() <= 1.01
    assert seen > 1000
    white = np.ones_like(image)
    for seed in (0, 1, 2):  # no black corners
        assert augment(white, shares, MIRROR, np.random.default_rng(seed))[0].min() > 0.3


def test_the_light_changes_the_photo_and_nothing_of_the_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    image, shares = speaking_photo()
    lit = [augment(image, shares, MIRROR, np.random.default_rng(seed)) for seed in SEEDS]
    monkeypatch.setattr(augmentation, "change_look", lambda photo, look: photo)
    plain = [augment(image, shares, MIRROR, np.random.default_rng(seed)) for seed in SEEDS]
    for (bright, taught), (same, also_taught) in zip(lit, plain, strict=True):
        assert taught.tobytes() == also_taught.tobytes()
        assert bright.tobytes() != same.tobytes()


def test_the_seed_alone_decides_a_warp() -> None:
    image, shares = speaking_photo()
    made = [[each.tobytes() for each in augment(image, shares, MIRROR, np.random.default_rng(s))] for s in SEEDS]
    again = [[each.tobytes() for each in augment(image, shares, MIRROR, np.random.default_rng(s))] for s in SEEDS]
    assert made == again
    assert len({taught for _, taught in made}) == len(made)


def test_a_warp_never_takes_all_of_the_damage_away() -> None:
    image, shares = speaking_photo()
    corner = np.zeros_like(shares)
    corner[..., 2] = 1
    corner[:1, -2:, 0] = 1
    lost = 0
    for seed in range(60):
        taught = augment(image, corner, MIRROR, np.random.default_rng(seed))[1]
        assert taught[..., :2].any()
        geometry = draw_geometry(np.random.default_rng(seed), GeometryRanges())[0]
        lost += not warp_planes(corner[..., :1].astype(np.float32), geometry, cv2.BORDER_CONSTANT).any()
    assert lost > 5  # the wildest warp would have


def test_a_photo_without_damage_stays_without() -> None:
    image, shares = speaking_photo()
    shares = shares.copy()
    shares[..., :2] = 0
    for seed in SEEDS:
        assert not augment(image, shares, MIRROR, np.random.default_rng(seed))[1][..., :2].any()


def test_mirrored_views_of_pixels_swap_classes_too() -> None:
    data = make_pixel_photos(8)[0]
    both = np.concatenate([data.reader.maps[PIXELS], data.reader.maps[PIXELS][:, :, ::-1]])
    reader = MapReader({PIXELS: both}, {PIXELS: np.arange(16).reshape(2, 8)})
    data = replace(data, reader=reader)
    inputs, shares = read_batch(data, np.array([1, 2]), np.array([1, 0]))
    np.testing.assert_array_equal(inputs[PIXELS][0], both[1][:, ::-1])
    np.testing.assert_array_equal(shares[0], data.targets.shares[1][:, ::-1][..., [1, 0, 2]])
    np.testing.assert_array_equal(shares[1], data.targets.shares[2])
    assert data.spec is FROM_PIXELS
    assert data.reader.shapes == {PIXELS: (SIDE, SIDE, 3)}
