"""Files are judged by their bytes; what would fill the memory or keep a decoder busy is refused undecoded."""

import io
import re
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from carclf.serve.refusals import NOT_A_PHOTO, WRONG_KIND, Refusal
from carclf.serve.settings import Limits
from carclf.serve.uploads import Checked, Upload, check_upload, clean_name

SIZE = (48, 32)
NOISE = np.random.default_rng(0).integers(0, 256, (*SIZE[::-1], 3), np.uint8)
PHOTO = Image.fromarray(NOISE)


def written(kind: str, image: Image.Image = PHOTO, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def check(data: bytes, limits: Limits = Limits(), name: str = "photo") -> Checked:  # noqa: B008
    return check_upload(Upload(name, data), limits)


def refusal(data: bytes, limits: Limits = Limits(), name: str = "photo") -> Refusal:  # noqa: B008
    with pytest.raises(Refusal) as caught:
        check(data, limits, name)
    return caught.value


def chunk(kind: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *chunks: bytes) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND")


def tiff(strips: int = 1, entries: int = 0) -> bytes:
    known = [(256, 3, 1, 8), (257, 4, 1, 8), (258, 3, 1, 8), (262, 3, 1, 1), (273, 4, strips, 8), (277, 3, 1, 1)]
    tags = known + [(40_000 + place, 3, 1, 0) for place in range(entries)]
    directory = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + directory + bytes(100)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF"])
def test_five_kinds_are_taken_whatever_they_are_called(kind: str) -> None:
    data = written(kind)
    checked = check(data, name="notes.txt")
    assert checked.size == SIZE
    assert checked.source.path == Path("notes.txt")
    assert checked.source.data == data


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (written("GIF"), "is a GIF"),
        (b"\0\0\0\x18ftypheic" + bytes(40), "is a HEIC, AVIF or film"),
        (b"%PDF-1.7\n", "is a PDF"),
        (b"PK\x03\x04" + bytes(40), "is an archive"),
        (b'<?xml version="1.0"?><svg/>', "is an SVG or web page"),
    ],
)
def test_other_kinds_are_told_by_name(data: bytes, what: str) -> None:
    found = refusal(data, name="car.jpg")
    assert found.status == WRONG_KIND
    assert found.sentence.startswith(f"car.jpg: {what}")
    assert "JPEG, PNG, WebP, BMP and TIFF are taken" in found.sentence


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "is empty"),
        (b"no photo at all", "is not a photo"),
        (written("JPEG")[:20], "begins like a JPEG but is none, or is cut off"),
        (written("PNG")[:20], "begins like a PNG but is none, or is cut off|cannot be decoded"),
        (b"BM" + bytes(60), "cannot be decoded"),
        (tiff()[:20], "is cut off within its directory"),
        (b"II*\0" + b"\xff" * 4, "is cut off within its directory"),
        (png(50_000, 50_000), "has 50000 × 50000 pixels; at most 100,000,000 are taken"),
        (png(70_000, 10), "has 70000 × 10 pixels"),
        (png(8, 8, *[chunk(b"tEXt", b"a\0b")] * 50_001), "has more than 50,000 chunks"),
        (b"\xff\xd8" + b"\xff\xfe\0\2" * 50_001 + written("JPEG")[2:], "has more than 50,000 segments"),
        (tiff(strips=200_000), "is cut into more than 100,000 strips"),
        (tiff(entries=5_000), "has a directory of 5,006 entries"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_or_should_not_be_decoded_is_refused(data: bytes, sentence: str) -> None:
    found = refusal(data)
    assert found.status == NOT_A_PHOTO
    assert re.search(sentence, found.sentence)


def test_many_scans_over_a_large_picture_are_refused() -> None:
    data = written("JPEG", Image.new("L", (6000, 4000)), progressive=True)
    assert check(data).size == (6000, 4000)
    last = data.rindex(b"\xff\xda")
    repeated = data[:-2] + data[last:-2] * 100 + data[-2:]
    assert "more than 83 scans at this size" in refusal(repeated).sentence


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_several_pictures_in_one_are_refused(kind: str) -> None:
    data = written(kind, save_all=True, append_images=[Image.new("RGB", SIZE)])
    assert "holds several pictures" in refusal(data).sentence


def test_a_second_picture_of_a_phone_does_not_matter() -> None:
    data = written("MPO", save_all=True, append_images=[Image.new("RGB", (10, 10))])
    assert check(data).size == SIZE


def archive(comment: bytes = b"") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as written_into:
        written_into.writestr("run.js", "alert(1)")
        written_into.comment = comment
    return file.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF"])
def test_what_follows_the_picture_is_no_part_of_it(kind: str) -> None:
    data = written(kind)
    both = check(data + b"\0\0\0\x18ftypmp42" + bytes(1000) + b"PK\3\4 PK\5\6" + written("JPEG"))
    np.testing.assert_array_equal(both.source.read_full(), check(data).source.read_full())


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF"])
@pytest.mark.parametrize(
    ("more", "what"),
    [
        (archive(), "an archive or office document"),
        (archive(b"a comment") + bytes(100), "an archive or office document"),
        (b"<html><body>", "a web page"),
        (b"<SCRIPT >alert(1)</SCRIPT>", "a web page"),
    ],
    ids=["zip", "zip-comment", "page", "script"],
)
def test_what_is_something_else_as_well_is_refused(kind: str, more: bytes, what: str) -> None:
    found = refusal(written(kind) + more)
    assert found.status == NOT_A_PHOTO
    assert found.sentence == f"photo: is {what} as well. Save the photo again, as a JPEG."


def test_a_second_kind_is_found_within_the_photo() -> None:
    for comment, what in ((b"%PDF-1.7", "a PDF"), (b"<script>", "a web page"), (archive(), "an archive")):
        assert f"is {what}" in refusal(written("JPEG", comment=comment)).sentence


def test_transparent_photos_cost_three_times_as_much() -> None:
    limits = Limits(most_pixels=2 * SIZE[0] * SIZE[1])
    assert check(written("PNG"), limits).cost == SIZE[0] * SIZE[1]
    clear = written("PNG", PHOTO.convert("RGBA"))
    assert check(clear).cost == 3 * SIZE[0] * SIZE[1]
    assert "at most 1,024 are taken" in refusal(clear, limits).sentence


def test_the_size_is_that_of_the_photo_held_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for kind in ("JPEG", "PNG", "WEBP", "TIFF"):
        assert check(written(kind, exif=exif)).size == SIZE[::-1]


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("car.jpg", "car.jpg"),
        ("../../etc/passwd", "passwd"),
        ("C:\\fakepath\\Auto vorn.JPG", "Auto vorn.JPG"),
        ("", "photo-3"),
        ("..\\", "photo-3"),
        ("a\0b\r\nc\u202egpj.exe", "abcgpj.exe"),
        ("x" * 500, "x" * 200),
        ("Kotflügel 汽车.png", "Kotflügel 汽车.png"),
    ],
)
def test_names_are_only_names(given: str, name: str) -> None:
    assert clean_name(given, 3) == name
