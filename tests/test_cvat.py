import tracemalloc
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco
from skimage import draw as skimage_draw

from carclf.annotations.cvat import find_cvat, read_cvat
from carclf.annotations.records import HEAD, Problem, ReadOptions, Record
from carclf.annotations.shapes import NoArea, rasterise
from carclf.errors import AnnotationError

draw: Any = skimage_draw  # has no types
WIDTH, HEIGHT = 900, 800
Pixels = NDArray[np.bool_]
BOX = '<box label="dent" xtl="10" ytl="20" xbr="30.00" ybr="25"/>'


def image(inside: str = "", name: str = "a.jpg", **more: str) -> str:
    given = {"id": "0", "name": name, "width": str(WIDTH), "height": str(HEIGHT)} | more
    return f"<image {' '.join(f'{key}={quoteattr(value)}' for key, value in given.items())}>{inside}</image>"


def write(folder: Path, *images: str, before: str = "") -> Path:
    path = folder / "annotations.xml"
    meta = "<version>1.1</version><meta><task><name>cars</name><size>1</size></task></meta>"
    path.write_text(f'<?xml version="1.0" encoding="utf-8"?>{before}<annotations>{meta}{"".join(images)}</annotations>')
    return path


def read(path: Path, attribute: str | None = None) -> list[Record | Problem]:
    return list(read_cvat(path, ReadOptions(attribute)))


def read_one(folder: Path, inside: str, attribute: str | None = None, **more: str) -> Record:
    [record] = read(write(folder, image(inside, **more)), attribute)
    assert isinstance(record, Record), record
    return record


def drawn(record: Record) -> Pixels:
    return rasterise([(1, region.shape) for region in record.regions], WIDTH, HEIGHT).astype(bool)


def overlap(one: Pixels, other: Pixels) -> float:
    return float((one & other).sum() / (one | other).sum())


def filled(ring: Any) -> Pixels:
    """What scikit-image fills: its pixel centres lie at whole numbers, CVAT's half a pixel on."""
    expected = np.zeros((HEIGHT, WIDTH), bool)
    xs, ys = np.array(ring).T - 0.5
    expected[draw.polygon(ys, xs, expected.shape)] = True
    return expected


def star(seed: int, radius: float = 390) -> list[tuple[float, float]]:
    rng = np.random.default_rng(seed)
    angles = np.sort(rng.uniform(0, 2 * np.pi, 14))
    radii = rng.uniform(0.8, 1, 14) * radius
    return [(round(450 + r * np.cos(a), 2), round(400 + r * np.sin(a), 2)) for a, r in zip(angles, radii, strict=True)]


def polygon(ring: Any, label: str = "dent", **more: str) -> str:
    points = ";".join(f"{x},{y}" for x, y in ring)
    return f'<polygon label="{label}" points="{points}" {" ".join(f"{k}={quoteattr(v)}" for k, v in more.items())}/>'


def mask(pixels: Pixels, left: int = 0, top: int = 0, **more: str) -> str:
    """Run lengths counted one by one, row by row, background first."""
    counts, current = [0], False
    for pixel in pixels.ravel().tolist():
        if pixel != current:
            counts.append(0)
            current = pixel
        counts[-1] += 1
    given = {"rle": ", ".join(map(str, counts)), "left": left, "top": top} | {
        "width": pixels.shape[1],
        "height": pixels.shape[0],
    }
    return f'<mask label="dent" {" ".join(f"{k}={quoteattr(str(v))}" for k, v in (given | more).items())}/>'


@pytest.mark.parametrize("seed", range(4))
def test_polygons_agree_with_other_rasterisers(tmp_path: Path, seed: int) -> None:
    ring = star(seed)
    pixels = drawn(read_one(tmp_path, polygon(ring)))
    assert overlap(pixels, filled(ring)) >= 0.999
    [runs] = coco.frPyObjects([[value for point in ring for value in point]], HEIGHT, WIDTH)
    assert overlap(pixels, coco.decode(runs).astype(bool)) >= 0.999


