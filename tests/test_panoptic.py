import tracemalloc
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.ndimage import label
from skimage.measure import regionprops

from carclf.masks.grouping import GroupingSettings, find_centres, group_cells, instances_at_size
from carclf.masks.instance_targets import INSTANCE_TARGETS, MIRROR_SIGNS, cell_of_pixel, instance_targets
from carclf.masks.panoptic import instance_loss
from carclf.masks.spec import INSTANCE_OUTPUTS, mirror_back

Disc = tuple[float, float, float]
TOUCHING: Sequence[Disc] = ((22, 20, 14), (22, 49, 15), (43, 34.5, 12), (75, 80, 17))  # the first three touch


def draw_discs(discs: Sequence[Disc], height: int = 96, width: int = 112) -> np.ndarray:
    """Discs (y, x, radius) in pixels -> ids from 1; a later one lies over an earlier one."""
    rows, columns = np.mgrid[:height, :width] + 0.5
    ids = np.zeros((height, width), np.uint16)
    for number, (y, x, radius) in enumerate(discs, 1):
        ids[(rows - y) ** 2 + (columns - x) ** 2 <= radius**2] = number
    return ids


def draw_nested() -> np.ndarray:
    """Two L that touch along their whole length; the centre of mass of neither lies in it."""
    ids = np.zeros((96, 112), np.uint16)
    ids[8:80, 16:28] = ids[68:80, 16:96] = 1
    ids[8:68, 28:40] = ids[56:68, 28:96] = 2
    return ids


def answer(targets: np.ndarray) -> np.ndarray:
    """What a network says that has learnt all of it: centre logit, offsets."""
    heat = np.clip(targets[..., :1].astype(np.float64), 1e-7, 1 - 1e-7)
    return np.concatenate([np.log(heat / (1 - heat)), targets[..., 1:3]], axis=-1).astype(np.float32)


def owners_of(ids: np.ndarray, height: int, width: int) -> np.ndarray:
    """The id that covers most of each cell; sizes are multiples."""
    down, right = ids.shape[0] // height, ids.shape[1] // width
    owners = np.zeros((height, width), np.int64)
    for cell in np.ndindex(height, width):
        pixels = ids[cell[0] * down :, cell[1] * right :][:down, :right]
        counts = [np.sum(pixels == each) for each in range(1, ids.max() + 1)]
        owners[cell] = np.argmax(counts) + 1 if any(counts) else 0
    return owners


def assert_same_partition(one: np.ndarray, other: np.ndarray) -> None:
    pairs = {*zip(one.ravel().tolist(), other.ravel().tolist(), strict=True)}
    assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs}), sorted(pairs)
    np.testing.assert_array_equal(one > 0, other > 0)


def group(outputs: np.ndarray, foreground: Any, **settings: Any) -> np.ndarray:
    shown = np.asarray(foreground, np.float32)
    return group_cells(outputs[..., 0], outputs[..., 1:], shown, GroupingSettings(**settings))


# Targets


def test_the_network_answers_the_first_channels() -> None:
    assert INSTANCE_TARGETS[:3] == INSTANCE_OUTPUTS
    assert len(MIRROR_SIGNS) == len(INSTANCE_TARGETS)


@pytest.mark.parametrize("draw", [lambda: draw_discs(TOUCHING), draw_nested])
def test_targets_against_a_slow_loop(draw: Any) -> None:
    ids = draw()
    targets = instance_targets(ids, 12, 14)
    assert targets.dtype == np.float16
    assert targets.shape == (12, 14, 4)
    owners = owners_of(ids, 12, 14)
    measure: Any = regionprops  # has no types
    regions = measure(ids.astype(np.int32))
    centres = {each.label: (np.array(each.centroid) + 0.5) / 8 for each in regions}
    spread = {each.label: max(0.8, 0.1 * each.area**0.5 / 8) for each in regions}
    for cell in np.ndindex(12, 14):
        middle, owner = np.array(cell) + 0.5, owners[cell]
        offset = centres[owner] - middle if owner else (0, 0)
        share = np.mean(ids[cell[0] * 8 :, cell[1] * 8 :][:8, :8] == owner) if owner else 0
        np.testing.assert_allclose(targets[cell][1:], [*offset, share], rtol=1e-3, atol=1e-3)
        heats = []
        for number, centre in centres.items():
            nearest = min(np.sum((centre - np.array(each) - 0.5) ** 2) for each in np.ndindex(12, 14))
            square = np.sum((centre - middle) ** 2) - nearest
            heats.append(np.exp(-square / (2 * spread[number] ** 2)))
        assert float(targets[cell][0]) == pytest.approx(max(heats), rel=1e-3, abs=1e-6)


