import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from skimage import draw as skimage_draw

from carclf.annotations.labelme import find_labelme, read_labelme
from carclf.annotations.records import HEAD, Problem, ReadOptions, Record
from carclf.annotations.shapes import NoArea, rasterise
from carclf.errors import AnnotationError
from tests.drawn_annotations import draw_shape

draw: Any = skimage_draw  # has no types
TRIANGLE = [[1.0, 1.0], [9.0, 1.0], [9.0, 8.0]]
WIDTH, HEIGHT = 900, 800


def shape(points: Any = TRIANGLE, shape_type: Any = "polygon", label: Any = "dent", **more: Any) -> dict[str, Any]:
    return {"label": label, "points": points, "group_id": None, "shape_type": shape_type, "flags": {}} | more


def photo_json(*shapes: Any, **changes: Any) -> dict[str, Any]:
    """What Labelme 5 writes."""
    made: dict[str, Any] = {
        "version": "5.4.1",
        "flags": {},
        "shapes": list(shapes),
        "imagePath": "a.jpg",
        "imageData": None,
    }
    return made | {"imageHeight": HEIGHT, "imageWidth": WIDTH} | changes


def dump(path: Path, data: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))
    return path


def read(path: Path) -> list[Record | Problem]:
    return list(read_labelme(path, ReadOptions()))


def read_one(folder: Path, *shapes: Any, **changes: Any) -> Record:
    (record,) = read(dump(folder / "a.json", photo_json(*shapes, **changes)))
    assert isinstance(record, Record), record
    return record


def as_base64(pixels: Any, kind: str = "PNG") -> str:
    file = io.BytesIO()
    Image.fromarray(np.array(pixels, np.uint8)).save(file, kind)
    return base64.b64encode(file.getvalue()).decode()


def drawn(folder: Path, *shapes: Any) -> NDArray[np.bool_]:
    record = read_one(folder, *shapes)
    assert record.size == (WIDTH, HEIGHT)
    return draw_shape(record.regions[-1].shape, *record.size)


def overlap(one: NDArray[np.bool_], other: tuple[Any, Any]) -> float:
    theirs = np.zeros((HEIGHT, WIDTH), bool)
    theirs[other] = True
    return float((one & theirs).sum() / (one | theirs).sum())


def test_shapes_cover_what_others_draw(tmp_path: Path) -> None:
    points = [[20.5, 10.25], [880.0, 200.0], [600.0, 790.0], [5.0, 700.0]]
    xs, ys = [x - 0.5 for x, _ in points], [y - 0.5 for _, y in points]
    assert overlap(drawn(tmp_path, shape(points)), draw.polygon(ys, xs)) >= 0.999
    assert overlap(drawn(tmp_path, shape(points, None)), draw.polygon(ys, xs)) >= 0.999  # of Labelme 3
    assert overlap(drawn(tmp_path, shape(points, "rotation")), draw.polygon(ys, xs)) >= 0.999
    circle = shape([[400, 390], [400 + 180, 390 + 240]], "circle")  # the second point lies on the rim
    assert overlap(drawn(tmp_path, circle), draw.disk((389.5, 399.5), 300)) >= 0.999


@pytest.mark.parametrize(
    "points",
    [
        [[100, 50], [750, 700]],
        [[750, 700], [100, 50]],
        [[100, 700], [750, 50]],
        [[100, 50], [750, 50], [750, 700], [100, 700]],
    ],
)
def test_rectangles_are_drawn_from_any_corner(tmp_path: Path, points: Any) -> None:
    pixels = drawn(tmp_path, shape(points, "rectangle"))
    assert pixels[50:700, 100:750].all()
    assert pixels.sum() == 650 * 650


def test_shapes_across_the_border_are_cut_off_and_later_ones_lie_above(tmp_path: Path) -> None:
    below = shape([[-50, -50], [950, 850]], "rectangle")
    above = shape([[100, 100], [2000, 700]], "rectangle", "glass")
    record = read_one(tmp_path, below, above)
    mask = rasterise([(index, region.shape) for index, region in enumerate(record.regions, 1)], WIDTH, HEIGHT)
    expected = np.ones((HEIGHT, WIDTH), np.uint8)
    expected[100:700, 100:] = 2
    np.testing.assert_array_equal(mask, expected)
    assert [region.names for region in record.regions] == [("dent",), ("glass",)]


