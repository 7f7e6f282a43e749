"""Which files of a folder are masks, and which photos they belong to."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from carclf.annotations.records import Problem
from carclf.annotations.sources import files_below, inside
from carclf.errors import listed
from carclf.images import PHOTO_SUFFIXES, has_photo_suffix

MASK_SUFFIXES = (".png", ".bmp", ".jpg", ".jpeg", ".tif", ".tiff", ".gif", ".webp")
MASK_FOLDERS = ("masks", "mask", "labels", "label", "annotations", "segmentationclass", "segmentation", "ground_truth")
PHOTO_FOLDERS = ("images", "image", "photos", "photo", "imgs", "img", "jpegimages")

_PASSED_OVER = ("segmentationobject",)  # which object a pixel is of, not which class
TELLING_FOLDERS = (*MASK_FOLDERS, *_PASSED_OVER)  # whose names say that no photos lie there
_STEM_ENDS = ("_mask", "-mask", "_masks", "_label", "-label", "_labels", "_seg", "-seg", "_gt")


@dataclass(frozen=True)
class FoundMask:
    """A mask file.

    Attributes:
        path: the file, below the source.
        name: what the photo is called: its file below the source, or the mask's own name without suffix.
        photo: the photo's file where the layout has one.
    """

    path: Path
    name: str
    photo: Path | None = None


@dataclass(frozen=True)
class _Candidate:
    """A mask file of a layout: `home` is the folder whose photos may be its own, `below` its folders in there."""

    path: PurePosixPath
    home: PurePosixPath
    below: tuple[str, ...]


def find_mask_files(source: Path) -> list[FoundMask | Problem]:
    """Finds masks and their photos; all names are sorted.

    Known layouts, the first that fits:
    - a folder of masks (masks, labels, annotations, SegmentationClass, ground_truth) and, beside or above it, photos
      (images, photos, imgs, JPEGImages, or any other name), with splits above or below (train/masks, masks/train);
    - masks and photos in one folder: `a_mask.png` beside `a.jpg`;
    - masks alone.
    A mask is called like its photo (`a.png`, `a.jpg.png`), perhaps with `_mask`, `-mask`, `_label` or `_seg` behind.
    Photos without a mask are not mentioned.
    """
    safe, problems = _pictures(source)
    masks, photos = _split_by_folder(safe)
    paired = _pair(source, masks, photos) if photos else []
    if not any(isinstance(each, FoundMask) for each in paired):
        masks, photos = _split_by_stem(safe)
        paired = _pair(source, masks, photos)
    if not paired:
        by_folder = [each.path for each in _split_by_folder(safe)[0]]
        paired = _alone(source, by_folder or safe)
    return problems + paired


def _pictures(source: Path) -> tuple[list[PurePosixPath], list[FoundMask | Problem]]:
    """The pictures below the source, without those that a link leads out to."""
    found: list[PurePosixPath] = []
    problems: list[FoundMask | Problem] = []
    for path in files_below(source):
        name = PurePosixPath(path.relative_to(source).as_posix())
        folders = {part.lower() for part in name.parent.parts}
        if path.suffix.lower() not in {*MASK_SUFFIXES, *PHOTO_SUFFIXES} or folders & set(_PASSED_OVER):
            continue
        try:
            inside(source, name.as_posix())
        except ValueError as problem:
            problems.append(Problem(f"{source.name}: {name}", str(problem)))
        else:
            found.append(name)
    return found, problems


def _split_by_folder(names: Sequence[PurePosixPath]) -> tuple[list[_Candidate], list[PurePosixPath]]:
    """Masks and photos by the innermost of their folders that says which they are; other pictures are photos."""
    masks, photos = [], []
    for name in names:
        parts = name.parent.parts
        telling = [index for index, part in enumerate(parts) if part.lower() in (*MASK_FOLDERS, *PHOTO_FOLDERS)]
        if telling and parts[telling[-1]].lower() in MASK_FOLDERS:
            if name.suffix.lower() in MASK_SUFFIXES:
                home = PurePosixPath(*parts[: telling[-1]])
                masks.append(_Candidate(name, home, parts[telling[-1] + 1 :]))
        elif has_photo_suffix(name):
            photos.append(name)
    return masks, photos


def _split_by_stem(names: Sequence[PurePosixPath]) -> tuple[list[_Candidate], list[PurePosixPath]]:
    """Masks and photos in one folder: a mask is called like another picture beside it, with _mask behind."""
    stems = {name.parent / name.stem for name in names}
    is_mask = {
        name
        for name in names
        if (bare := bare_stem(name.stem)) != name.stem
        and name.parent / bare in stems
        and name.suffix.lower() in MASK_SUFFIXES
    }
    masks = [_Candidate(name, name.parent, ()) for name in names if name in is_mask]
    return masks, [name for name in names if name not in is_mask]


def _pair(source: Path, masks: list[_Candidate], photos: list[PurePosixPath]) -> list[FoundMask | Problem]:
    """Finds the photo of every mask below its home folder."""
    homes = {mask.home for mask in masks}
    by_stem: dict[tuple[PurePosixPath, str], list[PurePosixPath]] = {}
    for photo in photos:
        for home in homes.intersection(photo.parents):
            for key in {photo.stem, photo.name}:
                by_stem.setdefault((home, key), []).append(photo)
    made: list[FoundMask | Problem] = []
    mask_of: dict[PurePosixPath, PurePosixPath] = {}
    for mask in masks:
        stems = (mask.path.stem, bare_stem(mask.path.stem))
        found = next((found for stem in stems if (found := _nearest(by_stem.get((mask.home, stem), []), mask))), [])
        place = f"{source.name}: {mask.path}"
        if not found:
            what = "its photo is not there. Add it under the mask's name, or delete the mask."
            made.append(Problem(place, what))
        elif len(found) > 1:
            which = listed([str(each) for each in found])
            made.append(Problem(place, f"several photos could be its own: {which}. Rename all but one."))
        elif mask_of.setdefault(found[0], mask.path) != mask.path:
            what = f"the photo {found[0]} has another mask: {mask_of[found[0]]}. Delete one of them."
            made.append(Problem(place, what))
        else:
            made.append(FoundMask(source / mask.path, found[0].as_posix(), source / found[0]))
    return made


def _nearest(photos: list[PurePosixPath], mask: _Candidate) -> list[PurePosixPath]:
    """Of several photos of a name those that lie in folders like the mask's own."""
    if len(photos) < 2:
        return photos
    homed = {photo: photo.relative_to(mask.home).parent.parts for photo in photos}
    bare = {photo: tuple(part for part in parts if part.lower() not in PHOTO_FOLDERS) for photo, parts in homed.items()}
    same = [photo for photo in photos if bare[photo] == mask.below]
    ends = [photo for photo in photos if mask.below and homed[photo][-len(mask.below) :] == mask.below]
    return same or ends or photos


def _alone(source: Path, names: Sequence[PurePosixPath]) -> list[FoundMask | Problem]:
    """Masks without photos: named like the photo; an ending is cut off where every mask has one."""
    names = [name for name in names if name.suffix.lower() in MASK_SUFFIXES]
    ends = all(bare_stem(name.stem) != name.stem for name in names)
    made: list[FoundMask | Problem] = []
    mask_of: dict[str, PurePosixPath] = {}
    for name in names:
        photo = (name.parent / (bare_stem(name.stem) if ends else name.stem)).as_posix()
        if mask_of.setdefault(photo, name) != name:
            what = f"another mask has the same name: {mask_of[photo]}. Delete one of them."
            made.append(Problem(f"{source.name}: {name}", what))
        else:
            made.append(FoundMask(source / name, photo))
    return made


def bare_stem(stem: str) -> str:
    """Cuts off what says that a picture is a mask: a_mask -> a."""
    for end in _STEM_ENDS:
        if stem.lower().endswith(end) and len(stem) > len(end):
            return stem[: -len(end)]
    return stem


def masks_of(found: Sequence[FoundMask | Problem]) -> Iterator[FoundMask]:
    """Yields the masks, not the problems."""
    return (each for each in found if isinstance(each, FoundMask))
