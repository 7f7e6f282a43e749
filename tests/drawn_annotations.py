"""Photos and VIA files for the tests of the import."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from carclf.annotations.shapes import Shape, rasterise
from carclf.cli import main

RED, GREY = (220, 30, 30), (120, 120, 120)
BOX = (4, 6, 16, 8)  # x, y, width, height
UPRIGHT_TO_STORED = {  # EXIF orientation -> what brings an upright picture into the file's order
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def draw_photo(path: Path, seed: int = 0, orientation: int = 1, size: tuple[int, int] = (48, 32)) -> Path:
    """Writes a grey photo with a red BOX, as a person sees it, in the order of an EXIF orientation."""
    pixels = np.full((size[1], size[0], 3), GREY, np.uint8)
    x, y, width, height = BOX
    pixels[y : y + height, x : x + width] = RED
    image = Image.fromarray(pixels)
    turn = UPRIGHT_TO_STORED[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path.parent.mkdir(parents=True, exist_ok=True)
    stored = image if turn is None else image.transpose(turn)
    stored.save(path, exif=exif, quality=98, subsampling=0)
    path.write_bytes(path.read_bytes() + f"#{seed}".encode())  # content of its own
    return path


def draw_shape(shape: Shape, width: int, height: int) -> NDArray[np.bool_]:
    """The pixels that a shape covers: bool (height, width)."""
    return rasterise([(1, shape)], width, height).astype(bool)


def box(*names: str, shift: int = 0) -> dict[str, Any]:
    """A VIA region: BOX, called by these names."""
    x, y, width, height = BOX
    shape = {"name": "rect", "x": x + shift, "y": y, "width": width, "height": height}
    return {"shape_attributes": shape, "region_attributes": {f"type{i}": name for i, name in enumerate(names)}}


def write_via(path: Path, photos: dict[str, list[Any]]) -> Path:
    """Writes a VIA file: photo -> regions."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({name: {"filename": name, "regions": regions} for name, regions in photos.items()}))
    return path


def draw_via_set(folder: Path, photos: dict[str, list[Any]], name: str = "via.json") -> Path:
    """Draws the photos of a VIA file beside it, each with content of its own."""
    for photo in photos:
        if not (folder / photo).exists():
            draw_photo(folder / photo, seed=sum(map(ord, photo)))
    return write_via(folder / name, photos)


def run_import(*words: object) -> int:
    """Calls the program: python main.py import …"""
    return main(["import", *map(str, words)])


def read_ids(folder: Path, head: str, photo: str) -> Any:
    """The class ids of an imported mask: (height, width)."""
    with Image.open(folder / "masks" / head / f"{Path(photo).with_suffix('')}.png") as image:
        assert image.mode == "P"
        return np.array(image)


def contents(folder: Path) -> dict[str, bytes]:
    """File -> bytes, of all files of a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
