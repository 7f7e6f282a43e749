import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skimage import draw as skimage_draw

from carclf.annotations.records import Problem, ReadOptions, Record
from carclf.annotations.shapes import NoArea, Polygon, rasterise
from carclf.annotations.via import find_via, read_via
from carclf.errors import AnnotationError

draw: Any = skimage_draw  # has no types
SQUARE = {"name": "polygon", "all_points_x": [1, 4, 4, 1], "all_points_y": [2, 2, 5, 5]}
COLUMNS = ("filename", "file_size", "file_attributes", "region_count", "region_id")
ATTRIBUTES = ("region_shape_attributes", "region_attributes")


def region(shape: Any, **attributes: Any) -> dict[str, Any]:
    return {"shape_attributes": shape, "region_attributes": attributes}


def records(photos: dict[str, list[Any]], **attributes: Any) -> dict[str, dict[str, Any]]:
    return {
        f"{name}9": {"filename": name, "size": 9, "regions": regions, "file_attributes": attributes}
        for name, regions in photos.items()
    }


def dump(folder: Path, data: Any, name: str = "via.json") -> Path:
    path = folder / name
    path.write_text(json.dumps(data))
    return path


def write_csv(folder: Path, rows: list[list[Any]], header: tuple[str, ...] = (*COLUMNS, *ATTRIBUTES)) -> Path:
    with (folder / "via.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return folder / "via.csv"


def as_version_2(folder: Path, photos: dict[str, list[Any]]) -> Path:
    return dump(folder, records(photos))


def as_list(folder: Path, photos: dict[str, list[Any]]) -> Path:
    return dump(folder, list(records(photos).values()))


def as_version_1(folder: Path, photos: dict[str, list[Any]]) -> Path:
    """Regions are an object whose keys are numbers; some programs sort these as text."""
    data = records(photos)
    for record in data.values():
        numbered = sorted((str(index), region) for index, region in enumerate(record["regions"]))
        record["regions"] = dict(numbered)
        del record["file_attributes"]
    return dump(folder, data)


def as_project(folder: Path, photos: dict[str, list[Any]]) -> Path:
    settings: dict[str, Any] = {"_via_settings": {"ui": {}}, "_via_attributes": {"region": {}, "file": {}}}
    return dump(folder, settings | {"_via_img_metadata": records(photos)})


def as_csv(folder: Path, photos: dict[str, list[Any]], hash_mark: str = "") -> Path:
    rows: list[list[Any]] = []
    for name, regions in photos.items():
        for index, each in enumerate(regions):
            cells = [json.dumps(each["shape_attributes"]), json.dumps(each["region_attributes"])]
            rows.append([name, 9, "{}", len(regions), index, *cells])
        if not regions:
            rows.append([name, 9, "{}", 0, 0, "{}", "{}"])
    return write_csv(folder, rows, (f"{hash_mark}filename", *COLUMNS[1:], *ATTRIBUTES))


def as_csv_of_version_1(folder: Path, photos: dict[str, list[Any]]) -> Path:
    return as_csv(folder, photos, "#")


FORMS: list[Callable[[Path, dict[str, list[Any]]], Path]] = [
    as_version_1,
    as_version_2,
    as_list,
    as_project,
    as_csv,
    as_csv_of_version_1,
]


def read(path: Path, attribute: str | None = None) -> list[Record | Problem]:
    return list(read_via(path, ReadOptions(attribute)))


def read_one(path: Path, attribute: str | None = None) -> Record:
    (record,) = read(path, attribute)
    assert isinstance(record, Record), record
    return record


def drawn_photos(seed: int) -> dict[str, list[Any]]:
    """Photos with up to 12 regions of every shape, some without any."""
    rng = np.random.default_rng(seed)
    photos: dict[str, list[Any]] = {"none.jpg": []}
    for photo in range(6):
        regions = []
        for _ in range(int(rng.integers(1, 13))):
            x, y, a, b = (int(value) for value in rng.integers(1, 90, 4))
            xs, ys = rng.integers(0, 100, (2, 5)).tolist()
            shapes: list[dict[str, Any]] = [
                {"name": "polygon", "all_points_x": xs, "all_points_y": ys},
                {"name": "rect", "x": x, "y": y, "width": a, "height": b},
                {"name": "circle", "cx": x, "cy": y, "r": a},
                {"name": "ellipse", "cx": x, "cy": y, "rx": a, "ry": b, "theta": 0.3},
            ]
            kind = ["dent", 'a "quoted", name', "Kratzer über Lack"][int(rng.integers(3))]
            regions.append(region(shapes[int(rng.integers(4))], kind=kind, sides={"left": True, "right": False}))
        photos[f"folder/p{photo}.jpg"] = regions
    return photos


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("seed", range(4))
def test_all_forms_of_the_file_say_the_same(
    tmp_path: Path, form: Callable[[Path, dict[str, list[Any]]], Path], seed: int
) -> None:
    photos = drawn_photos(seed)
    found = read(form(tmp_path, photos))
    expected = read(as_version_2(tmp_path, photos))
    assert [vars(record) | {"place": ""} for record in found] == [vars(record) | {"place": ""} for record in expected]
    assert [record.photo for record in expected if isinstance(record, Record)] == list(photos)
    assert [len(record.regions) for record in expected if isinstance(record, Record)] == list(map(len, photos.values()))


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_found(tmp_path: Path, form: Callable[[Path, dict[str, list[Any]]], Path]) -> None:
    (tmp_path / "sub").mkdir()
    path = form(tmp_path / "sub", drawn_photos(0))
    assert find_via(path) == find_via(tmp_path) == [path]


def test_other_files_are_not_found(tmp_path: Path) -> None:
    dump(tmp_path, {"images": [{"file_name": "filename"}], "annotations": [], "regions": 3}, "coco.json")
    dump(tmp_path, {"filename": "a.jpg", "regions": []}, "one.json")
    dump(tmp_path, ["filename", "regions"], "names.json")
    (tmp_path / "labels.csv").write_text("name,filename\na,b\n")
    (tmp_path / "binary.json").write_bytes(b'\xff\xfe"filename" "regions"')
    (tmp_path / "empty.csv").touch()
    (tmp_path / "folder.json").mkdir()
    assert find_via(tmp_path) == []
    assert find_via(tmp_path / "missing.json") == []
    (tmp_path / "cut.json").write_text(json.dumps(records({"a.jpg": []}))[:-2])
    assert find_via(tmp_path) == [tmp_path / "cut.json"]  # its reader says where it is broken


def test_a_photo_without_regions_is_not_known_to_show_nothing(tmp_path: Path) -> None:
    for data in ([{"filename": "a.jpg"}], [{"filename": "a.jpg", "regions": []}], records({"a.jpg": []})):
        record = read_one(dump(tmp_path, data))
        assert record == Record("a.jpg", "via.json: a.jpg")
        assert not record.known_empty


@pytest.mark.parametrize(
    ("attributes", "names"),
    [
        ({"type": "glass"}, ("glass",)),
        ({"type": " glass\n"}, ("glass",)),
        ({"type": {"dent": False, "glass": True, "scratch": True}}, ("glass", "scratch")),
        ({"type": {"dent": False}}, ()),
        ({"note": "big", "type": "dent"}, ("big", "dent")),
        ({"type": "dent", "again": "dent"}, ("dent",)),
        ({"type": 3}, ("3",)),
        ({"type": None, "name": ""}, ()),
        ({}, ()),
    ],
)
def test_a_region_is_called_by_its_attributes(tmp_path: Path, attributes: dict[str, Any], names: Any) -> None:
    assert read_one(as_version_2(tmp_path, {"a.jpg": [region(SQUARE, **attributes)]})).regions[0].names == names


def test_one_attribute_alone_can_be_asked_for(tmp_path: Path) -> None:
    path = as_version_2(tmp_path, {"a.jpg": [region(SQUARE, note="big", type="dent"), region(SQUARE, note="big")]})
    assert [each.names for each in read_one(path, "type").regions] == [("dent",), ()]
    no_attributes = dump(tmp_path, [{"filename": "a.jpg", "regions": [{"shape_attributes": SQUARE}]}])
    assert read_one(no_attributes).regions[0].names == ()


def test_attributes_of_the_photo_are_its_labels(tmp_path: Path) -> None:
    given = {"severity": "minor", "sides": {"front": True, "rear": False, "left": True}, "caption": "", "url": None}
    expected = {"severity": ("minor",), "sides": ("front", "left")}
    assert read_one(dump(tmp_path, records({"a.jpg": []}, **given))).labels == expected
    row = ["a.jpg", 9, json.dumps(given), 0, 0, "{}", "{}"]
    assert read_one(write_csv(tmp_path, [row])).labels == expected


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ({"name": "rect", "x": 100, "y": 50, "width": 650, "height": 700}, draw.rectangle((50, 100), (749, 749))),
        ({"name": "circle", "cx": 400, "cy": 390, "r": 320.5}, draw.disk((389.5, 399.5), 320.5)),
        ({"name": "ellipse", "cx": 400, "cy": 390, "rx": 380, "ry": 250}, draw.ellipse(389.5, 399.5, 250, 380)),
        (
            {"name": "ellipse", "cx": 400, "cy": 390, "rx": 350, "ry": 250, "theta": 0.8},
            draw.ellipse(389.5, 399.5, 250, 350, rotation=-0.8),
        ),
        (
            {"name": "polygon", "all_points_x": [20, 790, 600, 5], "all_points_y": [10, 200, 780, 700]},
            draw.polygon([9.5, 199.5, 779.5, 699.5], [19.5, 789.5, 599.5, 4.5]),
        ),
    ],
)
def test_shapes_cover_what_others_draw(tmp_path: Path, shape: dict[str, Any], expected: Any) -> None:
    regions = read_one(as_version_2(tmp_path, {"a.jpg": [region(shape)]})).regions
    drawn = rasterise([(1, regions[0].shape)], 800, 800).astype(bool)
    theirs = np.zeros((800, 800), bool)
    theirs[tuple(expected)] = True
    assert (drawn & theirs).sum() / (drawn | theirs).sum() >= 0.999


