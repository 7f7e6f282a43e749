"""How a photo lies in its file, read from its bytes inside a TensorFlow graph, and what turns it upright.

As Pillow reads it: from the EXIF block, in a JPEG without one from XMP. A damaged block counts as upright.
"""

from typing import Any

import tensorflow as tf

_ORIENTATION = 0x0112
_SHORT, _LONG = 3, 4  # kinds of whole numbers in EXIF
_BYTE_ORDERS = (b"II*\x00", b"MM\x00*", b"II\x00*", b"MM*\x00")
_ENTRY = 12  # bytes: tag (2), kind (2), count (4), value (4)
_APP1, _PIXELS_FOLLOW = 0xE1, (0xDA, 0xD9)  # second bytes of JPEG's markers; the first is 0xFF
_STAND_ALONE = (0x01, *range(0xD0, 0xD9))  # markers without a length
_PADDING = 0xFF
_EXIF, _XMP = b"Exif\x00\x00", b"http://ns.adobe.com/xap/1.0/\x00"
_XMP_ORIENTATION = r'(?s)\C*?tiff:Orientation(?:="|>)([0-9])\C*'
_NOT_SAID = 0
_TAIL = 4  # zero bytes behind a block: what would be read beyond its end


def turn_upright(pixels: Any, orientation: Any) -> Any:
    """Turns a square photo upright; pixels: (S, S, 3), orientation: int32, EXIF's 1 to 8."""
    pixels = tf.where(orientation >= 5, tf.transpose(pixels, (1, 0, 2)), pixels)
    pixels = tf.where(_is_among(orientation, (2, 3, 6, 7)), tf.reverse(pixels, [1]), pixels)
    return tf.where(_is_among(orientation, (3, 4, 7, 8)), tf.reverse(pixels, [0]), pixels)


def jpeg_orientation(data: Any) -> Any:
    """int32, 1 to 8: how a JPEG lies; data: scalar string tensor."""
    exif, xmp = _find_app1(data)
    said = _read_exif(exif)
    digit = tf.strings.regex_replace(xmp, _XMP_ORIENTATION, r"\1")
    in_xmp = tf.strings.to_number(tf.where(tf.strings.length(digit) == 1, digit, "0"), tf.int32)
    return _checked(tf.where(said == _NOT_SAID, in_xmp, said))


def png_orientation(data: Any) -> Any:
    """int32, 1 to 8: how a PNG lies, by its eXIf chunk; data: scalar string tensor."""
    codes = tf.io.decode_raw(data, tf.uint8)
    chunk = tf.constant(list(b"eXIf"), tf.uint8)
    count = tf.maximum(tf.size(codes) - 11, 0)
    found = tf.reduce_all(tf.stack([codes[i : i + count] == chunk[i] for i in range(4)]), axis=0)
    head = codes[4 : 4 + count]
    found &= (head == ord("I")) | (head == ord("M"))
    starts = tf.cast(tf.where(found)[:1, 0], tf.int32)
    exif = tf.cond(tf.size(starts) > 0, lambda: tf.strings.substr(data, starts[0] + 4, -1), lambda: b"")
    return _checked(_read_exif(exif))


def _find_app1(data: Any) -> tuple[Any, Any]:
    """The EXIF block and the XMP of a JPEG, "" for what it does not have: scalar string tensors."""
    codes = tf.cast(tf.io.decode_raw(data, tf.uint8), tf.int32)
    last = tf.size(codes) - 4

    def is_segment(place: Any, exif: Any, xmp: Any) -> Any:
        begins = tf.cond(place <= last, lambda: codes[place] == _PADDING, lambda: False)
        return tf.cond(begins, lambda: ~_is_among(codes[place + 1], _PIXELS_FOLLOW), lambda: False)

    def take(place: Any, exif: Any, xmp: Any) -> tuple[Any, Any, Any]:
        marker, length = codes[place + 1], codes[place + 2] * 256 + codes[place + 3]
        content = tf.strings.substr(data, place + 4, tf.where(marker == _APP1, tf.maximum(length - 2, 0), 0))
        is_exif = (tf.strings.substr(content, 0, len(_EXIF)) == _EXIF) & (exif == b"")
        is_xmp = tf.strings.substr(content, 0, len(_XMP)) == _XMP
        step = tf.where(_is_among(marker, _STAND_ALONE), 2, 2 + length)
        step = tf.where(marker == _PADDING, 1, step)
        return place + step, tf.where(is_exif, content, exif), tf.where(is_xmp, content, xmp)

    _, exif, xmp = tf.while_loop(is_segment, take, (2, tf.constant(b""), tf.constant(b"")))
    return tf.strings.substr(exif, tf.minimum(len(_EXIF), tf.strings.length(exif)), -1), xmp


def _read_exif(block: Any) -> Any:
    """int32: what an EXIF block says of the orientation; _NOT_SAID without one.

    Args:
        block: scalar string tensor that begins with the byte order; there may be more behind it.
    """
    codes = tf.pad(tf.cast(tf.io.decode_raw(block, tf.uint8), tf.int64), [[0, _TAIL]])
    size = tf.size(codes, tf.int64) - _TAIL
    is_little = codes[0] == ord("I")

    def numbers(places: Any, count: int) -> Any:
        """int64 (n,): the unsigned numbers of `count` bytes at places (n,)."""
        each = tf.gather(codes, tf.minimum(places, size)[:, None] + tf.range(count, dtype=tf.int64))
        powers = tf.constant([256**power for power in range(count)], tf.int64)
        return tf.reduce_sum(each * tf.where(is_little, powers, powers[::-1]), axis=1)

    first = numbers(tf.constant([4], tf.int64), 4)  # where the table begins
    count = tf.clip_by_value(numbers(first, 2)[0], 0, tf.maximum((size - first[0] - 2) // _ENTRY, 0))
    entries = first + 2 + _ENTRY * tf.range(count)
    entries = tf.boolean_mask(entries, numbers(entries, 2) == _ORIENTATION)[-1:]
    kinds, values = numbers(entries + 2, 2), entries + 8
    many = numbers(entries + 4, 4)  # what does not fit into 4 bytes stands elsewhere
    said = tf.where((kinds == _SHORT) & (many <= 2), numbers(values, 2), 1)
    said = tf.where((kinds == _LONG) & (many == 1), numbers(values, 4), said)
    known = tf.reduce_any(tf.strings.substr(block, 0, 4) == tf.constant(_BYTE_ORDERS)) | (block == b"")
    return tf.where(known, tf.cast(tf.clip_by_value(tf.reduce_sum(said), _NOT_SAID, 9), tf.int32), 1)


def _checked(orientation: Any) -> Any:
    return tf.where((orientation >= 1) & (orientation <= 8), orientation, 1)


def _is_among(value: Any, values: tuple[int, ...]) -> Any:
    return tf.reduce_any(value == tf.constant(values))
