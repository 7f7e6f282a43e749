import os
from pathlib import Path

import pytest

from carclf.annotations.folders import find_folders, read_folders
from carclf.annotations.records import HEAD, Problem, ReadOptions, Record
from carclf.errors import AnnotationError


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"photo")
    return folder


def read(folder: Path) -> tuple[dict[str, str], list[Problem]]:
    found = list(read_folders(folder, ReadOptions()))
    records = [each for each in found if isinstance(each, Record)]
    for record in records:
        assert record.path == folder / record.photo
        assert list(record.labels) == [HEAD]
    return {each.photo: each.labels[HEAD][0] for each in records}, [e for e in found if isinstance(e, Problem)]


def test_the_folder_is_the_class(tmp_path: Path) -> None:
    touch(tmp_path, "minor/a.jpg", "minor/deeper/b.PNG", "very severe/a.jpg", "minor/.hidden.jpg", "minor/notes.md")
    touch(tmp_path, ".cache/a.jpg")
    assert read(tmp_path) == (
        {"minor/a.jpg": "minor", "minor/deeper/b.PNG": "minor", "very severe/a.jpg": "very severe"},
        [],
    )
    assert find_folders(tmp_path) == [tmp_path]


@pytest.mark.parametrize("splits", [("train", "valid", "test"), ("Training", "val"), ("train",)])
def test_splits_lie_above_the_classes(tmp_path: Path, splits: tuple[str, ...]) -> None:
    for split in splits:
        touch(tmp_path, f"{split}/minor/a.jpg", f"{split}/severe/deep/b.jpg")
    expected: dict[str, str] = {}
    for split in sorted(splits):
        expected |= {f"{split}/minor/a.jpg": "minor", f"{split}/severe/deep/b.jpg": "severe"}
    assert read(tmp_path) == (expected, [])
    assert find_folders(tmp_path) == [tmp_path]


def test_a_class_may_be_called_like_a_split(tmp_path: Path) -> None:
    touch(tmp_path, "test/a.jpg", "road/b.jpg")
    assert read(tmp_path)[0] == {"test/a.jpg": "test", "road/b.jpg": "road"}


def test_splits_beside_classes_are_an_error(tmp_path: Path) -> None:
    touch(tmp_path, "train/minor/a.jpg", "severe/a.jpg")
    with pytest.raises(AnnotationError, match="train and severe lie side by side"):
        list(read_folders(tmp_path, ReadOptions()))
    assert find_folders(tmp_path) == []


def test_photos_without_class_are_problems(tmp_path: Path) -> None:
    touch(tmp_path / "flat", "a.jpg", "minor/b.jpg", "x;y/c.jpg")
    found, problems = read(tmp_path / "flat")
    assert found == {"minor/b.jpg": "minor"}
    assert [each.place for each in problems] == ["flat: a.jpg", "flat: x;y/c.jpg"]
    assert problems[0].what.startswith("lies in no folder of a class")
    assert '";" stands between classes' in problems[1].what
    touch(tmp_path / "split", "train/a.jpg", "train/minor/b.jpg")
    found, problems = read(tmp_path / "split")
    assert found == {"train/minor/b.jpg": "minor"}
    assert [each.place for each in problems] == ["split: train/a.jpg"]


def test_links_that_lead_out_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "outside.jpg", "set/minor/a.jpg")
    os.symlink(tmp_path / "outside.jpg", tmp_path / "set" / "minor" / "b.jpg")
    found, problems = read(tmp_path / "set")
    assert list(found) == ["minor/a.jpg"]
    assert "is a link that leads out" in problems[0].what


def test_folders_without_classes(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="no such folder"):
        list(read_folders(tmp_path / "none", ReadOptions()))
    with pytest.raises(AnnotationError, match=r"holds no folder of photos\. Make one folder per class"):
        list(read_folders(touch(tmp_path, "a.jpg"), ReadOptions()))


@pytest.mark.parametrize(
    "names",
    [
        ("a.jpg",),
        ("minor/a.jpg",),
        ("images/a.jpg", "masks/a.png"),
        ("train/images/a.jpg", "train/labels/a.txt", "valid/images/a.jpg"),
        ("train/a.jpg", "valid/a.jpg", "train/_annotations.coco.json"),
        ("one/a.jpg", "one/a.json", "two/b.jpg"),
        ("one/a.jpg", "two/b.jpg", "coco.json"),
        ("test/good/1.png", "test/scratch/1.png", "ground_truth/scratch/1_mask.png"),
        ("one/a.jpg", "two/b.jpg", "c.jpg"),
    ],
)
def test_other_layouts_are_no_class_folders(tmp_path: Path, names: tuple[str, ...]) -> None:
    assert find_folders(touch(tmp_path, *names)) == []
    assert find_folders(tmp_path / names[0]) == []