def test_points_and_lines_have_no_area(tmp_path: Path) -> None:
    shapes = [{"name": "point", "cx": 1, "cy": 2}, {"name": "polyline", "all_points_x": [], "all_points_y": []}]
    regions = read_one(as_version_2(tmp_path, {"a.jpg": [region(shape, t="dent") for shape in shapes]})).regions
    assert [each.shape for each in regions] == [NoArea("point"), NoArea("polyline")]


BROKEN: list[tuple[Any, str]] = [
    (region(SQUARE | {"all_points_x": [1, 2]}), "2 values in all_points_x, but 4 in all_points_y"),
    (region({"name": "polygon", "all_points_x": [1, 2], "all_points_y": [1, 2]}), "3 corners or more"),
    (region({"name": "polygon", "all_points_x": [1, 2, 3]}), "all_points_y is missing from shape_attributes"),
    (region({"name": "circle", "cx": 1, "cy": 2}), "r is missing"),
    (region({"name": "rect", "x": 1, "y": 2, "width": "9", "height": 3}), "something else than numbers"),
    (region(SQUARE | {"all_points_x": [1, "2", 3, 4]}), "something else than numbers"),
    (region(SQUARE | {"all_points_x": [1, None, 3, 4]}), "something else than numbers"),
    (region(SQUARE | {"all_points_x": [1, True, 3, 4]}), "something else than numbers"),
    (region(SQUARE | {"all_points_x": [1, float("nan"), 3, 4]}), "no number"),
    (region(SQUARE | {"all_points_x": [1, 10**400, 3, 4]}), "something else than numbers"),
    (region(SQUARE | {"all_points_x": "1234"}), "something else than numbers"),
    (region(SQUARE | {"all_points_x": [1, 1e9, 3, 4]}), "farther off than any photo"),
    (region(SQUARE | {"all_points_x": 3}), "something else than numbers"),
    ({"shape_attributes": SQUARE, "region_attributes": ["dent"]}, "region_attributes are no object"),
    (region(SQUARE, type=["dent"]), 'region_attributes hold for "type" neither a text nor ticked boxes'),
    ({"region_attributes": {}}, "has no shape_attributes"),
    (7, "has no shape_attributes"),
]


