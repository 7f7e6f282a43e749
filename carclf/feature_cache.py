"""Features on disk, one record per photo and view; what is damaged is noticed and computed again.

vectors-<sum>.npz   a shard: keys and float32 vectors; its name holds the checksum of its bytes
P3.f16              feature maps of one level, float16, row after row, only ever appended to
P3-rows-<sum>.json  which rows of it are whole: first row, keys, a checksum for each row
"""

import hashlib
import io
import json
import logging
import os
import shutil
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from carclf.errors import RunDirError
from carclf.files import cannot_write, write_whole

LOG = logging.getLogger(__name__)
_SPARE_BYTES = 50_000_000  # what a disk needs beside the features themselves


def check_space(folder: Path, num_bytes: int) -> None:
    """Makes sure that so many bytes fit on the disk before hours are spent on them.

    Raises:
        RunDirError: says how much is needed and how much there is.
    """
    free = shutil.disk_usage(folder).free
    if num_bytes and free < num_bytes + _SPARE_BYTES:
        raise RunDirError(
            f"{folder}: the features need {num_bytes / 1e9:.2f} GB of disk, {free / 1e9:.2f} GB are free. "
            "Free some space, lower image_size, or move the results to another disk."
        )


def read_vectors(folder: Path, num_features: int) -> dict[str, NDArray[np.float32]]:
    """Reads all whole shards: key -> float32 (num_features,). Damaged shards are deleted, with a warning."""
    vectors: dict[str, NDArray[np.float32]] = {}
    for path in sorted(folder.glob("vectors-*.npz")):
        data = path.read_bytes()
        if path.name != f"vectors-{_sum(data)}.npz":
            LOG.warning("%s: is damaged; its photos are computed again.", path)
            path.unlink()
            continue
        with np.load(io.BytesIO(data)) as shard:
            keys, rows = shard["keys"], shard["vectors"]
        if rows.shape[1:] == (num_features,):
            vectors.update(zip((key.decode() for key in keys), rows, strict=True))
    return vectors


def write_vectors(folder: Path, keys: Sequence[str], vectors: NDArray[np.float32]) -> None:
    """Adds one shard, whole or not at all.

    Args:
        folder: the cache.
        keys: one for each vector.
        vectors: float32 (len(keys), num_features).

    Raises:
        RunDirError: if it cannot be written.
    """
    buffer = io.BytesIO()
    np.savez(buffer, keys=np.array([key.encode() for key in keys]), vectors=vectors)
    data = buffer.getvalue()
    write_whole(folder / f"vectors-{_sum(data)}.npz", lambda file: file.write_bytes(data))


class MapFile:
    """The feature maps of one level: float16 rows of one shape in one growing file.

    Attributes:
        rows: key -> row of each map that is there and whole.
    """

    def __init__(self, folder: Path, level: str, shape: tuple[int, int, int]) -> None:
        self._folder = folder
        self._level = level
        self._shape = shape
        self._path = folder / f"{level}.f16"
        self.row_bytes = 2 * int(np.prod(shape))
        self.rows: dict[str, int] = {}
        self._end = 0  # the first row that no index mentions
        self._read_indexes()

    def append(self, keys: Sequence[str], maps: NDArray[np.float16]) -> None:
        """Adds the maps float16 (len(keys), h, w, c); they count once their index is written.

        Raises:
            RunDirError: if they cannot be written.
        """
        first = self._end
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o644)
            with os.fdopen(descriptor, "wb") as file:  # not through a memmap: a full disk would kill the process
                file.seek(first * self.row_bytes)
                file.write(np.ascontiguousarray(maps).data)
        except OSError as error:
            raise cannot_write(self._path, error) from error
        sums = [zlib.crc32(np.ascontiguousarray(row).data) for row in maps]
        data = json.dumps({"first": first, "keys": list(keys), "sums": sums}).encode()
        write_whole(self._folder / f"{self._level}-rows-{_sum(data)}.json", lambda file: file.write_bytes(data))
        self.rows.update((key, first + i) for i, key in enumerate(keys))
        self._end += len(keys)

    def open(self) -> NDArray[np.float16]:
        """Opens all rows: float16 memmap (rows, h, w, c), read only; rows that self.rows does not name are void."""
        whole = self._path.stat().st_size // self.row_bytes if self._path.exists() else 0
        count = min(whole, self._end)
        if not count:
            return np.zeros((0, *self._shape), np.float16)
        return np.memmap(self._path, np.float16, "r", shape=(count, *self._shape))

    def _read_indexes(self) -> None:
        indexes = []
        for path in sorted(self._folder.glob(f"{self._level}-rows-*.json")):
            data = path.read_bytes()
            if path.name == f"{self._level}-rows-{_sum(data)}.json":
                indexes.append(json.loads(data))
            else:
                LOG.warning("%s: is damaged; its photos are computed again.", path)
                path.unlink()
        self._end = max((index["first"] + len(index["keys"]) for index in indexes), default=0)
        if not self._path.exists():
            return
        maps, damaged = self.open(), 0
        for index in indexes:
            for row, (key, expected) in enumerate(zip(index["keys"], index["sums"], strict=True), index["first"]):
                if row < len(maps) and zlib.crc32(maps[row].data) == expected:
                    self.rows[key] = row
                else:
                    damaged += 1
        if damaged:
            LOG.warning("%s: %d maps are damaged; they are computed again.", self._path, damaged)


def _sum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
