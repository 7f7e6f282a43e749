"""Files of JSON lines that only grow: a killed process loses nothing but the line that it was at."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from carclf.errors import RunDirError
from carclf.files import cannot_write, write_whole

_BLOCK = 65536  # bytes that are looked through at once for the end of a line
Line = tuple[int, dict[str, Any]]
"""(where it begins in the file, in bytes; what it says)"""


class Journal:
    """One such file, open for more lines. Every line is an object of JSON."""

    def __init__(self, path: Path) -> None:
        """Opens or makes the file, and cuts off a line that was not written to its end.

        Raises:
            RunDirError: if it cannot be opened.
        """
        self.path = path
        self._new: list[bytes] = []
        try:
            self._file: BinaryIO = path.open("a+b")
            self._end = _cut_last_line(self._file)
        except OSError as error:
            raise cannot_write(path, error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            try:
                self.keep()
            finally:
                self._close()
        else:
            self._close()

    def _close(self) -> None:
        """Closes the file; what a full disk keeps from it was told before, or is written by the next run."""
        with suppress(OSError):
            self._file.close()

    def append(self, said: Mapping[str, Any]) -> int:
        """Adds a line, which no one but `keep` brings to the disk; returns where it begins."""
        line, where = make_line(said), self._end
        self._new.append(line)
        self._end += len(line)
        return where

    def keep(self) -> None:
        """Brings all lines to the disk.

        Raises:
            RunDirError: if it is full.
        """
        try:
            self._file.writelines(self._new)
            self._new.clear()
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise cannot_write(self.path, error) from error


def make_line(said: Mapping[str, Any]) -> bytes:
    r"""One line of JSON in UTF-8; with escapes where a file name is no text (its bytes are \udcff or the like)."""
    try:
        return f"{json.dumps(said, ensure_ascii=False)}\n".encode()
    except UnicodeEncodeError:
        return f"{json.dumps(said)}\n".encode()


def read_lines(path: Path) -> Iterator[Line]:
    """Yields the lines of a journal; of one that is not there none.

    Raises:
        RunDirError: if a line is damaged.
    """
    try:
        with path.open("rb") as file:
            where = 0
            for number, data in enumerate(file, 1):
                yield where, _parse(data, path, number)
                where += len(data)
    except FileNotFoundError:
        return
    except OSError as error:
        raise RunDirError(f"{path}: cannot be read ({error.strerror or error}).") from error


def read_line_at(file: BinaryIO, where: int) -> bytes:
    """The line that begins at `where`, as it stands there."""
    file.seek(where)
    return file.readline()


def rewrite(path: Path, lines: Callable[[], Iterator[bytes]]) -> None:
    """Writes a journal anew, whole or not at all.

    Raises:
        RunDirError: if it cannot be written.
    """

    def write(to: Path) -> None:
        with to.open("wb") as file:
            file.writelines(lines())

    write_whole(path, write)


def _parse(data: bytes, path: Path, number: int) -> dict[str, Any]:
    try:
        said = json.loads(data)
    except ValueError:
        said = None
    if not isinstance(said, dict) or not isinstance(said.get("photo"), str):
        raise RunDirError(
            f"{path}, line {number}: is damaged: an object of JSON with a photo was expected. "
            "Delete the line, and its photo is answered again."
        )
    return said


def _cut_last_line(file: BinaryIO) -> int:
    """Cuts off what stands behind the last end of a line; returns how long the file is then."""
    end = size = file.seek(0, os.SEEK_END)
    while end:
        start = max(0, end - _BLOCK)
        file.seek(start)
        found = file.read(end - start).rfind(b"\n")
        if found >= 0:
            end = start + found + 1
            break
        end = start
    if end < size:
        file.truncate(end)
    file.seek(end)
    return end