@pytest.mark.parametrize(("broken", "message"), BROKEN)
def test_a_photo_with_a_bad_region_is_a_problem_and_the_others_are_not(
    tmp_path: Path, broken: Any, message: str
) -> None:
    good, bad, more = read(as_version_2(tmp_path, {"a.jpg": [], "b.jpg": [region(SQUARE), broken], "c.jpg": []}))
    assert isinstance(good, Record)
    assert isinstance(more, Record)
    assert isinstance(bad, Problem)
    assert bad.place == "via.json: b.jpg region 2"
    assert message in bad.what


def test_several_bad_regions_come_at_once(tmp_path: Path) -> None:
    twice, other = region({"name": "circle", "cx": 1, "cy": 2}), region(SQUARE | {"all_points_x": 3})
    (problem,) = read(as_version_2(tmp_path, {"a.jpg": [twice, region(SQUARE), twice, other]}))
    assert problem == Problem(
        "via.json: a.jpg region 1, region 3, region 4",
        "r is missing from shape_attributes. shape_attributes hold something else than numbers.",
    )


@pytest.mark.parametrize(
    ("record", "place", "message"),
    [
        ({"regions": []}, "record 1", "has no filename"),
        (3, "record 1", "has no filename"),
        ({"filename": "/etc/a.jpg"}, "/etc/a.jpg", "absolute path"),
        ({"filename": "../a.jpg"}, "../a.jpg", "leaves the photo folder"),
        ({"filename": "  "}, "", "the name is empty"),
        ({"filename": "a.jpg", "regions": "none"}, "a.jpg", "neither a list nor an object"),
        ({"filename": "a.jpg", "file_attributes": [1]}, "a.jpg", "file_attributes are no object"),
        ({"filename": "./b.jpg"}, "b.jpg", "several records"),
    ],
)
def test_bad_records_are_problems_and_the_others_are_not(tmp_path: Path, record: Any, place: str, message: str) -> None:
    found = read(dump(tmp_path, [record, {"filename": "b.jpg"}, {"filename": "c.jpg"}]))
    (problem,) = [each for each in found if isinstance(each, Problem)]
    assert problem.place.strip() == f"via.json: {place}".strip()
    assert message in problem.what
    assert "c.jpg" in [each.photo for each in found if isinstance(each, Record)]
    assert ("b.jpg" in [each.photo for each in found if isinstance(each, Record)]) == (message != "several records")


