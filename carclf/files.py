"""Files that are either whole or not there: written beside their place, then moved into it."""

import csv
import fcntl
import hashlib
import io
import json
import logging
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from carclf.errors import RunDirError

LOG = logging.getLogger(__name__)
PARTIAL = ".partial-"  # how the name of a file begins that is not whole yet


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Lets `write` fill a temporary file and moves it to `path`; on any failure nothing is left or changed.

    Raises:
        RunDirError: if the disk is full or the folder cannot be written; says what to do.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f"{PARTIAL}{path.stem}-", suffix=path.suffix)
        os.close(handle)
        temporary = Path(name)
        write(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def cannot_write(path: Path, error: OSError) -> RunDirError:
    """The error of a file that could not be written."""
    return RunDirError(
        f"{path}: cannot be written ({error.strerror or error}). What was there before is untouched. "
        "Free some space or make the folder writable, then run again: it goes on where it was."
    )


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Makes the folder and keeps other processes out of it; they wait.

    Raises:
        RunDirError: if the folder cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("w")
    except OSError as error:
        raise cannot_write(folder, error) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            LOG.warning("%s: another run is at work there; waiting for it.", folder)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def remove_partial_files(folder: Path, beginning: str = "") -> None:
    """Removes what killed runs have left half written; nobody else may write files of that beginning there."""
    for path in folder.rglob(f"{PARTIAL}{beginning}*"):
        path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text; see write_whole."""
    write_whole(path, lambda file: file.write_bytes(encode(text)))


def encode(text: str) -> bytes:
    r"""Turns text into UTF-8; a byte of a file name that is no text becomes \udcff or the like."""
    return text.encode(errors="backslashreplace")


def write_csv(path: Path, header: Sequence[str], lines: Iterable[Sequence[str]]) -> None:
    """Writes a table of text; see write_whole."""
    write_text(path, csv_text(header, lines))


def csv_text(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """The text of a csv file."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *lines])
    return text.getvalue()


def write_json(path: Path, tree: Any) -> None:
    """Writes an indented JSON file; see write_whole."""
    write_text(path, json.dumps(tree, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def digest(value: Any) -> str:
    """SHA-256 in hex of anything json can write, dictionaries in any order."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
