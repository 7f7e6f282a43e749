"""Reads the bytes of a photo inside a TensorFlow graph: the pixels of images.decode_photo, for servers without Python.

JPEG (grey, YCbCr, RGB; sequential and progressive) and PNG (1 to 16 bits, palettes, transparency). A JPEG of four inks
(CMYK) comes out darker by one level of 255 at most. Whatever else images.py reads is refused, and has to be turned into
one of these before it is asked about.
"""

from typing import Any

import tensorflow as tf

from carclf.export.orientation_graph import jpeg_orientation, png_orientation, turn_upright
from carclf.images import MOST_PIXELS

_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
_IHDR = 16  # byte at which a PNG's head says width (4 bytes), height (4), bits (1), kind of colour (1)
_GREY = 0  # kind of colour
_DRAFTS = (1, 2, 4, 8)  # how many times smaller a JPEG can be decoded
_ACCURATE = "INTEGER_ACCURATE"  # what Pillow takes; TensorFlow's default gives other pixels


def read_in_graph(data: Any, sizes: tuple[int, ...]) -> tuple[dict[int, Any], Any]:
    """Decodes a photo for networks of these sizes.

    Args:
        data: scalar string tensor, the bytes of the file.
        sizes: pixels on each side of what is wanted.

    Returns:
        (size -> float32 (S, S, 3), RGB, in [0, 1]; int32 (2,): width and height of the photo held upright).
    """
    is_jpeg = tf.strings.substr(data, 0, len(_JPEG)) == _JPEG
    is_png = tf.strings.substr(data, 0, len(_PNG)) == _PNG
    known = tf.debugging.Assert(is_jpeg | is_png, ["not a photo that can be read here: JPEG or PNG was expected"])
    with tf.control_dependencies([known]):
        data = tf.identity(data)
    stored = tf.cond(is_jpeg, lambda: tf.io.extract_jpeg_shape(data)[:2], lambda: _png_shape(data))
    with tf.control_dependencies([_check_pixels(stored)]):  # before it is decoded: it may fill the memory
        data = tf.identity(data)
    orientation = tf.cond(is_jpeg, lambda: jpeg_orientation(data), lambda: png_orientation(data))
    images = {}
    for size in sizes:
        pixels = tf.cond(is_jpeg, lambda s=size: _read_jpeg(data, stored, s), lambda: _read_png(data))
        pixels = tf.image.resize(pixels, (size, size), "bilinear", antialias=True)
        images[size] = turn_upright(tf.clip_by_value(pixels, 0.0, 1.0), orientation)
    return images, tf.where(orientation >= 5, stored, stored[::-1])


def _check_pixels(stored: Any) -> Any:
    """The operation that refuses photos with too many pixels; stored: int32 (2,), height and width."""
    pixels = tf.reduce_prod(tf.cast(stored, tf.int64))
    return tf.debugging.Assert(pixels <= MOST_PIXELS, [f"a photo of more than {MOST_PIXELS} pixels:", stored])


def _read_jpeg(data: Any, stored: Any, size: int) -> Any:
    """Float32 (h, w, 3) in [0, 1], as it lies in the file, at the smallest scale that still covers `size`."""
    times = tf.reduce_min(stored) // size
    draft = sum(tf.cast(times >= smaller, tf.int32) for smaller in _DRAFTS[1:])

    def at(smaller: int) -> Any:
        return lambda: tf.io.decode_jpeg(data, channels=3, ratio=smaller, dct_method=_ACCURATE)

    return tf.cast(tf.switch_case(draft, [at(smaller) for smaller in _DRAFTS]), tf.float32) / 255.0


def _png_shape(data: Any) -> Any:
    """int32 (2,): height and width that the head of a PNG claims."""
    sides = tf.io.decode_raw(tf.strings.substr(data, _IHDR, 8), tf.int32, little_endian=False)
    return tf.ensure_shape(sides[::-1], (2,))


def _read_png(data: Any) -> Any:
    """Float32 (h, w, 3) in [0, 1], what shines through over white."""
    bits, colour = tf.unstack(tf.io.decode_raw(tf.strings.substr(data, _IHDR + 8, 2), tf.uint8), 2)
    is_deep_grey = (bits == 16) & (colour == _GREY)
    return tf.cond(is_deep_grey, lambda: _read_deep_grey(data), lambda: _read_over_white(data, bits))


def _read_deep_grey(data: Any) -> Any:
    grey = tf.cast(tf.io.decode_png(data, channels=1, dtype=tf.uint16), tf.float32) / 65535.0
    return tf.repeat(grey, 3, axis=2)


def _read_over_white(data: Any, bits: Any) -> Any:
    pixels = tf.io.decode_png(data, channels=4)
    filled_in = tf.cast(2 ** tf.minimum(tf.cast(bits, tf.int32), 8) - 1, tf.uint8)  # where nothing shines through
    alpha = tf.where(tf.reduce_all(pixels[..., 3:] == filled_in), tf.constant(255, tf.uint8), pixels[..., 3:])
    alpha = tf.cast(alpha, tf.float32) / 255.0
    return tf.cast(pixels[..., :3], tf.float32) / 255.0 * alpha + (1.0 - alpha)
