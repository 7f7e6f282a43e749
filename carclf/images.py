"""Photos: find, decode, orient, resize. With mask_images.py the only reader of pixels.

Pixels are decided once, the same everywhere: RGB after the EXIF orientation, transparency over white, decoded at the
smallest JPEG scale that still covers the wanted size, resized in float32 with an antialiased triangle filter,
values in [0, 1].
"""

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from carclf.errors import PhotoError

_JPEG_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif")
SUFFIXES_OF = {  # Pillow's name of a format -> suffixes of its files, the usual one first
    "JPEG": _JPEG_SUFFIXES,
    "MPO": (*_JPEG_SUFFIXES, ".mpo"),  # several JPEGs in one file, as phones make them
    "PNG": (".png",),
    "WEBP": (".webp",),
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "TIFF": (".tif", ".tiff"),
    "AVIF": (".avif",),
    "HEIF": (".heic", ".heif"),
}
PHOTO_SUFFIXES = tuple(dict.fromkeys(suffix for suffixes in SUFFIXES_OF.values() for suffix in suffixes))

MOST_PIXELS = 300_000_000  # phones take 200 million; a small file may claim any number and fill the memory
_TURNED_BY_PILLOW = "TIFF"  # which comes upright from Pillow, its size as well
_JPEG = b"\xff\xd8"
_JPEG_HEAD_BYTES = 256 * 1024  # where size and EXIF data stand as a rule; other formats may have them at the end
_EXIF_ORIENTATION = 0x0112
UPRIGHT = {  # EXIF orientation -> what turns the photo upright; 1 is upright already
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def has_photo_suffix(path: PurePath) -> bool:
    """Tells whether a file is called like a photo, in small letters or capitals."""
    return path.suffix.lower() in PHOTO_SUFFIXES


def find_photos(folder: Path) -> list[Path]:
    """Lists the photos in a folder and its subfolders, by suffix (any case), sorted by path; not hidden ones.

    Raises:
        PhotoError: if the folder is missing or holds no photo.
    """
    if not folder.is_dir():
        raise PhotoError(f"{folder}: no such folder. Give a folder of photos.")
    photos = sorted(
        path
        for path in folder.rglob("*")
        if has_photo_suffix(path) and path.is_file() and not _is_hidden(path.relative_to(folder))
    )
    if not photos:
        raise PhotoError(f"{folder}: holds no photo. Files of these kinds are looked for: {', '.join(PHOTO_SUFFIXES)}.")
    return photos


def read_photo(path: Path, image_size: int) -> NDArray[np.float32]:
    """Reads one photo for the network: float32 (image_size, image_size, 3), RGB, in [0, 1].

    Raises:
        PhotoError: names the file and what is wrong with it.
    """
    return decode_photo(read_bytes(path), image_size, str(path))


def decode_photo(data: bytes, image_size: int, name: str = "photo") -> NDArray[np.float32]:
    """Decodes the bytes of a photo of any size and kind; the aspect ratio is given up.

    Args:
        data: the file's bytes.
        image_size: pixels on each side of the result.
        name: how errors call the photo.

    Returns:
        float32 (image_size, image_size, 3), RGB, in [0, 1].

    Raises:
        PhotoError: if the bytes are empty, not a photo, or cut off.
    """
    image = open_image(data, name, draft_size=image_size)
    if _is_plain(image):
        channels, white = [channel.convert("F") for channel in convert(image, "RGB", name).split()], 255.0
    else:
        rgb = _to_rgb(image, name)
        channels, white = [Image.fromarray(rgb[:, :, i]) for i in range(3)], 1.0
    pixels = np.empty((image_size, image_size, 3), np.float32)
    for i, channel in enumerate(channels):
        pixels[:, :, i] = resize_channel(channel, (image_size, image_size))
    pixels /= np.float32(white)
    return np.clip(pixels, 0.0, 1.0, out=pixels)  # sums of weights are 1 only to the last bit


def read_full_photo(path: Path) -> NDArray[np.uint8]:
    """Reads one photo at its own size: uint8 (height, width, 3), RGB, upright.

    Raises:
        PhotoError: names the file and what is wrong with it.
    """
    return decode_full_photo(read_bytes(path), str(path))


def decode_full_photo(data: bytes, name: str) -> NDArray[np.uint8]:
    """Decodes the bytes of a photo at its own size: uint8 (height, width, 3), RGB, upright.

    Raises:
        PhotoError: if the bytes are empty, not a photo, or cut off.
    """
    image = open_image(data, name, draft_size=None)
    if _is_plain(image):
        return np.array(convert(image, "RGB", name))
    return np.round(_to_rgb(image, name) * 255.0).astype(np.uint8)


def photo_size(path: Path) -> tuple[int, int]:
    """Returns (width, height) of a photo held upright, without decoding it.

    Raises:
        PhotoError: if the file cannot be read or is not a photo.
    """
    frame = photo_frame(path)
    return frame.width, frame.height


@dataclass(frozen=True)
class Frame:
    """How large a photo is, and how it lies in its file.

    Attributes:
        width: in pixels, held upright.
        height: the same.
        orientation: EXIF orientation, 1 to 8; 1 = upright in the file, too.
    """

    width: int
    height: int
    orientation: int = 1

    @property
    def stored(self) -> tuple[int, int]:
        """(width, height) of the pixels as they are in the file."""
        return (self.height, self.width) if self.orientation >= 5 else (self.width, self.height)


def photo_frame(path: Path) -> Frame:
    """Returns the size of a photo and how it lies, without decoding it.

    Raises:
        PhotoError: if the file cannot be read or is not a photo.
    """
    try:
        with path.open("rb") if path.is_file() else io.BytesIO() as file:
            head = file.read(_JPEG_HEAD_BYTES)
        if head.startswith(_JPEG):
            return read_head(head, str(path))[1]
    except (OSError, PhotoError):
        pass  # nothing there, or a longer head
    return read_head(read_bytes(path), str(path))[1]


def read_head(data: bytes, name: str) -> tuple[str, Frame]:
    """Returns Pillow's name of the format ("JPEG") and the frame of a photo's bytes; nothing is decoded.

    Raises:
        PhotoError: if they are not a photo.
    """
    with _identify(data, name) as image:
        (width, height), orientation = image.size, _orientation(image)
        kind = image.format or ""
    lying = orientation >= 5 and kind != _TURNED_BY_PILLOW
    return kind, Frame(height, width, orientation) if lying else Frame(width, height, orientation)


def photo_sha256(path: Path) -> str:
    """Returns the SHA-256 of the file's bytes, in hex.

    Raises:
        PhotoError: if the file cannot be read.
    """
    return hashlib.sha256(read_bytes(path)).hexdigest()


def read_bytes(path: Path) -> bytes:
    """Reads a whole file.

    Raises:
        PhotoError: if the file cannot be read.
    """
    try:
        if path.exists() and not path.is_file():  # whoever reads a pipe may wait for ever
            raise PhotoError(f"{path}: cannot be read: it is no file.")
        return path.read_bytes()
    except FileNotFoundError:
        raise PhotoError(f"{path}: no such file.") from None
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL
        raise PhotoError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error}).") from error


