"""Files that annotations name: found inside the folders that the user gave, and nowhere else."""

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath

from carclf.errors import listed
from carclf.images import has_photo_suffix
from carclf.label_table import clean_photo_name

ANNOTATION_SUFFIXES = (".json", ".xml", ".yaml", ".yml", ".txt", ".csv", ".tsv", ".parquet")
_BEGINNING = 2**16  # bytes


def inside(folder: Path, name: str) -> Path:
    r"""Returns the path of a name below a folder; `sub\a.jpg` and `./sub/a.jpg` are `sub/a.jpg`.

    Raises:
        ValueError: if the name is empty, absolute, climbs by ".." or leads out of the folder by a link.
    """
    path = folder / clean_photo_name(name)
    try:
        real, root = _real(path), _real(folder)
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        pass  # nothing lies there
    except (OSError, ValueError) as error:  # too long a name, a link to itself, a zero byte
        what = getattr(error, "strerror", None) or error
        raise ValueError(f'"{name[:200]}" cannot be looked at ({what}). Rename or delete it.') from None
    if not real.is_relative_to(root):
        raise ValueError(f'"{name}" is a link that leads out of {folder}. Copy the file into the folder.')
    return path


def files_below(folder: Path) -> list[Path]:
    """Lists all files below a folder, sorted, without hidden ones and without following links to other folders."""
    found = []
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(place, name) for name in names if not name.startswith(".")]
    return sorted(found)


def files_at(source: Path, suffixes: Sequence[str]) -> list[Path]:
    """Lists the files of these suffixes (lower case) at or below a file or folder; none if there is no such thing."""
    paths = files_below(source) if source.is_dir() else [source]
    return [path for path in paths if path.suffix.lower() in suffixes and path.is_file()]


def read_beginning(path: Path) -> bytes:
    """Reads as much of a file as tells what it is; nothing of one that cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(_BEGINNING)
    except OSError:
        return b""


class PhotoFinder:
    """Finds the photos that annotations name: by the whole name below a folder, else by the file name alone.

    A name without a photo's suffix fits the photo of that stem.
    """

    def __init__(self, folders: Sequence[Path], without: Path | None = None) -> None:
        """Looks in folders, but not in `without`, a resolved folder below them."""
        self.folders = folders
        self.without = without

    def find(self, name: str) -> Path:
        """Returns the photo's file.

        Raises:
            ValueError: if the name leads out of the folders, or fits no photo or several.
        """
        for folder in self.folders:
            path = inside(folder, name)
            if has_photo_suffix(path) and path.is_file():
                return path
        found = self._named(PurePosixPath(clean_photo_name(name)))
        where = " or ".join(str(folder) for folder in self.folders)
        if not found:
            raise ValueError(f"the photo is not in {where}. Say where the photos are with --photos FOLDER.")
        if len(found) > 1:
            which = listed([str(path) for path in found])
            raise ValueError(f"{len(found)} photos have this name: {which}. Rename all but one.")
        return found[0]

    def _named(self, name: PurePosixPath) -> list[Path]:
        """The photos of a name: those in folders of its folders' names first, then those of the bare name."""
        by_name, by_stem = self._photos
        paths = by_name.get(name.name, []) if has_photo_suffix(name) else by_stem.get(name.name, [])
        wanted = name.parent.parts
        nearer = [path for path in paths if wanted and path.parent.parts[-len(wanted) :] == wanted]
        return nearer or paths

    @cached_property
    def _photos(self) -> tuple[dict[str, list[Path]], dict[str, list[Path]]]:
        """File name -> photos, and stem -> photos; none that a link leads to outside the folders."""
        by_name: dict[str, list[Path]] = {}
        by_stem: dict[str, list[Path]] = {}
        for folder in self.folders:
            root = _real(folder)
            for path in files_below(folder):
                if not has_photo_suffix(path):
                    continue
                real = _real(path)
                if real.is_relative_to(root) and not (self.without and real.is_relative_to(self.without)):
                    by_name.setdefault(path.name, []).append(path)
                    by_stem.setdefault(path.stem, []).append(path)
        return by_name, by_stem


def _real(path: Path) -> Path:
    """The path without links; one that leads to itself stays, which `resolve` takes for an error of the program."""
    return Path(os.path.realpath(path))