SHAPE = json.dumps(SQUARE)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([["a.jpg", 9, "{}", 1, 0, SHAPE[:-1], "{}"]], "line 2: region_shape_attributes is not JSON: "),
        ([["a.jpg", 9, "{}", 1, 0, SHAPE, "dent"]], "line 2: region_attributes is not JSON: dent"),
        ([["a.jpg", 9, "{}", 1, 0, SHAPE]], "line 2: 6 cells, but the header names 7 columns"),
        ([["a.jpg", 9, "{}", 2, 0, SHAPE, "{}"]], "2 regions are announced (region_count), but 1 are given"),
        ([["a.jpg", 9, "{}", 1, 0, SHAPE, "{}"], ["a.jpg", 7, "{}", 1, 0, SHAPE, "{}"]], "several records"),
        ([["", 9, "{}", 1, 0, SHAPE, "{}"]], "has no filename"),
        ([["a.jpg", 9, "{}", 1, 0, "[1]", "{}"]], "has no shape_attributes"),
    ],
)
def test_bad_lines_of_a_csv_are_problems(tmp_path: Path, rows: list[list[Any]], message: str) -> None:
    found = read(write_csv(tmp_path, [*rows, ["b.jpg", 9, "{}", 0, 0, "{}", "{}"]]))
    (problem,) = [each for each in found if isinstance(each, Problem)]
    assert message in problem.what
    assert [each.photo for each in found if isinstance(each, Record)] == ["b.jpg"]


def test_regions_of_a_csv_come_by_their_numbers(tmp_path: Path) -> None:
    rows = [["a.jpg", 9, "{}", 3, index, SHAPE, json.dumps({"t": f"t{index}"})] for index in (2, 0, 1)]
    assert [each.names[0] for each in read_one(write_csv(tmp_path, rows)).regions] == ["t0", "t1", "t2"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"images": [], "annotations": []}, "not a VIA file: none of its 2 records has a filename. Export"),
        ({}, "none of its 0 records"),
        (3, "not a VIA file: an object or a list of records was expected"),
    ],
)
def test_other_json_is_no_via_file(tmp_path: Path, data: Any, message: str) -> None:
    with pytest.raises(AnnotationError, match=message):
        read(dump(tmp_path, data))


def test_other_csv_is_no_via_file(tmp_path: Path) -> None:
    (tmp_path / "via.csv").write_text("filename,label\na.jpg,dent\n")
    with pytest.raises(AnnotationError, match=r"no column region_shape_attributes, region_attributes\. Export"):
        read(tmp_path / "via.csv")
    (tmp_path / "via.csv").write_text("")
    with pytest.raises(AnnotationError, match="no column filename"):
        read(tmp_path / "via.csv")


def test_syntax_errors_name_the_line(tmp_path: Path) -> None:
    (tmp_path / "via.json").write_text('{\n"a" 1}')
    with pytest.raises(AnnotationError, match=r"via\.json, line 2, column 5"):
        read(tmp_path / "via.json")
    with pytest.raises(AnnotationError, match="no such file"):
        read(tmp_path / "none.json")


@pytest.mark.parametrize(("name", "count"), [("via_damage.json", 906), ("via_damage_types.json", 461)])
def test_the_real_polygons_load(shared_dir: Path, name: str, count: int) -> None:
    path = shared_dir / "data" / "car_damage" / name
    found = [record for record in read(path) if isinstance(record, Record)]
    assert len(found) == len(read(path)) == count
    assert all(record.regions for record in found)
    assert all(isinstance(each.shape, Polygon) and len(each.names) == 1 for record in found for each in record.regions)
    assert find_via(path) == [path]
