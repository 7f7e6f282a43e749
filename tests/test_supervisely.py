import base64
import io
import json
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from skimage import draw as skimage_draw

from carclf.annotations.records import Problem, ReadOptions, Record
from carclf.annotations.shapes import NoArea, rasterise
from carclf.annotations.supervisely import find_supervisely, read_supervisely
from carclf.errors import AnnotationError

draw: Any = skimage_draw  # has no types
WIDTH, HEIGHT = 900, 800
Pixels = NDArray[np.bool_]
SQUARE = [[100, 100], [700, 100], [700, 700], [100, 700]]
HOLE = [[300, 300], [500, 310], [480, 520]]


def polygon(exterior: Any, *interior: Any, title: str = "dent") -> dict[str, Any]:
    points = {"exterior": exterior, "interior": list(interior)}
    return {"classTitle": title, "geometryType": "polygon", "points": points}


def rectangle(*corners: Any) -> dict[str, Any]:
    return {"classTitle": "dent", "geometryType": "rectangle", "points": {"exterior": list(corners), "interior": []}}


def bitmap(data: Any, origin: Any = (0, 0)) -> dict[str, Any]:
    return {"classTitle": "dent", "geometryType": "bitmap", "bitmap": {"data": data, "origin": list(origin)}}


def png(image: Image.Image, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, format="PNG", **options)
    return file.getvalue()


def packed(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data)).decode()


def as_written(pixels: Pixels) -> bytes:
    """A bitmap as Supervisely writes it: indexed, the first colour transparent."""
    image = Image.fromarray(pixels.astype(np.uint8)).convert("P")
    image.putpalette([0, 0, 0, 255, 255, 255])
    return png(image, transparency=0)


def write(file: Path, objects: list[Any], size: tuple[int, int] | None = (WIDTH, HEIGHT), **more: Any) -> Path:
    """Writes the annotations of a photo; returns the folder of its data set."""
    file.parent.mkdir(parents=True, exist_ok=True)
    data = {"description": "", "tags": [], "objects": objects, **more}
    if size is not None:
        data["size"] = {"height": size[1], "width": size[0]}
    file.write_text(json.dumps(data))
    return file.parent.parent


def draw_photo(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (9, 8)).save(path)
    return path


def read(path: Path) -> list[Record | Problem]:
    return list(read_supervisely(path, ReadOptions()))


def read_one(folder: Path, *objects: Any, **options: Any) -> Record:
    [record] = read(write(folder / "ds" / "ann" / "a.jpg.json", list(objects), **options))
    assert isinstance(record, Record), record
    return record


def read_problem(folder: Path, *objects: Any, **options: Any) -> str:
    [problem] = read(write(folder / "ds" / "ann" / "a.jpg.json", list(objects), **options))
    assert isinstance(problem, Problem), problem
    return f"{problem.place}: {problem.what}"


def drawn(record: Record) -> Pixels:
    return rasterise([(1, region.shape) for region in record.regions], WIDTH, HEIGHT).astype(bool)


def overlap(one: Pixels, other: Pixels) -> float:
    return float((one & other).sum() / (one | other).sum())


def star(seed: int, middle: tuple[int, int] = (450, 400), radius: float = 390) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    angles = np.sort(rng.uniform(0, 2 * np.pi, 14))
    radii = radius * rng.uniform(0.7, 1, 14)
    corners = np.stack([middle[0] + radii * np.cos(angles), middle[1] + radii * np.sin(angles)], axis=1)
    return np.round(corners).astype(int).tolist()  # type: ignore[no-any-return]


def as_supervisely_draws(exterior: Any, *interior: Any) -> Pixels:
    canvas = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.fillPoly(canvas, [np.array(exterior, np.int32)], (1,))
    for ring in interior:
        cv2.fillPoly(canvas, [np.array(ring, np.int32)], (0,))
    return canvas.astype(bool)