def test_masks_lie_in_their_box(tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).random((5, 7)) < 0.5
    mask = shape([[10.0, 20.0], [16.0, 24.0]], "mask", mask=as_base64(pixels * 255))
    found = drawn(tmp_path, mask)
    np.testing.assert_array_equal(found[20:25, 10:17], pixels)
    assert found.sum() == pixels.sum()
    ones = shape([[10.0, 20.0], [16.0, 24.0]], "mask", mask=as_base64(pixels))
    np.testing.assert_array_equal(drawn(tmp_path, ones), found)


@pytest.mark.parametrize("kind", ["line", "linestrip", "point", "points"])
def test_lines_and_points_have_no_area(tmp_path: Path, kind: str) -> None:
    assert read_one(tmp_path, shape([[1, 2]], kind)).regions[0].shape == NoArea(kind)


def test_a_shape_without_label_has_no_name(tmp_path: Path) -> None:
    regions = read_one(tmp_path, shape(label=" "), shape(label=" big dent ")).regions
    assert [region.names for region in regions] == [(), ("big dent",)]


def test_flags_that_are_true_label_the_photo(tmp_path: Path) -> None:
    assert read_one(tmp_path, flags={"minor": True, "severe": False, "rear": True}).labels == {HEAD: ("minor", "rear")}
    assert read_one(tmp_path, flags={"minor": False}).labels == {}
    assert read_one(tmp_path, flags=None).labels == {}


def test_a_photo_without_shapes_is_not_known_to_show_nothing(tmp_path: Path) -> None:
    assert read_one(tmp_path) == Record("a.jpg", "a.json: a.jpg", (WIDTH, HEIGHT))


def test_the_size_may_be_missing(tmp_path: Path) -> None:
    assert read_one(tmp_path, imageWidth=None, imageHeight=None).size is None


def test_a_photo_beside_its_json_is_taken_before_the_embedded_one(tmp_path: Path) -> None:
    data = as_base64([[3, 4], [5, 6]])
    record = read_one(tmp_path, imageData=data)
    assert record.path is None
    assert record.embedded == base64.b64decode(data)
    (tmp_path / "a.jpg").touch()
    record = read_one(tmp_path, imageData=data)
    assert record.path == tmp_path / "a.jpg"
    assert record.embedded is None


@pytest.mark.parametrize("image_path", ["../photos/a.jpg", "..\\photos\\a.jpg", "../labels/../photos/./a.jpg"])
def test_photos_in_a_folder_beside_are_found(tmp_path: Path, image_path: str) -> None:
    dump(tmp_path / "labels" / "a.json", photo_json(imagePath=image_path))
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").touch()
    (record,) = read(tmp_path)
    assert isinstance(record, Record)
    assert (record.photo, record.path) == ("photos/a.jpg", tmp_path / "photos" / "a.jpg")
    assert record.place == "labels/a.json: photos/a.jpg"
    (problem,) = read(tmp_path / "labels")
    assert isinstance(problem, Problem)
    assert f'imagePath "{image_path}" leads out of {tmp_path}/labels. Import the folder that holds both' in problem.what


@pytest.mark.parametrize("image_path", ["/home/me/a.jpg", "C:\\photos\\a.jpg", "../../a.jpg"])
def test_an_embedded_photo_needs_its_bare_name_only(tmp_path: Path, image_path: str) -> None:
    data = as_base64([[3]])
    dump(tmp_path / "sub" / "x.json", photo_json(imagePath=image_path, imageData=data))
    (record,) = read(tmp_path)
    assert isinstance(record, Record)
    assert (record.photo, record.path, record.embedded) == ("sub/a.jpg", None, base64.b64decode(data))


def test_links_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.jpg").touch()
    folder = tmp_path / "labels"
    dump(folder / "a.json", photo_json())
    (folder / "a.jpg").symlink_to(tmp_path / "secret.jpg")
    dump(tmp_path / "outside.json", photo_json(imagePath="b.jpg"))
    (folder / "b.json").symlink_to(tmp_path / "outside.json")
    for problem in read(folder):
        assert isinstance(problem, Problem)
        assert "is a link that leads out of" in problem.what


def test_a_folder_is_read_with_its_subfolders_in_order(tmp_path: Path) -> None:
    for name in ("b/2", "a/1", "10"):
        dump(tmp_path / f"{name}.json", photo_json(shape(), imagePath=f"{name.rsplit('/')[-1]}.jpg"))
    assert [each.photo for each in read(tmp_path) if isinstance(each, Record)] == ["10.jpg", "a/1.jpg", "b/2.jpg"]
    assert find_labelme(tmp_path) == [tmp_path]
    assert find_labelme(tmp_path / "a" / "1.json") == [tmp_path / "a" / "1.json"]