def test_the_nearest_cell_to_every_centre_is_as_hot_as_can_be() -> None:
    heat = instance_targets(draw_discs(TOUCHING), 48, 56)[..., 0]
    assert heat.max() == 1
    for y, x in [(11, 10), (11, 24.5), (21.5, 17.2), (37.5, 40)]:
        assert heat[int(y - 0.5) : int(y + 1.5), int(x - 0.5) : int(x + 1.5)].max() == 1


def test_a_mirrored_photo_has_mirrored_targets() -> None:
    ids = draw_discs(TOUCHING)
    ids[5:20, 90:105] = 5
    found = instance_targets(np.ascontiguousarray(ids[:, ::-1]), 12, 14)
    expected = mirror_back(instance_targets(ids, 12, 14)[None], range(4), MIRROR_SIGNS)[0]
    assert np.any(expected[..., 2] != instance_targets(ids, 12, 14)[:, ::-1, 2])  # the sign matters
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_a_region_smaller_than_a_cell_has_a_centre() -> None:
    ids = draw_discs([(30, 30, 20)])
    ids[84, 100] = 2  # the cell in row 10, column 12
    targets = instance_targets(ids, 12, 14)
    assert targets[10, 12, 0] == 1
    np.testing.assert_allclose(targets[10, 12, 1:], [84.5 / 8 - 10.5, 100.5 / 8 - 12.5, 1 / 64], atol=1e-3)
    cells = group(answer(targets), targets[..., 3] > 0)
    assert cells.max() == 2
    assert np.sum(cells == cells[10, 12]) == 1


def test_a_region_that_covers_no_cell_most_has_a_centre() -> None:
    ids = draw_discs([(30, 30, 20)])
    ids[28:30, 28:30] = 2
    targets = instance_targets(ids, 6, 7)
    alone = instance_targets(np.where(ids == 1, ids, 0).astype(np.uint16), 6, 7)
    assert np.all(targets[..., 0] >= alone[..., 0] - 1e-3)
    assert targets[1, 1, 0] == 1
    np.testing.assert_allclose(targets[..., 1:3], alone[..., 1:3], atol=0.02)


def test_a_photo_without_a_region() -> None:
    assert not instance_targets(np.zeros((50, 70), np.uint16), 12, 14).any()


def test_ids_may_have_gaps() -> None:
    ids = draw_discs(TOUCHING)
    np.testing.assert_array_equal(
        instance_targets((ids * 1000).astype(np.uint16), 12, 14), instance_targets(ids, 12, 14)
    )


@pytest.mark.parametrize("shape", [(97, 113), (5, 9), (12, 200), (1, 1)])
def test_any_size_of_photo_fills_the_grid(shape: tuple[int, int]) -> None:
    targets = instance_targets(np.ones(shape, np.uint16), 12, 14)
    np.testing.assert_array_equal(targets[..., 3], 1)
    middles = np.mgrid[:12, :14].transpose(1, 2, 0) + 0.5
    np.testing.assert_allclose(targets[..., 1:3] + middles, np.broadcast_to([6.0, 7.0], (12, 14, 2)), atol=0.02)


@pytest.mark.parametrize(("pixels", "cells"), [(96, 12), (97, 12), (100, 56), (3, 3), (12, 11)])
def test_pixels_lie_in_the_cell_of_their_middle(pixels: int, cells: int) -> None:
    expected = [int((index + 0.5) / pixels * cells + 1e-9) for index in range(pixels)]
    assert cell_of_pixel(pixels, cells).tolist() == expected
    assert set(expected) == set(range(cells))