def test_boxes_and_what_sticks_out(tmp_path: Path) -> None:
    expected = np.zeros((HEIGHT, WIDTH), bool)
    expected[20:25, 10:30] = True
    np.testing.assert_array_equal(drawn(read_one(tmp_path, BOX)), expected)
    beyond = '<box label="dent" xtl="-50" ytl="-1" xbr="950" ybr="800"/>'
    assert drawn(read_one(tmp_path, beyond)).all()


def test_turned_boxes_go_clockwise_about_their_middle(tmp_path: Path) -> None:
    wide = '<box label="dent" xtl="100" ytl="300" xbr="800" ybr="500" rotation="{}"/>'
    turned = drawn(read_one(tmp_path, wide.format("30.00")))
    angle = np.radians(30)
    corners = np.array([(-350, -100), (350, -100), (350, 100), (-350, 100)])
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    assert overlap(turned, filled(corners @ turn + (450, 400))) >= 0.999
    assert turned[550, 700]  # its right end has gone down
    assert not turned[550, 200]
    tall = '<box label="dent" xtl="350" ytl="50" xbr="550" ybr="750"/>'
    np.testing.assert_array_equal(drawn(read_one(tmp_path, wide.format("90"))), drawn(read_one(tmp_path, tall)))


@pytest.mark.parametrize("angle", [0, 25])
def test_ellipses_agree_with_scikit_image(tmp_path: Path, angle: int) -> None:
    given = f'<ellipse label="dent" cx="450.5" cy="400.5" rx="400" ry="300" rotation="{angle}"/>'
    expected = np.zeros((HEIGHT, WIDTH), bool)
    expected[draw.ellipse(400, 450, 300, 400, expected.shape, rotation=-np.radians(angle))] = True
    assert overlap(drawn(read_one(tmp_path, given)), expected) >= 0.999


@pytest.mark.parametrize("first", [False, True])
def test_masks_are_unpacked_row_by_row(tmp_path: Path, first: bool) -> None:
    pixels = np.random.default_rng(0).random((40, 30)) < 0.5
    pixels[0, 0] = first
    expected = np.zeros((HEIGHT, WIDTH), bool)
    expected[7:47, 5:35] = pixels
    np.testing.assert_array_equal(drawn(read_one(tmp_path, mask(pixels, 5, 7))), expected)


def test_masks_hold_holes_and_reach_the_border(tmp_path: Path) -> None:
    pixels = filled(star(1)) & ~filled(star(2, 100))
    np.testing.assert_array_equal(drawn(read_one(tmp_path, mask(pixels))), pixels)
    whole = np.ones((HEIGHT, WIDTH), bool)
    assert drawn(read_one(tmp_path, mask(whole))).all()


def test_higher_regions_lie_over_lower_ones_then_later_over_earlier_ones(tmp_path: Path) -> None:
    shapes = [
        polygon(star(1), "top", z_order="1"),
        polygon(star(1), "bottom", z_order="-1"),
        polygon(star(1), "first"),
        polygon(star(1), "second", z_order="0"),
    ]
    record = read_one(tmp_path, "".join(shapes))
    assert [region.names[0] for region in record.regions] == ["bottom", "first", "second", "top"]
    mask = rasterise([(index, region.shape) for index, region in enumerate(record.regions, 1)], WIDTH, HEIGHT)
    assert set(np.unique(mask)) == {0, 4}


def test_size_class_and_place(tmp_path: Path) -> None:
    record = read_one(tmp_path, BOX, name="rear/left/a.jpg")
    assert record.size == (WIDTH, HEIGHT)
    assert record.photo == "rear/left/a.jpg"
    assert record.place == "annotations.xml: rear/left/a.jpg"
    assert record.regions[0].names == ("dent",)
    assert record.path is None
    assert not record.known_empty
    assert not read_one(tmp_path, "").known_empty


def test_the_class_may_be_an_attribute(tmp_path: Path) -> None:
    kind = '<attribute name="kind"> scratch </attribute><attribute name="old">true</attribute>'
    shapes = polygon(star(1)).replace("/>", f">{kind}</polygon>") + polygon(star(2))
    record = read_one(tmp_path, shapes, attribute="kind")
    assert [region.names for region in record.regions] == [("scratch",), ()]


