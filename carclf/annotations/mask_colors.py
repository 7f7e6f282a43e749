"""Pictures of colours -> classes: the nearest colour; blended edges are ignored, unknown colours are listed."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from carclf.errors import counted
from carclf.label_file import Color
from carclf.labels import IGNORED_PIXEL

BLACK: Color = (0, 0, 0)
WHITE: Color = (255, 255, 255)

_FLAT_SHARE = 0.1  # of the unknown pixels: one colour alone has as many only where somebody painted it
_FLAT_LEAST = 1e-4  # of the picture: a colour of fewer pixels is nothing that somebody painted
_LISTED = 8  # unknown colours in an error
_EDGE = 4  # pixels that a blended edge is wide at most, seen from the nearest known colour


def nearest_colors(
    found: NDArray[np.uint8], colors: Mapping[Color, str], ids: Mapping[str, int]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Finds for every colour the class of the nearest one; black is background unless it is a class's.

    Args:
        found: uint8 (n, 3).
        colors: colour -> class.
        ids: class -> class id.

    Returns:
        (class ids, how far off in the worst channel), both uint8 (n,); of two equally near colours the first.
    """
    nearest = np.zeros(len(found), np.uint8)
    off = np.full(len(found), 256, np.int16)
    class_ids = {color: ids[name] for color, name in colors.items()}
    for color, class_id in {BLACK: 0, **class_ids}.items():
        distance = np.abs(found.astype(np.int16) - np.array(color, np.int16)).max(axis=1)
        nearer = distance < off
        nearest[nearer], off[nearer] = class_id, distance[nearer]
    return nearest, np.minimum(off, 255).astype(np.uint8)


def match_colors(
    pixels: NDArray[np.uint8], colors: Mapping[Color, str], ids: Mapping[str, int], tolerance: int
) -> NDArray[np.uint8]:
    """Turns a picture of colours into class ids.

    Resizing and JPEG blend the colours along the edges: many colours of few pixels each, none far from a known one.
    Those farther off than the tolerance are ignored (255), as nobody can tell on which side of the edge they lie.

    Args:
        pixels: uint8 (height, width, 3).
        colors: colour -> class; black is background.
        ids: class -> class id.
        tolerance: how far off a colour may be in its worst channel, 0 to 255.

    Returns:
        uint8 (height, width).

    Raises:
        ValueError: if an unknown colour is more than a blended edge; lists them with their pixel counts.
    """
    packed = pack_colors(pixels)
    found = np.unique(packed)
    nearest, off = nearest_colors(unpack_colors(found), colors, ids)
    unknown = off > tolerance
    table = np.zeros(1 << 24, np.uint8)  # of all colours; only the pages of those that are found get memory
    if unknown.any():
        table[found[unknown]] = 1
        _check_unknown(packed, table[packed].astype(bool), colors, tolerance)
        nearest[unknown] = IGNORED_PIXEL
    table[found] = nearest
    made: NDArray[np.uint8] = table[packed]
    return made


def pack_colors(pixels: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Turns uint8 (…, 3) into one number per colour, uint32 (…), below 2²⁴."""
    packed = pixels[..., 0].astype(np.uint32)
    for channel in (1, 2):  # in place: four bytes a pixel, not three times as many
        packed <<= np.uint32(8)
        packed |= pixels[..., channel]
    return packed


def unpack_colors(packed: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """The reverse of pack_colors."""
    return np.stack([packed >> 16, packed >> 8 & 255, packed & 255], axis=-1).astype(np.uint8)


def describe_unknown(found: NDArray[np.uint8], counts: NDArray[np.int64], colors: Mapping[Color, str]) -> str:
    """Lists colours, uint8 (n, 3), those of the most pixels first: "12,34,56: 120 pixels (nearest: dent, 60 off)"."""
    known = {BLACK: "background", **colors}
    lines = []
    for index in np.argsort(-counts, kind="stable")[:_LISTED]:
        color = found[index].astype(int)
        off, name = min((int(np.abs(color - np.array(each)).max()), name) for each, name in known.items())
        pixels = counted(int(counts[index]), "pixel")
        lines.append(f"{','.join(map(str, color))}: {pixels} (nearest: {name}, {off} off)")
    rest = f" and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
    return f"{', '.join(lines)}{rest}"


def _check_unknown(
    packed: NDArray[np.uint32], unknown: NDArray[np.bool_], colors: Mapping[Color, str], tolerance: int
) -> None:
    """Lets blended edges pass.

    Raises:
        ValueError: if there is more than that.
    """
    from scipy.ndimage import distance_transform_cdt

    found, counts = np.unique(packed[unknown], return_counts=True)
    flat = counts > max(counts.sum() * _FLAT_SHARE, packed.size * _FLAT_LEAST)
    deep = bool(unknown.all()) or int(distance_transform_cdt(unknown, "chessboard").max()) > _EDGE
    if not flat.any() and not deep:
        return
    if flat.any() and not deep:
        found, counts = found[flat], counts[flat]
    which = describe_unknown(unpack_colors(found), counts, colors)
    raise ValueError(
        f"colours that are no class's: {which}. Say which classes they are, or raise the tolerance (now {tolerance})."
    )