BAD_SHAPES: list[tuple[Any, str]] = [
    (shape([[1, 1], [2, 2]]), "needs 3 corners or more, not 2"),
    (shape([[1, 1], [2, 2], [3]]), "its points are no list of [x, y]"),
    (shape([1, 1, 2, 2, 3, 3]), "its points are no list of [x, y]"),
    (shape(None), "its points are no list of [x, y]"),
    (shape([[1, 1], [2, 2], [3, "3"]]), "'3' stands where a number was expected"),
    (shape([[1, 1], [2, 2], [3, float("nan")]]), "no number, or farther off"),
    (shape([[1, 1]], "rectangle"), "a rectangle has 2 points, not 1"),
    (shape([[1, 1], [2, 2], [3, 3]], "circle"), "a circle has 2 points, not 3"),
    (shape([[1, 1], [2, float("inf")]], "circle"), "no number, or farther off"),
    (shape([[1, 1], [10**400, 2]], "circle"), "no number, or farther off"),
    (shape([[1, 1], [2, 2]], "mask"), "its mask is not base64"),
    (shape([[1, 1], [2, 2]], "mask", mask="@"), "its mask is not base64"),
    (shape([[1, 1], [2, 2]], "mask", mask="aGVsbG8="), "its mask: is not a photo that can be read"),
    (shape([[1, 1], [float("inf"), 2]], "mask", mask=""), "no number, or farther off"),
    (shape([[1, 1], [2, 3]], "mask", mask=as_base64([[1]])), "1 × 1 pixels, but its points frame 2 × 3"),
    (shape(label=None), "has no label"),
    (3, "has no label"),
]


@pytest.mark.parametrize(("broken", "message"), BAD_SHAPES)
def test_a_photo_with_a_bad_shape_is_a_problem_and_the_others_are_not(
    tmp_path: Path, broken: Any, message: str
) -> None:
    dump(tmp_path / "a.json", photo_json(shape(), broken))
    dump(tmp_path / "b.json", photo_json(shape(), imagePath="b.jpg"))
    bad, good = read(tmp_path)
    assert isinstance(good, Record)
    assert isinstance(bad, Problem)
    assert bad.place == "a.json: a.jpg shape 2"
    assert message in bad.what


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"imagePath": "/data/a.jpg"}, '"/data/a.jpg" is an absolute path'),
        ({"imagePath": "../../a.jpg"}, '"../../a.jpg" leads out of'),
        ({"imagePath": " "}, "imagePath is empty"),
        ({"imagePath": None}, 'not a Labelme file: "shapes" and "imagePath" were expected'),
        ({"shapes": {}}, "not a Labelme file"),
        ({"imageWidth": "9"}, "states a size of 9 × 800"),
        ({"imageHeight": None}, "states a size of 900 × None"),
        ({"imageData": "no base64"}, "imageData is not base64"),
        ({"imageData": 3}, "imageData is not base64"),
        ({"flags": ["minor"]}, "its flags are no object"),
        ({"imagePath": "b.jpg"}, "b.jpg has a record already: a.json: b.jpg"),
    ],
)
def test_bad_files_are_problems_and_the_others_are_not(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    dump(tmp_path / "a.json", photo_json(shape(), imagePath="b.jpg"))
    dump(tmp_path / "z.json", photo_json(shape()) | changes)
    good, bad = read(tmp_path)
    assert isinstance(good, Record)
    assert isinstance(bad, Problem)
    assert bad.place in ("z.json", "z.json: b.jpg")
    assert message in bad.what


def test_a_file_that_is_no_json_is_a_problem(tmp_path: Path) -> None:
    dump(tmp_path / "a.json", photo_json())
    (tmp_path / "b.json").write_text('{"shapes" 3}')
    (tmp_path / "c.json").write_bytes(b"\xff")
    _, syntax, coding = read(tmp_path)
    assert syntax == Problem("b.json", "b.json, line 1, column 11: not valid JSON: Expecting ':' delimiter.")
    assert isinstance(coding, Problem)
    assert "not UTF-8" in coding.what


def test_without_any_file_of_labelme_there_is_nothing_to_read(tmp_path: Path) -> None:
    dump(tmp_path / "a.json", {"images": "shapes", "annotations": "imagePath"})
    dump(tmp_path / "b.json", {"shapes": [], "imagePath": None})
    for path in (tmp_path, tmp_path / "a.json", tmp_path / "none"):
        assert find_labelme(path) == []
        with pytest.raises(AnnotationError, match=rf"{path.name}: no Labelme json is there"):
            read(path)