@pytest.mark.parametrize("seed", range(6))
def test_polygons_with_holes_are_drawn_as_supervisely_draws_them(tmp_path: Path, seed: int) -> None:
    ring, holes = star(seed), (star(seed + 50, (400, 350), 90), star(seed + 90, (520, 480), 60))
    assert overlap(drawn(read_one(tmp_path, polygon(ring, *holes))), as_supervisely_draws(ring, *holes)) >= 0.999


def test_squares_agree_with_scikit_image_to_the_pixel(tmp_path: Path) -> None:
    expected = np.zeros((HEIGHT, WIDTH), bool)
    expected[draw.polygon([y for _, y in SQUARE], [x for x, _ in SQUARE])] = True
    expected[draw.polygon([y for _, y in HOLE], [x for x, _ in HOLE])] = False
    record = read_one(tmp_path, polygon(SQUARE, HOLE))
    assert overlap(drawn(record), expected) >= 0.999
    assert drawn(record)[100, 100]
    assert drawn(record)[700, 700]
    assert not drawn(record)[300, 300]


def test_polygons_at_the_border_and_beyond_it(tmp_path: Path) -> None:
    ring = [[-50, -50], [899, 0], [899, 799], [0, 799]]
    assert overlap(drawn(read_one(tmp_path, polygon(ring))), as_supervisely_draws(ring)) >= 0.999
    whole = [[0, 0], [899, 0], [899, 799], [0, 799]]
    assert drawn(read_one(tmp_path, polygon(whole))).all()


def test_corners_between_two_pixels_are_of_the_one_they_lie_in(tmp_path: Path) -> None:
    between = [[x + 0.9, y + 0.4] for x, y in SQUARE]
    np.testing.assert_array_equal(drawn(read_one(tmp_path, polygon(between))), as_supervisely_draws(SQUARE))


def test_a_multipolygon_is_all_of_its_parts(tmp_path: Path) -> None:
    parts = [{"exterior": star(1, (250, 250), 200)}, {"exterior": star(2, (650, 550), 200), "interior": []}]
    record = read_one(tmp_path, {"classTitle": "dent", "geometryType": "multipolygon", "parts": parts})
    expected = as_supervisely_draws(parts[0]["exterior"]) | as_supervisely_draws(parts[1]["exterior"])
    assert overlap(drawn(record), expected) >= 0.999


@pytest.mark.parametrize("corners", [([10, 20], [19, 24]), ([19.2, 20], [10, 24]), ([10, 24], [19, 20])])
def test_rectangles_hold_both_corners_in_any_order(tmp_path: Path, corners: Any) -> None:
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.rectangle(expected, (10, 20), (19, 24), (1,), cv2.FILLED)
    np.testing.assert_array_equal(drawn(read_one(tmp_path, rectangle(*corners))), expected.astype(bool))


PIXELS = np.random.default_rng(0).random((40, 30)) < 0.5
SHADE = Image.fromarray(PIXELS.astype(np.uint8) * 200)
BITMAPS = {
    "indexed, the first colour transparent": as_written(PIXELS),
    "one bit": png(Image.fromarray(PIXELS)),
    "grey": png(SHADE),
    "grey, transparent": png(Image.merge("LA", (Image.new("L", (30, 40), 9), SHADE))),
    "colours": png(Image.merge("RGB", (SHADE, Image.new("L", (30, 40)), Image.new("L", (30, 40))))),
    "colours, transparent": png(Image.merge("RGBA", (*[Image.new("L", (30, 40), 9)] * 3, SHADE))),
    "indexed": png(Image.fromarray(PIXELS.astype(np.uint8) * 255).convert("P")),
}


