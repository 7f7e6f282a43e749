import csv
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from carclf.annotations.mask_colors import match_colors
from carclf.annotations.records import Record
from carclf.errors import PhotoError, RunDirError
from carclf.images import read_full_photo
from carclf.label_file import LabelSet
from carclf.mask_images import mask_colors, read_mask, resize_mask_probability
from carclf.mask_outputs import OUTPUTS, MaskWriter, class_file_names
from carclf.mask_plots import label_colors, paint_mask
from carclf.photo_source import PhotoSource
from tests.drawn_annotations import draw_photo, read_ids, run_import
from tests.drawn_masks import HITL, load, read

Array = NDArray[Any]
NAMES = ("dent", "paint chip", "Rücklicht/links")
COLORS = ((19, 164, 201), None, (255, 0, 255))
LABELS = LabelSet(NAMES, (0, 1, 2), COLORS, Path("damage_mask.txt"))
PARTS = LabelSet(("door", "hood"), (0, 1), (None, None), Path("parts.txt"))
LABEL_SETS = {"damage_mask": LABELS, "parts": PARTS}
SIZE = (48, 32)


@dataclass(frozen=True)
class Said:
    """What carclf.predict.Answer says of masks."""

    path: Path
    masks: Mapping[str, Array]
    probabilities: Mapping[str, Array] = field(default_factory=dict)

    @property
    def photo(self) -> PhotoSource:
        return PhotoSource(self.path)


def draw_ids(num_classes: int = 3, seed: int = 0) -> Array:
    """Rectangles of every class on background, and their corners touch."""
    random = np.random.default_rng(seed)
    ids = np.zeros(SIZE[::-1], np.uint8)
    for class_id in range(1, num_classes + 1):
        top, left = random.integers(0, 20), random.integers(0, 30)
        ids[top : top + 12, left : left + 18] = class_id
    ids[0, :num_classes] = np.arange(1, num_classes + 1)
    return ids


def say(path: Path, seed: int = 0, heads: tuple[str, ...] = ("damage_mask",)) -> Said:
    """The answer to a photo, which is drawn."""
    if not path.exists():
        draw_photo(path, seed=seed)
    random = np.random.default_rng(seed)
    sizes = {head: len(LABEL_SETS[head].names) for head in heads}
    masks = {head: draw_ids(number, seed) for head, number in sizes.items()}
    return Said(path, masks, {head: random.random((4, 6, number), np.float32) for head, number in sizes.items()})


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def write(folder: Path, kind: str, *answers: Said) -> set[str]:
    """Writes and lists what has come of it, without legends."""
    writer = MaskWriter(folder, kind, LABEL_SETS)
    for answer in answers:
        writer.write(answer)
    return {name for name in files(folder) if name.endswith(".png")}


def read_record(record: Record, label_set: LabelSet) -> Array:
    return np.array(load(record, label_set), np.uint8)


def test_indexed_masks_hold_ids_in_the_colors_of_the_label_file(tmp_path: Path) -> None:
    answer = say(tmp_path / "photos/car.jpg", heads=("damage_mask", "parts"))
    assert write(tmp_path / "out", "indexed", answer) == {"damage_mask/car.png", "parts/car.png"}
    for head, label_set in LABEL_SETS.items():
        path = tmp_path / "out" / head / "car.png"
        np.testing.assert_array_equal(read_mask(path), answer.masks[head])
        record = read(path.parent, class_names=label_set.names)["car"]
        np.testing.assert_array_equal(read_record(record, label_set), answer.masks[head])
        with Image.open(path) as image:
            assert image.mode == "P"
            palette = np.array(image.getpalette()).reshape(-1, 3)
        used = len(label_set.names) + 1
        np.testing.assert_array_equal(palette[:used], mask_colors(label_set)[:used])
        if head == "damage_mask":
            assert palette[[1, 3]].tolist() == [[19, 164, 201], [255, 0, 255]]


@pytest.mark.parametrize("label_set", [LABELS, LabelSet(tuple(HITL.values()), tuple(range(8)), tuple(HITL), Path("h"))])
def test_color_masks_are_read_back_exactly(tmp_path: Path, label_set: LabelSet) -> None:
    ids = draw_ids(len(label_set.names))
    writer = MaskWriter(tmp_path / "out", "colors", {"damage_mask": label_set})
    writer.write(Said(draw_photo(tmp_path / "car.jpg"), {"damage_mask": ids}))
    folder = tmp_path / "out" / "damage_mask"
    assert files(folder) == {"car.png", "class_dict.csv"}
    pixels = read_full_photo(folder / "car.png")
    named = {mask_colors(label_set)[index]: name for index, name in enumerate(label_set.names, 1)}
    numbers = {name: index for index, name in enumerate(label_set.names, 1)}
    np.testing.assert_array_equal(match_colors(pixels, named, numbers, tolerance=0), ids)
    for options in ({"colors": named, "tolerance": 0}, {"tolerance": 0}):  # colours by the user, by the legend
        np.testing.assert_array_equal(read_record(read(folder, **options)["car"], label_set), ids)
    rows = list(csv.reader((folder / "class_dict.csv").read_text(encoding="utf-8").splitlines()))[1:]
    assert {(int(red), int(green), int(blue)): name for name, red, green, blue in rows} == named


