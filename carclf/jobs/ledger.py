"""Which photos of a job are answered, and what their pictures are called: on the disk, however many there are."""

import os
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from carclf.errors import RunDirError
from carclf.jobs.request import ANSWERS
from carclf.mask_outputs import Owner

_KEPT = """
    CREATE TABLE IF NOT EXISTS names (folder TEXT, file BLOB, owner BLOB, PRIMARY KEY (folder, file)) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS sizes (photo BLOB PRIMARY KEY, width INTEGER, height INTEGER) WITHOUT ROWID;
"""
_OF_THIS_RUN = """
    CREATE TEMP TABLE asked (photo BLOB PRIMARY KEY) WITHOUT ROWID;
    CREATE TEMP TABLE lines (
        journal TEXT, photo BLOB, first INTEGER, newest INTEGER, sha256 TEXT, PRIMARY KEY (journal, photo)
    ) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Place:
    """Where the lines about a photo begin in a journal.

    Attributes:
        first: the first one, in bytes; the photo keeps this place.
        newest: the one that holds.
    """

    first: int
    newest: int


class Ledger:
    """What is known of the photos of a job; several threads may ask.

    Names of pictures and sizes of photos stay from run to run; where lines stand is found out anew, from the journals.
    A photo is known by its absolute path.
    """

    def __init__(self, path: Path) -> None:
        """Opens or makes the file.

        Raises:
            RunDirError: if that cannot be done.
        """
        self.path, self._lock = path, threading.Lock()
        self._lines: Counter[str] = Counter()  # journal -> its lines, those that no longer hold among them
        with self._at_work():
            self._connection = sqlite3.connect(path, check_same_thread=False)
            self._connection.executescript(f"{_KEPT}{_OF_THIS_RUN}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._connection.close()

    def keep(self) -> None:
        """Brings everything to the disk."""
        with self._at_work():
            self._connection.commit()

    def ask(self, photo: str) -> bool:
        """Takes note that a photo is asked about; returns whether it is the first time in this run."""
        return self._run("INSERT OR IGNORE INTO asked VALUES (?)", _key(photo)) > 0

    # -- lines of journals

    def note(self, journal: str, photo: str, where: int, sha256: str = "") -> None:
        """Takes note of a line about a photo, which takes the place of earlier ones, in the other journal, too.

        Args:
            journal: name of its file.
            photo: as it was given.
            where: the line begins, in bytes.
            sha256: of the photo that was answered.
        """
        self._lines[journal] += 1
        self._run(
            "INSERT INTO lines VALUES (?1, ?2, ?3, ?3, ?4) "
            "ON CONFLICT DO UPDATE SET newest = excluded.newest, sha256 = excluded.sha256",
            journal,
            _key(photo),
            where,
            sha256,
        )
        self._run("DELETE FROM lines WHERE journal <> ? AND photo = ?", journal, _key(photo))

    def place(self, journal: str, photo: str) -> Place | None:
        """Where the lines about a photo are; None if there is none that holds."""
        row = self._find("SELECT first, newest FROM lines WHERE journal = ? AND photo = ?", journal, _key(photo))
        return None if row is None else Place(*row)

    def answered_sha256(self, photo: str) -> str | None:
        """SHA-256 of the photo that was answered; None if it was not."""
        row = self._find("SELECT sha256 FROM lines WHERE journal = ? AND photo = ?", ANSWERS, _key(photo))
        return None if row is None else str(row[0])

    def count(self, journal: str) -> int:
        """How many photos there are lines about."""
        (found,) = self._find("SELECT count(*) FROM lines WHERE journal = ?", journal) or (0,)
        return int(found)

    def is_tidy(self, journal: str) -> bool:
        """Whether every line of a journal holds."""
        return self._lines[journal] == self.count(journal)

    # -- pictures

    def note_size(self, photo: str, size: tuple[int, int]) -> None:
        """Takes note of (width, height) of a photo."""
        self._run("INSERT OR REPLACE INTO sizes VALUES (?, ?, ?)", _key(photo), *size)

    def size(self, photo: str) -> tuple[int, int] | None:
        """(width, height) of a photo; None if it is not known."""
        row = self._find("SELECT width, height FROM sizes WHERE photo = ?", _key(photo))
        return None if row is None else (int(row[0]), int(row[1]))

    def owner(self, folder: str, file: str, owner: bytes) -> bytes:
        """Who a file in a folder belongs to: the first one that asked."""
        self._run("INSERT OR IGNORE INTO names VALUES (?, ?, ?)", folder, os.fsencode(file), owner)
        (found,) = self._find("SELECT owner FROM names WHERE folder = ? AND file = ?", folder, os.fsencode(file)) or (
            owner,
        )
        return bytes(found)

    def file_of(self, folder: str, owner: bytes) -> str | None:
        """The file in a folder that belongs to somebody already; None = there is none."""
        row = self._find("SELECT file FROM names WHERE folder = ? AND owner = ?", folder, owner)
        return None if row is None else os.fsdecode(row[0])

    def _run(self, statement: str, *values: Any) -> int:
        """Changes something; returns how many rows that were."""
        with self._at_work():
            return self._connection.execute(statement, values).rowcount

    def _find(self, statement: str, *values: Any) -> Any:
        """The first row of what is asked for; None if there is none."""
        with self._at_work():
            return self._connection.execute(statement, values).fetchone()

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        try:
            with self._lock:
                yield
        except sqlite3.Error as error:
            raise RunDirError(
                f"{self.path}: cannot be used ({error}). Free some space; if it is damaged, delete {self.path.parent}."
            ) from error


@dataclass(frozen=True)
class Names:
    """What pictures in one folder are called; for MaskWriter."""

    ledger: Ledger
    folder: str

    def setdefault(self, name: str, shown: Owner, /) -> Owner:
        """What a file shows: what it showed before, in earlier runs, too, or what is asked for now."""
        asked = _pack(shown)
        found = self.ledger.owner(self.folder, name, asked)
        return shown if found == asked else _unpack(found)

    def of(self, shown: Owner) -> str | None:
        """What the file that shows something is called already; None = it has no name yet."""
        return self.ledger.file_of(self.folder, _pack(shown))


def _key(photo: str) -> bytes:
    return os.fsencode(os.path.abspath(photo))


def _pack(shown: Owner) -> bytes:
    photo, head, class_part = shown
    return b"\0".join([_key(str(photo)), head.encode(), os.fsencode(class_part)])


def _unpack(owner: bytes) -> Owner:
    photo, head, class_part = owner.split(b"\0")
    return Path(os.fsdecode(photo)), head.decode(), os.fsdecode(class_part)
