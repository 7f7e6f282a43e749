"""Small masks that tests save, and what the reader of masks makes of them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from carclf.annotations.mask_files import read_mask_folder
from carclf.annotations.mask_pictures import load_class_mask
from carclf.annotations.records import ClassMask, Problem, ReadOptions, Record
from carclf.label_file import Color
from carclf.labels import LabelSet

ONE = LabelSet(("damage",), (0,), (None,), Path("one.txt"))
TWO = LabelSet(("dent", "glass"), (0, 1), (None, None), Path("two.txt"))
RED, BLUE = (200, 30, 30), (20, 60, 210)
COLORS: Mapping[Color, str] = {RED: "dent", BLUE: "glass"}
HITL: Mapping[Color, str] = {
    (19, 164, 201): "Missing_part",
    (166, 255, 71): "Broken_part",
    (180, 45, 56): "Scratch",
    (225, 150, 96): "Cracked",
    (144, 60, 89): "Dent",
    (167, 116, 27): "Flaking",
    (255, 0, 255): "Paint_chip",
    (115, 194, 206): "Corrosion",
}


def save(path: Path, mask: Any, mode: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.array(mask, np.uint8))
    (image.convert(mode) if mode else image).save(path)
    return path


def save_indexed(path: Path, ids: Any, palette: Mapping[int, Color]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.array(ids, np.uint8)).convert("P")
    image.putpalette([value for index in range(256) for value in palette.get(index, (0, 0, 0))])
    image.save(path)
    return path


def paint(ids: Any, colors: Mapping[int, Color]) -> NDArray[np.uint8]:
    return np.array([[colors.get(each, (0, 0, 0)) for each in row] for row in ids], np.uint8)


def read(folder: Path, **options: Any) -> dict[str, Record]:
    found = list(read_mask_folder(folder, ReadOptions(**options)))
    assert all(isinstance(each, Record) for each in found), found
    return {each.photo: each for each in found if isinstance(each, Record)}


def problems(folder: Path) -> list[str]:
    return [
        f"{each.place}: {each.what}" for each in read_mask_folder(folder, ReadOptions()) if isinstance(each, Problem)
    ]


def load(record: Record, label_set: LabelSet = TWO) -> list[list[int]]:
    assert record.mask is not None
    ids = load_class_mask(record.mask, label_set)
    assert ids.dtype == np.uint8
    return [[int(value) for value in row] for row in ids]


def load_file(path: Path, label_set: LabelSet = TWO, **known: Any) -> list[list[int]]:
    return load(Record("a", "a", mask=ClassMask(path, **known)), label_set)
