import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from carclf.annotations.mvtec import find_mvtec, read_mvtec
from carclf.annotations.records import Problem, ReadOptions, Record
from carclf.errors import AnnotationError
from tests.drawn_annotations import draw_shape


def draw(path: Path, box: tuple[int, int, int, int] | None = None) -> Path:
    """A photo, or with a box (left, top, right, bottom) a mask."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((20, 30, 3), 90, np.uint8) if box is None else np.zeros((20, 30), np.uint8)
    if box is not None:
        pixels[box[1] : box[3], box[0] : box[2]] = 255
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def category(tmp_path: Path) -> Path:
    folder = tmp_path / "metal_nut"
    for name in ("train/good/000", "test/good/000", "test/scratch/000", "test/scratch/001", "test/bent/000"):
        draw(folder / f"{name}.png")
    draw(folder / "ground_truth/scratch/000_mask.png", (2, 3, 12, 9))
    draw(folder / "ground_truth/scratch/001_mask.png", (0, 0, 30, 20))
    draw(folder / "ground_truth/bent/000_mask.png", (5, 5, 6, 6))
    return folder


def read(folder: Path) -> tuple[dict[str, Record], list[str]]:
    found = list(read_mvtec(folder, ReadOptions()))
    problems = [f"{each.place}: {each.what}" for each in found if isinstance(each, Problem)]
    return {each.photo: each for each in found if isinstance(each, Record)}, problems


def test_defects_are_classes_and_good_ones_are_empty(category: Path) -> None:
    found, problems = read(category)
    assert problems == []
    assert {name: [region.names for region in each.regions] for name, each in found.items()} == {
        "train/good/000.png": [],
        "test/bent/000.png": [("bent",)],
        "test/good/000.png": [],
        "test/scratch/000.png": [("scratch",)],
        "test/scratch/001.png": [("scratch",)],
    }
    assert [name for name, each in found.items() if each.known_empty] == ["train/good/000.png", "test/good/000.png"]
    record = found["test/scratch/000.png"]
    assert record.path == category / "test/scratch/000.png"
    drawn = draw_shape(record.regions[0].shape, 30, 20)
    expected = np.zeros((20, 30), bool)
    expected[3:9, 2:12] = True
    np.testing.assert_array_equal(drawn, expected)


def test_missing_masks_and_photos_are_problems(category: Path) -> None:
    (category / "ground_truth/scratch/001_mask.png").unlink()
    (category / "test/bent/000.png").unlink()
    draw(category / "test/stray.png")
    found, problems = read(category)
    assert list(found) == ["train/good/000.png", "test/good/000.png", "test/scratch/000.png"]
    assert problems == [
        "metal_nut: test/scratch/001.png: its mask ground_truth/scratch/001_mask.png is missing. Add it.",
        "metal_nut: test/stray.png: photos lie in test/<defect>/. Move it into the folder of its defect.",
        "metal_nut: ground_truth/bent/000_mask.png: its photo test/bent/000 is missing. Add it, or delete the mask.",
    ]


def test_masks_are_of_the_test_photos(category: Path) -> None:
    draw(category / "train/scratch/000.png")
    found, problems = read(category)
    assert "test/scratch/000.png" in found
    assert [problem.split(":")[1] for problem in problems] == [" train/scratch/000.png"]


def test_several_masks_of_one_photo(category: Path) -> None:
    draw(category / "test/missing/007.png")
    for index in range(2):
        draw(category / f"ground_truth/missing/007/00{index}.png", (index, 0, index + 1, 1))
    record = read(category)[0]["test/missing/007.png"]
    assert [region.names for region in record.regions] == [("missing",)] * 2
    assert [int(np.argmax(draw_shape(region.shape, 30, 20)[0])) for region in record.regions] == [0, 1]


def test_links_that_lead_out_are_refused(category: Path) -> None:
    mask = category / "ground_truth/bent/000_mask.png"
    os.symlink(mask.rename(category.parent / "elsewhere.png"), mask)
    found, problems = read(category)
    assert "test/bent/000.png" not in found
    assert len(problems) == 1
    assert "is a link that leads out" in problems[0]


def test_categories_are_found(category: Path, tmp_path: Path) -> None:
    assert find_mvtec(category) == [category]
    assert find_mvtec(tmp_path) == [category]
    draw(tmp_path / "sets" / "bottle" / "test" / "broken" / "000.png")
    draw(tmp_path / "sets" / "bottle" / "ground_truth" / "broken" / "000_mask.png", (0, 0, 1, 1))
    assert find_mvtec(tmp_path) == [category, tmp_path / "sets" / "bottle"]
    assert find_mvtec(category / "test") == []
    assert find_mvtec(category / "test/good/000.png") == []
    assert find_mvtec(tmp_path / "none") == []


def test_other_folders_are_no_category(tmp_path: Path, category: Path) -> None:
    with pytest.raises(AnnotationError, match="no category of MVTec AD"):
        list(read_mvtec(category / "test", ReadOptions()))
    draw(tmp_path / "folders/test/minor/a.png")
    draw(tmp_path / "folders/train/minor/a.png")
    assert find_mvtec(tmp_path / "folders") == []
