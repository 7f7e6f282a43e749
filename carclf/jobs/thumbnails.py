"""Small pictures of the first photos of a job, the masks beside them: for the page and the contact sheets."""

import hashlib
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from carclf.errors import PhotoError
from carclf.files import write_whole
from carclf.jobs.request import THUMBNAILS
from carclf.label_file import LabelSet
from carclf.saying import Answer
from carclf.showing import jpeg_bytes, png_bytes, small_mask, small_photo

_NAME_DIGITS = 20  # of a hash: no two of a billion photos have the same


@dataclass(frozen=True)
class Thumbnail:
    """The files of one photo.

    Attributes:
        photo: JPEG.
        masks: head -> PNG to lay over it, transparent where there is nothing.
    """

    photo: Path
    masks: dict[str, Path]


@dataclass(frozen=True)
class Thumbnails:
    """The folder of thumbnails.

    Attributes:
        folder: of the job.
        label_sets: segmentation head -> its classes.
    """

    folder: Path
    label_sets: dict[str, LabelSet]

    def of(self, photo: str) -> Thumbnail:
        """Where the thumbnail of a photo is, whether it is there or not."""
        name = hashlib.sha256(os.fsencode(os.path.abspath(photo))).hexdigest()[:_NAME_DIGITS]
        there = self.folder / THUMBNAILS
        return Thumbnail(there / f"{name}.jpg", {head: there / f"{name}_{head}.png" for head in self.label_sets})

    def write(self, answer: Answer) -> None:
        """Writes the thumbnail of a photo; the photo is read again.

        Raises:
            PhotoError: if it cannot be read any more, or is another one now.
            RunDirError: if the files cannot be written.
        """
        data, name = answer.photo.read_bytes(), str(answer.path)
        if hashlib.sha256(data).hexdigest() != answer.fields["photo_sha256"]:
            raise PhotoError(f"{name}: was changed while it was being answered. Run again.")
        thumbnail, small = self.of(name), small_photo(data, name)
        for head, mask in answer.masks.items():
            layer = png_bytes(small_mask(mask, small.size, self.label_sets[head]))
            write_whole(thumbnail.masks[head], partial(_write, layer))
        write_whole(thumbnail.photo, partial(_write, jpeg_bytes(small)))


def _write(data: bytes, path: Path) -> None:
    path.write_bytes(data)
