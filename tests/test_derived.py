from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from carclf.config_data import AnnotationConfig
from carclf.config_heads import HeadConfig
from carclf.dataset import Dataset, make_dataset
from carclf.errors import AnnotationError, CarclfError, LabelError

NOT = -1


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five photos of 10 x 10; masks of damage (dent, glass) and of parts (door, hood, light) for some of them."""
    (tmp_path / "photos").mkdir()
    for name in "abcde":
        Image.new("RGB", (10, 10), "grey").save(tmp_path / "photos" / f"{name}.jpg")
    (tmp_path / "labels.csv").write_text("name,damage\na.jpg,yes\nb.jpg,yes\nc.jpg,no\nd.jpg,yes\ne.jpg,yes\n")
    write(tmp_path / "damage" / "a.png", {(0, 0, 1, 10): 1, (1, 0, 2, 5): 2})  # 10 % dent, 5 % glass
    write(tmp_path / "damage" / "b.png", {(0, 0, 1, 1): 2, (9, 0, 10, 10): 255})  # 1 of 90 judged pixels
    write(tmp_path / "damage" / "d.png", {(0, 0, 10, 10): 1})
    write(tmp_path / "parts" / "a.png", {(0, 0, 5, 10): 1, (5, 0, 10, 10): 2})
    write(tmp_path / "parts" / "b.png", {(5, 0, 10, 10): 3})
    write(tmp_path / "parts" / "e.png", {(0, 0, 10, 10): 3})
    files = {"damage": "dent glass", "parts": "door hood light", "type": "glass dent", "extent": "none small medium"}
    for name, classes in files.items():
        (tmp_path / f"{name}.txt").write_text("\n".join(classes.split()))
    return tmp_path


def write(path: Path, boxes: dict[tuple[int, int, int, int], int]) -> None:
    path.parent.mkdir(exist_ok=True)
    mask = np.zeros((10, 10), np.uint8)
    for (left, top, right, bottom), class_id in boxes.items():
        mask[top:bottom, left:right] = class_id
    Image.fromarray(mask).save(path)


def head(folder: Path, kind: str, labels: str, **more: Any) -> HeadConfig:
    return HeadConfig.model_validate({"kind": kind, "labels": str(folder / f"{labels}.txt"), **more})


def load(folder: Path, **derived: HeadConfig) -> Dataset:
    damage = head(folder, "segmentation", "damage", empty_where={"column": "damage", "value": "no"})
    heads = {**derived, "damage": damage, "parts": head(folder, "segmentation", "parts")}
    masks = [AnnotationConfig(format="masks", path=folder / name, head=name) for name in ("damage", "parts")]
    return make_dataset(folder / "photos", folder / "labels.csv", heads, masks)


def targets(folder: Path, kind: str, labels: str, **rule: Any) -> Any:
    dataset = load(folder, derived=head(folder, kind, labels, derived=rule))
    assert list(dataset.heads) == ["derived", "damage", "parts"]
    return dataset.heads["derived"].targets.tolist()


def test_the_classes_of_a_mask_in_the_order_of_the_heads_own_label_file(folder: Path) -> None:
    found = targets(folder, "multi_label", "type", of="damage", rule="classes")
    assert found == [[1, 1], [1, 0], [0, 0], [0, 1], [NOT, NOT]]  # c is known to be whole, e was not annotated


def test_the_share_of_the_judged_pixels_falls_between_bounds(folder: Path) -> None:
    assert targets(folder, "categorical", "extent", of="damage", rule="share", bounds=[0, 15]) == [1, 1, 0, 2, NOT]
    assert targets(folder, "categorical", "extent", of="damage", rule="share", bounds=[1.1, 14]) == [2, 1, 0, 2, NOT]


def test_the_parts_that_damage_touches(folder: Path) -> None:
    found = targets(folder, "multi_label", "parts", of="parts", rule="touched", by="damage")
    assert found == [[1, 0, 0], [0, 0, 0], [NOT] * 3, [NOT] * 3, [NOT] * 3]


def test_polygons_and_masks_derive_the_same(folder: Path) -> None:
    (folder / "via.json").write_text(
        '[{"filename": "a.jpg", "regions": [{"shape_attributes": {"name": "rect", "x": 0, "y": 0, "width": 1, '
        '"height": 10}, "region_attributes": {"type": "dent"}}]}]'
    )
    for rule, kind, labels, expected in (
        ({"rule": "classes"}, "multi_label", "type", [0, 1]),
        ({"rule": "share", "bounds": [0, 9.9]}, "categorical", "extent", 2),
        ({"rule": "share", "bounds": [0, 10]}, "categorical", "extent", 1),
    ):
        derived = head(folder, kind, labels, derived={"of": "damage", **rule})
        heads = {"derived": derived, "damage": head(folder, "segmentation", "damage")}
        via = [AnnotationConfig(format="via", path=folder / "via.json", head="damage")]
        dataset = make_dataset(folder / "photos", folder / "labels.csv", heads, via)
        assert dataset.heads["derived"].targets[0].tolist() == expected


@pytest.mark.parametrize(
    ("kind", "labels", "rule", "message"),
    [
        ("multi_label", "parts", {"rule": "classes"}, r"door, hood, light in parts.txt is no class of damage.txt"),
        ("categorical", "extent", {"rule": "share", "bounds": [1]}, "has 3 classes, but 1 bounds make 2"),
    ],
)
def test_label_files_that_do_not_fit_the_rule(
    folder: Path, kind: str, labels: str, rule: dict[str, Any], message: str
) -> None:
    with pytest.raises(LabelError, match=message):
        targets(folder, kind, labels, of="damage", **rule)


def test_masks_that_cannot_be_used_are_told_all_at_once(folder: Path) -> None:
    Image.new("L", (9, 10), 1).save(folder / "damage" / "a.png")
    Image.new("L", (10, 10), 7).save(folder / "damage" / "d.png")
    with pytest.raises(AnnotationError) as caught:
        targets(folder, "categorical", "extent", of="damage", rule="share", bounds=[0, 15])
    assert "9 × 10 pixels, but its photo has 10 × 10" in str(caught.value)
    assert "class ids 7 are not in damage.txt" in str(caught.value)


def test_a_photo_that_cannot_be_read_is_left_out_as_ever(folder: Path) -> None:
    (folder / "photos" / "a.jpg").write_bytes(b"")
    derived = head(folder, "categorical", "extent", derived={"of": "damage", "rule": "share", "bounds": [0, 15]})
    dataset = load(folder, derived=derived)
    assert dataset.heads["derived"].targets.tolist() == [1, 0, 2, NOT]


def test_a_head_that_no_photo_is_labelled_for_is_an_error(folder: Path) -> None:
    for path in (folder / "damage" / "a.png", folder / "damage" / "b.png"):
        path.unlink()
    with pytest.raises(CarclfError, match="no photo has the masks that it needs"):
        targets(folder, "multi_label", "parts", of="parts", rule="touched", by="damage")


def test_any_number_of_workers_derives_the_same(folder: Path) -> None:
    def derive(workers: int) -> Any:
        derived = head(folder, "categorical", "extent", derived={"of": "damage", "rule": "share", "bounds": [0, 15]})
        heads = {"derived": derived, "damage": head(folder, "segmentation", "damage")}
        masks = [AnnotationConfig(format="masks", path=folder / "damage", head="damage")]
        dataset = make_dataset(folder / "photos", folder / "labels.csv", heads, masks, workers=workers)
        return dataset.heads["derived"].targets.tolist()

    assert derive(1) == derive(5)
