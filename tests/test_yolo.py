from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco
from skimage import draw as skimage_draw

from carclf.annotations.records import Problem, ReadOptions, Record
from carclf.annotations.shapes import Polygon, rasterise
from carclf.annotations.yolo import find_yolo, read_yolo
from carclf.errors import AnnotationError

draw: Any = skimage_draw  # has no types
WIDTH, HEIGHT = 900, 800
Pixels = NDArray[np.bool_]
ROBOFLOW = "train: ../train/images\nval: ../valid/images\ntest: ../test/images\nnc: 2\nnames: ['dent', 'glass']\n"


def add_photo(folder: Path, name: str, labels: str | None, size: tuple[int, int] = (80, 60), turn: int = 1) -> None:
    """Adds images/name.jpg, of an EXIF orientation, and, if there are labels, labels/name.txt."""
    photo = folder / "images" / f"{name}.jpg"
    photo.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[0x0112] = turn
    Image.new("RGB", size).save(photo, exif=exif)
    if labels is not None:
        add_labels(folder, name, labels)


def add_labels(folder: Path, name: str, labels: str) -> None:
    path = folder / "labels" / f"{name}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(labels)


def add_data(folder: Path, text: str = "names: [dent, glass]\ntrain: images\n") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "data.yaml").write_text(text)
    return folder / "data.yaml"


def read(path: Path) -> list[Record | Problem]:
    return list(read_yolo(path, ReadOptions()))


def names_of(found: list[Record | Problem]) -> list[str]:
    return [each.photo if isinstance(each, Record) else f"{each.place}: {each.what}" for each in found]


def read_one(folder: Path, labels: str | None, **options: Any) -> Record | Problem:
    add_photo(folder, "a", labels, **options)
    add_data(folder)
    [found] = read(folder)
    return found


def drawn(record: Record | Problem, width: int = WIDTH, height: int = HEIGHT) -> Pixels:
    assert isinstance(record, Record), record
    return rasterise([(1, region.shape) for region in record.regions], width, height).astype(bool)


def overlap(one: Pixels, other: Pixels) -> float:
    return float((one & other).sum() / (one | other).sum())


def star(seed: int) -> NDArray[np.float64]:
    """Corners (x, y) as shares of the photo."""
    rng = np.random.default_rng(seed)
    angles = np.sort(rng.uniform(0, 2 * np.pi, 14))
    radii = rng.uniform(0.4, 0.49, 14)
    corners: NDArray[np.float64] = np.stack([0.5 + radii * np.cos(angles), 0.5 + radii * np.sin(angles)], axis=1)
    return corners.round(6)


@pytest.mark.parametrize("seed", range(4))
def test_outlines_agree_with_other_rasterisers(tmp_path: Path, seed: int) -> None:
    ring = star(seed)
    record = read_one(tmp_path, "1 " + " ".join(map(str, ring.ravel())), size=(WIDTH, HEIGHT))
    pixels = ring * (WIDTH, HEIGHT)
    [runs] = coco.frPyObjects([pixels.ravel().tolist()], HEIGHT, WIDTH)
    assert overlap(drawn(record), coco.decode(runs).astype(bool)) >= 0.999
    expected = np.zeros((HEIGHT, WIDTH), bool)
    expected[draw.polygon(pixels[:, 1] - 0.5, pixels[:, 0] - 0.5, expected.shape)] = True
    assert overlap(drawn(record), expected) >= 0.999
    assert isinstance(record, Record)
    assert record.regions[0].names == ("glass",)


def test_boxes_are_given_by_their_middle(tmp_path: Path) -> None:
    expected = np.zeros((60, 80), bool)
    expected[15:45, 8:40] = True
    np.testing.assert_array_equal(drawn(read_one(tmp_path, "0 0.3 0.5 0.4 0.5\n"), 80, 60), expected)


