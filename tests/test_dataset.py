import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from carclf.config import check_paths, read_config
from carclf.config_data import AnnotationConfig, DatasetConfig
from carclf.config_heads import HeadConfig
from carclf.dataset import Dataset, drop_photos, make_dataset
from carclf.errors import AnnotationError, CarclfError, LabelError, PhotoError
from carclf.images import Frame, photo_frame
from carclf.labels import NOT_LABELLED
from carclf.mask_sources import match_photos

REPO = Path(__file__).resolve().parents[1]
TABLE = "name,damage,type,group\na.jpg,minor,dent,car 1\nb.jpg,whole,NULL,\nsub/c.jpg,,,car 1\nd.jpg,whole,,\n"
VIA = (
    '{"a": {"filename": "a.jpg", "regions": [{"shape_attributes": {"name": "rect", "x": 1, "y": 1,'
    ' "width": 3, "height": 2}, "region_attributes": {}}]}}'
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four photos, a table, label files and an annotation of a.jpg."""
    for index, name in enumerate(("a.jpg", "b.jpg", "sub/c.jpg", "d.jpg")):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (12 + index, 8), (index * 40, 0, 0)).save(path)
    (tmp_path / "labels.csv").write_text(TABLE)
    (tmp_path / "damage.txt").write_text("minor\nwhole\n")
    (tmp_path / "type.txt").write_text("dent\nglass\n")
    (tmp_path / "mask.txt").write_text("damage\n")
    (tmp_path / "via.json").write_text(VIA)
    return tmp_path


def heads_of(folder: Path, **changes: Any) -> dict[str, HeadConfig]:
    heads: dict[str, Any] = {
        "damage": {"kind": "categorical", "labels": folder / "damage.txt", "none_label": "whole"},
        "type": {"kind": "multi_label", "labels": folder / "type.txt"},
        "mask": {
            "kind": "segmentation",
            "labels": folder / "mask.txt",
            "empty_where": {"column": "damage", "value": "whole"},
        },
    }
    return {name: HeadConfig(**head) for name, head in (heads | changes).items()}


def load(folder: Path, heads: dict[str, HeadConfig] | None = None, **options: Any) -> Dataset:
    options.setdefault("annotations", [AnnotationConfig(format="via", path=folder / "via.json", head="mask")])
    return make_dataset(folder / "photos", folder / "labels.csv", heads or heads_of(folder), **options)


def test_photos_labels_and_masks_are_joined(folder: Path) -> None:
    dataset = load(folder)
    assert [photo.name for photo in dataset.photos] == ["a.jpg", "b.jpg", "sub/c.jpg", "d.jpg"]
    assert [photo.table_group for photo in dataset.photos] == ["car 1", None, "car 1", None]
    for photo in dataset.photos:
        assert photo.sha256 == hashlib.sha256(photo.path.read_bytes()).hexdigest()
    assert dataset.heads["damage"].targets.tolist() == [0, 1, NOT_LABELLED, 1]
    assert dataset.heads["damage"].labelled.tolist() == [True, True, False, True]
    assert dataset.heads["type"].targets.tolist() == [[1, 0], [0, 0], [-1, -1], [-1, -1]]
    assert dataset.heads["type"].labelled.tolist() == [True, True, False, False]
    mask = dataset.heads["mask"]
    assert mask.targets.tolist() == [1, 0, NOT_LABELLED, 0]
    drawn, empty, unknown, _ = mask.masks
    assert drawn is not None
    assert drawn.load(Frame(12, 8)).sum() == 3 * 2
    assert empty is not None
    assert empty.load(Frame(13, 8)).shape == (8, 13)
    assert not empty.load(Frame(13, 8)).any()
    assert unknown is None
    assert dataset.skipped == ()
    assert dataset.notes == ()


def test_any_number_of_workers_makes_the_same(folder: Path) -> None:
    assert load(folder, workers=1).photos == load(folder, workers=7).photos


def test_mask_files_belong_to_the_photos_named_alike(folder: Path) -> None:
    (folder / "masks" / "sub").mkdir(parents=True)
    Image.fromarray(np.ones((8, 14), np.uint8)).save(folder / "masks" / "sub" / "c.png")
    annotations = [AnnotationConfig(format="masks", path=folder / "masks", head="mask")]
    mask = load(folder, annotations=annotations).heads["mask"]
    assert mask.targets.tolist() == [NOT_LABELLED, 0, 1, 0]
    assert mask.masks[2] is not None
    assert mask.masks[2].load(Frame(14, 8)).all()


def test_a_mask_file_without_a_pixel_of_a_class_shows_nothing(folder: Path) -> None:
    (folder / "masks" / "sub").mkdir(parents=True)
    Image.fromarray(np.array([[0, 255]] * 8, np.uint8)).save(folder / "masks" / "a.png")
    Image.fromarray(np.array([[1, 255] * 7] * 8, np.uint8)).save(folder / "masks" / "sub" / "c.png")
    annotations = [AnnotationConfig(format="masks", path=folder / "masks", head="mask")]
    assert load(folder, annotations=annotations).heads["mask"].targets.tolist() == [0, 0, 1, 0]
    (folder / "masks" / "a.png").write_bytes(b"no picture")  # its reason is told when it is loaded
    assert load(folder, annotations=annotations).heads["mask"].targets.tolist() == [1, 0, 1, 0]


def test_annotations_name_photos_without_their_folders(folder: Path) -> None:
    (folder / "via.json").write_text(VIA.replace("a.jpg", "c.jpg"))
    assert load(folder).heads["mask"].targets.tolist() == [NOT_LABELLED, 0, 1, 0]


def test_a_corrupt_photo_is_named_and_left_out_or_stops_the_run(folder: Path) -> None:
    (folder / "photos" / "b.jpg").write_bytes(b"")
    dataset = load(folder)
    assert [photo.name for photo in dataset.photos] == ["a.jpg", "sub/c.jpg", "d.jpg"]
    assert dataset.heads["mask"].targets.tolist() == [1, NOT_LABELLED, 0]
    assert [(skipped.name, "empty" in skipped.reason) for skipped in dataset.skipped] == [("b.jpg", True)]
    with pytest.raises(PhotoError, match=r"b\.jpg: is empty"):
        load(folder, on_bad_photo="stop")


def test_dropped_photos_leave_every_head(folder: Path) -> None:
    dataset = drop_photos(drop_photos(load(folder), [(3, "cut off"), (0, "no photo")]), [])
    assert [photo.name for photo in dataset.photos] == ["b.jpg", "sub/c.jpg"]
    assert [skipped.name for skipped in dataset.skipped] == ["a.jpg", "d.jpg"]
    for head in dataset.heads.values():
        assert len(head.targets) == 2
    assert len(dataset.heads["mask"].masks) == 2
    with pytest.raises(PhotoError, match="None of the 2 photos can be read: x, y"):
        drop_photos(dataset, [(0, "x"), (1, "y")])


def test_missing_photos_come_in_one_line(folder: Path) -> None:
    for name in ("a.jpg", "sub/c.jpg"):
        (folder / "photos" / name).unlink()
    with pytest.raises(
        PhotoError, match=r"2 photos named in labels\.csv are not in .*photos: a\.jpg, sub/c\.jpg\. Add them"
    ):
        load(folder)
    with pytest.raises(PhotoError, match=r"4 photos .* Is it the right folder\?"):
        make_dataset(folder / "none", folder / "labels.csv", heads_of(folder))


def test_a_name_too_long_for_the_disk_is_an_error(folder: Path) -> None:
    (folder / "labels.csv").write_text(TABLE + "x" * 300 + ".jpg,minor,dent,\n")
    with pytest.raises(PhotoError, match=r"xxx.* cannot be looked at"):
        load(folder)


def test_photos_without_a_line_are_noted(folder: Path) -> None:
    (folder / "photos" / "e.JPG").write_bytes(b"x")
    (folder / "photos" / "notes.txt").write_bytes(b"x")
    assert load(folder).notes == ("1 photos in photos have no line in labels.csv: e.JPG.",)


def test_annotations_of_other_photos_are_noted(folder: Path) -> None:
    (folder / "via.json").write_text(
        VIA[:-1] + ', "z": {"filename": "z.jpg", "regions": [{"shape_attributes": {"name": '
        '"rect", "x": 1, "y": 1, "width": 3, "height": 2}}]}}'
    )
    assert load(folder).notes == ("via.json: 1 annotated photos are not in the label table.",)
    (folder / "via.json").write_text(VIA.replace("a.jpg", "z.jpg"))
    with pytest.raises(AnnotationError, match=r"none of its 1 photos is in the label table \(the first: z\.jpg\)"):
        load(folder)


def test_a_value_of_empty_where_that_no_photo_has_is_noted(folder: Path) -> None:
    mask = {
        "kind": "segmentation",
        "labels": folder / "mask.txt",
        "empty_where": {"column": "damage", "value": "whol"},
    }
    (note,) = load(folder, heads_of(folder, mask=mask)).notes
    assert note == 'labels.csv: no photo has damage "whol". Did you mean "whole"?'


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (
            {"kind": "categorical", "labels": "damage.txt", "column": "damge"},
            'no column "damge". Did you mean "damage"',
        ),
        (
            {"kind": "categorical", "labels": "type.txt", "column": "damage"},
            'line 2: damage "minor" is not one of dent',
        ),
        (
            {"kind": "categorical", "labels": "damage.txt", "column": "damage", "none_label": "hole"},
            "heads.new.none_label",
        ),
        (
            {"kind": "segmentation", "labels": "mask.txt", "empty_where": {"column": "x", "value": "y"}},
            'no column "x"',
        ),
        ({"kind": "categorical", "labels": "nope.txt", "column": "damage"}, "nope.txt: no such file"),
    ],
)
def test_heads_that_do_not_fit_the_table(folder: Path, head: dict[str, Any], message: str) -> None:
    with pytest.raises(LabelError, match=message):
        load(folder, heads_of(folder, new=head | {"labels": folder / head["labels"]}))


def test_a_column_without_any_label_trains_nothing(folder: Path) -> None:
    (folder / "labels.csv").write_text("name,damage,type\na.jpg,minor,\nb.jpg,whole,\n")
    with pytest.raises(LabelError, match='column "type" is empty: no photo is labelled for type'):
        load(folder)


def test_whole_and_annotated_is_a_contradiction(folder: Path) -> None:
    (folder / "via.json").write_text(VIA.replace("a.jpg", "b.jpg"))
    with pytest.raises(LabelError, match=r'b\.jpg: damage is "whole", so there is nothing to segment'):
        load(folder)


def test_annotated_twice(folder: Path) -> None:
    twice = [AnnotationConfig(format="via", path=folder / "via.json", head="mask")] * 2
    with pytest.raises(AnnotationError, match=r"via\.json: a\.jpg: annotated twice"):
        load(folder, annotations=twice)


def test_a_mask_file_that_fits_two_photos(folder: Path) -> None:
    Image.new("RGB", (3, 3)).save(folder / "photos" / "a.png")
    (folder / "labels.csv").write_text(TABLE + "a.png,minor,dent,\n")
    (folder / "masks").mkdir()
    Image.new("L", (12, 8)).save(folder / "masks" / "a.png")
    annotations = [AnnotationConfig(format="masks", path=folder / "masks", head="mask")]
    with pytest.raises(AnnotationError, match=r'"a" fits several photos: a\.jpg, a\.png'):
        load(folder, annotations=annotations)


def test_the_whole_name_of_a_photo_comes_before_its_end() -> None:
    photos = ["left/a.jpg", "a.jpg", "right/b.jpg"]
    assert match_photos(["a.jpg", "left/a.jpg", "b", "set/right/b.jpg"], photos) == (
        {"a.jpg": 1, "left/a.jpg": 0, "b": 2, "set/right/b.jpg": 2},
        {},
    )
    assert match_photos(["a.jpg"], ["left/a.jpg", "right/a.jpg"]) == ({}, {"a.jpg": [0, 1]})


def test_all_problems_come_at_once(folder: Path) -> None:
    (folder / "photos" / "a.jpg").unlink()
    (folder / "type.txt").write_text("dent\ndent\n")
    (folder / "damage.txt").write_text("miner\nwhole\n")
    (folder / "via.json").write_text("{")
    with pytest.raises(CarclfError) as caught:
        load(folder)
    for part in ("a.jpg", "type.txt, line 2", 'damage "minor"', "via.json, line 1"):
        assert part in str(caught.value)


def test_the_real_photos_load(shared_dir: Path) -> None:
    config = read_config(REPO / "benchmarks" / "car_damage.json")
    heads = read_config(REPO / "benchmarks" / "car_damage_part.json").heads | config.heads
    root = shared_dir / "data" / "car_damage"
    via = AnnotationConfig(format="via", path=root / "via_damage.json", head="damage_mask")
    assert isinstance(config.dataset, DatasetConfig)
    assert config.dataset.annotations[0].head == via.head
    if config.dataset.photos.is_dir():
        check_paths(config)
    dataset = make_dataset(root / "photos", root / "labels.csv", heads, [via])
    assert len(dataset.photos) == 1829
    assert {name: int(head.labelled.sum()) for name, head in dataset.heads.items()} == {
        "severity": 1829,
        "location": 1829,
        "damage_type": 1380,
        "part": 1675,
        "damage_mask": 1825,
    }
    assert np.bincount(dataset.heads["severity"].targets).tolist() == [267, 290, 353, 919]
    assert dataset.heads["location"].targets.sum(axis=0).tolist() == [381, 269, 264]
    assert dataset.notes == ()
    for photo, mask in list(zip(dataset.photos, dataset.heads["damage_mask"].masks, strict=True))[:20]:
        assert mask is not None
        assert mask.load(photo_frame(photo.path)).any()
