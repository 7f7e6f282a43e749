import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pycocotools import mask as pycoco
from pycocotools.coco import COCO
from skimage import draw as skimage_draw

from carclf.annotations.coco import find_coco, read_coco
from carclf.annotations.records import Problem, ReadOptions, Record
from carclf.annotations.run_lengths import read_runs
from carclf.annotations.shapes import Polygon, rasterise, rectangle_points
from carclf.errors import AnnotationError
from tests.drawn_annotations import draw_shape

draw: Any = skimage_draw  # has no types
SQUARE = [[1, 1, 5, 1, 5, 5, 1, 5]]
CATEGORIES = [{"id": 7, "name": "dent"}, {"id": 2, "name": " glass "}]
WIDTH, HEIGHT = 900, 700


def instance(own: Any, segmentation: Any = SQUARE, image_id: Any = 1, category_id: Any = 7, **more: Any) -> Any:
    return {"id": own, "image_id": image_id, "category_id": category_id, "segmentation": segmentation} | more


def image(own: Any = 1, file_name: Any = "a.jpg", width: Any = WIDTH, height: Any = HEIGHT) -> dict[str, Any]:
    return {"id": own, "file_name": file_name, "width": width, "height": height}


def dump(folder: Path, images: Any, annotations: Any, categories: Any = CATEGORIES) -> Path:
    """The keys that the readers look for come last, behind much else."""
    path = folder / "coco.json"
    data = {"info": {"filler": "x" * 9999}, "annotations": annotations, "categories": categories, "images": images}
    path.write_text(json.dumps(data))
    return path


def read(path: Path) -> list[Record | Problem]:
    return list(read_coco(path, ReadOptions()))


def read_one(path: Path) -> Record:
    (record,) = read(path)
    assert isinstance(record, Record), record
    return record


def problem_of(path: Path) -> Problem:
    (problem,) = [each for each in read(path) if isinstance(each, Problem)]
    return problem


def draw_region(record: Record, index: int = 0) -> NDArray[np.bool_]:
    assert record.size is not None
    return draw_shape(record.regions[index].shape, *record.size)


def pixels(seed: int, width: int = WIDTH, height: int = HEIGHT) -> NDArray[np.bool_]:
    """A disk with a hole, and specks."""
    rng = np.random.default_rng(seed)
    drawn = np.zeros((height, width), bool)
    center, radius = (height * rng.uniform(0.3, 0.7), width * rng.uniform(0.3, 0.7)), min(width, height) * 0.4
    drawn[draw.disk(center, radius, shape=drawn.shape)] = True
    drawn[draw.disk(center, radius / 2, shape=drawn.shape)] = False
    drawn[rng.random(drawn.shape) < 0.001] = True
    return drawn


def uncompressed(drawn: NDArray[np.bool_]) -> dict[str, Any]:
    """Run lengths by the definition, slowly: columns, background first."""
    flat = drawn.ravel(order="F").astype(int)
    changes = np.flatnonzero(np.diff(np.concatenate(([0], flat, [1 - flat[-1]]))))
    counts = np.diff(np.concatenate(([0], changes)))
    return {"size": list(drawn.shape), "counts": [int(count) for count in counts]}


def compressed(drawn: NDArray[np.bool_]) -> dict[str, Any]:
    packed = pycoco.encode(np.asfortranarray(drawn, np.uint8))
    return {"size": list(drawn.shape), "counts": packed["counts"].decode()}


def test_categories_name_the_regions_in_the_order_of_the_file(tmp_path: Path) -> None:
    path = dump(
        tmp_path,
        [image(1, "./sub/a.jpg"), image(2, "b.jpg", 30, 20)],
        [instance(5, category_id=2), instance(3, image_id=2), instance(4)],
    )
    first, second = read(path)
    assert isinstance(first, Record)
    assert isinstance(second, Record)
    assert (first.photo, first.size, first.place) == ("sub/a.jpg", (WIDTH, HEIGHT), "coco.json: ./sub/a.jpg")
    assert [region.names for region in first.regions] == [("glass",), ("dent",)]
    assert (second.photo, second.size, [region.names for region in second.regions]) == ("b.jpg", (30, 20), [("dent",)])


