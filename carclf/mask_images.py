"""Masks as pictures: read, turned upright with their photo, resized, written."""

import colorsys
import hashlib
import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from carclf.errors import PhotoError
from carclf.files import write_whole
from carclf.images import UPRIGHT, Frame, convert, open_image, read_bytes, resize_channel
from carclf.label_file import Color, LabelSet
from carclf.labels import IGNORED_PIXEL

IGNORED_COLOR = (128, 128, 128)
_GOLDEN = 0.6180339887  # of the circle of hues: neighbours in the list look as different as can be


def turn_upright(mask: NDArray[np.uint8], frame: Frame) -> NDArray[np.uint8]:
    """Brings a mask that lies like the photo's file, uint8 of its stored size, to the upright photo's size."""
    turn = UPRIGHT.get(frame.orientation)
    return mask if turn is None else np.array(Image.fromarray(mask).transpose(turn))


def resize_mask_probability(probability: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Brings a mask's probabilities to a photo's own size with the same triangle filter.

    Args:
        probability: float32 (h, w), in [0, 1].
        size: (width, height) of the photo.

    Returns:
        float32 (height, width), in [0, 1].
    """
    image = Image.fromarray(np.ascontiguousarray(probability, dtype=np.float32))
    resized: NDArray[np.float32] = np.clip(resize_channel(image, size), 0.0, 1.0)
    return resized


def count_ids(mask: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Counts the pixels of every id: int64 (256,); numpy's bincount would make eight bytes of every pixel."""
    return np.array(Image.fromarray(np.ascontiguousarray(mask)).histogram(), np.int64)


def ids_in(mask: NDArray[np.uint8]) -> set[int]:
    """The ids that have a pixel."""
    return set(np.flatnonzero(count_ids(mask)).tolist())


def mask_sha256(mask: NDArray[np.uint8]) -> str:
    """SHA-256 of a mask's size and ids, in hex."""
    return hashlib.sha256(str(mask.shape).encode() + mask.tobytes()).hexdigest()


def read_mask(path: Path) -> NDArray[np.uint8]:
    """Reads a mask of class ids: uint8 (height, width). The file is an indexed or grey image of 8 bits.

    Raises:
        PhotoError: if the file cannot be read or holds colours in place of class ids.
    """
    image = open_image(read_bytes(path), str(path), draft_size=None)
    if image.mode == "1":
        return np.array(image).astype(np.uint8)
    if image.mode not in ("P", "L"):
        raise PhotoError(
            f"{path}: a mask of class ids was expected (indexed or grey, 8 bits), but it has mode "
            f"{image.mode}. "
            "Save it as an indexed PNG."
        )
    return np.array(image, dtype=np.uint8)


def read_binary_mask(path: Path) -> NDArray[np.bool_]:
    """Reads a mask of any mode: bool (height, width), whether a pixel is not black.

    Raises:
        PhotoError: if the file cannot be read.
    """
    image = open_image(read_bytes(path), str(path), draft_size=None)
    if image.mode in ("1", "L", "P") or image.mode.startswith(("I", "F")):  # of an indexed one the ids, not the colours
        return np.array(np.asarray(image) != 0)
    return np.array(np.asarray(convert(image, "RGB", str(path))).any(axis=-1))


def write_png(path: Path, array: NDArray[np.uint8]) -> None:
    """Writes uint8 (height, width) or (height, width, 3) as a PNG, whole or not at all.

    Raises:
        RunDirError: if the file cannot be written.
    """
    image = Image.fromarray(np.ascontiguousarray(array))
    write_whole(path, lambda file: image.save(file, format="PNG"))


def pack_mask(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Packs class ids, uint8 (height, width), as the bytes of a PNG: uint8 (n,)."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(mask)).save(buffer, format="PNG")
    return np.frombuffer(buffer.getvalue(), np.uint8)


def unpack_mask(packed: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Brings back what `pack_mask` packed."""
    with Image.open(io.BytesIO(packed.tobytes())) as image:
        return np.array(image)


def mask_colors(label_set: LabelSet) -> list[Color]:
    """Returns the colors of the ids 0 to 255 in an indexed mask: black, the classes', grey for ignored pixels.

    A class without a color in the label file gets one that no other class has.
    """
    colors = [(0, 0, 0)] * 256
    taken = {color for color in label_set.colors if color is not None} | {(0, 0, 0), IGNORED_COLOR}
    for class_id, color in enumerate(label_set.colors, 1):
        colors[class_id] = color or free_color(taken)
        taken.add(colors[class_id])
    colors[IGNORED_PIXEL] = IGNORED_COLOR
    return colors


def put_colors(mask: Image.Image, label_set: LabelSet) -> None:
    """Makes an image of class ids an indexed one in the colors of its classes."""
    mask.putpalette([value for color in mask_colors(label_set) for value in color])


def free_color(taken: set[Color]) -> Color:
    """The next color that no class has."""
    number = len(taken)
    while True:
        red, green, blue = colorsys.hsv_to_rgb(number * _GOLDEN % 1.0, 0.75, 0.9)
        color = (round(red * 255), round(green * 255), round(blue * 255))
        if color not in taken:
            return color
        number += 1
