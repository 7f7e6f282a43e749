"""Photos × labels × masks, joined into one table."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np

from carclf.config_data import AnnotationConfig
from carclf.config_heads import HeadConfig
from carclf.derived import derive_head
from carclf.errors import CarclfError, PhotoError, counted, listed, raise_all
from carclf.head_data import HeadData, make_head_data
from carclf.images import has_photo_suffix, photo_sha256
from carclf.labels import LabelTable, read_label_file, read_label_table
from carclf.mask_sources import MaskSource

__all__ = ["Dataset", "HeadData", "MaskSource", "Photo", "Skipped", "drop_photos", "make_dataset"]

Result = TypeVar("Result")


@dataclass(frozen=True)
class Photo:
    """One photo.

    Attributes:
        name: its name in the label table, "/" between folders.
        path: the file.
        sha256: hash of the file's bytes, hex.
        table_group: the cell of the group column; None where it is empty or there is no such column.
    """

    name: str
    path: Path
    sha256: str
    table_group: str | None


@dataclass(frozen=True)
class Skipped:
    """A photo of the label table that was left out."""

    name: str
    reason: str


@dataclass(frozen=True)
class Dataset:
    """All photos with what every head knows of them.

    Attributes:
        photos: in the order of the label table.
        heads: head name -> its targets, in the order of the photos.
        skipped: photos of the table that could not be read.
        notes: what a user should know, but need not mend; one line each.
    """

    photos: tuple[Photo, ...]
    heads: dict[str, HeadData]
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()


def make_dataset(
    photos_dir: Path,
    table_path: Path,
    heads: Mapping[str, HeadConfig],
    annotations: Sequence[AnnotationConfig] = (),
    on_bad_photo: Literal["skip", "stop"] = "skip",
    workers: int | None = None,
) -> Dataset:
    """Joins a label table with its photos, label files and annotations.

    Args:
        photos_dir: folder that the names of the table start at.
        table_path: the label table.
        heads: head name -> its config.
        annotations: masks of the segmentation heads.
        on_bad_photo: leave photos that cannot be read out, or stop.
        workers: threads that read the photos; None = one per core.

    Raises:
        CarclfError: with every problem, one a line; of a narrower kind if all are of one.
    """
    problems: list[CarclfError] = []
    table = _try(problems, read_label_table, table_path)
    notes: list[str] = []
    data: dict[str, HeadData] = {}
    for name, head in heads.items():
        if head.derived is not None or head.masks_of is not None:
            continue
        mine = [annotation for annotation in annotations if annotation.head == name]
        made = _try_head(problems, name, head, table, mine)
        if made is not None:
            data[name], notes = made[0], notes + made[1]
    if table is not None:
        _try(problems, _check_photos, table, photos_dir)
    _raise_together(problems)
    if table is None:
        raise RuntimeError("a label table without problems was not read")
    paths = [photos_dir / photo for photo in table.photos]
    for name, head in heads.items():
        if head.derived is not None:
            _try(problems, _add_derived, data, name, head, paths, workers)
        if head.masks_of is not None:
            data[name] = replace(data[head.masks_of], masks_of=head.masks_of)
    _raise_together(problems)
    notes += _unlisted_photos(table, photos_dir)
    dataset, bad = _hash_photos(table, photos_dir, {name: data[name] for name in heads}, workers)
    if bad and on_bad_photo == "stop":
        raise PhotoError("\n".join(reason for _, reason in bad))
    return drop_photos(replace(dataset, notes=tuple(notes)), bad)


def drop_photos(dataset: Dataset, bad: Sequence[tuple[int, str]]) -> Dataset:
    """Returns the dataset without some photos, which it then names as skipped.

    Args:
        dataset: the photos.
        bad: (index of the photo, reason).

    Raises:
        PhotoError: if no photo would be left; names the first reasons.
    """
    if not bad:
        return dataset
    dropped = dict(bad)
    kept = np.array([index for index in range(len(dataset.photos)) if index not in dropped], np.int64)
    if not len(kept):
        raise PhotoError(f"None of the {len(bad)} photos can be read: {listed([reason for _, reason in bad], 3)}")
    skipped = tuple(Skipped(dataset.photos[index].name, reason) for index, reason in sorted(dropped.items()))
    return replace(
        dataset,
        photos=tuple(dataset.photos[index] for index in kept),
        heads={name: head.take(kept) for name, head in dataset.heads.items()},
        skipped=(*dataset.skipped, *skipped),
    )


def _try(problems: list[CarclfError], function: Callable[..., Result], *arguments: Any) -> Result | None:
    """Calls a function; a user's error is noted instead of raised, so that all of them are told at once."""
    try:
        return function(*arguments)
    except CarclfError as problem:
        problems.append(problem)
        return None


