"""Photos that went wrong, thousands of them, each made from a number: what fuzzing sends to the service."""

import io
import random
import struct
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image

SIZE = (96, 64)
STRANGE_NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
HEADER = 64  # bytes at the beginning of a file, in which most of the numbers stand that decoders trust
Mutation = Callable[[bytearray, random.Random], None]


def make_seeds() -> list[bytes]:
    """Sound photos of all kinds that are taken, and of the ways to write each."""
    photo = Image.fromarray(np.random.default_rng(1).integers(0, 256, (*SIZE[::-1], 3), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    ways: list[tuple[Image.Image, str, dict[str, object]]] = [
        (photo, "JPEG", {"quality": 80, "exif": exif}),
        (photo, "JPEG", {"progressive": True, "restart_marker_blocks": 4}),
        (photo.convert("L"), "JPEG", {}),
        (photo.convert("CMYK"), "JPEG", {}),
        (photo, "PNG", {"exif": exif}),
        (photo.convert("P"), "PNG", {"transparency": 3}),
        (photo.convert("RGBA"), "PNG", {}),
        (photo.convert("I;16"), "PNG", {}),
        (photo.convert("1"), "PNG", {}),
        (photo, "WEBP", {"quality": 70, "exif": exif}),
        (photo.convert("RGBA"), "WEBP", {"lossless": True}),
        (photo, "BMP", {}),
        (photo.convert("P"), "BMP", {}),
        (photo, "TIFF", {"exif": exif}),
        (photo, "TIFF", {"compression": "tiff_lzw"}),
        (photo, "TIFF", {"compression": "jpeg"}),
        (photo, "TIFF", {"compression": "tiff_adobe_deflate", "big_tiff": True}),
        (photo.convert("1"), "TIFF", {"compression": "group4"}),
    ]
    return [_written(*way) for way in ways]


def _written(image: Image.Image, kind: str, options: dict[str, object]) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def mutate_file(seeds: list[bytes], number: int) -> bytes:
    """One of the seeds with one to four things wrong; the same number gives the same bytes."""
    choose = random.Random(number)
    data = bytearray(choose.choice(seeds))
    for _ in range(choose.randint(1, 4)):
        choose.choice(_MUTATIONS)(data, choose)
    if choose.random() < 0.1:  # two files in one
        data += choose.choice((*seeds, b"PK\x03\x04", b"<script>alert(1)</script>", b"%PDF-1.7\n"))
    if choose.random() < 0.3 and data.startswith(b"\x89PNG"):  # else the sums of its parts give all away
        data = bytearray(_with_right_sums(bytes(data)))
    return bytes(data)


def _flip_bits(data: bytearray, choose: random.Random) -> None:
    for _ in range(choose.randint(1, 16)):
        if data:
            data[choose.randrange(len(data))] ^= 1 << choose.randrange(8)


def _break_header(data: bytearray, choose: random.Random) -> None:
    for _ in range(choose.randint(1, 4)):
        if data:
            data[choose.randrange(min(HEADER, len(data)))] = choose.randrange(256)


def _put_strange_number(data: bytearray, choose: random.Random) -> None:
    width = choose.choice("BHI")
    number = choose.choice(STRANGE_NUMBERS) & (256 ** struct.calcsize(width) - 1)
    place = choose.randrange(choose.choice((HEADER, len(data) + 1)))
    data[place : place + struct.calcsize(width)] = struct.pack(choose.choice("<>") + width, number)


def _cut_off(data: bytearray, choose: random.Random) -> None:
    del data[choose.randrange(len(data) + 1) :]


def _cut_out(data: bytearray, choose: random.Random) -> None:
    start = choose.randrange(len(data) + 1)
    del data[start : start + choose.randint(1, 200)]


def _repeat(data: bytearray, choose: random.Random) -> None:
    start = choose.randrange(len(data) + 1)
    data[start:start] = data[start : start + choose.randint(1, 400)] * choose.randint(1, 30)


def _put_noise(data: bytearray, choose: random.Random) -> None:
    start = choose.randrange(len(data) + 1)
    data[start : start + choose.randint(0, 100)] = choose.randbytes(choose.randint(1, 100))


_MUTATIONS: tuple[Mutation, ...] = (
    _flip_bits,
    _break_header,
    _put_strange_number,
    _cut_off,
    _cut_out,
    _repeat,
    _put_noise,
)


def _with_right_sums(data: bytes) -> bytes:
    """A PNG whose parts have the sums that belong to them, as far as its parts can be found."""
    made, place = bytearray(data[:8]), 8
    while place + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, place)
        part = data[place + 4 : place + 8 + length]
        made += struct.pack(">I", length) + part + struct.pack(">I", zlib.crc32(part))
        place += 12 + length
    return bytes(made)
