"""What becomes of answers and errors as they come: pictures first, then lines in journals, in the photos' order."""

import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from carclf.errors import PhotoError
from carclf.jobs.journal import Journal
from carclf.jobs.ledger import Ledger
from carclf.jobs.request import ANSWERS, ERRORS
from carclf.jobs.screen import Progress
from carclf.jobs.thumbnails import Thumbnails
from carclf.saying import Answer

_AHEAD = 3  # answers that wait for their pictures, with their masks in memory
_KEEP_EVERY = 2.0  # seconds of work that a kill may cost ...
_MOST_LINES = 1000  # ... and answers in memory meanwhile


class Writer(Protocol):
    """Something that is written of every answer."""

    def write(self, answer: Answer) -> None:
        """Writes it."""


@dataclass(frozen=True)
class Shelf:
    """Where answers are kept.

    Attributes:
        answers: journal.
        errors: journal.
        ledger: which lines hold.
        writers: of pictures; each picture is whole before its answer is kept.
        thumbnails: of the first photos.
        most_thumbnails: how many photos these are.
    """

    answers: Journal
    errors: Journal
    ledger: Ledger
    writers: Sequence[Writer]
    thumbnails: Thumbnails
    most_thumbnails: int


class Keeper:
    """Keeps answers and errors; pictures are written by a thread of its own while the next photos are answered.

    Attributes:
        failed: photos that could not be answered.
    """

    def __init__(self, shelf: Shelf, progress: Progress) -> None:
        self.failed = 0
        self._shelf, self._progress = shelf, progress
        self._taken = shelf.ledger.count(ANSWERS)
        self._waiting: deque[tuple[str, Answer, Future[None]]] = deque()
        self._pictures = ThreadPoolExecutor(1)  # one: names of pictures are given in the order of the photos
        self._new, self._kept_at = 0, time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._pictures.shutdown(cancel_futures=True)
        if kind is None or issubclass(kind, KeyboardInterrupt):
            self._keep()

    def take(self, name: str, answer: Answer | PhotoError) -> None:
        """Keeps one answer or error.

        Raises:
            RunDirError: if the disk is full or cannot be written.
        """
        if isinstance(answer, PhotoError):
            self.finish()  # so that the lines come in the order of the photos
            self._fail(name, answer)
        else:
            future = self._pictures.submit(self._draw, answer, self._has_thumbnail(name))
            self._waiting.append((name, answer, future))
            if len(self._waiting) > _AHEAD:
                self._settle()
        self._new += 1
        if self._new >= _MOST_LINES or time.monotonic() - self._kept_at > _KEEP_EVERY:
            self._keep()

    def finish(self) -> None:
        """Waits until everything that was taken has its line."""
        while self._waiting:
            self._settle()

    def _has_thumbnail(self, name: str) -> bool:
        """Whether a photo gets a thumbnail: it is one of the first, or is answered anew and has one already."""
        if self._shelf.ledger.place(ANSWERS, name) is not None:
            return self._shelf.thumbnails.of(name).photo.exists()
        self._taken += 1
        return self._taken <= self._shelf.most_thumbnails

    def _draw(self, answer: Answer, with_thumbnail: bool) -> None:
        for writer in self._shelf.writers:
            writer.write(answer)
        if with_thumbnail:
            self._shelf.thumbnails.write(answer)

    def _settle(self) -> None:
        """Writes the line of the first photo that waits."""
        name, answer, drawn = self._waiting.popleft()
        try:
            drawn.result()
        except PhotoError as error:  # the file changed since it was answered
            self._fail(name, error)
            return
        ledger = self._shelf.ledger
        for mask in list(answer.masks.values())[:1]:
            ledger.note_size(name, (mask.shape[1], mask.shape[0]))
        where = self._shelf.answers.append(answer.fields)
        ledger.note(ANSWERS, name, where, answer.fields["photo_sha256"])
        self._progress.advance()

    def _fail(self, name: str, error: PhotoError) -> None:
        reason = str(error).removeprefix(f"{name}: ")
        self.failed += 1
        where = self._shelf.errors.append({"photo": name, "reason": reason})
        self._shelf.ledger.note(ERRORS, name, where)
        self._progress.fail(name, reason)

    def _keep(self) -> None:
        """Brings everything to the disk; the names of pictures first, or who is answered might lose them to others."""
        self._shelf.ledger.keep()
        self._shelf.answers.keep()
        self._shelf.errors.keep()
        self._new, self._kept_at = 0, time.monotonic()
