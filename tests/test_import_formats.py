"""Every format, recognised and imported: the mask lies on BOX and the config reads."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from carclf.app import read_dataset
from carclf.config import check_paths, read_config
from tests.drawn_annotations import BOX, box, draw_photo, read_ids, run_import, write_via

X, Y, WIDTH, HEIGHT = BOX
CORNERS = [[X, Y], [X + WIDTH, Y], [X + WIDTH, Y + HEIGHT], [X, Y + HEIGHT]]
SIZE = (48, 32)


def draw_via(folder: Path) -> None:
    draw_photo(folder / "a.jpg")
    write_via(folder / "via.json", {"a.jpg": [box("dent")]})


def draw_coco(folder: Path) -> None:
    draw_photo(folder / "a.jpg")
    flat = [value for corner in CORNERS for value in corner]
    coco = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": SIZE[0], "height": SIZE[1]}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": [flat], "iscrowd": 0}],
        "categories": [{"id": 1, "name": "dent"}],
    }
    (folder / "instances.json").write_text(json.dumps(coco))


def draw_supervisely(folder: Path) -> None:
    draw_photo(folder / "ds" / "img" / "a.jpg")
    exterior = [[X, Y], [X + WIDTH - 1, Y + HEIGHT - 1]]  # whole pixels, the last one included
    thing = {"geometryType": "rectangle", "classTitle": "dent", "points": {"exterior": exterior, "interior": []}}
    photo = {"description": "", "size": {"width": SIZE[0], "height": SIZE[1]}, "tags": [], "objects": [thing]}
    (folder / "ds" / "ann").mkdir()
    (folder / "ds" / "ann" / "a.jpg.json").write_text(json.dumps(photo))
    (folder / "meta.json").write_text(json.dumps({"classes": [{"title": "dent", "shape": "rectangle"}], "tags": []}))


def draw_yolo(folder: Path) -> None:
    draw_photo(folder / "train" / "images" / "a.jpg")
    shares = " ".join(f"{x / SIZE[0]} {y / SIZE[1]}" for x, y in CORNERS)
    (folder / "train" / "labels").mkdir()
    (folder / "train" / "labels" / "a.txt").write_text(f"0 {shares}\n")
    (folder / "data.yaml").write_text("train: train/images\nnc: 1\nnames: [dent]\n")


def draw_cvat(folder: Path) -> None:
    draw_photo(folder / "a.jpg")
    points = ";".join(f"{x}.0,{y}.0" for x, y in CORNERS)
    shape = f'<polygon label="dent" occluded="0" points="{points}" z_order="0"></polygon>'
    image = f'<image id="0" name="a.jpg" width="{SIZE[0]}" height="{SIZE[1]}">{shape}</image>'
    (folder / "annotations.xml").write_text(
        f'<?xml version="1.0" encoding="utf-8"?><annotations><version>1.1</version>{image}</annotations>'
    )


def draw_labelme(folder: Path) -> None:
    draw_photo(folder / "kept.jpg")
    data = base64.b64encode((folder / "kept.jpg").read_bytes()).decode()
    (folder / "kept.jpg").unlink()  # the photo lies in the json alone
    shape: dict[str, Any] = {"label": "dent", "points": CORNERS, "shape_type": "polygon", "flags": {}}
    photo: dict[str, Any] = {
        "version": "5.0",
        "flags": {"wet": True},
        "shapes": [shape],
        "imagePath": "a.jpg",
        "imageData": data,
    }
    photo |= {"imageWidth": SIZE[0], "imageHeight": SIZE[1]}
    (folder / "a.json").write_text(json.dumps(photo))


def draw_masks(folder: Path) -> None:
    draw_photo(folder / "images" / "a.jpg")
    ids = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    ids[Y : Y + HEIGHT, X : X + WIDTH] = 255
    (folder / "masks").mkdir()
    Image.fromarray(ids).save(folder / "masks" / "a.png")


def draw_mvtec(folder: Path) -> None:
    draw_photo(folder / "test" / "dent" / "000.png")
    mask = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    mask[Y : Y + HEIGHT, X : X + WIDTH] = 255
    (folder / "ground_truth" / "dent").mkdir(parents=True)
    Image.fromarray(mask).save(folder / "ground_truth" / "dent" / "000_mask.png")


DRAWN: dict[str, Callable[[Path], None]] = {
    "via": draw_via,
    "coco": draw_coco,
    "supervisely": draw_supervisely,
    "yolo": draw_yolo,
    "cvat": draw_cvat,
    "labelme": draw_labelme,
    "mvtec": draw_mvtec,
    "masks": draw_masks,
}


@pytest.mark.parametrize("name", DRAWN)
def test_a_format_is_recognised_and_imported(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "set").mkdir()
    DRAWN[name](tmp_path / "set")
    words = [tmp_path / "set", "--to", tmp_path / "out", "--strict"]
    assert run_import("--format", "auto", *words) == 0
    assert capsys.readouterr().out.startswith(f"{name} ")
    assert run_import("--format", name, *words) == 0
    config = read_config(tmp_path / "out" / "config.json")
    check_paths(config)
    dataset = read_dataset(config)
    assert len(dataset.photos) == 1
    ids = read_ids(tmp_path / "out", "damage_mask", dataset.photos[0].name)
    expected = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    expected[Y : Y + HEIGHT, X : X + WIDTH] = 1
    np.testing.assert_array_equal(ids, expected)
    named = (tmp_path / "out/labels/damage_mask.txt").read_text().split(";")[0]
    assert named == ("damage" if name == "masks" else "dent")


def test_labels_of_whole_photos_beside_masks_are_a_head_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    draw_labelme(tmp_path / "set")
    assert run_import("--format", "labelme", tmp_path / "set", "--to", tmp_path / "out") == 0
    assert (tmp_path / "out/labels.csv").read_text() == "name,photo_labels\na.jpg,wet\n"
    assert read_config(tmp_path / "out" / "config.json").heads["photo_labels"].kind == "categorical"


def test_all_formats_into_one_folder_agree(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, draw in DRAWN.items():
        if name == "mvtec":
            continue  # its photo is a PNG
        (tmp_path / name).mkdir()
        draw(tmp_path / name)
        assert run_import("--format", name, tmp_path / name, "--to", tmp_path / "out", "--strict") == 0
    assert "0 photos made, 1 there already" in capsys.readouterr().out
    assert (tmp_path / "out/labels.csv").read_text() == "name,photo_labels\na.jpg,wet\n"
    assert not (tmp_path / "out/conflicts.csv").exists()


def test_class_ids_of_masks_are_named_by_a_label_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draw_photo(tmp_path / "set" / "images" / "a.png")
    ids = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    ids[:4], ids[8:12] = 1, 2
    (tmp_path / "set" / "masks").mkdir()
    Image.fromarray(ids).save(tmp_path / "set" / "masks" / "a.png")
    words = ["--format", "masks", tmp_path / "set", "--to", tmp_path / "out"]
    assert run_import(*words) == 2
    assert "--labels FILE" in capsys.readouterr().err
    (tmp_path / "classes.txt").write_text(
        "# left and right\nleft door; mirror=right door\nright door; mirror=left door\n"
    )
    assert run_import(*words, "--labels", tmp_path / "classes.txt") == 0
    assert (tmp_path / "out/labels/damage_mask.txt").read_text() == (tmp_path / "classes.txt").read_text()
    np.testing.assert_array_equal(read_ids(tmp_path / "out", "damage_mask", "images/a.png"), ids)
    ids[20:] = 0
    Image.fromarray(ids).save(tmp_path / "set" / "masks" / "a.png")
    assert run_import(*words) == 2
    assert "The masks hold class ids, and nothing says what they mean" in capsys.readouterr().err


def test_ids_of_masks_meet_the_ids_of_the_head_by_name(tmp_path: Path) -> None:
    (tmp_path / "via").mkdir()
    draw_via(tmp_path / "via")
    run_import("--format", "via", tmp_path / "via", "--to", tmp_path / "out")
    draw_photo(tmp_path / "set" / "images" / "b.png", seed=3)
    ids = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    ids[:4], ids[8:12] = 1, 2
    (tmp_path / "set" / "masks").mkdir()
    Image.fromarray(ids).save(tmp_path / "set" / "masks" / "b.png")
    (tmp_path / "classes.txt").write_text("glass\ndent\n")
    words = ["--format", "masks", tmp_path / "set", "--to", tmp_path / "out", "--labels", tmp_path / "classes.txt"]
    assert run_import(*words) == 0
    found = read_ids(tmp_path / "out", "damage_mask", "images/b.png")
    np.testing.assert_array_equal(found, np.array([0, 2, 1], np.uint8)[ids])  # dent was there first


def test_colours_are_taken_with_a_tolerance(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draw_photo(tmp_path / "set" / "images" / "a.png")
    colors = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    colors[:4], colors[8:12] = (200, 10, 10), (11, 200, 9)
    (tmp_path / "set" / "masks").mkdir()
    Image.fromarray(colors).save(tmp_path / "set" / "masks" / "a.png")
    words = ["--format", "masks", tmp_path / "set", "--to", tmp_path / "out", "--color", "198,12,9=dent"]
    assert run_import(*words) == 2
    assert "11, 200, 9" in capsys.readouterr().err.replace("(", "").replace("11,200,9", "11, 200, 9")
    assert run_import(*words, "10,200,10=glass") == 0
    found = read_ids(tmp_path / "out", "damage_mask", "images/a.png")
    assert [found[0, 0], found[6, 0], found[9, 0]] == [1, 0, 2]
    assert run_import(*words, "10,200,10=glass", "--tolerance", "0") == 2


def test_good_photos_of_mvtec_are_known_to_be_empty(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    draw_mvtec(tmp_path / "set")
    draw_photo(tmp_path / "set" / "test" / "good" / "000.png", seed=1)
    assert run_import("--format", "auto", tmp_path / "set", "--to", tmp_path / "out") == 0
    dataset = read_dataset(read_config(tmp_path / "out" / "config.json"))
    found = {
        photo.name: target for photo, target in zip(dataset.photos, dataset.heads["damage_mask"].targets, strict=True)
    }
    assert found == {"test/dent/000.png": 1, "test/good/000.png": 0}


def test_trees_of_folders_meet_by_content(tmp_path: Path) -> None:
    draw_photo(tmp_path / "severity" / "train" / "minor" / "a.jpg", seed=1)
    draw_photo(tmp_path / "severity" / "test" / "severe" / "b.jpg", seed=2)
    draw_photo(tmp_path / "location" / "rear" / "x.jpg", seed=1)
    draw_photo(tmp_path / "location" / "front" / "y.jpg", seed=3)
    for head in ("severity", "location"):
        words = ["--to", tmp_path / "out", "--head", head, "--strict"]
        assert run_import("--format", "auto", tmp_path / head, *words) == 0
    assert (tmp_path / "out/labels.csv").read_text().splitlines()[1:] == [
        "test/severe/b.jpg,severe,",
        "train/minor/a.jpg,minor,rear",
        "front/y.jpg,,front",
    ]


def test_a_table_is_read_with_columns_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number, name in enumerate("abc"):
        draw_photo(tmp_path / "set" / "pictures" / f"{name}.jpg", seed=number)
    text = "file;grade;where;group\na.jpg;minor;front,rear;#7\nb.jpg;whole;NULL;[x]\nc.jpg;;;\ngone.jpg;minor;;\n"
    (tmp_path / "set" / "table.csv").write_text(text)
    words = ["--format", "table", tmp_path / "set", "--to", tmp_path / "out", "--column", "severity=grade"]
    assert run_import(*words) == 0
    assert "4 records read: 3 photos made, 1 skipped" in capsys.readouterr().out
    assert (
        tmp_path / "out/labels.csv"
    ).read_text() == "name,severity,group\na.jpg,minor,#7\nb.jpg,whole,[x]\nc.jpg,,\n"
    head = read_config(tmp_path / "out" / "config.json").heads["severity"]
    assert (head.kind, head.none_label) == ("categorical", "whole")
    assert run_import(*words) == 0
    (tmp_path / "via").mkdir()
    draw_via(tmp_path / "via")
    assert run_import("--format", "via", tmp_path / "via", "--to", tmp_path / "out", "--column", "a=b") == 2
    assert "--column: is for label tables" in capsys.readouterr().err


def test_ids_beside_ignored_pixels_are_no_masks_of_black_and_white(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draw_photo(tmp_path / "set" / "images" / "a.png")
    ids = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    ids[:4], ids[8:12], ids[20:] = 1, 2, 255
    (tmp_path / "set" / "masks").mkdir()
    Image.fromarray(ids).save(tmp_path / "set" / "masks" / "a.png")
    assert run_import("--format", "masks", tmp_path / "set", "--to", tmp_path / "out") == 2
    assert "class ids 2 are not in damage_mask.txt" in capsys.readouterr().err