@pytest.mark.parametrize("kind", BITMAPS)
@pytest.mark.parametrize("zipped", [True, False])
def test_bitmaps_of_every_kind_lie_at_their_origin(tmp_path: Path, kind: str, zipped: bool) -> None:
    data = packed(BITMAPS[kind]) if zipped else base64.b64encode(BITMAPS[kind]).decode()
    expected = np.zeros((HEIGHT, WIDTH), bool)
    expected[7:47, 5:35] = PIXELS
    np.testing.assert_array_equal(drawn(read_one(tmp_path, bitmap(data, (5, 7)))), expected)


def test_the_size_the_classes_and_the_order_of_regions_are_kept(tmp_path: Path) -> None:
    below, above = polygon(SQUARE, title=" dent "), polygon(HOLE, title="glass")
    record = read_one(tmp_path, below, above)
    assert record.size == (WIDTH, HEIGHT)
    assert record.place == "ann/a.jpg.json"
    assert [region.names for region in record.regions] == [("dent",), ("glass",)]
    mask = rasterise([(index, region.shape) for index, region in enumerate(record.regions, 1)], WIDTH, HEIGHT)
    assert mask[400, 420] == 2
    assert mask[200, 200] == 1


@pytest.mark.parametrize("kind", ["line", "point", "graph", "cuboid", "something new"])
def test_other_shapes_have_no_area(tmp_path: Path, kind: str) -> None:
    record = read_one(tmp_path, {"classTitle": "dent", "geometryType": kind, "points": {"exterior": [[1, 2]]}})
    assert record.regions[0].shape == NoArea(kind)


def test_old_files_call_the_kind_otherwise_and_state_no_size(tmp_path: Path) -> None:
    old = {"bitmap": None, "type": "polygon", "classTitle": "dent", "points": {"exterior": SQUARE, "interior": []}}
    record = read_one(tmp_path, old, size=None)
    assert record.size is None
    assert drawn(record).sum() == 601 * 601


def test_photos_without_regions_are_not_known_to_be_empty(tmp_path: Path) -> None:
    record = read_one(tmp_path)
    assert not record.regions
    assert not record.known_empty


