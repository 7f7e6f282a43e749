"""COCO's run lengths: checked before they are trusted, as pycocotools reads past the end of broken ones."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from carclf.annotations.shapes import Runs

_FIRST_LETTER, _LAST_LETTER = 48, 111  # of compressed runs: 6 bits a letter, "0" to "o"
_MORE, _MINUS = 0x20, 0x10  # another letter follows; the number is negative (in its last letter)
_MOST_LETTERS = 7  # of a number: 35 bits, more than any photo has pixels


def read_runs(counts: Any, size: tuple[int, int]) -> Runs:
    """Reads run lengths, column by column, background first: a list of numbers, or compressed as text.

    Args:
        counts: as they stand in the file.
        size: (width, height) that they fill.

    Raises:
        ValueError: if they are neither, or do not fill the size; says so.
    """
    from pycocotools import mask as coco

    width, height = size
    if isinstance(counts, str | bytes):
        letters = counts if isinstance(counts, bytes) else counts.encode("utf-8", "surrogatepass")
        _check_sum(_decompress(letters), size)
        return Runs(letters, size)
    if not isinstance(counts, list):
        raise ValueError("its run lengths (counts) are neither a list of numbers nor text.")
    if not all(kind is int for kind in set(map(type, counts))):
        raise ValueError("its run lengths (counts) hold something else than whole numbers.")
    if counts and not 0 <= min(counts) <= max(counts) <= width * height:
        raise ValueError(f"its run lengths (counts) reach from {min(counts)} to {max(counts)}: not those of a mask.")
    _check_sum(np.array(counts, np.int64), size)
    packed = coco.frPyObjects({"counts": counts, "size": [height, width]}, height, width)
    return Runs(packed["counts"], size)


def _check_sum(counts: NDArray[np.int64], size: tuple[int, int]) -> None:
    if counts.size and counts.min() < 0:
        raise ValueError("its run lengths (counts) are broken: one is negative.")
    if int(counts.sum()) != size[0] * size[1]:
        raise ValueError(
            f"its run lengths (counts) fill {counts.sum()} pixels, but {size[0]} × {size[1]} are {size[0] * size[1]}."
        )


def _decompress(letters: bytes) -> NDArray[np.int64]:
    """Unpacks compressed runs: 5 bits a letter, least first; from the fourth on, changes against the one before last.

    Returns:
        int64 (number of runs,).
    """
    given = np.frombuffer(letters, np.uint8)
    if given.size and not _FIRST_LETTER <= given.min() <= given.max() <= _LAST_LETTER:
        raise ValueError("its run lengths (counts) hold letters that compressed ones do not have.")
    bits = given.astype(np.int64) - _FIRST_LETTER
    last = (bits & _MORE) == 0
    ends = np.flatnonzero(last)
    starts = np.concatenate(([0], ends[:-1] + 1)) if ends.size else ends
    if given.size and (not last[-1] or (ends - starts).max() >= _MOST_LETTERS):
        raise ValueError("its run lengths (counts) are cut off or no compressed ones.")
    if not given.size:
        return np.zeros(0, np.int64)
    place = 5 * (np.arange(given.size) - np.repeat(starts, ends - starts + 1))  # of every letter in its number
    runs = np.add.reduceat((bits & 0x1F) << place, starts)
    runs -= np.where(bits[ends] & _MINUS, np.int64(1) << (place[ends] + 5), 0)
    runs[1::2] = np.cumsum(runs[1::2])
    runs[2::2] = np.cumsum(runs[2::2])
    return runs