def test_overlays_are_photos_with_their_masks_drawn_over_them(tmp_path: Path) -> None:
    answer = say(tmp_path / "car.jpg")
    assert write(tmp_path / "out", "overlays", answer) == {"car_damage_mask.png"}
    photo, mask = read_full_photo(answer.path), answer.masks["damage_mask"]
    written = read_full_photo(tmp_path / "out/car_damage_mask.png")
    np.testing.assert_array_equal(written, paint_mask(photo, mask, label_colors(LABELS)))
    np.testing.assert_array_equal(written[mask == 0], photo[mask == 0])
    assert written[0, 0].tolist() == list(COLORS[0])  # a single pixel is all edge, in the label file's colour


def test_probability_maps_are_grey_at_the_photos_size(tmp_path: Path) -> None:
    answer = say(tmp_path / "car.jpg")
    answer.probabilities["damage_mask"][..., 1] = 0.5
    names = ["car_damage_mask_dent.png", "car_damage_mask_paint_chip.png", "car_damage_mask_Rücklicht_links.png"]
    assert write(tmp_path / "out", "probabilities", answer) == set(names)
    for index, name in enumerate(names):
        with Image.open(tmp_path / "out" / name) as image:
            assert (image.mode, image.size) == ("L", SIZE)
            grey = np.array(image)
        expected = 255.0 * resize_mask_probability(answer.probabilities["damage_mask"][..., index], SIZE)
        assert np.abs(grey - expected).max() <= 0.501
        if index == 1:
            assert set(grey.ravel().tolist()) == {128}


def test_class_names_become_file_names() -> None:
    given = ["dent", "tail light / left", "tail light:left", "Kotflügel", "a/b", "a b", "a_b-2", "A B", "../up", "?"]
    made = class_file_names(given)
    assert made[:5] == ["dent", "tail_light_left", "tail_light_left-2", "Kotflügel", "a_b"]
    assert made[5:] == ["a_b-2", "a_b-2-2", "A_B-3", ".._up", "_"]
    long = class_file_names(["ä" * 300, "ä" * 301])
    assert len({*long}) == 2
    assert max(len(name.encode()) for name in long) <= 82


@pytest.mark.parametrize("kind", ["overlays", "probabilities"])
def test_pictures_of_photos_of_one_name_are_distinct(tmp_path: Path, kind: str) -> None:
    paths = [tmp_path / name for name in ("a/car.jpg", "b/car.jpg", "b/CAR.jpeg", "b/car-2.jpg")]
    answers = [say(path, seed) for seed, path in enumerate(paths)]
    end = "_dent" if kind == "probabilities" else ""
    stems = ("car", "car-2", "CAR-3", "car-2-2")
    written = write(tmp_path / "out", kind, *answers, answers[0])  # the first one comes twice
    expected = {f"{stem}_damage_mask{end}.png" for stem in stems}
    assert {name for name in written if name.endswith(f"{end}.png")} == expected
    assert len(written) == 4 * (3 if end else 1)


def test_parts_of_names_that_join_to_the_same_are_distinct(tmp_path: Path) -> None:
    label_sets = {
        "x": LabelSet(("y_z",), (0,), (None,), Path("x.txt")),
        "x_y": LabelSet(("z",), (0,), (None,), Path("y.txt")),
    }
    probabilities = {head: np.full((2, 2, 1), value, np.float32) for head, value in (("x", 0.0), ("x_y", 1.0))}
    masks = {head: np.zeros((2, 2), np.uint8) for head in label_sets}
    MaskWriter(tmp_path, "probabilities", label_sets).write(Said(Path("a.jpg"), masks, probabilities))
    assert read_mask(tmp_path / "a_x_y_z.png").max() == 0
    assert read_mask(tmp_path / "a-2_x_y_z.png").min() == 255


