"""A photo that is asked about: a file, or bytes in memory that are called like one."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from carclf.images import decode_full_photo, read_bytes, read_head


@dataclass(frozen=True)
class PhotoSource:
    """A photo.

    Attributes:
        path: where it lies; of one in memory what it is called, which is never looked for on the disk.
        data: its bytes; None = those of the file.
    """

    path: Path
    data: bytes | None = field(default=None, repr=False)

    def read_bytes(self) -> bytes:
        """Its bytes.

        Raises:
            PhotoError: if the file cannot be read.
        """
        return read_bytes(self.path) if self.data is None else self.data

    def read_size(self) -> tuple[int, int]:
        """(width, height) of the photo held upright; its pixels are not decoded.

        Raises:
            PhotoError: if it cannot be read or is no photo.
        """
        frame = read_head(self.read_bytes(), str(self.path))[1]
        return frame.width, frame.height

    def read_full(self) -> NDArray[np.uint8]:
        """Its pixels at its own size: uint8 (height, width, 3), RGB, upright.

        Raises:
            PhotoError: if it cannot be read or is no photo.
        """
        return decode_full_photo(self.read_bytes(), str(self.path))
