"""A graph that reads the bytes of a photo sees the pixels that images.decode_photo sees."""

import io
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from carclf.export import photo_graph
from carclf.export.photo_graph import read_in_graph
from carclf.images import decode_photo, read_head

SIZES = (24, 64)
CLOSE = 3e-5  # weights of the triangle filter in float32 here, in float64 in Pillow
Read = Callable[[bytes], tuple[list[Any], tuple[int, ...]]]


@pytest.fixture(scope="module")
def read() -> Read:
    @tf.function(input_signature=[tf.TensorSpec((), tf.string)])
    def graph(data: Any) -> Any:
        images, size = read_in_graph(data, SIZES)
        return [images[each] for each in SIZES], size

    def run(data: bytes) -> tuple[list[Any], tuple[int, ...]]:
        images, size = graph(data)
        return [image.numpy() for image in images], tuple(size.numpy().tolist())

    return run


def cloudy(width: int, height: int, mode: str = "RGB") -> Image.Image:
    """Soft clouds and some noise, in every channel other ones."""
    random = np.random.default_rng(width * height)
    channels = len(Image.new(mode, (1, 1)).getbands())
    coarse = [Image.fromarray(random.integers(0, 256, (6, 8), dtype=np.uint8)) for _ in range(channels)]
    soft = [np.asarray(each.resize((width, height), Image.Resampling.BICUBIC), np.float64) for each in coarse]
    noisy = np.stack(soft, axis=-1) + random.normal(0, 9, (height, width, channels))
    pixels = np.clip(noisy, 0, 255).astype(np.uint8)
    return Image.merge(mode, [Image.fromarray(np.ascontiguousarray(pixels[..., i])) for i in range(channels)])


def encoded(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def oriented(value: int) -> bytes:
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "maker of the camera", value
    return exif.tobytes()


def block(kind: int, count: int, value: bytes, order: str = ">") -> bytes:
    """An EXIF block of two entries, written by hand."""
    head = b"Exif\0\0" + (b"MM\0*" if order == ">" else b"II*\0") + struct.pack(order + "IH", 8, 2)
    first = struct.pack(order + "HHIHH", 0x0110, 3, 1, 5, 0)
    return head + first + struct.pack(order + "HHI", 0x0112, kind, count) + value + struct.pack(order + "I", 0)


def check(read: Read, data: bytes) -> None:
    images, size = read(data)
    _, frame = read_head(data, "photo")
    assert size == (frame.width, frame.height)
    for image, side in zip(images, SIZES, strict=True):
        np.testing.assert_allclose(image, decode_photo(data, side), rtol=0, atol=CLOSE)


@pytest.mark.parametrize("orientation", range(10))
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_photos_are_turned_upright(read: Read, kind: str, orientation: int) -> None:
    check(read, encoded(cloudy(61, 47), kind, exif=oriented(orientation)))


@pytest.mark.parametrize(
    "size", [(1, 1), (23, 200), (48, 48), (127, 130), (192, 191), (515, 389), (1201, 803)], ids=str
)
def test_jpegs_are_decoded_at_the_same_scale(read: Read, size: tuple[int, int]) -> None:
    check(read, encoded(cloudy(*size), quality=80))


@pytest.mark.parametrize(
    ("mode", "options"),
    [
        ("L", {}),
        ("RGB", {"keep_rgb": True}),
        ("RGB", {"subsampling": 0}),
        ("RGB", {"subsampling": 1, "progressive": True}),
        ("RGB", {"comment": b"\xff\xd9" * 9, "icc_profile": bytes(70_000), "exif": oriented(5)}),
    ],
    ids=str,
)
def test_kinds_of_jpeg(read: Read, mode: str, options: dict[str, Any]) -> None:
    check(read, encoded(cloudy(150, 110, mode), **options))


def test_jpegs_of_four_inks_are_darker_by_one_level_at_most(read: Read) -> None:
    data = encoded(cloudy(150, 110, "CMYK"))
    images, _ = read(data)
    for image, side in zip(images, SIZES, strict=True):
        darker = decode_photo(data, side) - image
        assert -CLOSE < darker.min() < darker.max() < 1 / 255 + CLOSE  # TensorFlow cuts off where Pillow rounds


def test_kinds_of_png(read: Read) -> None:
    for mode in ("L", "LA", "RGB", "RGBA"):
        check(read, encoded(cloudy(40, 30, mode), "PNG"))
    check(read, encoded(cloudy(40, 30).convert("1"), "PNG"))
    check(read, encoded(cloudy(40, 30).quantize(12), "PNG", bits=4))
    check(read, encoded(cloudy(40, 30).quantize(12), "PNG", bits=4, transparency=3))
    check(read, encoded(cloudy(40, 30, "L"), "PNG", transparency=99))
    deep = np.random.default_rng(1).integers(0, 65536, (30, 40), dtype=np.uint16)
    check(read, encoded(Image.fromarray(deep), "PNG"))


@pytest.mark.parametrize(
    "exif",
    [
        block(3, 1, struct.pack(">HH", 6, 0)),
        block(3, 1, struct.pack("<HH", 8, 0), "<"),
        block(4, 1, struct.pack(">I", 3)),
        block(1, 1, b"\6\0\0\0"),
        block(4, 2, struct.pack(">I", 40)),
        block(3, 1, b"")[:-2],
        block(3, 1, struct.pack(">HH", 6, 0)).replace(b"MM\0*", b"XX\0*"),
        block(3, 1, struct.pack(">HH", 6, 0)).replace(b"\0\0\0\10", b"\xff\xff\xff\xf0"),
        b"Exif\0\0",
    ],
    ids=["big endian", "little endian", "long", "byte", "two", "cut off", "no order", "far away", "empty"],
)
@pytest.mark.filterwarnings("ignore::UserWarning:PIL.TiffImagePlugin")
def test_exif_is_read_as_pillow_reads_it(read: Read, exif: bytes) -> None:
    check(read, encoded(cloudy(61, 47), exif=exif))


def test_xmp_says_how_a_photo_lies_where_exif_does_not(read: Read) -> None:
    xmp = b'<x \xff\xfe tiff:Orientation="6"/> <tiff:Orientation>3</tiff:Orientation>'
    nothing = Image.Exif()
    nothing[0x010F] = "maker"
    check(read, encoded(cloudy(61, 47), xmp=xmp))
    check(read, encoded(cloudy(61, 47), xmp=xmp, exif=nothing.tobytes()))
    check(read, encoded(cloudy(61, 47), xmp=xmp, exif=oriented(8)))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no photo",
        encoded(cloudy(9, 9), "BMP"),
        encoded(cloudy(99, 99))[:1500],
        encoded(cloudy(9, 9), "PNG")[:150],
    ],
    ids=["empty", "text", "bmp", "cut off jpeg", "cut off png"],
)
def test_what_cannot_be_read_is_an_error(read: Read, data: bytes) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError):
        read(data)


def test_a_photo_that_would_fill_the_memory_is_refused_before_it_is_decoded(
    read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photo_graph, "MOST_PIXELS", 100)
    small = tf.function(lambda data: read_in_graph(data, (24,))[0][24])
    assert small(encoded(cloudy(10, 10))).shape == (24, 24, 3)
    with pytest.raises(tf.errors.InvalidArgumentError, match="more than 100 pixels"):
        small(encoded(cloudy(10, 11), "PNG"))