@pytest.mark.parametrize("kind", ["indexed", "colors"])
def test_masks_of_photos_of_one_name_are_distinct(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("a/car.jpg", "b/car.jpg", "b/CAR.jpeg", "c/b/car.jpg", "b/../d/car.jpg")
    (tmp_path / "b").mkdir()
    monkeypatch.chdir(tmp_path)
    answers = [say(Path(name), seed) for seed, name in enumerate(names)]
    written = write(tmp_path / "out", kind, *answers, answers[1])
    expected = ["car.png", "b/car.jpg.png", "b/CAR.jpeg.png", "c/b/car.jpg.png", "d/car.jpg.png"]
    assert written == {f"damage_mask/{name}" for name in expected}
    for name, answer in zip(expected, answers, strict=True):
        record = read(tmp_path / "out/damage_mask", class_names=NAMES)[name.removesuffix(".png")]
        np.testing.assert_array_equal(read_record(record, LABELS), answer.masks["damage_mask"])


@pytest.mark.parametrize("kind", ["indexed", "colors"])
def test_masks_can_be_imported_with_their_photos(tmp_path: Path, kind: str) -> None:
    names = ("a/car.jpg", "b/truck.jpeg", "b/deep/bus.png")
    answers = [say(tmp_path / "photos" / name, seed) for seed, name in enumerate(names)]
    write(tmp_path / "out", kind, *answers)
    (tmp_path / "labels.txt").write_text("dent; color=19,164,201\npaint chip\nRücklicht/links; color=255,0,255\n")
    labels = ["--labels", tmp_path / "labels.txt"] if kind == "indexed" else []
    words = [tmp_path / "out/damage_mask", "--photos", tmp_path / "photos", "--to", tmp_path / "set", "--strict"]
    assert run_import("--format", "masks", *labels, *words) == 0
    for answer in answers:
        name = answer.path.name
        np.testing.assert_array_equal(read_ids(tmp_path / "set", "damage_mask", name), answer.masks["damage_mask"])


def test_no_photo_gets_the_mask_of_another_one_of_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answers = [say(tmp_path / "photos" / name, seed) for seed, name in enumerate(("a/car.jpg", "b/car.jpg"))]
    write(tmp_path / "out", "colors", *answers)
    words = [tmp_path / "out/damage_mask", "--photos", tmp_path / "photos", "--to", tmp_path / "set"]
    assert run_import("--format", "masks", *words) == 0
    np.testing.assert_array_equal(
        read_ids(tmp_path / "set", "damage_mask", "b/car.jpg"), answers[1].masks["damage_mask"]
    )
    assert len(files(tmp_path / "set/masks")) == 1
    assert "skipped 1 ×" in capsys.readouterr().out  # the first one: two photos are called car


@pytest.mark.parametrize("kind", OUTPUTS)
def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path, kind: str) -> None:
    (tmp_path / "out").write_text("a file where the folder should be")
    with pytest.raises(RunDirError, match="cannot be written"):
        write(tmp_path / "out", kind, say(tmp_path / "car.jpg"))
    assert (tmp_path / "out").read_text() == "a file where the folder should be"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
@pytest.mark.parametrize("kind", OUTPUTS)
def test_a_read_only_folder_is_said_and_nothing_is_left(tmp_path: Path, kind: str) -> None:
    (tmp_path / "out").mkdir(mode=0o555)
    with pytest.raises(RunDirError, match="cannot be written"):
        write(tmp_path / "out", kind, say(tmp_path / "car.jpg"))
    assert files(tmp_path / "out") == set()


@pytest.mark.parametrize("kind", OUTPUTS)
def test_a_full_disk_leaves_the_older_picture(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = say(tmp_path / "car.jpg")
    names = write(tmp_path / "out", kind, answer)
    before = {name: (tmp_path / "out" / name).read_bytes() for name in names}

    def fill_the_disk(image: Image.Image, file: Path, **options: Any) -> None:
        Path(file).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", fill_the_disk)
    with pytest.raises(RunDirError, match="No space left on device"):
        write(tmp_path / "out", kind, answer)
    assert {name: (tmp_path / "out" / name).read_bytes() for name in names} == before
    assert not [name for name in files(tmp_path / "out") if ".partial-" in name]


def test_a_photo_that_is_gone_stops_overlays_alone(tmp_path: Path) -> None:
    answer = say(tmp_path / "car.jpg")
    answer.path.unlink()
    with pytest.raises(PhotoError, match="no such file"):
        write(tmp_path / "overlays", "overlays", answer)
    for kind in ("indexed", "colors", "probabilities"):
        assert write(tmp_path / kind, kind, answer)


@pytest.mark.parametrize("kind", OUTPUTS)
def test_without_segmentation_heads_nothing_is_written(tmp_path: Path, kind: str) -> None:
    assert write(tmp_path / "out", kind, Said(tmp_path / "not-even-there.jpg", {})) == set()
    assert not (tmp_path / "out").exists()


def test_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    assert OUTPUTS == ("indexed", "colors", "overlays", "probabilities")
    with pytest.raises(ValueError, match='"colours" is no kind of output: indexed, colors, overlays, probabilities'):
        MaskWriter(tmp_path, "colours", LABEL_SETS)
