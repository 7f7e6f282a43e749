"""One reader per annotation format -> records: what is said of one photo each.

shapes.py      shapes and how they are drawn
records.py     what a reader yields: a record per photo, or the problem with one
classes.py     names of regions -> classes of a label file
sources.py     files that annotations name, found inside the folders of the user and nowhere else
via.py         VGG Image Annotator, version 1 and 2
mask_files.py  a folder of mask PNGs, one per photo
"""

from collections.abc import Iterator
from pathlib import Path

from carclf.annotations.mask_files import read_mask_folder
from carclf.annotations.records import Problem, ReadOptions, Record
from carclf.annotations.via import read_via
from carclf.errors import AnnotationError, did_you_mean

READERS = {"via": read_via, "masks": read_mask_folder}


def read_records(format_name: str, path: Path, options: ReadOptions) -> Iterator[Record | Problem]:
    """Reads annotations, one photo after the other.

    Args:
        format_name: one of READERS.
        path: the annotation file or folder.
        options: what the user says about them.

    Yields:
        a record, or the problem that it has; never two records of one photo.

    Raises:
        AnnotationError: if the file as a whole is not of the format.
    """
    if format_name not in READERS:
        guess = did_you_mean(format_name, READERS)
        raise AnnotationError(f'"{format_name}" is no annotation format.{guess} Known: {", ".join(READERS)}.')
    return READERS[format_name](path, options)