@pytest.mark.parametrize("seed", range(3))
def test_polygons_are_joined_and_drawn_as_others_draw_them(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    angles = np.sort(rng.uniform(0, 2 * np.pi, (2, 20)))
    radii = rng.uniform(250, 420, (2, 20))  # beyond the upper and the lower border
    rings = np.stack([radii * np.cos(angles) + [[330], [560]], radii * np.sin(angles) + 350], axis=-1)
    path = dump(tmp_path, [image()], [instance(1, [[round(v, 2) for v in ring.ravel().tolist()] for ring in rings])])
    drawn = draw_region(read_one(path))
    theirs = np.zeros((HEIGHT, WIDTH), bool)
    for ring in rings:
        theirs[draw.polygon(ring[:, 1] - 0.5, ring[:, 0] - 0.5, theirs.shape)] = True
    assert (drawn & theirs).sum() / (drawn | theirs).sum() >= 0.999


@pytest.mark.parametrize("seed", range(3))
def test_run_lengths_come_back_pixel_by_pixel(tmp_path: Path, seed: int) -> None:
    drawn = pixels(seed)
    regions = [instance(1, compressed(drawn)), instance(2, uncompressed(drawn), iscrowd=1)]
    record = read_one(dump(tmp_path, [image()], regions))
    np.testing.assert_array_equal(draw_region(record, 0), drawn)
    np.testing.assert_array_equal(draw_region(record, 1), drawn)  # a crowd is painted as its class
    assert record.regions[1].names == ("dent",)


@pytest.mark.filterwarnings("ignore")
def test_masks_are_those_of_pycocotools(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shapes = [SQUARE, compressed(pixels(1)), [[10.5, 20.25, 700, 30, 350, 690.5], SQUARE[0]], uncompressed(pixels(2))]
    path = dump(tmp_path, [image()], [instance(index, shape) for index, shape in enumerate(shapes)])
    theirs = COCO(str(path))
    record = read_one(path)
    for index in range(len(shapes)):
        mask = theirs.annToMask(theirs.loadAnns(index)[0]).astype(bool)
        drawn = draw_region(record, index)
        assert (drawn & mask).sum() / (drawn | mask).sum() >= 0.999
    capsys.readouterr()


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (37, 53), (600, 3)])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 1.0])
def test_run_lengths_of_any_mask_are_unpacked(shape: tuple[int, int], share: float) -> None:
    drawn = np.random.default_rng(3).random(shape) < share
    size = (shape[1], shape[0])
    packed, plain = compressed(drawn)["counts"], uncompressed(drawn)["counts"]
    assert read_runs(packed, size) == read_runs(packed.encode(), size) == read_runs(plain, size)
    np.testing.assert_array_equal(draw_shape(read_runs(packed, size), *size), drawn)


def test_later_annotations_lie_over_earlier_ones(tmp_path: Path) -> None:
    inner = np.zeros((HEIGHT, WIDTH), bool)
    inner[2:4, 2:4] = True
    both = read_one(dump(tmp_path, [image()], [instance(9), instance(1, compressed(inner), category_id=2)]))
    mask = rasterise([(1 + index, region.shape) for index, region in enumerate(both.regions)], WIDTH, HEIGHT)
    assert mask[1, 1] == 1
    assert (mask[2:4, 2:4] == 2).all()


@pytest.mark.parametrize("segmentation", [None, []])
def test_an_annotation_without_segmentation_is_its_box(tmp_path: Path, segmentation: Any) -> None:
    record = read_one(dump(tmp_path, [image()], [instance(1, segmentation, bbox=[2.5, 3, 4, 5])]))
    assert record.regions[0].shape == Polygon((rectangle_points(2.5, 3, 4, 5),))


def test_an_image_without_annotation_is_not_known_to_show_nothing(tmp_path: Path) -> None:
    record = read_one(dump(tmp_path, [image()], []))
    assert record == Record("a.jpg", "coco.json: a.jpg", (WIDTH, HEIGHT))
    assert not record.known_empty


def test_an_image_without_size_has_that_of_its_run_lengths(tmp_path: Path) -> None:
    drawn = pixels(1, 40, 30)
    bare = {"id": 1, "file_name": "a.jpg"}
    assert read_one(dump(tmp_path, [bare], [instance(1), instance(2, compressed(drawn))])).size == (40, 30)
    assert read_one(dump(tmp_path, [bare], [instance(1)])).size is None
    other = [instance(1, compressed(pixels(1, 30, 40))), instance(2, compressed(drawn))]
    assert "40 × 30 pixels, but its image has 30 × 40" in problem_of(dump(tmp_path, [bare], other)).what


