"""Which photos are asked about: named, in folders, by patterns, on the standard input, or typed one after the other."""

import glob
import os
import stat
import sys
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from io import BufferedIOBase
from pathlib import Path
from typing import cast

from carclf.errors import PhotoError
from carclf.images import PHOTO_SUFFIXES, has_photo_suffix
from carclf.photo_source import PhotoSource

PROMPT = "Image filepath: "  # the predecessor's words
QUOTES = ("'", '"')
STDIN = Path("-")
ANY_DEPTH = "**"
_CHUNK = 65536  # bytes of names read at once, if so many are there


class UnusablePhoto(PhotoError):
    """A photo that cannot be asked about.

    Attributes:
        name: as it was given.
        reason: what is wrong with it, and how to mend it.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name, self.reason = name, reason


def list_photos(given: Iterable[Path], passed_over: Sequence[Path] = ()) -> Iterator[PhotoSource | UnusablePhoto]:
    """Yields photos one by one: those that were named, those of folders, of patterns and of the standard input.

    A word that names nothing on the disk is a pattern if it has *, ? or [: ** stands for folders of any depth. The
    word "-" stands for paths on the standard input, one a line, or each ended by a NUL. Folders and patterns come
    sorted; only the names of the folder that is being read are in memory.

    Args:
        given: as words of the command line.
        passed_over: folders whose photos are not found in other folders or by patterns: one's own output.
    """
    kept_out = tuple(map(os.path.abspath, passed_over))
    for path in given:
        if path == STDIN:
            for name in read_names(cast(BufferedIOBase, sys.stdin.buffer)):
                yield from _look_up(Path(name), kept_out)
        elif _is_pattern(path):
            yield from _match(path, kept_out)
        else:
            yield from _look_up(path, kept_out)


def names_something(path: Path) -> bool:
    """Whether there can be photos behind a word of the command line, as far as can be told at once."""
    return path == STDIN or os.path.lexists(path) or (_is_pattern(path) and next(_found(path), None) is not None)


def read_names(stream: BufferedIOBase) -> Iterator[str]:
    """Yields names as they come, one a line; each ended by a NUL, if there is one before the first line ends."""
    rest, end = b"", b""
    while data := stream.read1(_CHUNK):  # what is there already, at once
        rest += data
        if not end and (b"\0" in rest or b"\n" in rest):
            end = b"\0" if b"\0" in rest else b"\n"
        if end:
            *names, rest = rest.split(end)
            yield from _clean(names, end)
    yield from _clean([rest], end)


def _clean(names: Iterable[bytes], end: bytes) -> Iterator[str]:
    for name in names:
        whole = name if end == b"\0" else name.removesuffix(b"\r")
        if whole:
            yield os.fsdecode(whole)


def _look_up(path: Path, kept_out: Sequence[str]) -> Iterator[PhotoSource | UnusablePhoto]:
    """One path that was named: a photo, or a folder of photos."""
    if _is_within(path, kept_out):
        yield UnusablePhoto(str(path), "lies in a folder where the answers go.")
        return
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        yield UnusablePhoto(str(path), "no such file or folder.")
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL
        yield UnusablePhoto(repr(str(path)), f"cannot be read ({getattr(error, 'strerror', None) or error}).")
    else:
        if stat.S_ISDIR(mode):
            yield from _walk_or_say(path, kept_out)
        elif stat.S_ISREG(mode):
            yield PhotoSource(path)
        else:
            yield UnusablePhoto(str(path), "is no file that can be read again. Save the photo as a file.")


def _walk_or_say(folder: Path, kept_out: Sequence[str]) -> Iterator[PhotoSource | UnusablePhoto]:
    nothing = True
    for each in walk_photos(folder, kept_out):
        nothing = False
        yield each
    if nothing:
        kinds = ", ".join(PHOTO_SUFFIXES)
        yield UnusablePhoto(str(folder), f"holds no photo. Files of these kinds are looked for: {kinds}.")


def walk_photos(folder: Path, kept_out: Sequence[str] = ()) -> Iterator[PhotoSource | UnusablePhoto]:
    """Yields what images.find_photos lists, in the same order, folder by folder; a folder that cannot be read is told.

    Args:
        folder: which is searched, with the folders in it.
        kept_out: absolute paths of folders that are passed over.
    """
    try:
        with os.scandir(folder) as entries:
            names = sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries)
    except OSError as error:
        yield UnusablePhoto(str(folder), f"cannot be read ({error.strerror or error}).")
        return
    for name, is_folder in names:
        path = folder / name
        if name.startswith("."):
            continue
        if is_folder:
            if os.path.abspath(path) not in kept_out:
                yield from walk_photos(path, kept_out)
        elif has_photo_suffix(path):
            usable = path.is_file()
            yield PhotoSource(path) if usable else UnusablePhoto(str(path), "is no file, or a link that leads nowhere.")


def _is_within(path: Path, folders: Sequence[str]) -> bool:
    where = os.path.abspath(path)
    return any(where == folder or where.startswith(folder + os.sep) for folder in folders)


def _is_pattern(path: Path) -> bool:
    return glob.has_magic(str(path)) and not os.path.lexists(path)


def _match(pattern: Path, kept_out: Sequence[str]) -> Iterator[PhotoSource | UnusablePhoto]:
    """The photos that a pattern names, and those of the folders that it names."""
    nothing = True
    for path in _found(pattern):
        if _is_within(path, kept_out):
            continue
        is_photo = has_photo_suffix(path) or (pattern.suffix and path.suffix == pattern.suffix)
        for each in walk_photos(path, kept_out) if path.is_dir() else [PhotoSource(path)] if is_photo else []:
            nothing = False
            yield each
    if nothing:
        yield UnusablePhoto(str(pattern), "names no photo.")


def _found(pattern: Path) -> Iterator[Path]:
    """The files and folders that a pattern names, sorted; hidden ones only where the pattern itself has the dot."""
    start, parts = (Path(pattern.anchor), pattern.parts[1:]) if pattern.anchor else (Path(), pattern.parts)
    yield from _descend(start, parts)


def _descend(folder: Path, parts: Sequence[str]) -> Iterator[Path]:
    first, rest = parts[0], parts[1:]
    if first == ANY_DEPTH:
        if rest:
            yield from _descend(folder, rest)
        for name in _names(folder, "*"):
            path = folder / name
            if path.is_dir() and not path.is_symlink():
                yield from _descend(path, parts)
            elif not rest:
                yield path
    else:
        for path in map(folder.joinpath, _names(folder, first) if glob.has_magic(first) else [first]):
            if not rest and os.path.lexists(path):
                yield path
            elif rest and path.is_dir():
                yield from _descend(path, rest)


def _names(folder: Path, pattern: str) -> list[str]:
    """The names in a folder that fit one part of a pattern, sorted; none where it cannot be read."""
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return []
    return [name for name in names if fnmatchcase(name, pattern) and (pattern[0] == "." or name[0] != ".")]


def prompt_for_photos() -> Iterator[Path]:
    """Asks for one image path after the other, until an empty line or the end of the input."""
    while True:
        # where the answers go to a pipe, the question must not
        print(PROMPT, end="", flush=True, file=sys.stdout if sys.stdout.isatty() else sys.stderr)
        try:
            line = input().strip()
        except EOFError:
            print(file=sys.stderr)  # the question has had no answer to end its line
            return
        if not line:
            return
        if len(line) > 1 and line[0] == line[-1] and line[0] in QUOTES:
            line = line[1:-1]  # terminals quote what is dragged into them
        try:
            path = Path(line).expanduser()
        except RuntimeError:  # ~somebody who is not known here
            path = Path(line)
        yield path.absolute() if path == STDIN else path  # the standard input is what is typed
