"""Turned and mirrored copies of photos, made before the split: the leak that benchmarks/screws.py puts in figures."""

from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

import numpy as np
from PIL import Image

TURNS = (0, 90, 180, 270)  # degrees, counter-clockwise
_MASK = "_mask"
_RIGHT_ANGLES = {90: Image.Transpose.ROTATE_90, 180: Image.Transpose.ROTATE_180, 270: Image.Transpose.ROTATE_270}


def augment_before_splitting(
    folder: Path, to: Path, turns: Sequence[int] = TURNS, mirrored: Sequence[bool] = (False, True)
) -> Path:
    """Writes copies of every photo and mask of an MVTec AD category as photos and masks of their own.

    Args:
        folder: the category; its files are PNGs, grey.
        to: the category of the copies: `000.png` as it was, `000_rot90.png` turned by 90 degrees,
            `000_mirror_rot90.png` mirrored left to right before. `origin_of` tells them together again.
        turns: degrees, counter-clockwise. What a turn by part of a right angle uncovers gets the grey of the border.
        mirrored: not mirrored, mirrored, or both.

    Returns:
        The folder of the copies.
    """
    for path in sorted(folder.rglob("*.png")):
        target = to / path.parent.relative_to(folder)
        target.mkdir(parents=True, exist_ok=True)
        stem, mask = path.stem.removesuffix(_MASK), _MASK if path.stem.endswith(_MASK) else ""
        with Image.open(path) as image:
            for suffix, copy in _copies(image, product(mirrored, turns), is_mask=bool(mask)):
                copy.save(target / f"{stem}{suffix}{mask}.png")
    return to


def origin_of(photo: str) -> str:
    """Names the screw that a photo shows, copy or not: test/thread_top/000_rot90.png -> thread_top/000."""
    path = Path(photo)
    return f"{path.parent.name}/{path.stem.split('_')[0]}"


def _copies(image: Image.Image, ways: Iterator[tuple[bool, int]], is_mask: bool) -> Iterator[tuple[str, Image.Image]]:
    """Yields, for each way of (mirrored, degrees), how the copy's name ends, and the copy."""
    border = np.concatenate([np.asarray(image)[[0, -1]].ravel(), np.asarray(image)[:, [0, -1]].ravel()])
    ground = 0 if is_mask else int(np.median(border))
    for mirror, turn in ways:
        copy = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirror else image.copy()
        if turn in _RIGHT_ANGLES:
            copy = copy.transpose(_RIGHT_ANGLES[turn])
        elif turn:
            filtered = Image.Resampling.NEAREST if is_mask else Image.Resampling.BICUBIC
            copy = copy.rotate(turn, filtered, fillcolor=ground)
        yield ("_mirror" if mirror else "") + (f"_rot{turn}" if turn else ""), copy
