"""Photos and masks on the disk: whole or not there, and nothing outside the folder."""

import os
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from carclf.errors import RunDirError
from carclf.files import cannot_write, write_whole
from carclf.importing.gather import Gathered

Given = TypeVar("Given")
Made = TypeVar("Made")
_WAITING = 32  # files that wait to be written; more would only fill the memory


class Writer:
    """Writes files in the background; the first failure ends the import."""

    def __init__(self, root: Path, pool: ThreadPoolExecutor, copy: bool) -> None:
        """Photos are linked where the disk can, unless they are to be copied."""
        self.root, self._pool, self._copy = root, pool, copy
        self._pending: deque[Future[None]] = deque()
        self._checked: set[Path] = set()
        self._begun: set[Path] = set()

    def has(self, target: Path) -> bool:
        """Whether a file is there or on its way."""
        return target in self._begun or target.exists()

    def write_photo(self, photo: Gathered, target: Path) -> None:
        """Links or copies a photo to a place where nothing stands."""
        self._check(target)
        self._begun.add(target)
        self._submit(lambda: _write_photo(photo, target, self._copy))

    def write_mask(self, png: bytes, target: Path) -> None:
        """Writes a mask."""
        self._check(target)
        self._begun.add(target)
        self._submit(lambda: write_whole(target, lambda file: file.write_bytes(png)))

    def finish(self) -> None:
        """Waits until all is written.

        Raises:
            RunDirError: if something could not be.
        """
        while self._pending:
            self._pending.popleft().result()

    def _submit(self, write: Callable[[], None]) -> None:
        self._pending.append(self._pool.submit(write))
        while len(self._pending) > _WAITING:
            self._pending.popleft().result()

    def _check(self, target: Path) -> None:
        """Makes the folder of a file and refuses one that a link leads to."""
        folder = target.parent
        if folder in self._checked:
            return
        if folder.resolve() != folder:
            raise RunDirError(f"{folder}: is a link; writing there would leave {self.root}. Delete it.")
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(folder, error) from error
        self._checked.add(folder)


def in_order(pool: ThreadPoolExecutor, work: Callable[[Given], Made], items: Iterable[Given]) -> Iterator[Made]:
    """Works on items in threads and yields what comes of them in their order; few are held at a time."""
    waiting: deque[Future[Made]] = deque()
    for item in items:
        waiting.append(pool.submit(work, item))
        if len(waiting) >= _WAITING:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _write_photo(photo: Gathered, target: Path, copy: bool) -> None:
    data, source = photo.data, photo.source
    if source is None or data is not None:
        write_whole(target, lambda file: file.write_bytes(data or b""))
        return
    if not copy:
        try:
            os.link(source.resolve(), target)
            return
        except OSError:
            pass  # another disk, or one without links
    write_whole(target, lambda file: shutil.copyfile(source, file))
