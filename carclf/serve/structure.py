"""How the bytes of a photo are built, as far as can be told without a decoder.

A file of a few megabytes can keep a decoder busy for minutes, or fill the memory while its head is read: by thousands
of scans over one picture, by millions of empty parts, by a list of places that is longer than any picture. Others are
a photo to a decoder, and an archive, a PDF or a web page to whoever opens them next. No camera and no program writes
such files, so they are refused before a decoder sees them. Whatever else is wrong is told by the decoder.
"""

import re
import struct
from collections.abc import Callable, Iterator

_MOST_PARTS = 50_000  # segments of a JPEG, chunks of a PNG: seconds in Pillow from there on
_MOST_SCANNED = 2_000_000_000  # pixels × scans of a JPEG: 2 s; cameras and programs write up to 12 scans
_MOST_STRIPS = 100_000  # of a TIFF: more than rows of any photo
_MOST_ENTRIES = 4_096  # of a TIFF's directory
_MARKER = re.compile(rb"\xff+([^\x00\xd0-\xd7\xff])")  # in the pixels of a JPEG all others are data
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # markers that tell the size of the picture
_ALONE = (0x01, 0xD8)  # markers without a length
_ZIP_END = struct.Struct("<4s8xI4xH")  # signature, bytes of the directory before it, bytes of the comment after it
_ZIP_ENDS_WITHIN = 65_535 + _ZIP_END.size  # bytes from the end of a file: the longest comment
_PDF_BEGINS_WITHIN = 1_024  # bytes: readers look no further
_PAGE = re.compile(rb"<(script|html|!doctype html|svg)[\s>]", re.IGNORECASE)
_PAGE_WITHIN = 65_536  # bytes of either end
_STRIP_LISTS = (273, 279, 324, 325)  # tags: where strips or tiles are, how long they are


def tell_trouble(kind: str, data: bytes) -> str | None:
    """What is wrong with the structure of a photo, as the end of a sentence; None = nothing.

    Args:
        kind: Pillow's name of the format.
        data: the file's bytes.
    """
    check = _CHECKS.get(kind)
    return check(data) if check else None


def tell_second_kind(data: bytes) -> str | None:
    """What a file is beside a photo; None = nothing else.

    Further pictures and films behind a photo, as phones write them, are none of these.
    """
    if _is_zip(data):
        return "an archive or office document"
    if b"%PDF-" in data[:_PDF_BEGINS_WITHIN]:
        return "a PDF"
    return "a web page" if any(map(_PAGE.search, (data[:_PAGE_WITHIN], data[-_PAGE_WITHIN:]))) else None


def _is_zip(data: bytes) -> bool:
    """Whether it ends like a ZIP archive, which may have anything before it."""
    end = data.rfind(b"PK\5\6", max(0, len(data) - _ZIP_ENDS_WITHIN))
    if end < 0 or end + _ZIP_END.size > len(data):
        return False
    _, directory, comment = _ZIP_END.unpack_from(data, end)
    is_large = end >= 20 and data.startswith(b"PK\6\7", end - 20)  # its directory is told of elsewhere
    begins = directory <= end and data.startswith(b"PK\1\2", end - directory)
    return end + _ZIP_END.size + comment <= len(data) and (begins or is_large)


def _jpeg_trouble(data: bytes) -> str | None:
    parts = scans = pixels = 0
    for marker, place in _jpeg_markers(data):
        parts += 1
        scans += marker == _START_OF_SCAN
        if marker in _FRAMES:  # length, bits, height, width
            pixels = int.from_bytes(data[place + 3 : place + 5]) * int.from_bytes(data[place + 5 : place + 7])
        if parts > _MOST_PARTS:
            return f"has more than {_MOST_PARTS:,} segments, which no camera writes. Save it again."
        if scans > 1 and scans * pixels > _MOST_SCANNED:
            return f"has more than {scans - 1} scans at this size. Save it again, smaller or not progressive."
    return None


def _jpeg_markers(data: bytes) -> Iterator[tuple[int, int]]:
    """The markers up to the end of the image, or to where they are broken, and the place behind each."""
    place = 2
    while found := _MARKER.search(data, place):
        marker, place = found[1][0], found.end()
        yield marker, place
        if marker == _END_OF_IMAGE:
            return
        if marker not in _ALONE:
            length = int.from_bytes(data[place : place + 2])
            if length < 2:
                return
            place += length


def _png_trouble(data: bytes) -> str | None:
    place = 8
    for _ in range(_MOST_PARTS):
        if place + 8 > len(data) or data[place + 4 : place + 8] == b"IEND":
            return None
        place += 12 + int.from_bytes(data[place : place + 4])
    return f"has more than {_MOST_PARTS:,} chunks, which no program writes. Save it again."


def _tiff_trouble(data: bytes) -> str | None:
    order = "<" if data.startswith(b"II") else ">"
    big = struct.unpack_from(f"{order}H", data, 2)[0] == 43
    try:
        count, place = _tiff_directory(data, order, big)
        if count > _MOST_ENTRIES:
            return f"has a directory of {count:,} entries, which no program writes. Save it again."
        entry = struct.Struct(order + ("HHQQ" if big else "HHII"))
        listed = [entry.unpack_from(data, place + index * entry.size)[::2] for index in range(count)]
    except struct.error:
        return "is cut off within its directory."
    if any(tag in _STRIP_LISTS and length > _MOST_STRIPS for tag, length in listed):
        return f"is cut into more than {_MOST_STRIPS:,} strips or tiles, which no program does. Save it again."
    return None


def _tiff_directory(data: bytes, order: str, big: bool) -> tuple[int, int]:
    """(number of entries, place of the first one) of the first directory."""
    place = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)[0]
    if place > len(data):
        raise struct.error
    return struct.unpack_from(order + ("Q" if big else "H"), data, place)[0], place + (8 if big else 2)


_CHECKS: dict[str, Callable[[bytes], str | None]] = {
    "JPEG": _jpeg_trouble,
    "PNG": _png_trouble,
    "TIFF": _tiff_trouble,
}