RUNS = compressed(np.ones((HEIGHT, WIDTH), bool))
BAD_ANNOTATIONS: list[tuple[Any, str]] = [
    (instance(5, category_id=3), "category_id 3 is no category's id. Known: 7 = dent, 2 = glass."),
    (instance(5, category_id="7"), "category_id '7' is no category's id"),
    (instance(5, category_id=[7]), "category_id [7] is no category's id"),
    (instance(5, [[1, 1, 5, 1, 5]]), "5 numbers are no pairs of x and y"),
    (instance(5, [[1, 1, 5, 1]]), "needs 3 corners or more, not 2"),
    (instance(5, [[]]), "needs 3 corners or more, not 0"),
    (instance(5, [1, 1, 5, 1, 5, 5]), "neither a list of polygons"),
    (instance(5, "polygon"), "neither a list of polygons"),
    (instance(5, [[[1, 1], [5, 1], [5, 5]]]), "stands where a number was expected"),
    (instance(5, [[1, 1, 5, 1, 5, math.nan]]), "no number, or farther off"),
    (instance(5, [[1, 1, 5, 1, 5, math.inf]]), "no number, or farther off"),
    (instance(5, [[1, 1, 5, 1, 5, 10**400]]), "farther off than any photo"),
    (instance(5, [[1, 1, 5, 1, 5, True]]), "'True' stands where a number was expected"),
    (instance(5, [[1, 1, 5, 1, 5, None]]), "'None' stands where a number was expected"),
    (instance(5, [[1, 1, 5, 1, 5, "5"]]), "'5' stands where a number was expected"),
    (instance(5, None), "neither a segmentation nor a bbox"),
    (instance(5, [], bbox=[1, 2, 3]), "neither a segmentation nor a bbox"),
    (instance(5, [], bbox=[1, 2, -3, 4]), "its bbox is -3 wide and 4 high"),
    (instance(5, [], bbox=[1, 2, "3", 4]), "'3' stands where a number was expected"),
    (instance(5, RUNS | {"size": [WIDTH, HEIGHT]}), "700 × 900 pixels, but its image has 900 × 700"),
    (instance(5, {"counts": [1]}), "no size [height, width]"),
    (instance(5, RUNS | {"size": [HEIGHT, "9"]}), "states a size of 9 × 700"),
    (instance(5, {"size": [HEIGHT, WIDTH]}), "neither a list of numbers nor text"),
    (instance(5, RUNS | {"counts": [630000, 1]}), "fill 630001 pixels, but 900 × 700 are 630000"),
    (instance(5, RUNS | {"counts": []}), "fill 0 pixels, but 900 × 700 are 630000"),
    (instance(5, RUNS | {"counts": ""}), "fill 0 pixels"),
    (instance(5, RUNS | {"counts": [630001, -1]}), "reach from -1 to 630001"),
    (instance(5, RUNS | {"counts": [10**30]}), "not those of a mask"),
    (instance(5, RUNS | {"counts": [629999.0, 1]}), "something else than whole numbers"),
    (instance(5, RUNS | {"counts": [True, 629999]}), "something else than whole numbers"),
    (instance(5, RUNS | {"counts": "00"}), "fill 0 pixels"),
    (instance(5, RUNS | {"counts": "é"}), "letters that compressed ones do not have"),
    (instance(5, RUNS | {"counts": "\ud800"}), "letters that compressed ones do not have"),
    (instance(5, RUNS | {"counts": "o"}), "cut off or no compressed ones"),
    (instance(5, RUNS | {"counts": "o" * 40 + "0"}), "cut off or no compressed ones"),
    (instance(5, RUNS | {"counts": "O"}), "one is negative"),
]


@pytest.mark.parametrize(("broken", "message"), BAD_ANNOTATIONS)
def test_an_image_with_a_bad_annotation_is_a_problem_and_the_others_are_not(
    tmp_path: Path, broken: Any, message: str
) -> None:
    path = dump(tmp_path, [image(1), image(2, "b.jpg")], [instance(4), broken, instance(6, image_id=2)])
    bad, good = read(path)
    assert isinstance(good, Record)
    assert isinstance(bad, Problem)
    assert bad.place == "coco.json: a.jpg annotation 5"
    assert message in bad.what


def test_several_bad_annotations_come_at_once(tmp_path: Path) -> None:
    annotations = [instance(5, [[1]]), instance(6), instance(None, [[1]]), instance(8, [[1, 1]])]
    problem = problem_of(dump(tmp_path, [image()], annotations))
    assert problem.place == "coco.json: a.jpg annotation 5, annotation no. 3, annotation 8"
    assert problem.what == "1 numbers are no pairs of x and y. a region needs 3 corners or more, not 1."


