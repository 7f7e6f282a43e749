import argparse
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from carclf.annotations import READERS
from carclf.app import read_dataset
from carclf.commands import import_set
from carclf.config import check_paths, read_config
from carclf.mask_judging import read_mask_sums
from tests.drawn_annotations import BOX, box, contents, draw_photo, draw_via_set, read_ids, run_import, write_via

X, Y, WIDTH, HEIGHT = BOX


def test_a_via_file_becomes_a_folder_whose_config_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = {"a.jpg": [box("dent")], "sub/b.jpg": [box("scratch"), box("dent", shift=8)], "c.jpg": []}
    source = draw_via_set(tmp_path / "set", photos)
    assert run_import("--format", "via", source, "--to", tmp_path / "out") == 0
    out = capsys.readouterr().out
    assert "3 records read: 3 photos made, 0 skipped" in out
    assert "damage_mask: 2 masks made; 2 classes: dent, scratch" in out
    assert (tmp_path / "out" / "labels.csv").read_text() == "name\na.jpg\nsub/b.jpg\nc.jpg\n"
    assert [line.split(";")[0] for line in (tmp_path / "out/labels/damage_mask.txt").read_text().splitlines()] == [
        "dent",
        "scratch",
    ]
    ids = read_ids(tmp_path / "out", "damage_mask", "sub/b.jpg")
    expected = np.zeros((32, 48), np.uint8)
    expected[Y : Y + HEIGHT, X : X + WIDTH] = 2
    expected[Y : Y + HEIGHT, X + 8 : X + 8 + WIDTH] = 1  # the later one lies over the earlier one
    np.testing.assert_array_equal(ids, expected)
    config = read_config(tmp_path / "out" / "config.json")
    check_paths(config)
    dataset = read_dataset(config)
    assert dataset.heads["damage_mask"].targets.tolist() == [1, 1, -1]
    assert set(read_mask_sums(dataset)["damage_mask"]) == {"a.jpg", "sub/b.jpg"}


def test_photos_are_linked_or_copied(tmp_path: Path) -> None:
    source = draw_via_set(tmp_path / "set", {"a.jpg": [box("dent")]})
    run_import("--format", "via", source, "--to", tmp_path / "linked")
    run_import("--format", "via", source, "--to", tmp_path / "copied", "--copy")
    original = (tmp_path / "set" / "a.jpg").stat().st_ino
    assert (tmp_path / "linked" / "photos" / "a.jpg").stat().st_ino == original
    assert (tmp_path / "copied" / "photos" / "a.jpg").stat().st_ino != original
    assert contents(tmp_path / "linked") == contents(tmp_path / "copied")


def test_where_links_cannot_be_photos_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "link", refuse)
    source = draw_via_set(tmp_path / "set", {"a.jpg": [box("dent")]})
    assert run_import("--format", "via", source, "--to", tmp_path / "out") == 0
    assert (tmp_path / "out/photos/a.jpg").read_bytes() == (tmp_path / "set/a.jpg").read_bytes()


def test_the_palette_is_that_of_the_label_file(tmp_path: Path) -> None:
    source = draw_via_set(tmp_path / "set", {"a.jpg": [box("dent")]})
    run_import("--format", "via", source, "--to", tmp_path / "out", "--color", "10,20,30=dent")
    assert (tmp_path / "out" / "labels" / "damage_mask.txt").read_text() == "dent; color=10,20,30\n"
    with Image.open(tmp_path / "out" / "masks" / "damage_mask" / "a.png") as image:
        assert image.convert("RGB").getpixel((X, Y)) == (10, 20, 30)
        assert image.convert("RGB").getpixel((0, 0)) == (0, 0, 0)