def test_tags_of_the_photo_are_labels(tmp_path: Path) -> None:
    tags = [
        {"name": "severity", "value": "minor"},
        {"name": "doors", "value": 4},
        {"name": "blurred", "value": None},
        {"name": "side", "value": "left"},
        {"name": "side", "value": "rear"},
        {"name": "side", "value": "left"},
        "night",
        {"name": "checked", "value": " "},
    ]
    assert read_one(tmp_path, tags=tags).labels == {
        "severity": ("minor",),
        "doors": ("4",),
        "tags": ("blurred", "night", "checked"),
        "side": ("left", "rear"),
    }


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Two datasets, a photo of the same name in both."""
    folder = tmp_path / "project"
    for name in ("ds1", "ds2"):
        draw_photo(folder / name / "img" / "a.jpg")
        write(folder / name / "ann" / "a.jpg.json", [polygon(SQUARE)])
    (folder / "meta.json").write_text("{}")
    return folder


def test_a_project_is_read_whole_or_by_dataset(project: Path) -> None:
    records = [record for record in read(project) if isinstance(record, Record)]
    assert [record.photo for record in records] == ["ds1/img/a.jpg", "ds2/img/a.jpg"]
    assert [record.path for record in records] == [project / record.photo for record in records]
    [alone] = read(project / "ds2")
    assert isinstance(alone, Record)
    assert alone.photo == "img/a.jpg"
    assert alone.path == project / "ds2" / "img" / "a.jpg"


def test_photos_that_are_elsewhere_have_no_path(tmp_path: Path) -> None:
    record = read_one(tmp_path)
    assert record.photo == "a.jpg"
    assert record.path is None


def test_older_names_without_the_photos_suffix(tmp_path: Path) -> None:
    folder = tmp_path / "ds"
    for photo in ("a.PNG", "b.jpg", "b.png"):
        draw_photo(folder / "img" / photo)
    for name in ("a", "b", "c.2020"):
        write(folder / "ann" / f"{name}.json", [])
    first, several, away = read(folder)
    assert isinstance(first, Record)
    assert first.photo == "img/a.PNG"
    assert isinstance(several, Problem)
    assert several.what == '"b" fits several photos: b.jpg, b.png. Name the file like b.jpg.json.'
    assert isinstance(away, Record)
    assert (away.photo, away.path) == ("img/c.2020", None)


def test_a_photo_with_two_files_keeps_the_first(tmp_path: Path) -> None:
    draw_photo(tmp_path / "img" / "a.jpg")
    write(tmp_path / "ann" / "a.jpg.json", [])
    write(tmp_path / "ann" / "a.json", [])
    first, second = read(tmp_path)
    assert isinstance(first, Record)
    assert second == Problem("ann/a.json", "img/a.jpg has a record already: ann/a.jpg.json. Keep one of the two.")


def test_a_bad_file_or_region_does_not_lose_the_others(tmp_path: Path) -> None:
    write(tmp_path / "ann" / "a.jpg.json", [polygon(SQUARE), polygon([[1, 1]]), polygon(SQUARE), rectangle([1, 1])])
    (tmp_path / "ann" / "b.jpg.json").write_text("{")
    (tmp_path / "ann" / "c.jpg.json").write_text('{"objects": 3}')
    (tmp_path / "ann" / "d.jpg.json").write_bytes(b'{"objects": "\xff"}')
    write(tmp_path / "ann" / "e.jpg.json", [polygon(SQUARE)])
    *problems, record = read(tmp_path)
    assert isinstance(record, Record)
    assert record.photo == "e.jpg"
    assert [f"{each.place}: {each.what}" for each in problems if isinstance(each, Problem)] == [
        "ann/a.jpg.json region 2, region 4: a region needs 3 corners or more, not 1. "
        "a rectangle has 2 corners in points.exterior, not 1.",
        "ann/b.jpg.json: line 1, column 2: not valid JSON: Expecting property name enclosed in double quotes.",
        'ann/c.jpg.json: an object with a list "objects" was expected, as Supervisely writes it.',
        "ann/d.jpg.json: line 1: not UTF-8 text. Save the file as UTF-8.",
    ]


GOOD = packed(as_written(PIXELS))
BAD_REGIONS = [
    (3, "an object with classTitle and geometryType was expected"),
    ({"geometryType": "polygon"}, "classTitle, the name of its class, is missing"),
    ({"classTitle": "dent", "geometryType": "polygon"}, "points is missing from the polygon"),
    ({"classTitle": "dent", "geometryType": "bitmap", "bitmap": None}, "the bitmap holds something else than numbers"),
    (polygon([[1, 1], [2, "a"], [3, 3]]), "the polygon holds something else than numbers"),
    (polygon([[1, 1], [2, float("nan")], [3, 3]]), "the polygon holds something else than numbers"),
    (polygon([[1, 1], [2, 2, 2], [3, 3]]), "the polygon holds something else than numbers"),
    (polygon([[1, 1], [2, 1e9], [3, 3]]), "farther off than any photo is wide"),
    (polygon(SQUARE, [[1, 1]]), "a region needs 3 corners or more, not 1"),
    (rectangle([1, 1], [2, 2], [3, 3]), "a rectangle has 2 corners in points.exterior, not 3"),
    (bitmap(GOOD, (1,)), "the bitmap holds something else than numbers"),
    (bitmap(3), "the bitmap holds something else than numbers"),
    (bitmap("no base64!"), "the bitmap's data are no base64"),
    (bitmap(GOOD[:41]), "the bitmap's data are no base64"),
    (bitmap(GOOD[:60]), "the bitmap's data are cut off"),
    (bitmap(base64.b64encode(b"no zlib").decode()), "cannot be unpacked (Error -3"),
    (bitmap(packed(b"no PNG")), "the bitmap's data are no PNG"),
    (bitmap(packed(as_written(PIXELS)[:60])), "the bitmap's PNG is broken or cut off"),
    (bitmap(packed(as_written(np.ones((900, 30), bool)))), "bitmap has 30 × 900 pixels, but its photo has 900 × 800"),
]


@pytest.mark.parametrize(("region", "message"), BAD_REGIONS)
def test_bad_regions_are_named(tmp_path: Path, region: Any, message: str) -> None:
    problem = read_problem(tmp_path, polygon(SQUARE), region)
    assert problem.startswith("ann/a.jpg.json region 2: ")
    assert message in problem


def test_bombs_are_defused(tmp_path: Path) -> None:
    assert "unpack to more than 64 MiB" in read_problem(tmp_path, bitmap(packed(bytes(2**27))))
    head = as_written(PIXELS)
    vast = head[:16] + (60_000).to_bytes(4, "big") * 2 + head[24:]
    assert "has 60000 × 60000 pixels, but 300 million" in read_problem(tmp_path, bitmap(packed(vast)), size=None)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"size": 3}, '"size" was expected as'),
        ({"size": {"height": 0, "width": 9}}, "states a size of 9 × 0"),
        ({"tags": [{"value": "minor"}]}, 'the tag {"value": "minor"} was expected as'),
        ({"tags": [{"name": "side", "value": ["left"]}]}, "was expected as"),
    ],
)
def test_bad_sizes_and_tags_are_named(tmp_path: Path, more: dict[str, Any], message: str) -> None:
    (tmp_path / "ann").mkdir()
    (tmp_path / "ann" / "a.jpg.json").write_text(json.dumps({"objects": [], **more}))
    [problem] = read(tmp_path)
    assert isinstance(problem, Problem)
    assert message in problem.what


def test_links_out_of_the_source_are_refused(tmp_path: Path) -> None:
    outside = draw_photo(tmp_path / "outside" / "a.jpg")
    folder = tmp_path / "ds"
    write(folder / "ann" / "a.jpg.json", [])
    (folder / "img").mkdir()
    (folder / "img" / "a.jpg").symlink_to(outside)
    write(tmp_path / "other" / "ann" / "b.jpg.json", [])
    (folder / "ann" / "b.jpg.json").symlink_to(tmp_path / "other" / "ann" / "b.jpg.json")
    problems = read(folder)
    assert len(problems) == 2
    for problem in problems:
        assert isinstance(problem, Problem)
        assert "is a link that leads out of" in problem.what


def test_folders_that_hold_none(project: Path, tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="no such folder"):
        read(tmp_path / "nowhere")
    with pytest.raises(AnnotationError, match="holds no annotation of Supervisely"):
        read(project / "ds1" / "img")
    with pytest.raises(AnnotationError, match="Give the folder above it"):
        read(project / "ds1" / "ann")


def test_projects_and_datasets_are_found(project: Path, tmp_path: Path) -> None:
    assert find_supervisely(tmp_path) == [project]
    assert find_supervisely(project) == [project]
    assert find_supervisely(project / "ds1") == [project / "ds1"]
    (project / "meta.json").unlink()
    assert find_supervisely(project) == [project]
    assert find_supervisely(tmp_path) == [project]
    write(tmp_path / "second" / "ds" / "ann" / "a.jpg.json", [])
    assert find_supervisely(tmp_path) == [project, tmp_path / "second"]


def test_other_files_are_no_projects(tmp_path: Path) -> None:
    folder = tmp_path / "ann"
    folder.mkdir()
    (folder / "list.json").write_text("[]")
    (folder / "coco.json").write_text('{"images": [], "annotations": []}')
    (folder / "broken.json").write_bytes(b"\xff\xfe")
    (folder / "folder.json").mkdir()
    assert find_supervisely(tmp_path) == []
    assert find_supervisely(folder / "list.json") == []
    assert find_supervisely(tmp_path / "nowhere") == []