# Loss


def loss_and_slope(outputs: np.ndarray, targets: np.ndarray) -> tuple[float, np.ndarray]:
    given = tf.constant(outputs, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(given)
        loss = instance_loss(given, tf.constant(targets, tf.float32))
    return float(loss.numpy()), np.asarray(tape.gradient(loss, given).numpy())


def make_batch() -> tuple[np.ndarray, np.ndarray]:
    photos = [draw_discs(TOUCHING), draw_nested(), np.zeros((96, 112), np.uint16)]
    targets = np.stack([instance_targets(ids, 12, 14) for ids in photos]).astype(np.float32)
    outputs = np.random.default_rng(0).normal(0, 2, (3, 12, 14, 3)).astype(np.float32)
    return outputs, targets


def slow_loss(outputs: np.ndarray, targets: np.ndarray) -> float:
    centres = heats = lengths = weights = 0.0
    for cell in np.ndindex(*outputs.shape[:3]):
        z, *moved = outputs[cell].astype(np.float64)
        y, *truth, weight = targets[cell].astype(np.float64)
        p = 1 / (1 + np.exp(-z))
        centres += (y - p) ** 2 * (-y * np.log(p) - (1 - y) * np.log(1 - p))
        heats += y
        lengths += weight * (abs(moved[0] - truth[0]) + abs(moved[1] - truth[1]))
        weights += weight
    return 0.5 * centres / (heats + len(outputs)) + 0.05 * lengths / weights


def test_loss_against_a_slow_loop() -> None:
    outputs, targets = make_batch()
    assert loss_and_slope(outputs, targets)[0] == pytest.approx(slow_loss(outputs, targets), rel=1e-5)


def test_the_right_answer_costs_nothing_and_any_other_more() -> None:
    _, targets = make_batch()
    right = answer(targets)
    loss, slope = loss_and_slope(right, targets)
    assert loss == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(slope, 0, atol=1e-6)
    for channel in range(3):
        for change in (-0.5, 0.5):
            other = right.copy()
            other[..., channel] += change
            assert loss_and_slope(other, targets)[0] > loss + 1e-4


def test_one_step_down_the_slope_costs_less() -> None:
    outputs, targets = make_batch()
    loss, slope = loss_and_slope(outputs, targets)
    assert loss_and_slope(outputs - 0.1 * slope / np.abs(slope).max(), targets)[0] < loss


@pytest.mark.parametrize("extreme", [0.0, 60.0, -60.0, 1e4, -1e4])
def test_loss_and_slope_are_finite_for_any_answer(extreme: float) -> None:
    _, targets = make_batch()
    loss, slope = loss_and_slope(np.full((3, 12, 14, 3), extreme), targets)
    assert np.isfinite(loss)
    assert np.isfinite(slope).all()


def test_offsets_of_cells_without_a_region_change_nothing() -> None:
    outputs, targets = make_batch()
    other = outputs.copy()
    other[targets[..., 3] == 0, 1:] = 50.0
    loss, slope = loss_and_slope(other, targets)
    assert loss == pytest.approx(loss_and_slope(outputs, targets)[0], rel=1e-6)
    assert not slope[targets[..., 3] == 0, 1:].any()
    assert slope[targets[..., 3] == 0, 0].all()  # but a false centre there costs


def test_a_fresh_network_is_not_drowned() -> None:
    _, targets = make_batch()
    fresh = np.zeros((3, 12, 14, 3))
    fresh[..., 0] = np.log(0.01 / 0.99)
    assert 0.1 < loss_and_slope(fresh, targets)[0] < 1.5
    assert loss_and_slope(fresh[2:], targets[2:])[0] < 0.01  # a photo without a region


# Grouping on the grid


@pytest.mark.parametrize("draw", [lambda: draw_discs(TOUCHING), draw_nested])
@pytest.mark.parametrize("grid", [(24, 28), (48, 56)])
def test_the_right_answer_is_grouped_into_the_true_regions(draw: Any, grid: tuple[int, int]) -> None:
    ids = draw()
    targets = instance_targets(ids, *grid)
    cells = group(answer(targets), targets[..., 3] > 0)
    assert cells.dtype == np.int32
    assert label(cells > 0)[1] < ids.max()  # some touch
    assert_same_partition(cells, owners_of(ids, *grid))


def test_small_discs_that_touch_in_a_row() -> None:
    ids = draw_discs([(20, 12 + 12 * place, 6) for place in range(8)])
    targets = instance_targets(ids, 24, 28)  # three cells each
    assert_same_partition(group(answer(targets), targets[..., 3] > 0), owners_of(ids, 24, 28))


def test_a_region_in_two_pieces_stays_one() -> None:
    ids = draw_discs([(48, 56, 40)])
    ids[:, 44:68] = 0
    targets = instance_targets(ids, 12, 14)
    assert label(targets[..., 3] > 0)[1] == 2
    assert group(answer(targets), targets[..., 3] > 0).max() == 1


@pytest.mark.parametrize("seed", range(20))
def test_nothing_of_the_foreground_is_lost(seed: int) -> None:
    random = np.random.default_rng(seed)
    outputs = random.normal(-1, 3, (17, 23, 3)).astype(np.float32)
    foreground = random.random((17, 23), np.float32)
    least = float(random.choice([0.25, 0.5, 0.75, 1.0]))
    cells = group(outputs, foreground, least_foreground=least)
    np.testing.assert_array_equal(cells > 0, foreground >= least)
    assert set(np.unique(cells)) == set(range(cells.max() + 1)) | {0}


def test_a_component_that_no_centre_is_found_for_is_a_region_of_its_own() -> None:
    ids = draw_discs(TOUCHING)
    targets = instance_targets(ids, 24, 28)
    outputs = answer(targets)
    outputs[14:, 14:, 0] = -9.0  # of the disc that stands alone
    assert_same_partition(group(outputs, targets[..., 3] > 0), owners_of(ids, 24, 28))


def test_false_centres_do_not_split_what_votes_for_its_own_middle() -> None:
    ids = draw_discs([(48, 56, 40)])
    targets = instance_targets(ids, 24, 28)
    outputs = answer(targets)
    outputs[..., 1:] *= 0.7  # votes come near
    outputs[..., 0] = -9.0
    outputs[[6, 12, 18], [14, 6, 14], 0] = 2.0
    assert len(find_centres(outputs[..., 0])) == 3
    assert group(outputs, targets[..., 3] > 0).max() == 1


def test_a_ring_and_what_it_encloses_may_be_one() -> None:
    ids = draw_discs([(48, 56, 40), (48, 56, 28), (48, 56, 10)])  # the middle is at a cell's corner
    ids[ids == 2] = 0
    ids[ids == 3] = 1
    targets = instance_targets(ids, 24, 28)
    targets[..., 0] = 0.0
    targets[12, 14, 0] = 1.0  # half a cell too far down and right
    assert group(answer(targets), targets[..., 3] > 0).max() == 1


def test_without_a_centre_the_components_are_the_regions() -> None:
    ids = draw_discs(TOUCHING)
    foreground = instance_targets(ids, 24, 28)[..., 3] > 0
    outputs = np.full((24, 28, 3), -9.0, np.float32)
    assert_same_partition(group(outputs, foreground), label(foreground, np.ones((3, 3)))[0])


def test_no_foreground_no_region() -> None:
    outputs = answer(instance_targets(draw_discs(TOUCHING), 24, 28))
    assert not group(outputs, np.zeros((24, 28))).any()


def test_a_centre_between_two_cells_is_one() -> None:
    ids = np.zeros((96, 112), np.uint16)
    ids[8:24, 8:24] = 1  # its middle is where four cells meet
    targets = instance_targets(ids, 12, 14)
    assert np.sum(targets[..., 0] == 1) == 4
    np.testing.assert_allclose(find_centres(answer(targets)[..., 0]), [[2, 2]])


def test_centres_stand_out() -> None:
    heat = np.full((9, 9), 0.001, np.float32)
    heat[4] = [0.8, 0.6, 0.9, 0.3, 0.35, 0.7, 0.0, 0.0, 0.04]
    heat[8, 0] = 0.3  # alone
    logits = np.log(heat + 1e-9) - np.log(1 - heat)
    assert find_centres(logits).tolist() == [[4.5, 2.5], [4.5, 5.5], [8.5, 0.5]]
    assert find_centres(logits, GroupingSettings(depth=0.2)).tolist() == [
        [4.5, 2.5],
        [4.5, 0.5],
        [4.5, 5.5],
        [8.5, 0.5],
    ]
    assert find_centres(logits, GroupingSettings(depth=0.6)).tolist() == [[4.5, 2.5], [8.5, 0.5]]
    assert find_centres(logits, GroupingSettings(least_heat=0.03))[3:].tolist() == [[4.5, 8.5]]
    assert find_centres(logits, GroupingSettings(most_centres=2)).tolist() == [[4.5, 2.5], [4.5, 5.5]]


@pytest.mark.parametrize("seed", range(5))
def test_centres_against_a_flood(seed: int) -> None:
    """Floods from the hottest cell down; a maximum stands out if it is deep enough when it meets a hotter one."""
    heat = np.random.default_rng(seed).uniform(0.01, 0.99, (11, 13))
    root: dict[tuple[int, int], tuple[int, int]] = {}
    expected = set()
    for cell in sorted(np.ndindex(11, 13), key=lambda each: -heat[each]):
        around = {
            root[each] for each in np.ndindex(11, 13) if each in root and np.abs(np.subtract(each, cell)).max() == 1
        }
        first = max(around, key=lambda each: heat[each], default=cell)
        for other in around - {first}:
            if heat[cell] <= 0.5 * heat[other]:
                expected.add(other)
        root = {each: first if owner in around else owner for each, owner in root.items()} | {cell: first}
    expected = {each for each in expected | {first} if heat[each] >= 0.2}
    found = find_centres((np.log(heat) - np.log(1 - heat)).astype(np.float32)) - 0.5
    assert {(int(y), int(x)) for y, x in found} == expected


@pytest.mark.parametrize("logit", [-1.0, 5.0, 80.0])
def test_a_heat_without_a_maximum_has_one_centre(logit: float) -> None:
    np.testing.assert_allclose(find_centres(np.full((7, 9), logit, np.float32)), [[3.5, 4.5]])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"least_heat": 0.0}, "least_heat is 0.0; a number between 0 and 1"),
        ({"depth": 1.0}, "depth is 1.0; a share between 0 and 1"),
        ({"most_centres": 0}, "most_centres is 0; a number from 1"),
        ({"least_foreground": 0.0}, "least_foreground is 0.0; a number above 0"),
    ],
)
def test_settings_out_of_range(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GroupingSettings(**settings)


# At the photo's own size


def test_true_cells_come_back_as_the_true_regions() -> None:
    ids = draw_discs(TOUCHING)
    cells = owners_of(ids, 48, 56).astype(np.int32)
    found = instances_at_size(cells, (ids > 0).astype(np.uint8))
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found > 0, ids > 0)
    assert np.mean(found == ids) > 0.99  # but for cells that two discs share


