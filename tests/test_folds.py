"""Folds are a partition, keep groups whole, spread every label, and depend on no arbitrary number."""

from pathlib import Path

import numpy as np
import pytest

from carclf.errors import FoldError
from carclf.folds import check_folds, make_folds, make_splits, read_folds_file
from carclf.groups import Array, Groups, Pair
from carclf.labels import NOT_LABELLED

K = 5
CLASS_NAMES = {
    "severity": ("minor", "moderate", "severe", "whole"),
    "type": ("dent", "glass", "scratch"),
    "mask": ("damage",),
}


def make_labels(num_photos: int = 600, seed: int = 0) -> tuple[Array, dict[str, Array]]:
    """Small groups and three heads: imbalanced, partly unlabelled, correlated within groups."""
    generator = np.random.default_rng(seed)
    group = np.sort(generator.integers(0, num_photos // 2, num_photos))
    of_group = generator.choice(4, num_photos, p=[0.15, 0.15, 0.2, 0.5])[group]
    severity = np.where(generator.random(num_photos) < 0.8, of_group, generator.integers(0, 4, num_photos))
    kinds = (generator.random((num_photos, 3)) < [0.3, 0.1, 0.04]).astype(np.int8)
    kinds[severity == 3] = 0
    kinds[generator.random(num_photos) < 0.2] = NOT_LABELLED
    mask = np.where(severity == 3, 0, 1).astype(np.int8)[:, None]
    mask[generator.random(num_photos) < 0.4] = NOT_LABELLED
    return group, {"severity": severity.astype(np.int64), "type": kinds, "mask": mask}


def shares(fold: Array, labelled: Array) -> Array:
    """How many of the photos in `labelled` (bool) are in each fold, in shares of an even split."""
    return np.asarray(np.bincount(fold[labelled], minlength=K) * K / labelled.sum())


@pytest.mark.parametrize("seed", range(3))
def test_folds_are_a_partition_and_groups_stay_whole(seed: int) -> None:
    group, targets = make_labels(seed=seed)
    fold = make_folds(group, targets, K, seed)
    assert fold.dtype == np.int64
    assert fold.shape == group.shape
    assert set(fold.tolist()) == set(range(K))
    assert all(len(set(fold[group == one].tolist())) == 1 for one in np.unique(group))
    splits = make_splits(fold)
    assert np.array_equal(np.sort(np.concatenate([split.test for split in splits])), np.arange(len(group)))
    for split in splits:
        assert np.array_equal(np.union1d(split.train, split.test), np.arange(len(group)))
        assert not set(group[split.train]) & set(group[split.test])


def test_every_label_of_every_head_is_spread_evenly() -> None:
    group, targets = make_labels()
    fold = make_folds(group, targets, K, 42)
    everything = [np.ones(len(group), dtype=bool)]
    everything += [targets["severity"] == i for i in range(4)]
    everything += [targets[head][:, i] == 1 for head in ("type", "mask") for i in range(targets[head].shape[1])]
    everything += [targets[head][:, 0] != NOT_LABELLED for head in ("type", "mask")]
    for labelled in everything:
        off_by = np.abs(np.bincount(fold[labelled], minlength=K) - labelled.sum() / K).max()
        assert off_by <= max(2.0, 0.05 * labelled.sum() / K)


def test_they_are_spread_better_than_one_head_alone_would_be() -> None:
    group, targets = make_labels()
    both = make_folds(group, targets, K, 42)
    alone = make_folds(group, {"severity": targets["severity"]}, K, 42)
    rare = targets["type"][:, 2] == 1
    assert np.abs(shares(both, rare) - 1).max() < np.abs(shares(alone, rare) - 1).max()


def test_the_numbers_of_classes_and_the_order_of_heads_change_nothing() -> None:
    group, targets = make_labels()
    order = np.array([2, 0, 3, 1])
    kinds = targets["type"][:, [2, 0, 1]]
    renamed = {"mask": targets["mask"], "type": kinds, "severity": order[targets["severity"]]}
    assert np.array_equal(make_folds(group, targets, K, 7), make_folds(group, renamed, K, 7))


def test_the_numbers_of_groups_and_an_unused_class_change_nothing() -> None:
    group, targets = make_labels()
    unused = {**targets, "severity": targets["severity"] + 1}
    assert np.array_equal(make_folds(group, targets, K, 7), make_folds(group * 3 + 10, unused, K, 7))


def test_the_same_seed_gives_the_same_folds_and_another_one_others() -> None:
    group, targets = make_labels()
    first = make_folds(group, targets, K, 1)
    assert first.tobytes() == make_folds(group, targets, K, 1).tobytes()
    assert not np.array_equal(first, make_folds(group, targets, K, 2))


def test_photos_without_any_label_are_spread_too() -> None:
    fold = make_folds(np.arange(100), {"severity": np.full(100, NOT_LABELLED)}, K, 0)
    assert np.bincount(fold).tolist() == [20] * K


def test_one_photo_per_group_and_one_class_split_evenly() -> None:
    fold = make_folds(np.arange(40), {"severity": np.repeat([0, 1, 2, 3], 10)}, K, 0)
    for i in range(4):
        assert np.bincount(fold[10 * i : 10 * i + 10]).tolist() == [2] * K


def test_twenty_thousand_photos_are_split_as_evenly() -> None:
    group, targets = make_labels(20_000)
    counts = np.bincount(make_folds(group, targets, K, 0), minlength=K)
    assert np.abs(counts - len(group) / K).max() < 0.01 * len(group) / K


def test_good_labels_need_no_note() -> None:
    group, targets = make_labels()
    assert check_folds(group, targets, CLASS_NAMES, K) == ()


def test_classes_of_too_few_groups_are_refused_all_at_once() -> None:
    severity = np.array([0, 0, 0, 1, 1] + [2] * 20 + [3] * 20)
    group = np.concatenate([[0, 1, 2, 3, 3], np.arange(4, 44)])
    with pytest.raises(FoldError) as caught:
        check_folds(group, {"severity": severity}, CLASS_NAMES, K)
    assert str(caught.value).splitlines() == [
        'severity: Cannot make 5 folds: "minor" has photos of only 3 cars.'
        " Set cross_validation.folds to 3 or less, or add photos.",
        'severity: Cannot make 5 folds: "moderate" has photos of only 1 car.'
        " Add photos, or leave the class out of its label file and empty its cells.",
    ]


def test_a_rare_label_of_a_multi_label_head_and_a_class_without_photos_are_notes() -> None:
    kinds = np.zeros((40, 3), dtype=np.int8)
    kinds[:10, 0] = kinds[:2, 1] = 1
    notes = check_folds(np.arange(40), {"type": kinds}, CLASS_NAMES, K)
    assert notes == (
        'type: "glass" has photos of only 2 cars: 3 of 5 folds lack it.',
        'type: no photo is labelled "scratch": it can neither be learnt nor judged.',
    )


def test_a_group_larger_than_a_fold_is_a_note() -> None:
    group = np.concatenate([np.zeros(30, dtype=np.int64), np.arange(1, 31)])
    (note,) = check_folds(group, {}, {}, K)
    assert note.startswith("One group holds 30 of 60 photos, more than a fold's share (12)")


@pytest.mark.parametrize(
    ("num_groups", "mend"),
    [(3, "Set cross_validation.folds to 3 or less, or add photos."), (1, "cars?. Add photos.")],
)
def test_fewer_groups_than_folds_are_refused(num_groups: int, mend: str) -> None:
    group = np.arange(12) % num_groups
    match = f"Cannot make 5 folds: the 12 photos show only {num_groups} .*{mend}"
    with pytest.raises(FoldError, match=match):
        check_folds(group, {}, {}, K)
    with pytest.raises(FoldError, match=match):
        make_folds(group, {}, K, 0)


PHOTOS = ("a.jpg", "b.jpg", "c.jpg", "d.jpg")
ALONE = Groups(np.arange(4), ())


def write_folds(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_given_folds_are_taken_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    path = write_folds(tmp_path / "folds.csv", "photo,fold\nc.jpg,7\nb.jpg,1\na.jpg,3\nd.jpg,1\n")
    fold = read_folds_file(path, PHOTOS, ALONE)
    assert fold.tolist() == [1, 0, 2, 0]
    assert fold.dtype == np.int64


def test_names_of_given_folds_are_cleaned_as_those_of_the_label_table(tmp_path: Path) -> None:
    path = write_folds(tmp_path / "folds.csv", "fold , photo\n1, a.jpg \n 0,./b.jpg\n\n1,c.jpg\n0,d.jpg\n")
    assert read_folds_file(path, PHOTOS, ALONE).tolist() == [1, 0, 1, 0]


def test_lines_of_photos_that_were_left_out_are_passed_over(tmp_path: Path) -> None:
    path = write_folds(tmp_path / "folds.csv", "photo,fold\na.jpg,0\nb.jpg,1\nc.jpg,0\nd.jpg,1\nbroken.jpg,1\n")
    assert read_folds_file(path, PHOTOS, ALONE, left_out={"broken.jpg"}).tolist() == [0, 1, 0, 1]
    with pytest.raises(FoldError, match=r"these photos are not in the dataset: broken\.jpg\. Delete their lines"):
        read_folds_file(path, PHOTOS, ALONE)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (
            "photo,fold\na.jpg,0\nb.jpg,1\n",
            r"folds\.csv: these photos have no line: c\.jpg, d\.jpg\. Add them",
        ),
        ("photo,fold\na.jpg,one\n", r'line 2: fold "one" is not a whole number from 0'),
        ("photo,fold\na.jpg\n", "line 2: 1 cells, but the header names 2 columns"),
        ("photo,fold\na.jpg," + "9" * 5000 + "\n", r'line 2: fold "9{20}" is not a whole number from 0 to 999999999'),
        ('photo,fold\n"a.jpg,0\n', "line 2: not csv: .* Look at the quotes"),
        ("photo,fold\n../a.jpg,0\n", "line 2: .* leaves the photo folder"),
        ("photo,fold\na.jpg,0\na.jpg,1\n", r'line 3: photo "a\.jpg" stands here for the second time'),
        ("name,fold\na.jpg,0\n", r"no column photo; it has name, fold\. The first line must name"),
        ("", r"no column photo and fold; it has \."),
        (
            "photo,fold\n" + "".join(f"{name},2\n" for name in PHOTOS),
            r"all photos are in fold 2\. Give at least 2",
        ),
    ],
)
def test_a_folds_file_that_cannot_be_used_is_refused(tmp_path: Path, text: str, match: str) -> None:
    with pytest.raises(FoldError, match=match):
        read_folds_file(write_folds(tmp_path / "folds.csv", text), PHOTOS, ALONE)


def test_a_missing_folds_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FoldError, match=r"none\.csv: no such file"):
        read_folds_file(tmp_path / "none.csv", PHOTOS, ALONE)


def test_given_folds_that_tear_a_group_apart_are_refused_with_names(tmp_path: Path) -> None:
    pairs = (Pair(0, 2, 0.912, "vectors"), Pair(1, 3, 1.0, "same bytes"))
    path = write_folds(tmp_path / "folds.csv", "photo,fold\na.jpg,0\nb.jpg,1\nc.jpg,1\nd.jpg,1\n")
    match = r"a\.jpg \(fold 0\) and c\.jpg \(fold 1\) belong together \(vectors, similarity 0\.912\)"
    with pytest.raises(FoldError, match=match) as caught:
        read_folds_file(path, PHOTOS, Groups(np.array([0, 1, 0, 1]), pairs))
    assert "d.jpg" not in str(caught.value)
