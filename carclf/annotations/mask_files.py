"""Folders of masks: one PNG of class ids or colours per photo, named like the photo."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from carclf.annotations.records import ClassMask, Problem, ReadOptions, Record
from carclf.errors import AnnotationError, listed
from carclf.labels import IGNORED_PIXEL, LabelSet
from carclf.mask_images import read_mask


def read_mask_folder(folder: Path, options: ReadOptions) -> Iterator[Record | Problem]:
    """Finds the masks of a folder and its subfolders; a photo is called like its mask file, without the suffix.

    Raises:
        AnnotationError: if the folder is missing or holds no PNG.
    """
    if not folder.is_dir():
        raise AnnotationError(f"{folder}: no such folder of masks.")
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() == ".png")
    if not paths:
        raise AnnotationError(f"{folder}: holds no mask. A mask is named like its photo and ends in .png.")
    names = dict(enumerate(options.class_names, 1))
    for path in paths:
        name = path.relative_to(folder)
        mask = ClassMask(path, names, options.colors, options.tolerance)
        yield Record(name.with_suffix("").as_posix(), str(path), mask=mask)


def load_class_mask(mask: ClassMask, label_set: LabelSet) -> NDArray[np.uint8]:
    """Loads a mask in its own size.

    Args:
        mask: the mask file, and what its ids or colours mean.
        label_set: the classes that it may hold.

    Returns:
        uint8 (height, width): class ids of the label set, 0 = background, 255 = ignored.

    Raises:
        AnnotationError: if it holds other ids or colours.
        PhotoError: if it cannot be read.
    """
    ids = read_mask(mask.path)
    found = np.flatnonzero(np.bincount(ids.ravel(), minlength=256))
    unknown = [str(each) for each in found if len(label_set.names) < each != IGNORED_PIXEL]
    if unknown:
        classes = f"1 to {len(label_set.names)} = {listed(label_set.names)}"
        known = f"0 = background, {classes}, {IGNORED_PIXEL} = ignored"
        raise AnnotationError(f"{mask.path}: class ids {listed(unknown)} are not in {label_set.path.name} ({known}).")
    return ids