@pytest.mark.parametrize("turn", range(1, 9))
def test_shares_are_of_the_photo_held_upright(tmp_path: Path, turn: int) -> None:
    record = read_one(tmp_path, "0 0.25 0.125 0.5 0.25", turn=turn)
    width, height = (60, 80) if turn >= 5 else (80, 60)
    expected = np.zeros((height, width), bool)
    expected[: height // 4, : width // 2] = True
    np.testing.assert_array_equal(drawn(record, width, height), expected)


def test_regions_that_touch_or_just_miss_the_border(tmp_path: Path) -> None:
    assert drawn(read_one(tmp_path, "0 -0.005 0 1.005 0 1.0 1.0 0 1\n"), 80, 60).all()
    assert drawn(read_one(tmp_path, "0 0.5 0.5 1.0 1.0\n"), 80, 60).all()


def test_later_regions_lie_over_earlier_ones(tmp_path: Path) -> None:
    record = read_one(tmp_path, "0 .5 .5 1 1\n\n1.0 .5 .5 .5 .5\n")
    assert isinstance(record, Record)
    assert [region.names for region in record.regions] == [("dent",), ("glass",)]
    mask = rasterise([(index, region.shape) for index, region in enumerate(record.regions, 1)], 80, 60)
    assert mask[30, 40] == 2
    assert mask[0, 0] == 1


def test_an_empty_file_says_that_there_is_nothing(tmp_path: Path) -> None:
    for labels in ("", " \n\n"):
        record = read_one(tmp_path, labels)
        assert isinstance(record, Record)
        assert record.known_empty
        assert not record.regions


def test_a_photo_without_file_is_not_labelled(tmp_path: Path) -> None:
    record = read_one(tmp_path, None)
    assert record == Record("images/a.jpg", "images/a.jpg", path=tmp_path / "images" / "a.jpg")


BAD_LINES = [
    ("2 .5 .5 .1 .1", 'the class id "2" is not in data.yaml (0 = dent, 1 = glass).'),
    ("0.5 .5 .5 .1 .1", 'the class id "0.5" is not in data.yaml'),
    ("-1 .5 .5 .1 .1", 'the class id "-1" is not in data.yaml'),
    ("nan .5 .5 .1 .1", 'the class id "nan" is not in data.yaml'),
    ("dent .5 .5 .1 .1", 'the class id "dent" is no number. A line is class x y width height, or'),
    ("0 .5 .5 .1 x", '"x" is no number. A line is'),
    ("0 40 30 10 10", "40 is no share of the photo: 0 to 1 was expected, not pixels."),
    ("0 .5 .5 .1 1.02", "1.02 is no share of the photo"),
    ("0 .5 nan .1 .1", "nan is no share of the photo"),
    ("0 .5 .5 -.005 .1", "the box is -0.005 × 0.1; a width and height of 0 to 1 were expected."),
    ("0", "1 numbers. A line is"),
    ("0 .1 .1 .2", "4 numbers. A line is"),
    ("0 .5 .5 .1 .1 .9", "6 numbers. A line is"),
    ("0 .1 .1 .2 .2 .3 .3 .4", "8 numbers. A line is"),
]


@pytest.mark.parametrize(("line", "message"), BAD_LINES)
def test_bad_lines_are_named(tmp_path: Path, line: str, message: str) -> None:
    problem = read_one(tmp_path, f"0 .5 .5 .1 .1\n\n{line}\n")
    assert isinstance(problem, Problem)
    assert problem.place == "labels/a.txt line 3"
    assert message in problem.what


def test_a_bad_photo_does_not_lose_the_others(tmp_path: Path) -> None:
    for name, labels in (("a", "7 .5 .5 1 1"), ("b", "0 .5 .5 1 1"), ("c", "0 .5 .5 1 1"), ("d", "0 .5 .5 1 1")):
        add_photo(tmp_path, name, labels)
    (tmp_path / "images" / "b.jpg").write_bytes(b"no photo")
    (tmp_path / "labels" / "c.txt").write_bytes(b"\xff")
    add_data(tmp_path)
    bad_class, bad_photo, bad_text, record = read(tmp_path)
    assert isinstance(bad_class, Problem)
    assert isinstance(bad_photo, Problem)
    assert bad_photo.place == "labels/b.txt"
    assert "is not a photo that can be read" in bad_photo.what
    assert bad_text == Problem("labels/c.txt", "c.txt, line 1: not UTF-8 text. Save the file as UTF-8.")
    assert isinstance(record, Record)


def test_labels_without_photo_are_problems(tmp_path: Path) -> None:
    add_photo(tmp_path, "train/a", "")
    add_labels(tmp_path, "train/gone", "0 .5 .5 1 1")
    add_labels(tmp_path, "classes", "dent\nglass\n")
    add_data(tmp_path)
    assert names_of(read(tmp_path)) == [
        "images/train/a.jpg",
        "labels/train/gone.txt: its photo is not in the data set. Add it, as labels are shares of its size.",
    ]


def test_photos_that_share_a_label_file_are_problems(tmp_path: Path) -> None:
    add_photo(tmp_path, "a", "0 .5 .5 1 1")
    add_photo(tmp_path, "b", None)
    for name in ("a", "b"):
        (tmp_path / "images" / f"{name}.png").write_bytes((tmp_path / "images" / f"{name}.jpg").read_bytes())
    add_data(tmp_path)
    shared = "labels/a.txt: images/a.jpg, images/a.png share it. Rename all but one of them."
    assert names_of(read(tmp_path)) == [shared, shared, "images/b.jpg", "images/b.png"]


def test_roboflow_folders_are_found_beside_data_yaml(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        add_photo(tmp_path / split, "a", "0 .5 .5 1 1")
    found = read(add_data(tmp_path, ROBOFLOW))
    assert names_of(found) == ["train/images/a.jpg", "valid/images/a.jpg"]
    assert [each.path for each in found if isinstance(each, Record)] == [
        tmp_path / "train" / "images" / "a.jpg",
        tmp_path / "valid" / "images" / "a.jpg",
    ]


def test_dots_are_followed_inside_of_the_source_only(tmp_path: Path) -> None:
    add_photo(tmp_path / "train", "outside", "")
    source = tmp_path / "source"
    add_photo(source / "train", "inside", "")
    add_photo(source / "deep" / "train", "beside", "")
    add_data(source / "deep", "names: [dent]\ntrain: ../train/images\n")
    assert names_of(read(source)) == ["train/images/inside.jpg"]
    assert names_of(read(source / "deep")) == ["train/images/beside.jpg"]
    (source / "deep" / "train" / "images" / "beside.jpg").unlink()
    with pytest.raises(AnnotationError, match="leads to no photo"):
        read(source / "deep")


@pytest.mark.parametrize(
    "text",
    [
        "path: .\ntrain: images/train\nval: images/val",
        "path: ../datasets/cars\ntrain: images/train\nval: images/val",
        "path: /content/drive/cars\ntrain: images/train\nval:\n  - images/val",
        "train: /content/cars/images/train\nval: C:\\cars\\images\\val",
        "train: [images/train, images/val]\nval: images/val",
        "train: images",
        "nc: 2",
    ],
)
@pytest.mark.parametrize("names", ["[dent, glass]", "{0: dent, 1: glass}", '{"0": dent, "1": glass}'])
def test_data_yaml_in_all_its_forms(tmp_path: Path, text: str, names: str) -> None:
    add_photo(tmp_path, "train/a", "1 .5 .5 1 1")
    add_photo(tmp_path, "val/b", "0 .5 .5 1 1")
    found = read(add_data(tmp_path, f"names: {names}\n{text}\ntest: # none\n"))
    assert names_of(found) == ["images/train/a.jpg", "images/val/b.jpg"]
    assert [each.regions[0].names for each in found if isinstance(each, Record)] == [("glass",), ("dent",)]


def test_photos_and_labels_in_one_folder(tmp_path: Path) -> None:
    add_photo(tmp_path, "a", None)
    (tmp_path / "images" / "a.txt").write_text("0 .5 .5 1 1")
    (tmp_path / "images").rename(tmp_path / "all")
    add_data(tmp_path, "names: [dent]\ntrain: all\n")
    [record] = read(tmp_path)
    assert isinstance(record, Record)
    assert record.place == "all/a.txt"
    assert isinstance(record.regions[0].shape, Polygon)


def test_lists_of_photos(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        add_photo(tmp_path, f"train/{name}", "0 .5 .5 1 1")
    (tmp_path / "train.txt").write_text(
        "./images/train/a.jpg\n\ndata/images/train/b.jpg\nimages/train/gone.jpg\n../images/train/c.jpg\n/images/c.jpg\n"
    )
    found = read(add_data(tmp_path, "names: [dent]\ntrain: train.txt\n"))
    assert names_of(found) == [
        'train.txt line 4: the photo "images/train/gone.jpg" is missing. Add it, or delete the line.',
        'train.txt line 5: "../images/train/c.jpg" leaves the photo folder by "..". Put the photo into the folder.',
        'train.txt line 6: "/images/c.jpg" is an absolute path. Write it relative to the photo folder.',
        "images/train/a.jpg",
        "images/train/b.jpg",
    ]


def test_links_out_of_the_source_are_refused(tmp_path: Path) -> None:
    add_photo(tmp_path / "outside", "secret", "0 .5 .5 1 1")
    source = tmp_path / "source"
    add_photo(source / "train", "a", "")
    (source / "train" / "images" / "b.jpg").symlink_to(tmp_path / "outside" / "images" / "secret.jpg")
    add_photo(source / "train", "c", None)
    (source / "train" / "labels" / "c.txt").symlink_to(tmp_path / "outside" / "labels" / "secret.txt")
    (source / "valid").symlink_to(tmp_path / "outside")
    found = names_of(read(add_data(source, ROBOFLOW)))
    assert found[2] == "train/images/a.jpg"
    assert len(found) == 4
    for index, place in ((0, "data.yaml: val"), (1, "train/images"), (3, "train/labels/c.txt")):
        assert found[index].startswith(f"{place}: ")
        assert "is a link that leads out of" in found[index]


def test_missing_folders_are_problems_but_for_test(tmp_path: Path) -> None:
    add_photo(tmp_path / "train", "a", "")
    assert names_of(read(add_data(tmp_path, ROBOFLOW))) == [
        f'data.yaml: val: "../valid/images" is not in {tmp_path}. Add the folder, or delete the line.',
        "train/images/a.jpg",
    ]


BAD_DATA = [
    ("train: images\n", "names: a list of the classes was expected"),
    ("names: 3\n", "names: a list of the classes was expected"),
    ("names: []\n", "names: a list of the classes was expected"),
    ("names: [yes, no]\n", 'names: class 0 is no text; YAML reads words like yes and no otherwise.*: "no"'),
    ("names: [[dent]]\n", "names: class 0 is no text"),
    ("names: {dent: 0}\n", "names: the class id dent is no whole number"),
    ("names: [dent]\ntrain: 3\n", "train: a path was expected, or a list of paths"),
    ("names: [dent]\ntrain: [3]\n", "train: a path was expected, or a list of paths"),
    ("names: [dent]\ntrain: nowhere\n", 'leads to no photo.\n"nowhere" is not in'),
    ("names: [dent\ntrain: images\n", "data.yaml, line 2: not valid YAML"),
    ("names: !!python/object:os.system [dent]\n", "data.yaml, line 1: not valid YAML: could not determine"),
    ("names: [dent]\x00\n", "not usable YAML"),
    ("names: &all [dent]\ntrain: *all\n", "holds references"),
    ("names: [dent]\nkpt_shape: [17, 3]\n", "describes key points"),
    ("- names\n", "not data.yaml of YOLO: keys were expected"),
    ("names: [dent] #" + "x" * 2**20, "is larger than 1 MiB"),
    ("names: " + "[" * 5000, "not usable YAML: it is nested more than 20 deep"),
]


@pytest.mark.parametrize(("text", "message"), BAD_DATA, ids=[message for _, message in BAD_DATA])
def test_bad_data_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    add_photo(tmp_path, "a", "")
    with pytest.raises(AnnotationError, match=message):
        read(add_data(tmp_path, text))


def test_folders_with_no_data_set_or_several(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="no such file or folder"):
        read(tmp_path / "nowhere")
    with pytest.raises(AnnotationError, match=r"holds no data\.yaml of YOLO"):
        read(tmp_path)
    add_data(tmp_path / "one")
    add_data(tmp_path / "two")
    with pytest.raises(AnnotationError, match=r"holds 2 data sets: .*one/data.yaml, .*two/data.yaml"):
        read(tmp_path)


def test_data_sets_are_found(tmp_path: Path) -> None:
    one = add_data(tmp_path / "one", ROBOFLOW)
    assert find_yolo(tmp_path) == [tmp_path]
    assert find_yolo(one) == [one]
    two = add_data(tmp_path / "two")
    assert find_yolo(tmp_path) == [one, two]


def test_other_files_are_no_data_sets(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text("services:\n  names: 3\n")
    (tmp_path / "names.yml").write_text("names: [dent]\n")
    (tmp_path / "bytes.yaml").write_bytes(bytes(range(256)))
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "loop.yaml").symlink_to(tmp_path / "loop.yaml")
    assert find_yolo(tmp_path) == []
    assert find_yolo(tmp_path / "names.yml") == []
    assert find_yolo(tmp_path / "nowhere.yaml") == []


def test_names_that_no_disk_can_hold_are_problems(tmp_path: Path) -> None:
    long = "x" * 400
    add_photo(tmp_path, "a", "0 .5 .5 1 1")
    add_data(tmp_path, f"names: [dent]\ntrain: list.txt\nval: {long}\n")
    (tmp_path / "list.txt").write_text(f"images/a.jpg\n{long}.jpg\n")
    folder, photo, record = read(tmp_path)
    assert isinstance(folder, Problem)
    assert folder.place == "data.yaml: val"
    assert isinstance(photo, Problem)
    assert photo.place == "list.txt line 2"
    assert isinstance(record, Record)
