import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from carclf.annotations import read_annotations
from carclf.annotations.mask_files import find_mask_files, load_mask_file
from carclf.annotations.shapes import Polygon, ellipse_points, rasterise, rectangle_points
from carclf.annotations.via import read_via
from carclf.errors import AnnotationError, PhotoError
from carclf.labels import LabelSet

ONE = LabelSet(("damage",), (0,), (None,), Path("one.txt"))
TWO = LabelSet(("dent", "glass"), (0, 1), (None, None), Path("two.txt"))
SQUARE = {"name": "polygon", "all_points_x": [1, 4, 4, 1], "all_points_y": [2, 2, 5, 5]}


def region(shape: dict[str, Any], **attributes: Any) -> dict[str, Any]:
    return {"shape_attributes": shape, "region_attributes": attributes}


def via(folder: Path, **photos: list[Any] | dict[str, Any]) -> Path:
    records = {
        f"{name}.jpg9": {"filename": f"{name}.jpg", "size": 9, "regions": found} for name, found in photos.items()
    }
    return dump(folder, records)


def dump(folder: Path, data: Any) -> Path:
    path = folder / "via.json"
    path.write_text(json.dumps(data))
    return path


def inside(points: tuple[tuple[float, float], ...], x: float, y: float) -> bool:
    """Even-odd rule, slowly."""
    crossings = 0
    for (x0, y0), (x1, y1) in zip(points, (*points[1:], points[0]), strict=True):
        if (y0 > y) != (y1 > y) and x < (x1 - x0) * (y - y0) / (y1 - y0) + x0:
            crossings += 1
    return crossings % 2 == 1


def distance_to_outline(points: tuple[tuple[float, float], ...], x: float, y: float) -> float:
    distances = []
    for start, end in zip(np.array(points), np.array((*points[1:], points[0])), strict=True):
        along = np.clip(np.dot((x, y) - start, end - start) / np.dot(end - start, end - start), 0, 1)
        distances.append(float(np.linalg.norm(start + along * (end - start) - (x, y))))
    return min(distances)


def test_via_2_lists_and_via_1_objects_read_the_same(tmp_path: Path) -> None:
    regions = [region(SQUARE, kind="dent"), region(SQUARE, kind="glass")]
    two = read_via(via(tmp_path, a=regions), TWO)
    one = read_via(via(tmp_path, a={"0": regions[0], "1": regions[1]}), TWO)
    assert one == two
    assert [polygon.class_id for polygon in two["a.jpg"]] == [1, 2]
    assert two["a.jpg"][0].points == ((1, 2), (4, 2), (4, 5), (1, 5))


def test_via_project_files_and_lists_of_records(tmp_path: Path) -> None:
    records = [{"filename": "a.jpg", "regions": [region(SQUARE)]}]
    assert list(read_via(dump(tmp_path, records), ONE)) == ["a.jpg"]
    project = {"_via_settings": {}, "_via_img_metadata": {"a.jpg9": records[0]}}
    assert list(read_via(dump(tmp_path, project), ONE)) == ["a.jpg"]


def test_photos_without_regions_are_not_annotated(tmp_path: Path) -> None:
    assert list(read_via(via(tmp_path, a=[], b=[region(SQUARE)], c={}), ONE)) == ["b.jpg"]


@pytest.mark.parametrize(
    ("attributes", "class_id"),
    [
        ({"type": "glass"}, 2),
        ({"type": " glass\n"}, 2),
        ({"type": {"dent": False, "glass": True}}, 2),
        ({"note": "big", "type": "dent"}, 1),
        ({"type": "dent", "again": "dent"}, 1),
    ],
)
def test_the_class_is_the_attribute_that_names_one(tmp_path: Path, attributes: dict[str, Any], class_id: int) -> None:
    assert read_via(via(tmp_path, a=[region(SQUARE, **attributes)]), TWO)["a.jpg"][0].class_id == class_id


def test_regions_without_attributes_are_of_the_only_class(tmp_path: Path) -> None:
    path = via(tmp_path, a=[region(SQUARE), region(SQUARE, name=""), {"shape_attributes": SQUARE}])
    assert [polygon.class_id for polygon in read_via(path, ONE)["a.jpg"]] == [1, 1, 1]


