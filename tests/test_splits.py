"""Groups and folds of a run: made once, kept, never mixed with those of other inputs."""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import carclf.splits
from carclf.config import CrossValidationConfig
from carclf.dataset import Dataset
from carclf.errors import FoldError
from carclf.rundir import RunDir
from carclf.scores import Array
from carclf.splits import Split, inner_folds, seen_before, share_split, split_photos
from tests.small_questions import make_vectors
from tests.small_runs import NUM_PHOTOS, make_dataset

SETTINGS = CrossValidationConfig(folds=3, seed=7, group_similarity=0.99)


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """2 and 3 are one car by the table; 6 has the bytes of 4."""
    dataset = make_dataset(tmp_path, {2: "car", 3: "car"})
    photos = list(dataset.photos)
    photos[6] = replace(photos[6], sha256=photos[4].sha256)
    return replace(dataset, photos=tuple(photos))


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return RunDir(tmp_path / "results" / "first")


def near_twins() -> Array:
    """1 shows what 0 shows, and 8 what 7 shows in the mirror."""
    vectors = make_vectors(NUM_PHOTOS, 24, views=2)
    vectors[:, 1] = vectors[:, 0] + np.float32(1e-3)
    vectors[:, 8] = vectors[::-1, 7]
    return vectors


def split(run: RunDir, dataset: Dataset, settings: CrossValidationConfig = SETTINGS, **changes: Any) -> Split:
    return split_photos(run, dataset, changes.get("vectors", near_twins()), changes.get("key", "k"), settings, 2)