@pytest.mark.parametrize(
    ("orientation", "as_stored"),  # 1 to 4 have the same size both ways: the annotation is taken as upright
    [*((each, False) for each in range(1, 9)), *((each, True) for each in range(5, 9))],
)
def test_masks_lie_on_the_damage_as_a_person_sees_it(tmp_path: Path, orientation: int, as_stored: bool) -> None:
    photo = draw_photo(tmp_path / "set" / "a.jpg", orientation=orientation)
    with Image.open(photo) as image:
        seen, stored = np.array(ImageOps.exif_transpose(image)), np.array(image)
    red = (seen[:, :, 0] > 170) & (seen[:, :, 1] < 80)
    drawn_on = (stored[:, :, 0] > 170) & (stored[:, :, 1] < 80) if as_stored else red
    rows, columns = np.nonzero(drawn_on)
    left, top, right, bottom = (int(v) for v in (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))
    corners = [left, top, right, top, right, bottom, left, bottom]
    coco = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": drawn_on.shape[1], "height": drawn_on.shape[0]}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": [corners], "iscrowd": 0}],
        "categories": [{"id": 1, "name": "dent"}],
    }
    (tmp_path / "set" / "coco.json").write_text(json.dumps(coco))
    assert run_import("--format", "coco", tmp_path / "set" / "coco.json", "--to", tmp_path / "out") == 0
    ids = read_ids(tmp_path / "out", "damage_mask", "a.jpg")
    assert red.sum() == WIDTH * HEIGHT
    np.testing.assert_array_equal(ids == 1, red)
    dataset = read_dataset(read_config(tmp_path / "out" / "config.json"))
    assert read_mask_sums(dataset)["damage_mask"]


def test_a_size_that_is_not_the_photos_is_told_with_both(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draw_photo(tmp_path / "a.jpg")
    coco = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 100, "height": 80}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[1, 1, 5, 1, 5, 5]], "iscrowd": 0}],
        "categories": [{"id": 1, "name": "dent"}],
    }
    (tmp_path / "coco.json").write_text(json.dumps(coco))
    assert run_import("--format", "coco", tmp_path / "coco.json", "--to", tmp_path / "out") == 2
    assert "100 × 80 pixels, but its photo has 48 × 32" in capsys.readouterr().err


def test_the_class_map_renames_leaves_out_and_ignores(tmp_path: Path) -> None:
    photos = {"a.jpg": [box("Dent"), box("rust", shift=20)], "b.jpg": [box("dirt")], "c.jpg": [box("rust")]}
    source = draw_via_set(tmp_path / "set", photos)
    words = ["--map", "Dent=dent", "rust=", "dirt=ignore"]
    assert run_import("--format", "via", source, "--to", tmp_path / "out", *words) == 0
    out = tmp_path / "out"
    assert np.unique(read_ids(out, "damage_mask", "a.jpg")).tolist() == [0, 1]
    assert np.unique(read_ids(out, "damage_mask", "b.jpg")).tolist() == [0, 255]
    assert not (out / "masks/damage_mask/c.png").exists()
    assert (out / "labels/damage_mask.txt").read_text().startswith("dent; color=")


def test_a_map_of_a_name_that_is_not_there_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = draw_via_set(tmp_path / "set", {"a.jpg": [box("dent")]})
    assert run_import("--format", "via", source, "--to", tmp_path / "out", "--map", "dant=x") == 2
    assert 'dant is no class of these annotations. Did you mean "dent"?' in capsys.readouterr().err
    assert not (tmp_path / "out" / "import.json").exists()


def test_nameless_regions_are_damage_where_none_has_a_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    alone = draw_via_set(tmp_path / "alone", {"a.jpg": [box()]})
    run_import("--format", "via", alone, "--to", tmp_path / "one")
    assert (tmp_path / "one/labels/damage_mask.txt").read_text().startswith("damage;")
    mixed = draw_via_set(tmp_path / "mixed", {"a.jpg": [box()], "b.jpg": [box("dent")]})
    assert run_import("--format", "via", mixed, "--to", tmp_path / "two") == 0
    assert "region 1 has no name, but others have" in capsys.readouterr().out
    assert (tmp_path / "two/labels.csv").read_text() == "name\nb.jpg\n"
    run_import("--format", "via", mixed, "--to", tmp_path / "three", "--map", "=dent")
    assert read_ids(tmp_path / "three", "damage_mask", "a.jpg").max() == 1


def test_photos_without_a_region_are_empty_only_if_that_is_said(tmp_path: Path) -> None:
    source = draw_via_set(tmp_path / "set", {"a.jpg": [box("dent")], "b.jpg": []})
    run_import("--format", "via", source, "--to", tmp_path / "no")
    run_import("--format", "via", source, "--to", tmp_path / "yes", "--empty")
    assert not (tmp_path / "no/masks/damage_mask/b.png").exists()
    assert not read_ids(tmp_path / "yes", "damage_mask", "b.jpg").any()
    dataset = read_dataset(read_config(tmp_path / "yes" / "config.json"))
    assert dataset.heads["damage_mask"].targets.tolist() == [1, 0]


