"""One reader per annotation format -> polygons or mask files.

shapes.py      polygons and how they are drawn
via.py         VGG Image Annotator, version 1 and 2, json
mask_files.py  a folder of indexed PNGs of class ids, one per photo
"""

from collections.abc import Mapping
from pathlib import Path

from carclf.annotations.mask_files import find_mask_files
from carclf.annotations.shapes import Polygon
from carclf.annotations.via import read_via
from carclf.errors import AnnotationError, did_you_mean
from carclf.labels import LabelSet

FORMATS = ("via", "masks")


def read_annotations(format_name: str, path: Path, label_set: LabelSet) -> Mapping[str, tuple[Polygon, ...] | Path]:
    """Reads the annotations of one segmentation head.

    Returns:
        photo -> its polygons (never none) or its mask file. The photo is named as the format does: by its
        file name (via) or by the path of its mask file without the suffix (masks).

    Raises:
        AnnotationError: with every bad record.
    """
    if format_name == "via":
        return read_via(path, label_set)
    if format_name == "masks":
        return find_mask_files(path)
    guess = did_you_mean(format_name, FORMATS)
    raise AnnotationError(f'"{format_name}" is no annotation format.{guess} Known: {", ".join(FORMATS)}.')
