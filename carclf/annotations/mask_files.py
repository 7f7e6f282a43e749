"""A folder of masks: one indexed or grey PNG of class ids per photo, named like the photo."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from carclf.errors import AnnotationError, listed
from carclf.images import read_mask
from carclf.labels import IGNORED_PIXEL, LabelSet


def find_mask_files(folder: Path) -> Mapping[str, Path]:
    """Finds the masks of a folder and its subfolders.

    Returns:
        path below the folder without .png, "/" between folders -> mask file; sorted.

    Raises:
        AnnotationError: if the folder is missing or holds no PNG.
    """
    if not folder.is_dir():
        raise AnnotationError(f"{folder}: no such folder of masks.")
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() == ".png")
    if not paths:
        raise AnnotationError(f"{folder}: holds no mask. A mask is named like its photo and ends in .png.")
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in paths}


def load_mask_file(path: Path, size: tuple[int, int], label_set: LabelSet) -> NDArray[np.uint8]:
    """Loads a mask and checks it.

    Args:
        path: the mask file.
        size: (width, height) of its photo.
        label_set: the classes that it may hold.

    Returns:
        uint8 (height, width): class ids, 0 = background, 255 = ignored.

    Raises:
        AnnotationError: if its size is not the photo's or it holds other ids.
        PhotoError: if it cannot be read.
    """
    mask = read_mask(path)
    if mask.shape != (size[1], size[0]):
        height, width = mask.shape
        raise AnnotationError(
            f"{path}: {width} × {height} pixels, but its photo has {size[0]} × {size[1]}. "
            "A mask has the size of its photo, held upright."
        )
    ids = np.flatnonzero(np.bincount(mask.ravel(), minlength=256))
    unknown = [str(found) for found in ids if len(label_set.names) < found != IGNORED_PIXEL]
    if unknown:
        classes = f"1 to {len(label_set.names)} = {listed(label_set.names)}"
        known = f"0 = background, {classes}, {IGNORED_PIXEL} = ignored"
        raise AnnotationError(f"{path}: class ids {listed(unknown)} are not in {label_set.path.name} ({known}).")
    return mask