@pytest.mark.parametrize("kind", ["polyline", "points", "cuboid", "skeleton"])
def test_other_shapes_have_no_area(tmp_path: Path, kind: str) -> None:
    record = read_one(tmp_path, f'<{kind} label="dent" points="1,2;3,4"><points label="x" points="1,2"/></{kind}>')
    assert [region.shape for region in record.regions] == [NoArea(kind)]


def test_tags_are_labels_of_the_photo(tmp_path: Path) -> None:
    tags = (
        '<tag label="severe" source="manual"><attribute name="side">left</attribute>'
        '<attribute name="note"></attribute></tag>'
        f'{BOX}<tag label="total"><attribute name="side">rear</attribute></tag><tag label="severe"/>'
    )
    record = read_one(tmp_path, tags)
    assert record.labels == {HEAD: ("severe", "total"), "side": ("left", "rear")}
    assert len(record.regions) == 1


def test_photos_beside_the_file_in_tasks_and_projects(tmp_path: Path) -> None:
    for name in ("images/a.jpg", "images/train/b.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (9, 8)).save(tmp_path / name)
    found = read(
        write(
            tmp_path,
            image(),
            image(name="b.jpg", subset="train"),
            image(name="b.jpg", subset="test"),
        )
    )
    assert [(each.photo, each.path) for each in found if isinstance(each, Record)] == [
        ("a.jpg", tmp_path / "images" / "a.jpg"),
        ("train/b.jpg", tmp_path / "images" / "train" / "b.jpg"),
        ("test/b.jpg", None),
    ]


BAD_SHAPES = [
    ('<box xtl="1" ytl="2" xbr="3" ybr="4"/>', "the box has no label"),
    ('<box label="dent" xtl="1" ytl="2" xbr="3"/>', "ybr is missing from the box"),
    ('<box label="dent" xtl="1" ytl="2" xbr="3" ybr="x"/>', '"x" stands where a number was expected'),
    ('<box label="dent" xtl="1" ytl="2" xbr="3" ybr="nan"/>', '"nan" stands where a number was expected'),
    ('<box label="dent" xtl="1" ytl="2" xbr="3" ybr="1e9"/>', "farther off than any photo is wide"),
    ('<box label="dent" xtl="1" ytl="2" xbr="3" ybr="4" z_order="top"/>', '"top" stands where a number was expected'),
    ('<box label="dent" xtl="1" ytl="2" xbr="3" ybr="4" rotation="?"/>', '"?" stands where a number was expected'),
    ('<polygon label="dent" points="1,2;3,4"/>', "a region needs 3 corners or more, not 2"),
    ('<polygon label="dent" points="1,2;3,4;5"/>', "its points were expected as x,y;x,y;…"),
    ('<polygon label="dent" points=""/>', "its points were expected as x,y;x,y;…"),
    ('<polygon label="dent"/>', "points is missing from the polygon"),
    ('<ellipse label="dent" cx="1" cy="2" rx="3"/>', "ry is missing from the ellipse"),
    (mask(np.ones((2, 3), bool), rle="0, 5"), "its run lengths (rle) fill 5 pixels, but 3 × 2 are 6"),
    (mask(np.ones((2, 3), bool), rle="-1, 7"), "its run lengths (rle) fill 6 pixels, but 3 × 2 are 6"),
    (mask(np.ones((2, 3), bool), rle="0, six"), '" six" stands where a whole number was expected'),
    (mask(np.ones((2, 3), bool), rle="0, 6e0"), "stands where a whole number was expected"),
    (mask(np.ones((2, 3), bool), rle=""), '"" stands where a whole number was expected'),
    (mask(np.ones((2, 3), bool), width="0"), "the mask has 0 × 2 pixels, none or more than its photo"),
    (mask(np.ones((2, 3), bool), width="90000000", height="90000000"), "the mask has 90000000 × 90000000 pixels"),
]


@pytest.mark.parametrize(("shape", "message"), BAD_SHAPES)
def test_bad_shapes_are_named(tmp_path: Path, shape: str, message: str) -> None:
    [problem] = read(write(tmp_path, image(BOX + shape)))
    assert isinstance(problem, Problem)
    assert problem.place == "annotations.xml: a.jpg region 2"
    assert message in problem.what


@pytest.mark.parametrize(
    ("given", "place", "message"),
    [
        (image(name="../a.jpg"), "annotations.xml: ../a.jpg", 'leaves the photo folder by ".."'),
        (image(name="/etc/a.jpg"), "annotations.xml: /etc/a.jpg", "is an absolute path"),
        (image(name="C:\\a.jpg"), "annotations.xml: C:\\a.jpg", "is an absolute path"),
        (image(name=" "), "annotations.xml: image 1", "the name is empty"),
        (image(subset=".."), "annotations.xml: a.jpg", 'leaves the photo folder by ".."'),
        (image(name="link/a.jpg"), "annotations.xml: link/a.jpg", "is a link that leads out of"),
        (image(name="photo.jpg"), "annotations.xml: photo.jpg", "is a link that leads out of"),
        (image(width="x"), "annotations.xml: a.jpg", '"x" stands where a number was expected'),
        (image(width="0"), "annotations.xml: a.jpg", "states a size of 0"),
        (image("<tag/>"), "annotations.xml: a.jpg", "a tag has no label"),
    ],
)
def test_a_bad_photo_does_not_lose_the_others(tmp_path: Path, given: str, place: str, message: str) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "source"
    for path in (outside, folder / "images"):
        path.mkdir(parents=True)
    (folder / "link").symlink_to(outside)
    (outside / "photo.jpg").touch()
    (folder / "images" / "photo.jpg").symlink_to(outside / "photo.jpg")
    problem, record = read(write(folder, given, image(BOX, name="b.jpg")))
    assert isinstance(record, Record)
    assert record.photo == "b.jpg"
    assert isinstance(problem, Problem)
    assert problem.place == place
    assert message in problem.what


def test_a_photo_with_two_records_keeps_the_first(tmp_path: Path) -> None:
    first, second = read(write(tmp_path, image(BOX), image(name="./a.jpg")))
    assert isinstance(first, Record)
    assert second == Problem(
        "annotations.xml: ./a.jpg", "a.jpg has a record already: annotations.xml: a.jpg. Keep one of the two."
    )


def test_entities_and_document_types_are_refused(tmp_path: Path) -> None:
    bomb = '<!DOCTYPE a [<!ENTITY b "bbbbbbbbbb"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]>'
    external = '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>'
    for before in (bomb, external, '<!DOCTYPE annotations SYSTEM "a.dtd">'):
        with pytest.raises(AnnotationError, match=r"annotations\.xml: declares a document type or entities"):
            read(write(tmp_path, image(), before=before))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"annotations\.xml: not valid xml: no element found: line 1, column 0"),
        ("{}", "not valid xml: .*line 1"),
        ("<annotations><image></annotations>", "not valid xml: mismatched tag: line 1"),
        ('<?xml version="1.0" encoding="klingon"?><annotations/>', "not valid xml: unknown encoding"),
        ("<annotation/>", "not a CVAT file: it begins with <annotation>"),
        ('<annotations><track id="0" label="dent"/></annotations>', "holds the tracks of a video, not photos"),
    ],
)
def test_files_that_are_not_cvats_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "annotations.xml"
    path.write_text(text)
    with pytest.raises(AnnotationError, match=message):
        read(path)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="no such file"):
        read(tmp_path / "nowhere.xml")
    with pytest.raises(AnnotationError, match="cannot be read"):
        read(tmp_path)


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    def peak(number: int) -> int:
        path = write(tmp_path, *(image(BOX * 3, name=f"{index}.jpg") for index in range(number)))
        tracemalloc.start()
        try:
            assert sum(isinstance(each, Record) for each in read_cvat(path, ReadOptions())) == number
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    small, large = peak(400), peak(1200)
    assert large - small < 500 * 800  # bytes: of a photo more than its name is there, a record takes 4,000


def test_files_are_found_by_their_first_lines(tmp_path: Path) -> None:
    path = write(tmp_path, image())
    (tmp_path / "voc.xml").write_text("<annotation><filename>a.jpg</filename></annotation>")
    (tmp_path / "bytes.xml").write_bytes(bytes(range(256)))
    (tmp_path / "folder.xml").mkdir()
    assert find_cvat(tmp_path) == [path]
    assert find_cvat(path) == [path]
    assert find_cvat(tmp_path / "voc.xml") == []
    assert find_cvat(tmp_path / "nowhere") == []
