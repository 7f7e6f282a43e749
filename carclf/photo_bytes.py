"""Photos as other programs have them in memory, arrays and PIL images -> the bytes of a photo file, pixel for pixel."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from carclf.errors import PhotoError
from carclf.photo_source import PhotoSource

Photo = str | Path | bytes | NDArray[np.uint8] | Image.Image
"""What can be asked about: a path, a file's bytes, an array uint8 (h, w), (h, w, 3) or (h, w, 4), or a PIL image"""
_MODES_OF = {1: "L", 3: "RGB", 4: "RGBA"}  # by the number of channels
_AS_FILES_HAVE_IT = {"HSV": "RGB", "RGBX": "RGB", "La": "LA", "RGBa": "RGBA", "PA": "RGBA"}  # modes of no file format


def make_source(photo: object, name: str | None = None) -> PhotoSource:
    """Makes a photo that can be asked about of anything that is a Photo.

    Args:
        photo: see Photo. Arrays are RGB or RGBA, upright; PIL images are turned upright by their EXIF data. What shines
            through is seen over white.
        name: what answers and errors call it; default: the path, or what it is.

    Raises:
        PhotoError: if it is none of these, or its pixels are not 0 to 255.
    """
    if isinstance(photo, str | Path):
        if name is None:
            return PhotoSource(Path(photo))
        return PhotoSource(Path(name), PhotoSource(Path(photo)).read_bytes())
    if isinstance(photo, bytes | bytearray | memoryview):
        return PhotoSource(Path(name or "photo"), bytes(photo))
    if isinstance(photo, np.ndarray):
        called = name or f"array {' × '.join(map(str, photo.shape))}"
        return PhotoSource(Path(called), _pack(_array_image(photo, called)))
    if isinstance(photo, Image.Image):
        called = name or str(getattr(photo, "filename", "") or "image")
        return PhotoSource(Path(called), _pack(_upright(photo, called)))
    raise PhotoError(
        f"{name or 'photo'}: a path, bytes, an array or a PIL image was expected, not {type(photo).__name__}."
    )


def _array_image(array: NDArray[Any], name: str) -> Image.Image:
    if array.dtype.kind == "f":
        raise PhotoError(
            f"{name}: holds {array.dtype}, whose range is unknown. Give uint8, 0 to 255: of values in [0, 1] it is "
            '(255 * array).round().astype("uint8").'
        )
    if array.dtype != np.uint8:
        raise PhotoError(f"{name}: holds {array.dtype}. Give uint8, 0 to 255.")
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.ndim not in (2, 3) or channels not in _MODES_OF or not array.size:
        raise PhotoError(
            f"{name}: (height, width), (height, width, 3) or (height, width, 4) was expected, one photo at a time."
        )
    pixels = array[:, :, 0] if array.ndim == 3 and channels == 1 else array
    return Image.fromarray(np.ascontiguousarray(pixels))


def _upright(image: Image.Image, name: str) -> Image.Image:
    """A copy without EXIF data: it lies as a person sees it."""
    try:
        image.load()
    except Exception as error:  # decoders raise whatever they like on broken bytes
        raise PhotoError(f"{name}: cannot be decoded, it may be cut off ({error}).") from error
    if image.mode == "I":
        raise PhotoError(f"{name}: holds int32, whose range is unknown. Give uint8, 0 to 255, or 16 bits (I;16).")
    try:
        upright = ImageOps.exif_transpose(image)
    except Exception:  # damaged EXIF data: as of files, the photo counts as upright
        upright = image.copy()
    if "transparency" in upright.info:
        return upright.convert("RGBA")
    return upright.convert(_AS_FILES_HAVE_IT.get(upright.mode, upright.mode))


def _pack(image: Image.Image) -> bytes:
    """The pixels as an uncompressed TIFF, which takes every mode, and a hundredth of a second for 12 megapixels."""
    image.info = {}  # neither the compression of an earlier file, nor what else it said
    written = io.BytesIO()
    image.save(written, "TIFF", compression="raw")
    return written.getvalue()
