"""MVTec AD: `test/<defect>/` holds the photos, `ground_truth/<defect>/*_mask.png` where the defect is."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from carclf.annotations.records import Problem, ReadOptions, Record, Region
from carclf.annotations.shapes import MaskFile
from carclf.annotations.sources import files_below, inside
from carclf.errors import AnnotationError
from carclf.images import has_photo_suffix

GOOD = "good"

_SPLITS = ("train", "validation", "valid", "val", "test")
_TRUTH = "ground_truth"
_DEEPEST = 3  # folders below the source in which a category may lie


def read_mvtec(folder: Path, options: ReadOptions) -> Iterator[Record | Problem]:
    """Reads one category: the name of a defect is its class, photos of `good` are known to show none.

    A photo's mask is `ground_truth/<defect>/<photo>_mask.png` or `<photo>.png`, or, as in MVTec LOCO AD, the pictures
    of the folder `ground_truth/<defect>/<photo>/`; what is not black is the defect.

    Raises:
        AnnotationError: if the folder is no category.
    """
    if not _is_category(folder):
        raise AnnotationError(
            f"{folder}: no category of MVTec AD. A folder with test/<defect>, test/{GOOD} and {_TRUTH}/<defect> is."
        )
    masks = _find_masks(folder)
    for path in _photos(folder):
        name = path.relative_to(folder)
        place = f"{folder.name}: {name.as_posix()}"
        if len(name.parts) != 3:
            yield Problem(place, f"photos lie in {name.parts[0]}/<defect>/. Move it into the folder of its defect.")
            continue
        defect = name.parts[1]
        own = masks.pop((defect, path.stem), []) if defect != GOOD and name.parts[0] != "train" else []
        try:
            for each in (path, *own):
                inside(folder, each.relative_to(folder).as_posix())
        except ValueError as problem:
            yield Problem(place, str(problem))
            continue
        if defect == GOOD:
            yield Record(name.as_posix(), place, known_empty=True, path=path)
        elif not own:
            yield Problem(place, f"its mask {_TRUTH}/{defect}/{path.stem}_mask.png is missing. Add it.")
        else:
            regions = tuple(Region((defect,), MaskFile(each)) for each in own)
            yield Record(name.as_posix(), place, regions=regions, path=path)
    for (defect, stem), left in masks.items():
        place = f"{folder.name}: {left[0].relative_to(folder).as_posix()}"
        yield Problem(place, f"its photo test/{defect}/{stem} is missing. Add it, or delete the mask.")


def find_mvtec(source: Path) -> list[Path]:
    """Returns the categories at or below a folder."""
    if not source.is_dir():
        return []
    found, level = [], [source]
    for _ in range(_DEEPEST):
        found += [folder for folder in level if _is_category(folder)]
        level = [inner for folder in level if folder not in found for inner in _folders(folder)]
    return sorted(found)


def _is_category(folder: Path) -> bool:
    """Tells whether there are defects with masks: a folder of good photos alone could be anything."""
    defects = {inner.name for inner in _folders(folder / _TRUTH)}
    return bool(defects & {inner.name for inner in _folders(folder / "test")})


def _folders(folder: Path) -> list[Path]:
    try:
        return sorted(
            each for each in folder.iterdir() if each.is_dir() and not each.is_symlink() and each.name[0] != "."
        )
    except OSError:
        return []


def _photos(folder: Path) -> list[Path]:
    return [path for split in _SPLITS for path in files_below(folder / split) if has_photo_suffix(path)]


def _find_masks(folder: Path) -> dict[tuple[str, str], list[Path]]:
    """(defect, stem of the photo) -> its masks."""
    masks: dict[tuple[str, str], list[Path]] = {}
    for path in files_below(folder / _TRUTH):
        name = PurePosixPath(path.relative_to(folder / _TRUTH).as_posix())
        if has_photo_suffix(path) and len(name.parts) in (2, 3):
            stem = name.parts[1] if len(name.parts) == 3 else name.stem.removesuffix("_mask")
            masks.setdefault((name.parts[0], stem), []).append(path)
    return masks