@pytest.mark.parametrize(
    ("shape", "area"),
    [
        ({"name": "rect", "x": 10, "y": 20, "width": 30, "height": 40}, 1200),
        ({"name": "circle", "cx": 50, "cy": 50, "r": 30}, np.pi * 900),
        ({"name": "ellipse", "cx": 50, "cy": 50, "rx": 30, "ry": 10}, np.pi * 300),
        ({"name": "ellipse", "cx": 50, "cy": 50, "rx": 30, "ry": 10, "theta": 0.8}, np.pi * 300),
    ],
)
def test_other_shapes_have_their_area(tmp_path: Path, shape: dict[str, Any], area: float) -> None:
    mask = rasterise(read_via(via(tmp_path, a=[region(shape)]), ONE)["a.jpg"], 100, 100)
    assert int(mask.sum()) == pytest.approx(area, rel=0.08)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (
            region(SQUARE, type="dant"),
            r'via.json: a.jpg region 1: "dant" is no class of two.txt \(dent, glass\). Did you',
        ),
        (region(SQUARE), "region 1: no attribute says which class of two.txt"),
        (region(SQUARE, a="dent", b="glass"), "region 1: the attributes name several classes: dent, glass"),
        (
            region(SQUARE | {"all_points_x": [1, 2]}, a="dent"),
            "2 values in all_points_x, but 4 in all_points_y",
        ),
        (
            region({"name": "polygon", "all_points_x": [1, 2], "all_points_y": [1, 2]}, a="dent"),
            "3 corners or more",
        ),
        (region({"name": "polygon", "all_points_x": [1, 2, 3]}, a="dent"), "all_points_y is missing"),
        (region(SQUARE | {"all_points_x": [1, "2", 3, 4]}, a="dent"), "something else than numbers"),
        (region(SQUARE | {"all_points_x": [1, None, 3, 4]}, a="dent"), "something else than numbers"),
        (region(SQUARE | {"all_points_x": [1, float("nan"), 3, 4]}, a="dent"), "something else than numbers"),
        (region(SQUARE | {"all_points_x": [1, 1e9, 3, 4]}, a="dent"), "farther off than any photo"),
        (region(SQUARE | {"all_points_x": 3}, a="dent"), "something else than numbers"),
        (region({"name": "point", "cx": 1, "cy": 2}, a="dent"), 'the shape "point" has no area'),
        ({"region_attributes": {}}, "has no shape_attributes"),
        (7, "has no shape_attributes"),
    ],
)
def test_broken_regions(tmp_path: Path, broken: Any, message: str) -> None:
    with pytest.raises(AnnotationError, match=message):
        read_via(via(tmp_path, a=[broken]), TWO)


def test_broken_regions_come_at_once_equal_ones_in_one_line(tmp_path: Path) -> None:
    path = via(
        tmp_path,
        a=[region(SQUARE, t="x"), region(SQUARE)],
        b=[region(SQUARE, t="x"), region(SQUARE, t="dent")],
    )
    with pytest.raises(AnnotationError) as caught:
        read_via(path, TWO)
    first, second = str(caught.value).splitlines()
    assert first.startswith('via.json: a.jpg region 1, b.jpg region 1: "x" is no class')
    assert second.startswith("via.json: a.jpg region 2: no attribute")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"images": [], "annotations": []}, "not a VIA file: record 1, 2 of 2 has no filename"),
        (3, "not a VIA file"),
        ([{"filename": "a.jpg"}, {"filename": "a.jpg"}], "a.jpg: this photo has two records"),
    ],
)
def test_other_json_is_no_via_file(tmp_path: Path, data: Any, message: str) -> None:
    with pytest.raises(AnnotationError, match=message):
        read_via(dump(tmp_path, data), ONE)


def test_via_syntax_errors_name_the_line(tmp_path: Path) -> None:
    (tmp_path / "via.json").write_text('{\n"a" 1}')
    with pytest.raises(AnnotationError, match=r"via\.json, line 2, column 5"):
        read_via(tmp_path / "via.json", ONE)