@pytest.mark.parametrize(
    ("annotation", "place", "message"),
    [
        (instance(5, image_id=99), "annotation 5", "image_id 99 is no image's id. Add the image, or delete this."),
        (instance(5, image_id="1"), "annotation 5", "image_id '1' is no image's id"),
        (instance(5, image_id=[1]), "annotation 5", "image_id [1] is no image's id"),
        (instance(None, image_id=99), "annotation no. 2", "image_id 99 is no image's id"),
        ({"id": 5}, "annotation 5", "has no image_id"),
        (3, "annotation no. 2", "is no object"),
    ],
)
def test_annotations_without_image_are_problems(tmp_path: Path, annotation: Any, place: str, message: str) -> None:
    problem, record = read(dump(tmp_path, [image()], [instance(4), annotation]))
    assert isinstance(problem, Problem)
    assert isinstance(record, Record)
    assert problem.place == f"coco.json: {place}"
    assert message in problem.what
    assert len(record.regions) == 1


@pytest.mark.parametrize(
    ("images", "place", "message"),
    [
        ([image(1), image(1, "c.jpg")], "image 1", "2 images have this id (a.jpg, c.jpg). Give each its own."),
        ([image(1), image(3, "./a.jpg")], "a.jpg", "several images have this file_name"),
        ([image(None)], "image a.jpg", "has no id"),
        ([3], "image ?", "has no id"),
        ([image([1])], "image a.jpg", "has no id"),
        ([image(1, None)], "image 1", "has no file_name"),
        ([image(1, "../a.jpg")], "../a.jpg", 'leaves the photo folder by ".."'),
        ([image(1, "/data/a.jpg")], "/data/a.jpg", "absolute path"),
        ([image(1, "C:\\a.jpg")], "C:\\a.jpg", "absolute path"),
        ([image(width=0)], "a.jpg", "states a size of 0 × 700; whole numbers of pixels were expected"),
        ([image(width=None)], "a.jpg", "states a size of None × 700"),
        ([image(width="9")], "a.jpg", "states a size of 9 × 700"),
        ([image(width=1e300)], "a.jpg", "states a size of 1e+300"),
        ([image(width=math.nan)], "a.jpg", "states a size of nan"),
    ],
)
def test_bad_images_are_problems_and_the_others_are_not(
    tmp_path: Path, images: list[Any], place: str, message: str
) -> None:
    found = read(dump(tmp_path, [*images, image(2, "b.jpg")], [instance(5, image_id=2)]))
    problems = [each for each in found if isinstance(each, Problem)]
    assert problems[0].place == f"coco.json: {place}"
    assert message in problems[0].what
    assert [(each.photo, len(each.regions)) for each in found if isinstance(each, Record)] == [("b.jpg", 1)]


@pytest.mark.parametrize(
    ("categories", "message"),
    [
        ([{"id": 1}], "category no. 1 needs an id and a name"),
        ([{"name": "dent"}], "category no. 1 needs an id and a name"),
        ([{"id": 1, "name": "dent"}, 3], "category no. 2 needs an id and a name"),
        ([{"id": 1, "name": "dent"}, {"id": 1, "name": "glass"}], "category id 1 is of dent and of glass"),
        ({}, "not a COCO file: it has no list of categories"),
    ],
)
def test_categories_must_be_told_apart(tmp_path: Path, categories: Any, message: str) -> None:
    with pytest.raises(AnnotationError, match=message):
        read(dump(tmp_path, [image()], [], categories))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "not a COCO file: it has no list of images, annotations, categories"),
        ('{"images": {}, "annotations": []}', "no list of images, categories. Export the instances"),
        ('{"images": [}', r"coco\.json, line 1, column 13: not valid JSON"),
    ],
)
def test_other_files_are_no_coco_files(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "coco.json").write_text(text)
    with pytest.raises(AnnotationError, match=message):
        read(tmp_path / "coco.json")


def test_coco_files_are_found_by_what_they_hold(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    path = dump(tmp_path / "sub", [image()], [])
    (tmp_path / "via.json").write_text('{"a.jpg9": {"filename": "images annotations categories", "regions": []}}')
    (tmp_path / "other.json").write_text('[{"images": [], "annotations": [], "categories": []}]')
    (tmp_path / "other.txt").write_text(path.read_text())
    assert find_coco(tmp_path) == find_coco(path) == [path]
    assert find_coco(tmp_path / "other.json") == find_coco(tmp_path / "none") == []
    (tmp_path / "cut.json").write_text(path.read_text()[:-5])
    assert find_coco(tmp_path) == [tmp_path / "cut.json", path]  # its reader says where it is broken
