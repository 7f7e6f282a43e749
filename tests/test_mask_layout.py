"""Which files are masks, of which photos, and what files beside them say of their classes."""

import os
from pathlib import Path

import numpy as np
import pytest

from carclf.annotations.mask_files import find_masks, read_mask_folder
from carclf.annotations.records import ReadOptions
from carclf.errors import AnnotationError
from tests.drawn_masks import (
    BLUE,
    RED,
    TWO,
    load,
    paint,
    problems,
    read,
    save,
)

# layouts


@pytest.mark.parametrize(
    ("photo", "mask"),
    [
        ("images/a.jpg", "masks/a.png"),
        ("images/a.jpg", "masks/a.jpg.png"),
        ("photos/a.jpg", "labels/a_label.png"),
        ("imgs/sub/a.png", "annotations/sub/a-mask.png"),
        ("JPEGImages/a.jpg", "SegmentationClass/a.png"),
        ("train/images/a.jpg", "train/masks/a_seg.bmp"),
        ("images/train/a.jpg", "masks/train/a.png"),
        ("set/valid/Images/a.jpg", "set/valid/Ground_Truth/a.png"),
        ("a.jpg", "masks/a.png"),
        ("my cars/a.jpg", "masks/a.png"),
        ("images/a.jpg", "images/masks/a.png"),
        ("train/a.jpg", "train/a_mask.png"),
        ("images/a_mask.jpg", "masks/a_mask.png"),
    ],
)
def test_masks_find_their_photos(tmp_path: Path, photo: str, mask: str) -> None:
    save(tmp_path / photo, np.random.default_rng(2).integers(0, 256, (30, 40, 3)))
    save(tmp_path / mask, np.eye(30, 40))
    save(tmp_path / Path(photo).parent / "without.jpg", [[(1, 2, 3)]])
    (record,) = read(tmp_path, class_names=TWO.names).values()
    assert record.photo == photo
    assert record.path == tmp_path / photo
    assert record.mask is not None
    assert record.mask.path == tmp_path / mask
    assert find_masks(tmp_path) == [tmp_path]


def test_splits_with_equal_names_are_kept_apart(tmp_path: Path) -> None:
    layouts = (("{}/images", "{}/masks"), ("images/{}", "masks/{}"), ("cars/{}", "masks/{}"))
    for index, (photo, mask) in enumerate(layouts):
        folder = tmp_path / str(index)
        for split in ("train", "valid"):
            save(folder / photo.format(split) / "a.jpg", [[(1, 2, 3)]])
            save(folder / mask.format(split) / "a.png", [[1]])
        save(folder / "SegmentationObject" / "a.png", [[7]])
        assert {name: record.mask.path for name, record in read(folder).items() if record.mask} == {
            f"{photo.format(split)}/a.jpg": folder / mask.format(split) / "a.png" for split in ("train", "valid")
        }


def test_masks_alone_in_splits_and_with_endings(tmp_path: Path) -> None:
    save(tmp_path / "train" / "masks" / "a_mask.png", [[1]])
    save(tmp_path / "valid" / "masks" / "b_mask.png", [[1]])
    assert list(read(tmp_path)) == ["train/masks/a", "valid/masks/b"]
    save(tmp_path / "valid" / "masks" / "c.png", [[1]])  # not all have the ending: it is part of their names
    assert list(read(tmp_path)) == ["train/masks/a_mask", "valid/masks/b_mask", "valid/masks/c"]


def test_masks_without_photo_with_two_or_two_masks(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg", "b.png", "c.jpg"):
        save(tmp_path / "images" / name, [[(1, 2, 3)]])
    for name in ("a.png", "a_mask.png", "b.png", "c.png", "d.png"):
        save(tmp_path / "masks" / name, [[1]])
    found = problems(tmp_path)
    assert len(found) == 3
    assert "masks/a_mask.png: the photo images/a.jpg has another mask: masks/a.png" in found[0]
    assert "masks/b.png: several photos could be its own: images/b.jpg, images/b.png" in found[1]
    assert "masks/d.png: its photo is not there" in found[2]


def test_links_that_lead_out_are_refused(tmp_path: Path) -> None:
    outside = save(tmp_path / "outside.png", [[1]])
    save(tmp_path / "set" / "a.png", [[1]])
    os.symlink(outside, tmp_path / "set" / "b.png")
    (problem,) = problems(tmp_path / "set")
    assert problem.startswith('set: b.png: "b.png" is a link that leads out of')


def test_folders_without_masks(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="holds no mask"):
        list(read_mask_folder(tmp_path, ReadOptions()))
    with pytest.raises(AnnotationError, match="no such folder"):
        list(read_mask_folder(tmp_path / "none", ReadOptions()))


# legends


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("labelmap.txt", "# label:color_rgb:parts:actions\nbackground:0,0,0::\nglass:20,60,210::\ndent:200,30,30::\n"),
        ("class_dict.csv", "name,r,g,b\nbackground,0,0,0\nglass,20,60,210\ndent,200,30,30\n"),
        ("train/_classes.csv", "Pixel Value, Class\n0, background\n1, glass\n2, dent\n"),
    ],
)
def test_legends_beside_the_masks_say_what_they_mean(tmp_path: Path, name: str, text: str) -> None:
    save(tmp_path / "train" / "a.jpg", [[(1, 2, 3)]])
    by_id = name.endswith("_classes.csv")
    save(tmp_path / "train" / "a_mask.png", [[0, 1, 2]] if by_id else paint([[0, 1, 2]], {1: BLUE, 2: RED}))
    (tmp_path / name).write_text(text)
    assert load(read(tmp_path, class_names=TWO.names)["train/a.jpg"]) == [[0, 2, 1]]


def test_broken_legends_name_the_line(tmp_path: Path) -> None:
    save(tmp_path / "a.png", [[0]])
    (tmp_path / "labelmap.txt").write_text("dent:200,30::\n")
    with pytest.raises(AnnotationError, match=r"labelmap.txt, line 1: a class and its colour or id were expected"):
        read(tmp_path)


# sniffing


def test_photos_and_other_formats_are_no_masks(tmp_path: Path) -> None:
    assert find_masks(tmp_path) == []
    assert find_masks(tmp_path / "none") == []
    photo = np.random.default_rng(2).integers(0, 256, (60, 60, 3))
    save(tmp_path / "photos" / "a.jpg", photo)
    assert find_masks(tmp_path) == []
    save(tmp_path / "plain" / "a.png", np.full((9, 9, 3), 40))
    (tmp_path / "plain" / "coco.json").write_text("{}")
    assert find_masks(tmp_path / "plain") == []
    save(tmp_path / "mvtec" / "test" / "scratch" / "0.png", photo)
    save(tmp_path / "mvtec" / "ground_truth" / "scratch" / "0_mask.png", np.eye(60))
    assert find_masks(tmp_path / "mvtec") == []
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.png").write_text("no picture")
    assert find_masks(tmp_path / "broken") == []


def test_masks_alone_are_sniffed(tmp_path: Path) -> None:
    save(tmp_path / "grey" / "sub" / "a.png", [[0, 1]])
    save(tmp_path / "grey" / "b.png", [[0, 1]])
    save(tmp_path / "colour" / "a.png", paint([[0, 1]], {1: RED}))
    assert find_masks(tmp_path / "grey") == [tmp_path / "grey"]
    assert find_masks(tmp_path / "colour") == [tmp_path / "colour"]