def test_regions_outside_are_counted_not_skipped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = draw_via_set(tmp_path / "set", {"a.jpg": [box("dent"), box("dent", shift=100)]})
    assert run_import("--format", "via", source, "--to", tmp_path / "out") == 0
    assert "1 region wholly outside the photo: via.json: a.jpg" in capsys.readouterr().out


def test_derived_heads_stand_in_the_config_and_read(tmp_path: Path) -> None:
    photos = {f"{n}.jpg": [box("dent" if n % 2 else "scratch")] for n in range(4)}
    source = draw_via_set(tmp_path / "set", photos)
    words = ["--derive", "damage_type=classes:damage_mask", "extent=share:damage_mask:0,1,50"]
    assert run_import("--format", "via", source, "--to", tmp_path / "out", *words) == 0
    dataset = read_dataset(read_config(tmp_path / "out" / "config.json"))
    assert dataset.heads["damage_type"].label_set.names == ("scratch", "dent")
    assert dataset.heads["damage_type"].targets.tolist() == [[1, 0], [0, 1], [1, 0], [0, 1]]
    assert dataset.heads["extent"].label_set.names == ("none", "up to 1 %", "up to 50 %", "above 50 %")
    assert dataset.heads["extent"].targets.tolist() == [2] * 4


def test_new_classes_reach_the_heads_that_follow_from_masks(tmp_path: Path) -> None:
    first = draw_via_set(tmp_path / "one", {"a.jpg": [box("dent")]})
    second = draw_via_set(tmp_path / "two", {"b.jpg": [box("glass")]})
    run_import("--format", "via", first, "--to", tmp_path / "out", "--derive", "damage_type=classes:damage_mask")
    run_import("--format", "via", second, "--to", tmp_path / "out")
    assert (tmp_path / "out/labels/damage_type.txt").read_text() == "dent\nglass\n"
    dataset = read_dataset(read_config(tmp_path / "out" / "config.json"))
    assert dataset.heads["damage_type"].targets.tolist() == [[1, 0], [0, 1]]


def test_paths_of_the_config_are_right_from_the_folder(tmp_path: Path) -> None:
    given = {
        "dataset": "demo",
        "backbones": {"mine": {"local": "models/mine", "image_size": 96}},
        "models": ["mine"],
        "heads": {"severity": {"kind": "categorical", "labels": "labels/severity.txt"}},
        "cross_validation": {"folds": 3, "folds_file": "folds.csv"},
        "training": {"views": 1},
    }
    (tmp_path / "mine.json").write_text(json.dumps(given))
    source = draw_via_set(tmp_path / "set", {"a.jpg": [box("dent")]})
    words = ["--to", tmp_path / "deep" / "out", "--config", tmp_path / "mine.json"]
    assert run_import("--format", "via", source, *words) == 0
    config = read_config(tmp_path / "deep" / "out" / "config.json")
    assert os.path.normpath(str(config.backbones["mine"].local)) == str(tmp_path / "models" / "mine")
    assert config.cross_validation.folds == 3
    assert config.cross_validation.folds_file is None
    assert config.training.views == 1
    assert list(config.heads) == ["damage_mask"]


def test_without_a_config_the_project_chooses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    draw_via_set(tmp_path / "set", {"a.jpg": [box("dent")]})
    assert run_import("--format", "via", "set/via.json", "--to", "out") == 0
    assert list(read_config(tmp_path / "out" / "config.json").backbones) == ["mobilenet"]


def test_a_folder_beside_its_own_annotations_can_be_imported_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    draw_via_set(tmp_path / "pictures", {"a.jpg": []})
    write_via(tmp_path / "via.json", {"a.jpg": [box("dent")]})
    for _ in range(2):
        assert run_import("--format", "via", "via.json", "--to", "out", "--strict") == 0
    assert (tmp_path / "out/labels.csv").read_text() == "name\na.jpg\n"


def test_the_help_page_names_every_format() -> None:
    parser = argparse.ArgumentParser()
    import_set.add_options(parser)
    assert set(import_set.FORMATS) == set(READERS)
    assert ", ".join(import_set.FORMATS) in " ".join(parser.format_help().split())