def test_polygons_are_filled_as_by_the_even_odd_rule() -> None:
    rng = np.random.default_rng(3)
    for _ in range(5):
        angles = np.sort(rng.uniform(0, 2 * np.pi, 9))
        radius = rng.uniform(8, 28, 9)
        points = tuple(
            (float(30 + r * np.cos(a)), float(30 + r * np.sin(a))) for a, r in zip(angles, radius, strict=True)
        )
        mask = rasterise([Polygon(1, points)], 60, 60)
        slow = np.array([[inside(points, x, y) for x in range(60)] for y in range(60)])
        for y, x in np.argwhere(mask.astype(bool) != slow):
            assert distance_to_outline(points, x, y) < 1.5  # of half a pixel of rounding each way


def test_later_polygons_lie_over_earlier_ones_and_the_rest_is_cut_off() -> None:
    below = Polygon(1, rectangle_points(-5, -5, 12, 12))
    above = Polygon(2, rectangle_points(4, 4, 100, 100))
    mask = rasterise([below, above], 10, 8)
    assert mask.shape == (8, 10)
    assert mask.dtype == np.uint8
    assert mask[0, 0] == 1
    assert (mask[4:, 4:] == 2).all()
    assert mask[0, 9] == 0
    assert not rasterise([], 10, 8).any()
    assert not rasterise([Polygon(1, rectangle_points(20, 20, 5, 5))], 10, 8).any()


def test_a_turned_ellipse_turns() -> None:
    upright = np.array(ellipse_points((0, 0), 1, 3))
    turned = np.array(ellipse_points((0, 0), 3, 1, np.pi / 2))
    assert np.ptp(upright, axis=0) == pytest.approx(np.ptp(turned, axis=0))


def save(path: Path, mask: Any, mode: str = "L") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.array(mask, np.uint8)).convert(mode).save(path)
    return path


def test_mask_files_are_found_by_name(tmp_path: Path) -> None:
    save(tmp_path / "b.png", [[0]])
    save(tmp_path / "sub" / "a.1.PNG", [[0]])
    assert list(find_mask_files(tmp_path)) == ["b", "sub/a.1"]
    assert read_annotations("masks", tmp_path, ONE) == find_mask_files(tmp_path)


def test_mask_files_keep_their_ids_indexed_or_grey(tmp_path: Path) -> None:
    ids = [[0, 1, 2], [255, 2, 1]]
    grey = save(tmp_path / "grey.png", ids)
    image = Image.fromarray(np.array(ids, np.uint8)).convert("L")
    indexed = Image.new("P", image.size)
    indexed.putdata(list(np.array(ids).ravel()))
    indexed.putpalette([9, 9, 9] * 256)
    indexed.save(tmp_path / "indexed.png")
    for path in (grey, tmp_path / "indexed.png"):
        np.testing.assert_array_equal(load_mask_file(path, (3, 2), TWO), ids)


def test_bad_mask_files(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", [[0, 3, 7]])
    with pytest.raises(AnnotationError, match=r"a.png: class ids 3, 7 are not in two.txt .* 1 to 2 = dent, glass, 255"):
        load_mask_file(path, (3, 1), TWO)
    with pytest.raises(AnnotationError, match="3 × 1 pixels, but its photo has 1 × 3"):
        load_mask_file(path, (1, 3), TWO)
    with pytest.raises(PhotoError, match="class ids"):
        load_mask_file(save(tmp_path / "rgb.png", [[1]], "RGB"), (1, 1), TWO)
    (tmp_path / "empty").mkdir()
    with pytest.raises(AnnotationError, match="holds no mask"):
        find_mask_files(tmp_path / "empty")
    with pytest.raises(AnnotationError, match="no such folder"):
        find_mask_files(tmp_path / "none")


def test_unknown_formats_name_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(
        AnnotationError, match=r'"mask" is no annotation format. Did you mean "masks"\? Known: via, masks'
    ):
        read_annotations("mask", tmp_path, ONE)


def test_the_real_polygons_load(shared_dir: Path) -> None:
    found = read_annotations("via", shared_dir / "data" / "car_damage" / "via_damage.json", ONE)
    assert len(found) == 906
    types = LabelSet(("dent", "scratch", "glass"), (0, 1, 2), (None,) * 3, Path("types.txt"))
    assert len(read_annotations("via", shared_dir / "data" / "car_damage" / "via_damage_types.json", types)) == 461
