"""Image folders: one folder of photos per class, for one head."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from carclf.annotations.mask_layout import MASK_FOLDERS, PHOTO_FOLDERS
from carclf.annotations.records import HEAD, Problem, ReadOptions, Record
from carclf.annotations.sources import ANNOTATION_SUFFIXES, files_below, inside
from carclf.errors import AnnotationError, listed
from carclf.images import has_photo_suffix

SPLITS = ("train", "training", "valid", "validation", "val", "test", "testing")

_NO_CLASSES = (*PHOTO_FOLDERS, *MASK_FOLDERS, "ann", "segmentationobject")
_BESIDE_CLASSES = (".txt", ".csv", ".tsv", ".parquet")  # may lie beside the folders of the classes: notes, other labels


def read_folders(folder: Path, options: ReadOptions) -> Iterator[Record | Problem]:
    """Reads the class of every photo from the folder that it lies in.

    Classes are the folders of the first level; below train, valid, val and test, those of the second. Deeper folders
    belong to the class above them. Hidden files, and those that are no photos, are passed over.

    Raises:
        AnnotationError: if there is no photo in any class folder, or splits and classes lie side by side.
    """
    if not folder.is_dir():
        raise AnnotationError(f"{folder}: no such folder of image folders.")
    photos = _photos(folder)
    level = _class_level(folder, photos)
    for path in photos:
        name = path.relative_to(folder)
        place = f"{folder.name}: {name.as_posix()}"
        if len(name.parts) < level + 2:
            yield Problem(place, "lies in no folder of a class. Move the photo into the folder of its class.")
            continue
        label = name.parts[level].strip()
        try:
            inside(folder, name.as_posix())
            if ";" in label or not label:
                raise ValueError(f'the folder "{label}" cannot be a class: ";" stands between classes. Rename it.')
        except ValueError as problem:
            yield Problem(place, str(problem))
            continue
        yield Record(name.as_posix(), place, labels={HEAD: (label,)}, path=path)


def find_folders(source: Path) -> list[Path]:
    """Returns the folder itself if it has two or more class folders, and nothing else that could say more."""
    if not source.is_dir():
        return []
    try:
        files = files_below(source)
        photos = [path for path in files if has_photo_suffix(path)]
        level = _class_level(source, photos)
    except (AnnotationError, OSError):
        return []
    names = [path.relative_to(source).parts for path in photos]
    classes = {parts[level] for parts in names if len(parts) >= level + 2}
    in_no_class = any(len(parts) < level + 2 for parts in names)
    reserved = any(part.lower() in _NO_CLASSES for parts in names for part in parts[:-1])
    said_elsewhere = {path for path in files if path.suffix.lower() in ANNOTATION_SUFFIXES}
    annotated = any(path.parent != source or path.suffix.lower() not in _BESIDE_CLASSES for path in said_elsewhere)
    return [source] if len(classes) > 1 and not in_no_class and not reserved and not annotated else []


def _photos(folder: Path) -> list[Path]:
    return [path for path in files_below(folder) if has_photo_suffix(path)]


def _class_level(folder: Path, photos: Sequence[Path]) -> int:
    """Returns how many folders lie above those of the classes: 1 with splits, else 0.

    Raises:
        AnnotationError: if there are no class folders, or splits beside classes.
    """
    names = [path.relative_to(folder).parts for path in photos]
    first = sorted({parts[0] for parts in names if len(parts) > 1})
    if not first:
        raise AnnotationError(f"{folder}: holds no folder of photos. Make one folder per class.")
    splits = [name for name in first if name.lower() in SPLITS]
    # a folder named like a split that has no folders of photos below is a class like any other
    deep = {parts[0] for parts in names if len(parts) > 2}
    if not splits or not deep & set(splits):
        return 0
    others = [name for name in first if name not in splits]
    if others:
        raise AnnotationError(
            f"{folder}: {listed(splits)} and {listed(others)} lie side by side. Have either classes or "
            "train, valid and test there."
        )
    return 1