@pytest.mark.parametrize("seed", range(20))
def test_every_pixel_of_the_mask_has_an_id(seed: int) -> None:
    random = np.random.default_rng(seed)
    shape = random.integers(1, 90, 2)
    cells = (random.integers(-4, 5, (7, 9)).clip(0) * (random.random() < 0.8)).astype(np.int32)
    mask = random.choice(np.array([0, 0, 0, 1, 2, 255], np.uint8), shape)
    found = instances_at_size(cells, mask)
    inside = (mask == 1) | (mask == 2)
    np.testing.assert_array_equal(found > 0, inside)
    sampled = cells[cell_of_pixel(shape[0], 7)[:, None], cell_of_pixel(shape[1], 9)]
    np.testing.assert_array_equal(found[inside & (sampled > 0)], sampled[inside & (sampled > 0)])
    components, count = label(inside, np.ones((3, 3)))
    own: list[int] = []
    for number in range(1, count + 1):
        shown = set(np.unique(sampled[components == number])) - {0}
        given = set(np.unique(found[components == number]))
        own += [] if shown else given
        assert given == shown or (not shown and len(given) == 1 and min(given) > cells.max())
    assert len(own) == len(set(own))


def test_pixels_take_the_nearest_id_of_their_component() -> None:
    cells = np.array([[1, 0, 0, 0, 2, 3]], np.int32)
    mask = np.zeros((3, 60), np.uint8)
    mask[0, :46] = 1
    mask[2, 52:] = mask[2, 30:40] = 1  # the last stands alone
    found = instances_at_size(cells, mask)
    assert found[0, :46].tolist() == [1] * 20 + [found[0, 20]] * 10 + [2] * 16
    assert found[2, 52:].tolist() == [3] * 8
    assert found[2, 30:40].tolist() == [4] * 10
    assert not found[mask == 0].any()


