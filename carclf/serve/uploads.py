"""What a client sent: checked by its bytes, whatever it is called, before anything is decoded.

Five kinds of files are taken. Each is opened by the decoder of its own kind alone. What follows a picture's end (phones
put films and further pictures there) is no part of it: nothing here reads it. Files that are an archive, a PDF or a web
page as well are refused.
"""

import io
import re
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from carclf.errors import PhotoError
from carclf.images import read_head
from carclf.photo_source import PhotoSource
from carclf.serve.refusals import NOT_A_PHOTO, WRONG_KIND, Refusal
from carclf.serve.settings import Limits
from carclf.serve.structure import tell_second_kind, tell_trouble

TAKEN = ("JPEG", "PNG", "WebP", "BMP", "TIFF")
_BEGINNINGS = {  # Pillow's name of a format -> how its files begin
    "JPEG": re.compile(rb"\xff\xd8\xff"),
    "PNG": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "WEBP": re.compile(rb"RIFF.{4}WEBP", re.DOTALL),
    "BMP": re.compile(rb"BM"),
    "TIFF": re.compile(rb"II[*+]\0|MM\0[*+]"),
}
_NOT_TAKEN = {  # what people send by mistake
    "a GIF": re.compile(rb"GIF8[79]a"),
    "a HEIC, AVIF or film": re.compile(rb".{4}ftyp", re.DOTALL),
    "a PDF": re.compile(rb"%PDF-"),
    "an archive or office document": re.compile(rb"PK\x03\x04|\x1f\x8b|7z\xbc\xaf|Rar!"),
    "an SVG or web page": re.compile(rb"\s*(<\?xml|<svg|<!doctype|<html)", re.IGNORECASE),
    "a Photoshop file": re.compile(rb"8BPS"),
    "a JPEG 2000 or JPEG XL": re.compile(rb"\0\0\0\x0c(jP  |JXL )|\xff\x0a|\xff\x4f\xff\x51", re.DOTALL),
}
_FLOAT_MODES = ("RGBA", "LA", "PA", "RGBa", "La", "I", "I;16", "I;16B", "I;16L", "I;16N", "F")
_FLOAT_COST = 3  # times the memory of other pixels
_LONGEST_SIDE = 65_535  # what a JPEG can have; a longer one is a scan or an attack
_LONGEST_NAME = 200  # characters that are told
_NOT_IN_NAMES = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")  # controls, turned writing


@dataclass(frozen=True)
class Upload:
    """One file as it came.

    Attributes:
        name: what answers call it.
        data: its bytes.
    """

    name: str
    data: bytes


@dataclass(frozen=True)
class Checked:
    """A photo that can be asked about.

    Attributes:
        source: its bytes, under its name, which is never looked for on the disk.
        size: (width, height) held upright.
        cost: pixels that it counts for while it is answered.
    """

    source: PhotoSource
    size: tuple[int, int]
    cost: int


def clean_name(given: str, number: int) -> str:
    """What a photo is called: the last part of what its client calls it, without what would mislead a reader.

    Args:
        given: by the client, perhaps a path, perhaps "".
        number: of the photo in its request, from 1.
    """
    last = re.split(r"[/\\]", given)[-1]
    return _NOT_IN_NAMES.sub("", last)[:_LONGEST_NAME].strip() or f"photo-{number}"


def check_upload(upload: Upload, limits: Limits) -> Checked:
    """Checks one file; its pixels are not decoded.

    Raises:
        Refusal: if it is none of the kinds that are taken, too large, several pictures in one, or broken.
    """
    kind = _kind_of(upload)
    image = _open(upload, kind)
    width, height = image.size
    pixels = width * height
    cost = pixels * (_FLOAT_COST if image.mode in _FLOAT_MODES or image.has_transparency_data else 1)
    if cost > limits.most_pixels or max(width, height) > _LONGEST_SIDE:
        most = limits.most_pixels * pixels // cost
        raise Refusal(
            NOT_A_PHOTO,
            f"{upload.name}: has {width} × {height} pixels; at most {most:,} are taken, {_LONGEST_SIDE:,} on a side. "
            "Make it smaller.",
        )
    if kind != "JPEG" and getattr(image, "is_animated", False):  # phones put a second one into a JPEG; the first counts
        raise Refusal(NOT_A_PHOTO, f"{upload.name}: holds several pictures (animated or of several pages). Send one.")
    try:
        _, frame = read_head(upload.data, upload.name)
    except PhotoError as error:
        raise Refusal(NOT_A_PHOTO, str(error)) from error
    return Checked(PhotoSource(Path(upload.name), upload.data), (frame.width, frame.height), cost)


def _kind_of(upload: Upload) -> str:
    """Pillow's name of its format, by its first bytes."""
    for kind, beginning in _BEGINNINGS.items():
        if beginning.match(upload.data):
            return kind
    taken = f"{', '.join(TAKEN[:-1])} and {TAKEN[-1]} are taken"
    for what, beginning in _NOT_TAKEN.items():
        if beginning.match(upload.data):
            raise Refusal(WRONG_KIND, f"{upload.name}: is {what}; {taken}. Save it as a JPEG.")
    trouble = "is not a photo" if upload.data else "is empty (0 bytes)"
    raise Refusal(NOT_A_PHOTO, f"{upload.name}: {trouble}; {taken}.")


def _open(upload: Upload, kind: str) -> Image.Image:
    """Reads the head with the decoder of this kind alone, once the structure is sound."""
    if trouble := tell_trouble(kind, upload.data):
        raise Refusal(NOT_A_PHOTO, f"{upload.name}: {trouble}")
    if other := tell_second_kind(upload.data):
        raise Refusal(NOT_A_PHOTO, f"{upload.name}: is {other} as well. Save the photo again, as a JPEG.")
    Image.MAX_IMAGE_PIXELS = None  # as in carclf.images: our own limit follows
    try:
        return Image.open(io.BytesIO(upload.data), formats=(kind,))
    except UnidentifiedImageError:
        message = f"{upload.name}: begins like a {kind} but is none, or is cut off."
        raise Refusal(NOT_A_PHOTO, message) from None
    except Exception as error:  # decoders raise whatever they like on broken bytes
        raise Refusal(NOT_A_PHOTO, f"{upload.name}: cannot be decoded ({error}).") from error