def _try_head(
    problems: list[CarclfError],
    name: str,
    head: HeadConfig,
    table: LabelTable | None,
    annotations: Sequence[AnnotationConfig],
) -> tuple[HeadData, list[str]] | None:
    """Reads a head's label file, even where there is no table to join it with."""
    label_set = _try(problems, read_label_file, head.labels)
    if table is None or label_set is None:
        return None
    return _try(problems, make_head_data, name, head, label_set, table, annotations)


def _add_derived(
    data: dict[str, HeadData], name: str, head: HeadConfig, paths: Sequence[Path], workers: int | None
) -> None:
    """Adds a head whose labels follow from the masks of the others."""
    data[name] = derive_head(name, head, read_label_file(head.labels), data, paths, workers)


def _raise_together(problems: Sequence[CarclfError]) -> None:
    kinds = {type(problem) for problem in problems}
    kind = kinds.pop() if len(kinds) == 1 else CarclfError
    raise_all(kind, list(dict.fromkeys(line for problem in problems for line in str(problem).splitlines())))


def _check_photos(table: LabelTable, photos_dir: Path) -> None:
    with _looking_at(photos_dir):
        missing = [name for name in table.photos if not (photos_dir / name).is_file()]
    if not missing:
        return
    are = "is" if len(missing) == 1 else "are"
    mend = "Add them or delete their lines."
    if len(missing) == len(table.photos):
        mend = "Is it the right folder?"
    photos = f"{counted(len(missing), 'photo')} named in {table.path.name} {are}"
    raise PhotoError(f"{photos} not in {photos_dir}: {listed(missing, 10)}. {mend}")


@contextmanager
def _looking_at(folder: Path) -> Iterator[None]:
    """Makes a user's error of a folder without permission, or of a name that is too long for the disk."""
    try:
        yield
    except OSError as error:
        raise PhotoError(f"{error.filename or folder}: cannot be looked at ({error.strerror or error}).") from error


def _unlisted_photos(table: LabelTable, photos_dir: Path) -> list[str]:
    """Notes the photos of the folder that the table does not name."""
    listed_names = set(table.photos)
    with _looking_at(photos_dir):
        unlisted = sorted(
            path.name
            for path in photos_dir.iterdir()
            if has_photo_suffix(path) and path.name not in listed_names and path.is_file()
        )
    if not unlisted:
        return []
    return [f"{len(unlisted)} photos in {photos_dir.name} have no line in {table.path.name}: {listed(unlisted)}."]


def _hash_photos(
    table: LabelTable, photos_dir: Path, heads: dict[str, HeadData], workers: int | None
) -> tuple[Dataset, list[tuple[int, str]]]:
    """Reads every photo once: the dataset of all, and (index, reason) of those that cannot be read."""
    groups = table.groups or ("",) * len(table.photos)
    with ThreadPoolExecutor(workers) as threads:
        hashes = list(threads.map(_hash_photo, [photos_dir / name for name in table.photos]))
    photos = tuple(
        Photo(name, photos_dir / name, "" if isinstance(found, PhotoError) else found, group or None)
        for name, group, found in zip(table.photos, groups, hashes, strict=True)
    )
    bad = [(index, str(found)) for index, found in enumerate(hashes) if isinstance(found, PhotoError)]
    return Dataset(photos, heads), bad


def _hash_photo(path: Path) -> str | PhotoError:
    try:
        if path.stat().st_size == 0:
            raise PhotoError(f"{path}: is empty (0 bytes).")
        return photo_sha256(path)
    except OSError as problem:
        return PhotoError(f"{path}: cannot be read ({problem.strerror}).")
    except PhotoError as problem:
        return problem