def folds_file(folder: Path, dataset: Dataset, fold_of: Callable[[int], int]) -> CrossValidationConfig:
    lines = [f"{photo.name},{fold_of(row)}" for row, photo in enumerate(dataset.photos)]
    path = folder / "given.csv"
    path.write_text("\n".join(["photo,fold", *lines]))
    return SETTINGS.model_copy(update={"folds_file": path})


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Notes how often groups and folds are made."""
    calls: list[str] = []
    for name in ("make_groups", "make_folds"):
        original = getattr(carclf.splits, name)

        def noted(*arguments: Any, name: str = name, original: Any = original) -> Any:
            calls.append(name)
            return original(*arguments)

        monkeypatch.setattr(carclf.splits, name, noted)
    return calls


def test_groups_csv_names_the_pairs_their_similarity_and_the_reason(run: RunDir, dataset: Dataset) -> None:
    split(run, dataset)
    table = run.read_table("groups.csv", ("photo", "similar_to", "similarity", "reason"))
    assert table["photo"].tolist() == [photo.name for photo in dataset.photos]
    pairs = {
        row: (line["similar_to"], line["similarity"], line["reason"])
        for row, line in enumerate(table.to_dict("records"))
        if line["similar_to"]
    }
    assert {row: (first, reason) for row, (first, _, reason) in pairs.items()} == {
        1: ("000.png", "vectors"),
        3: ("002.png", "group column"),
        6: ("004.png", "same bytes"),
        8: ("007.png", "vectors, mirrored"),
    }
    assert all(float(similarity) >= 0.99 for _, similarity, _ in pairs.values())
    assert table["group"].nunique() == NUM_PHOTOS - 4


def test_groups_never_straddle_folds_nor_inner_folds(run: RunDir, dataset: Dataset) -> None:
    done = split(run, dataset)
    inner = inner_folds(dataset, done, 2, 7)
    for number, fold in enumerate(done.folds):
        assert not set(done.group[fold.train]) & set(done.group[fold.test])
        assert (inner[number][fold.test] == -1).all()
        assert set(inner[number][fold.train].tolist()) == {0, 1}
        for first, second in ((0, 1), (2, 3), (4, 6), (7, 8)):
            assert done.fold[first] == done.fold[second]
            assert inner[number][first] == inner[number][second]


def test_folds_csv_says_what_is_used(run: RunDir, dataset: Dataset) -> None:
    done = split(run, dataset)
    table = run.read_table("folds.csv", ("photo",))
    assert table["photo"].tolist() == [photo.name for photo in dataset.photos]
    assert table["fold"].tolist() == done.fold.tolist()
    assert table["group"].tolist() == done.group.tolist()


def test_a_second_run_keeps_everything_and_writes_nothing(run: RunDir, dataset: Dataset, made: list[str]) -> None:
    first = split(run, dataset)
    before = {path: path.stat().st_mtime_ns for path in run.path.iterdir()}
    again = split(run, dataset)
    assert made == ["make_groups", "make_folds"]
    assert np.array_equal(first.fold, again.fold)
    assert np.array_equal(first.group, again.group)
    assert first.notes == again.notes
    assert {path: path.stat().st_mtime_ns for path in run.path.iterdir()} == before


@pytest.mark.parametrize("name", ["groups.csv", "folds.csv", "known_photos.npz"])
def test_a_deleted_file_is_written_again_with_the_same_bytes(run: RunDir, dataset: Dataset, name: str) -> None:
    split(run, dataset)
    before = (run.path / name).read_bytes()
    (run.path / name).unlink()
    split(run, dataset)
    assert (run.path / name).read_bytes() == before


def test_other_labels_make_other_folds_but_the_same_groups(
    run: RunDir, dataset: Dataset, made: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    split(run, dataset)
    severity = dataset.heads["severity"]
    other = replace(dataset, heads={"severity": replace(severity, targets=severity.targets[::-1].copy())})
    with caplog.at_level(logging.WARNING):
        split(run, other)
    assert made == ["make_groups", "make_folds", "make_folds"]
    assert [record.getMessage() for record in caplog.records] == [
        "first, folds: labels changed since the last run; computed again."
    ]


def test_other_features_make_other_groups(run: RunDir, dataset: Dataset, caplog: pytest.LogCaptureFixture) -> None:
    first = split(run, dataset)
    other = split(run, dataset, key="other", vectors=make_vectors(NUM_PHOTOS, 24, views=2))
    assert len(np.unique(other.group)) == len(np.unique(first.group)) + 2
    assert "first, groups: features changed since the last run" in caplog.text


def test_given_folds_are_used(run: RunDir, dataset: Dataset, tmp_path: Path, made: list[str]) -> None:
    settings = folds_file(tmp_path, dataset, lambda row: row // 10)
    done = split(run, dataset, settings)
    assert done.fold.tolist() == [row // 10 for row in range(NUM_PHOTOS)]
    assert len(done.folds) == 6
    assert made == ["make_groups"]
    assert run.read_table("folds.csv", ("photo",))["fold"].tolist() == done.fold.tolist()
    assert np.array_equal(split(run, dataset, settings).fold, done.fold)


def test_given_folds_that_tear_a_pair_are_refused_with_its_similarity(
    run: RunDir, dataset: Dataset, tmp_path: Path
) -> None:
    for _ in range(2):  # the second time the pairs come from groups.csv of the first
        with pytest.raises(FoldError) as caught:
            split(run, dataset, folds_file(tmp_path, dataset, lambda row: row % 3))
        lines = str(caught.value).splitlines()
        assert len(lines) == 4
        assert "000.png (fold 0) and 001.png (fold 1) belong together (vectors, similarity 1.000)" in lines[0]
        assert "002.png (fold 2) and 003.png (fold 0) belong together (group column, similarity 1.000)" in lines[1]


def test_pairs_are_found_again_whatever_the_photos_are_called(run: RunDir, dataset: Dataset, tmp_path: Path) -> None:
    photos = list(dataset.photos)
    photos[0], photos[1] = replace(photos[0], name='a;b "c".png'), replace(photos[1], name=";")
    vectors = near_twins()
    vectors[:, 9] = vectors[:, 0]  # two pairs in one row, or one after the other
    named = replace(dataset, photos=tuple(photos))
    split(run, named, vectors=vectors)
    pairs = carclf.splits._read_pairs(run, [photo.name for photo in photos])
    assert {(0, 9), (2, 3), (4, 6), (7, 8)} < {(pair.first, pair.second) for pair in pairs}
    assert len(pairs) == 5


def test_folds_that_are_no_longer_given_are_forgotten(
    run: RunDir, dataset: Dataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own = split(run, dataset)
    given = split(run, dataset, folds_file(tmp_path, dataset, lambda row: row // 20))
    assert not np.array_equal(own.fold, given.fold)
    assert np.array_equal(split(run, dataset).fold, own.fold)
    assert caplog.text.count("first, folds: given folds changed since the last run; computed again.") == 2


def test_too_many_folds_are_refused_and_nothing_is_marked_as_done(run: RunDir, dataset: Dataset) -> None:
    with pytest.raises(FoldError, match=r'Cannot make 40 folds: "minor" has photos of only'):
        split(run, dataset, SETTINGS.model_copy(update={"folds": 40}))
    assert list(run.seconds()) == ["groups"]


def test_labels_of_the_test_photos_do_not_move_inner_folds(run: RunDir, dataset: Dataset) -> None:
    done = split(run, dataset)
    inner = inner_folds(dataset, done, 2, 7)
    test = done.folds[1].test
    heads = {name: replace(head, targets=head.targets.copy()) for name, head in dataset.heads.items()}
    for head in heads.values():
        head.targets[test] = head.targets[test][::-1]
    assert np.array_equal(inner_folds(replace(dataset, heads=heads), done, 2, 7)[1], inner[1])


def test_a_second_model_shares_groups_and_folds_and_knows_the_photos_by_its_own_features(
    run: RunDir, dataset: Dataset
) -> None:
    done = split(run, dataset)
    second = RunDir(run.path.parent / "second")
    vectors = make_vectors(NUM_PHOTOS, 9, seed=3, views=2)  # fewer features than the first has
    assert share_split(done, run, second, dataset, vectors) is done
    for name in ("groups.csv", "folds.csv"):
        assert second.read_text(name) == run.read_text(name)
    few = replace(dataset, photos=dataset.photos[:5])
    assert seen_before(second, few, vectors[:, :5], 0.99, 1).all()
    strangers = replace(few, photos=tuple(replace(photo, sha256=f"{row}") for row, photo in enumerate(few.photos)))
    hashes_only = seen_before(second, strangers, make_vectors(5, 9, seed=8, views=2), 0.99, 1)
    assert hashes_only.all()  # the pixels are the same


def test_shared_folds_are_not_taken_for_a_models_own(run: RunDir, dataset: Dataset) -> None:
    second, vectors = RunDir(run.path.parent / "second"), make_vectors(NUM_PHOTOS, 9, seed=3, views=2)
    alone = split(second, dataset, vectors=vectors, key="second")
    shared = share_split(split(run, dataset), run, second, dataset, vectors)
    assert len(np.unique(shared.group)) != len(np.unique(alone.group))
    again = split(second, dataset, vectors=vectors, key="second")
    assert np.array_equal(again.group, alone.group)
    assert np.array_equal(again.fold, alone.fold)


def test_models_that_read_other_photos_cannot_share_folds(run: RunDir, dataset: Dataset) -> None:
    done = split(run, dataset)
    fewer = replace(dataset, photos=dataset.photos[1:])
    with pytest.raises(FoldError, match=r"first and second could not read the same photos.*: 000\.png\."):
        share_split(done, run, RunDir(run.path.parent / "second"), fewer, near_twins()[:, 1:])