def mirror(images: NDArray[Any]) -> NDArray[Any]:
    """Returns images (…, height, width, channels) with left and right swapped: a view, not a copy."""
    return images[..., ::-1, :]


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _identify(data: bytes, name: str) -> Image.Image:
    """Reads the head of a photo; nothing is decoded yet."""
    if not data:
        raise PhotoError(f"{name}: is empty (0 bytes).")
    Image.MAX_IMAGE_PIXELS = None  # Pillow's own limit is below what phones take; ours follows
    try:
        image = Image.open(io.BytesIO(data))
    except UnidentifiedImageError:
        hint = " Convert HEIC photos to JPEG." if data[4:8] == b"ftyp" else ""
        raise PhotoError(f"{name}: is not a photo that can be read (JPEG, PNG, WebP, TIFF, BMP, GIF).{hint}") from None
    except Exception as error:  # decoders raise whatever they like on broken bytes
        raise PhotoError(f"{name}: cannot be decoded ({error}).") from error
    if image.width * image.height > MOST_PIXELS:
        raise PhotoError(
            f"{name}: has {image.width} × {image.height} pixels, more than {MOST_PIXELS // 10**6} million. "
            "Make it smaller."
        )
    return image


def open_image(data: bytes, name: str, draft_size: int | None) -> Image.Image:
    """Decodes an image upright; a JPEG at the smallest of the scales 1/1 to 1/8 that still covers draft_size."""
    image = _identify(data, name)
    try:
        orientation = _orientation(image)
        if draft_size is not None:
            image.draft(None, (draft_size, draft_size))
        image.load()
    except Exception as error:  # as above: OSError, SyntaxError, ValueError, struct.error, zlib.error …
        raise PhotoError(f"{name}: cannot be decoded, it may be cut off ({error}).") from error
    turn = UPRIGHT.get(orientation) if image.format != _TURNED_BY_PILLOW else None
    return image if turn is None else image.transpose(turn)


def _orientation(image: Image.Image) -> int:
    """Returns the EXIF orientation 1 to 8; a photo whose EXIF block is damaged counts as upright."""
    try:
        orientation = image.getexif().get(_EXIF_ORIENTATION, 1)
        return int(orientation) if orientation in UPRIGHT else 1
    except Exception:  # the pixels may still be whole
        return 1


def _is_plain(image: Image.Image) -> bool:
    """Tells whether the pixels have 8 bits and nothing shines through."""
    return not (image.mode.startswith("I") or image.mode in ("F", "RGBa", "La") or image.has_transparency_data)


def convert(image: Image.Image, mode: str, name: str) -> Image.Image:
    """Converts an image to another of Pillow's modes.

    Raises:
        PhotoError: if its colours cannot be read.
    """
    try:
        return image if image.mode == mode else image.convert(mode)
    except ValueError as error:
        raise PhotoError(f"{name}: colours of mode {image.mode} cannot be read ({error}). Save it as RGB.") from error


def _to_rgb(image: Image.Image, name: str) -> NDArray[np.float32]:
    """Turns grey of 16 bits and transparent images into float32 (height, width, 3) in [0, 1]."""
    if image.mode.startswith("I"):
        grey = np.asarray(image).astype(np.float32) / np.float32(65535.0)
        if grey.min() < 0.0 or grey.max() > 1.0:
            raise PhotoError(f"{name}: has more than 16 bits a channel. Save it with 8 or 16 bits.")
        return np.repeat(grey[:, :, None], 3, axis=-1)
    if image.mode == "F":
        raise PhotoError(f"{name}: holds floating-point pixels, whose range is unknown. Save it with 8 or 16 bits.")
    pixels = np.asarray(convert(image, "RGBA", name)).astype(np.float32) / np.float32(255.0)
    alpha = pixels[:, :, 3:]
    over_white: NDArray[np.float32] = pixels[:, :, :3] * alpha + (np.float32(1.0) - alpha)
    return over_white


def resize_channel(image: Image.Image, size: tuple[int, int]) -> NDArray[np.float32]:
    """Resizes one float32 channel; Pillow's BILINEAR is the triangle filter, widened when it shrinks."""
    return np.asarray(image.resize(size, Image.Resampling.BILINEAR), dtype=np.float32)