def test_a_large_photo_in_bounded_memory() -> None:
    mask = np.repeat(np.repeat((draw_discs(TOUCHING) > 0).astype(np.uint8), 12, axis=0), 12, axis=1)
    cells = owners_of(draw_discs(TOUCHING[:2]), 48, 56).astype(np.int32)  # two discs have none
    tracemalloc.start()
    found = instances_at_size(cells, mask)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.max() == 3  # the third disc hangs together with the first two
    assert most < 20 * mask.size  # two int32 planes of ids and components, and some of bool


# Learning


def draw_pair(random: np.random.Generator) -> np.ndarray:
    """Ids of two discs that touch, 48 × 48."""
    radii, angle = random.uniform(7, 10, 2), random.uniform(0, 2 * np.pi)
    towards = np.array([np.sin(angle), np.cos(angle)]) * radii.sum() * 0.48
    middle = random.uniform(20, 28, 2)
    first, second = middle - towards, middle + towards
    return draw_discs([(*first, radii[0]), (*second, radii[1])], 48, 48)


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.sum(one & other) / np.sum(one | other))


def is_separated(cells: np.ndarray, owners: np.ndarray) -> bool:
    if cells.max() != 2:
        return False
    return all(max(overlap(cells == found, owners == true) for found in (1, 2)) > 0.6 for true in (1, 2))


