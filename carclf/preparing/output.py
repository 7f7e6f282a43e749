"""One photo and its copies -> files. Their bytes depend on the photo, the settings and the seed, on nothing else."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from carclf.appearance import AppearanceRanges, change_look, draw_appearance
from carclf.dataset import Photo
from carclf.files import write_whole
from carclf.geometry import Geometry, GeometryRanges, draw_geometry, warp_mask, warp_photo
from carclf.images import photo_frame, read_full_photo
from carclf.labels import IGNORED_PIXEL, LabelSet
from carclf.mask_images import count_ids, put_colors
from carclf.mask_sources import MaskSource
from carclf.preparing.material import count_classes
from carclf.preparing.tables import copy_stem
from carclf.scores import Array

JPEG_QUALITY = 95  # the photo has lost once already
PNG_LEVEL = 3  # of 9: four times as fast as the usual 6, and files of photos hardly grow
LEAST_KEPT = 0.25  # of the pixels of each class: a copy that loses its scratch would still be labelled scratched


@dataclass(frozen=True)
class Recipe:
    """What is the same for all photos."""

    geometry: GeometryRanges
    appearance: AppearanceRanges
    size: int | None
    seed: int
    label_set: LabelSet | None


@dataclass(frozen=True)
class Task:
    """One photo to write.

    Attributes:
        position: of the photo in the material.
        photo: the photo.
        mask: where its mask comes from, or None.
        folder: of its split.
        stem: its file name without suffix.
        copies: augmented ones.
    """

    position: int
    photo: Photo
    mask: MaskSource | None
    folder: Path
    stem: str
    copies: int


@dataclass(frozen=True)
class Written:
    """A photo that was written.

    Attributes:
        position: of its source in the material.
        name: file name.
        copy: 0 = the photo itself, else the number of the copy.
        mirrored: whether left and right are swapped.
        pixels: int64 (num_classes + 2,), see count_classes; empty without mask.
    """

    position: int
    name: str
    copy: int
    mirrored: bool
    pixels: Array


def write_photo(task: Task, recipe: Recipe) -> list[Written]:
    """Writes a photo upright, its mask, and their augmented copies.

    Raises:
        CarclfError: if the photo or its mask cannot be read or a file cannot be written.
    """
    photo = read_full_photo(task.photo.path)
    frame = photo.shape[1], photo.shape[0]
    size = frame if recipe.size is None else (recipe.size, recipe.size)
    mask = None if task.mask is None else task.mask.load(photo_frame(task.photo.path))
    if size != frame:  # Pillow's triangle filter widens when it shrinks, so that nothing flickers in the copies
        photo = np.asarray(Image.fromarray(photo).resize(size, Image.Resampling.BILINEAR))
    suffix = _suffix(task.photo.path)
    first = _resize_mask(mask, size)
    written = [_write(task, recipe, 0, False, (photo, first, suffix))]
    for copy in range(1, task.copies + 1):
        generator = _generator(recipe.seed, task.photo.sha256, copy)
        warps = draw_geometry(generator, recipe.geometry)
        look = draw_appearance(generator, recipe.appearance)
        warp, warped = _keep_damage(warps, mask, first, frame, mirror_ids(recipe.label_set))
        changed = change_look(warp_photo(photo, warp, frame), look)
        written.append(_write(task, recipe, copy, warp.mirrored, (changed, warped, suffix)))
    return written


def _generator(seed: int, sha256: str, copy: int) -> np.random.Generator:
    """Chance of one copy of one photo: the same in any order and in any set."""
    key = hashlib.sha256(f"{seed} {sha256} {copy}".encode()).digest()
    return np.random.default_rng(int.from_bytes(key))


def mirror_ids(label_set: LabelSet | None) -> NDArray[np.uint8]:
    """What class ids become when the photo is mirrored: uint8 (256,)."""
    ids = np.arange(256, dtype=np.uint8)
    if label_set is not None:
        ids[1 : len(label_set.mirror) + 1] = np.array(label_set.mirror) + 1
    return ids


def _keep_damage(
    warps: tuple[Geometry, ...],
    mask: NDArray[np.uint8] | None,
    first: NDArray[np.uint8] | None,
    frame: tuple[int, int],
    mirror: NDArray[np.uint8],
) -> tuple[Geometry, NDArray[np.uint8] | None]:
    """Takes the strongest warp that leaves a good part of every class in the picture; its mask, too."""
    if mask is None or first is None:
        return warps[0], None
    before = count_ids(first)
    size = first.shape[1], first.shape[0]
    for warp in warps:
        warped = warp_mask(mask, warp, frame, size, mirror)
        wanted = before[mirror] if warp.mirrored else before  # mirrored twice is what it was
        after = count_ids(warped)
        if (after >= LEAST_KEPT * wanted)[1:IGNORED_PIXEL].all():
            break
    return warp, warped


def _resize_mask(mask: NDArray[np.uint8] | None, size: tuple[int, int]) -> NDArray[np.uint8] | None:
    if mask is None or (mask.shape[1], mask.shape[0]) == size:
        return mask
    return np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))


def _suffix(path: Path) -> str:
    """.jpg for a photo that is JPEG by its bytes, whatever it is called; .png for all others."""
    with path.open("rb") as file:
        return ".jpg" if file.read(3) == b"\xff\xd8\xff" else ".png"


def _write(
    task: Task,
    recipe: Recipe,
    copy: int,
    mirrored: bool,
    content: tuple[NDArray[np.uint8], NDArray[np.uint8] | None, str],
) -> Written:
    photo, mask, suffix = content
    stem = copy_stem(task.stem, copy)
    write_picture(task.folder / "images" / f"{stem}{suffix}", Image.fromarray(photo))
    pixels = np.zeros(0, np.int64)
    if mask is not None and recipe.label_set is not None:
        indexed = Image.fromarray(mask)
        put_colors(indexed, recipe.label_set)
        write_picture(task.folder / "masks" / f"{stem}.png", indexed)
        pixels = count_classes(mask, len(recipe.label_set.names))
    return Written(task.position, f"{stem}{suffix}", copy, mirrored, pixels)


def write_picture(path: Path, image: Image.Image) -> None:
    """Writes a JPEG or PNG by its suffix, without any metadata, whole or not at all.

    Raises:
        RunDirError: if the file cannot be written.
    """
    if path.suffix == ".jpg":
        write_whole(path, lambda file: image.save(file, format="JPEG", quality=JPEG_QUALITY, subsampling=0))
    else:
        write_whole(path, lambda file: image.save(file, format="PNG", compress_level=PNG_LEVEL))
