"""Train, valid and test: groups whole, classes spread, nothing empty."""

from pathlib import Path

import numpy as np
import pytest

from carclf.errors import ConfigError, FoldError
from carclf.preparing.options import PrepareOptions, check_options
from carclf.preparing.splitting import split_groups, split_notes
from carclf.preparing.tables import copy_stem, mirror_cell, unique_stems

SHARES = {"train": 0.7, "valid": 0.15, "test": 0.15}


@pytest.mark.parametrize("seed", range(5))
def test_groups_stay_whole_and_every_class_gets_its_share(seed: int) -> None:
    rng = np.random.default_rng(seed)
    group = rng.integers(0, 900, 1200)
    classes = (rng.random((1200, 4)) < [0.5, 0.2, 0.1, 0.04]).astype(np.int8)
    severity = rng.integers(-1, 4, 1200)
    part = split_groups(group, {"masks": classes, "severity": severity}, SHARES, seed)
    for number in np.unique(group):
        assert len(np.unique(part[group == number])) == 1
    for on in (np.ones(1200, bool), severity == 2, *(classes.T == 1)):
        got = np.bincount(part[on], minlength=3) / on.sum()
        np.testing.assert_allclose(got, list(SHARES.values()), atol=0.02 + 1.0 / on.sum())


@pytest.mark.parametrize("seed", range(10))
def test_a_large_group_goes_to_the_large_part(seed: int) -> None:
    part = split_groups(np.append(np.zeros(30, np.int64), np.arange(1, 71)), {}, SHARES, seed)
    assert np.bincount(part).tolist() == [70, 15, 15]
    assert (part[:30] == 0).all()


@pytest.mark.parametrize("num_groups", [3, 4, 5, 7])
def test_no_part_is_empty_as_long_as_there_are_groups_for_all(num_groups: int) -> None:
    part = split_groups(np.arange(num_groups), {}, SHARES, 1)
    assert set(part.tolist()) == {0, 1, 2}
    assert (part == 0).sum() >= num_groups // 3


def test_too_few_groups_are_an_error_that_says_how_to_mend_it() -> None:
    with pytest.raises(FoldError, match=r"Cannot make 3 parts .* 6 photos show only 2 different cars.* --valid 0"):
        split_groups(np.array([5, 5, 5, 8, 8, 8]), {}, SHARES, 1)
    part = split_groups(np.array([5, 5, 5, 8, 8, 8]), {}, {"train": 0.8, "test": 0.2}, 1)
    assert sorted(part.tolist()) == [0, 0, 0, 1, 1, 1]


def test_the_seed_decides_and_the_same_seed_decides_the_same() -> None:
    group = np.arange(60)
    parts = [split_groups(group, {}, SHARES, seed) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(parts[0], parts[1])
    assert (parts[0] != parts[2]).any()


def test_notes_name_what_a_part_lacks() -> None:
    part = np.array([0] * 8 + [1] * 4 + [2] * 4)
    targets = {"masks": np.zeros((16, 3), np.int8), "severity": np.array([0, 1] * 8)}
    targets["masks"][:8, 0] = 1
    targets["masks"][[0, 9, 15], 1] = 1
    notes = list(split_notes(part, targets, {"masks": ("dent", "glass", "rust"), "severity": ("a", "b")}, SHARES))
    assert 'masks: no photo of "dent" is in valid and test; there are 8 in all.' in notes
    assert 'masks: no photo of "rust" takes part.' in notes
    assert any(note.startswith("train has 50% of the photos in place of 70%") for note in notes)
    assert not any("glass" in note or "severity" in note for note in notes)


def test_file_names_are_distinct_on_disks_that_do_not_know_capitals() -> None:
    names = ["a.jpg", "A.png", "sub/b.jpg", "sub_b.jpg", "a_copy1.jpg", "c.jpg"]
    stems = unique_stems(names, 2)
    files = [copy_stem(stem, copy).casefold() for stem in stems for copy in range(3)]
    assert len(set(files)) == len(files)
    assert stems[0] == "a"
    assert stems[2] == "sub_b"
    assert all(Path(stem).name == stem for stem in stems)
    long = unique_stems(["ä" * 300 + ".jpg", "ä" * 299 + "b.jpg"], 1)
    assert len(set(long)) == 2
    assert all(len(stem.encode()) < 200 for stem in long)


def test_cells_of_a_mirrored_photo() -> None:
    swaps = {"left": "right", "right": "left"}
    cells = {"left": "right", "left;roof": "right;roof", "[right]": "left", "NULL": "NULL", "": "", "roof": "roof"}
    assert {cell: mirror_cell(cell, swaps) for cell in cells} == cells


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"valid": 1.0}, r"--valid: 1 is no share"),
        ({"test": float("nan")}, r"--test: nan is no share"),
        ({"valid": 0.5, "test": 0.5}, r"--valid 0.5 and --test 0.5 leave nothing for training"),
        ({"copies": -1}, r"--copies: -1 is not a whole number from 0 to 100"),
        ({"size": 3}, r"--size: 3 is not a number of pixels from 16 to 8192"),
        ({"seed": -4}, r"--seed: -4 is below 0"),
    ],
)
def test_options_out_of_range_are_refused(changes: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_options(PrepareOptions(**changes))  # type: ignore[arg-type]


def test_a_part_without_share_is_not_made() -> None:
    assert list(PrepareOptions(valid=0.0, test=0.2).shares) == ["train", "test"]
    assert sum(PrepareOptions().shares.values()) == pytest.approx(1.0)