def test_a_small_network_learns_to_tell_touching_discs_apart() -> None:
    keras.utils.set_random_seed(0)
    random = np.random.default_rng(0)
    photos = [draw_pair(random) for _ in range(232)]
    targets = np.stack([instance_targets(ids, 12, 12) for ids in photos]).astype(np.float32)
    images = np.stack([ids > 0 for ids in photos])[..., None].astype(np.float32)
    convolve = keras.layers.Conv2D
    model = keras.Sequential(
        [
            keras.Input((48, 48, 1)),
            convolve(12, 5, 2, padding="same", activation="relu"),
            convolve(24, 5, 2, padding="same", activation="relu"),
            *[convolve(24, 5, padding="same", activation="relu") for _ in range(2)],
            convolve(3, 1, bias_initializer=keras.initializers.Constant([-4.6, 0.0, 0.0])),
        ]
    )
    model.compile(keras.optimizers.Adam(3e-3), lambda targets, outputs: instance_loss(outputs, targets))
    model.fit(images[:200], targets[:200], batch_size=20, epochs=15, verbose=0)
    separated = 0
    for outputs, taught, ids in zip(model.predict(images[200:], verbose=0), targets[200:], photos[200:], strict=True):
        assert label(taught[..., 3] > 0, np.ones((3, 3)))[1] == 1  # components see one region
        separated += is_separated(group(outputs, taught[..., 3] > 0), owners_of(ids, 12, 12))
    assert separated >= 24  # of 32
