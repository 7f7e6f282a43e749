"""Folders of masks: one picture of class ids or colours per photo, named like the photo."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from carclf.annotations.classes import Renames
from carclf.annotations.mask_colors import WHITE
from carclf.annotations.mask_layout import FoundMask, find_mask_files, masks_of
from carclf.annotations.mask_legend import LEGENDS, read_legend
from carclf.annotations.mask_pictures import LOSSY_SUFFIXES, mask_values
from carclf.annotations.records import ClassMask, Problem, ReadOptions, Record
from carclf.annotations.sources import ANNOTATION_SUFFIXES, files_below
from carclf.errors import AnnotationError, PhotoError
from carclf.images import open_image, read_bytes
from carclf.mask_images import ids_in

Item = TypeVar("Item")

BINARY_CLASS = "damage"  # what masks of black and white show where nobody says it

_LOOKED_AT = 200  # masks, spread over the folder, that tell what 255 means
_MOST_IDS = 32  # class ids of a mask whose classes nobody has named
_SNIFFED = 6  # files that tell masks from photos
_FEW_COLORS = 32  # colours that nearly all pixels of a mask have


def read_mask_folder(folder: Path, options: ReadOptions) -> Iterator[Record | Problem]:
    """Finds the masks of a folder and their photos; mask_layout.py knows the layouts, nothing is decoded here.

    What the pictures mean:
    - With `options.colors` they are colour masks. Indexed pictures count by their palette; where it shows no class, or
      is a grey ramp, by their ids. Grey pictures hold ids unless all their values are colours that are named.
    - Else a legend beside the masks says it (mask_legend.py), else ids follow `options.class_names`.
    - With one class or none named, 255 in grey pictures can mean the class or "ignored". It means the class if of 200
      masks, spread over the folder, none holds small ids beside 255, and some hold 0 and 255. In an indexed picture
      with a palette of colours 255 always means ignored.

    Raises:
        AnnotationError: if the folder is missing or holds no mask, or its legend cannot be read.
    """
    if not folder.is_dir():
        raise AnnotationError(f"{folder}: no such folder of masks.")
    found = find_mask_files(folder)
    masks = list(masks_of(found))
    if not found:
        raise AnnotationError(f"{folder}: holds no mask. A mask is named like its photo and ends in .png.")
    names, colors = dict(enumerate(options.class_names, 1)), dict(options.colors)
    if not colors and (legend := read_legend(_legend_folders(folder, masks))):
        names, colors = legend.names or names, legend.colors
    binary = not colors and len(names) < 2 and _white_is_a_class([mask.path for mask in masks])
    if binary:
        names = names or {1: BINARY_CLASS}
        colors = {WHITE: next(iter(names.values()))}
    for each in found:
        if isinstance(each, Problem):
            yield each
            continue
        mask = ClassMask(each.path, names, colors, options.tolerance)
        place = f"{folder.name}: {each.path.relative_to(folder).as_posix()}"
        yield Record(each.name, place, mask=mask, path=each.photo)


def find_masks(source: Path) -> list[Path]:
    """Returns the folder itself if it holds masks: pictures of few colours, all of those that are looked at.

    Masks without photos are only taken where nothing else lies there that could be annotations, and where they lie in
    one folder or are no RGB pictures: drawn photos have few colours, too.
    """
    if not source.is_dir():
        return []
    try:
        masks = list(masks_of(find_mask_files(source)))
    except OSError:
        return []
    if not masks or any(_is_mvtec(mask.path) for mask in masks):
        return []
    if not any(mask.photo for mask in masks) and not _only_masks(source, masks):
        return []
    return [source] if all(_looks_like_mask(mask.path) for mask in _spread(masks, _SNIFFED)) else []


def _is_mvtec(path: Path) -> bool:
    return any(above.name == "ground_truth" and (above.parent / "test").is_dir() for above in path.parents)


def _only_masks(source: Path, masks: Sequence[FoundMask]) -> bool:
    if any(path.suffix.lower() in ANNOTATION_SUFFIXES and path.name not in LEGENDS for path in files_below(source)):
        return False
    return len({mask.path.parent for mask in masks}) == 1 or all(
        _holds_ids(mask.path) for mask in _spread(masks, _SNIFFED)
    )


def rename_mask(mask: ClassMask, renames: Renames) -> ClassMask:
    """Returns a mask whose classes are called as they are called here."""
    names = {class_id: renames.names.get(name, name) for class_id, name in mask.names.items()}
    return replace(mask, names=names, colors={key: renames.names.get(name, name) for key, name in mask.colors.items()})


def _legend_folders(folder: Path, masks: Sequence[FoundMask]) -> list[Path]:
    """The folders that hold masks, and those above them up to the given one, that first."""
    folders = {above for mask in masks for above in mask.path.parents if above.is_relative_to(folder)}
    return sorted(folders)


def _white_is_a_class(paths: Sequence[Path]) -> bool:
    """Tells what 255 means in grey masks of one class: see read_mask_folder."""
    some_white = False
    for path in _spread(paths, _LOOKED_AT):
        try:
            values, palette = mask_values(path)
        except PhotoError:
            continue  # its own record says so
        if palette is not None:
            continue
        if values is None or path.suffix.lower() in LOSSY_SUFFIXES:
            return True  # colours without any legend, or blended grey: no ids
        used = ids_in(values)
        if 255 in used and 0 < max(used - {255}, default=0) < _MOST_IDS:
            return False  # ids beside 255; blended edges would have values all the way up
        some_white = some_white or 255 in used
    return some_white


def _spread(items: Sequence[Item], most: int) -> list[Item]:
    """At most so many of them, evenly spread."""
    return [items[int(index)] for index in np.unique(np.linspace(0, len(items) - 1, min(most, len(items))).astype(int))]


def _holds_ids(path: Path) -> bool:
    """Tells whether a picture is indexed or grey."""
    image = _open(path)
    return image is not None and image.mode in ("P", "L", "1")


def _looks_like_mask(path: Path) -> bool:
    """Tells whether nearly all pixels have one of few colours."""
    image = _open(path)
    if image is None:
        return False
    small = image.resize((128, 128), Image.Resampling.NEAREST).convert("RGB")
    counts = sorted((count for count, _ in small.getcolors(128 * 128) or ()), reverse=True)
    return bool(sum(counts[:_FEW_COLORS]) > 0.8 * 128 * 128)


def _open(path: Path) -> Image.Image | None:
    """Opens a picture; None if it cannot be read, as its own record will say."""
    try:
        return open_image(read_bytes(path), str(path), draft_size=None)
    except PhotoError:
        return None
