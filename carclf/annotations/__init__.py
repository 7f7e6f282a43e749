"""One reader per annotation format -> records: what is said of one photo each.

shapes.py        shapes and how they are drawn
records.py       what a reader yields: a record per photo, or the problem with one
classes.py       names of regions -> classes of a label file
sources.py       files that annotations name, found inside the folders of the user and nowhere else
detect.py        which annotations lie in a folder
json_files.py    what readers of json files share
via.py           VGG Image Annotator, version 1 and 2
via_files.py     its json, project and csv files
coco.py          COCO instances
run_lengths.py   COCO's run lengths, checked
supervisely.py   Supervisely projects
yolo.py          YOLO, segmentation and detection
yolo_files.py    its data.yaml
cvat.py          CVAT for images 1.1
labelme.py       Labelme
mvtec.py         MVTec AD
tables.py        label tables
table_files.py   csv of any separator, parquet
mask_files.py    a folder of masks, one per photo
mask_layout.py   which of its files are masks, and of which photos
mask_legend.py   files beside masks that say what ids or colours mean
mask_pictures.py a mask of any mode -> class ids
mask_colors.py   colours -> classes
folders.py       a folder of photos per class
"""

from collections.abc import Callable, Iterator
from pathlib import Path

from carclf.annotations.coco import find_coco, read_coco
from carclf.annotations.cvat import find_cvat, read_cvat
from carclf.annotations.folders import find_folders, read_folders
from carclf.annotations.labelme import find_labelme, read_labelme
from carclf.annotations.mask_files import find_masks, read_mask_folder
from carclf.annotations.mvtec import find_mvtec, read_mvtec
from carclf.annotations.records import Problem, ReadOptions, Record
from carclf.annotations.supervisely import find_supervisely, read_supervisely
from carclf.annotations.tables import find_tables, read_tables
from carclf.annotations.via import find_via, read_via
from carclf.annotations.yolo import find_yolo, read_yolo

Reader = Callable[[Path, ReadOptions], Iterator[Record | Problem]]
Finder = Callable[[Path], list[Path]]

READERS: dict[str, Reader] = {
    "via": read_via,
    "coco": read_coco,
    "supervisely": read_supervisely,
    "yolo": read_yolo,
    "cvat": read_cvat,
    "labelme": read_labelme,
    "mvtec": read_mvtec,
    "table": read_tables,
    "masks": read_mask_folder,
    "folders": read_folders,
}
FINDERS: dict[str, Finder] = {
    "via": find_via,
    "coco": find_coco,
    "supervisely": find_supervisely,
    "yolo": find_yolo,
    "cvat": find_cvat,
    "labelme": find_labelme,
    "mvtec": find_mvtec,
    "table": find_tables,
    "masks": find_masks,
    "folders": find_folders,
}
LAST = ("masks", "folders")  # their finders fit nearly any folder of pictures: asked where no other finds anything


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
    return READERS[format_name](path, options)
