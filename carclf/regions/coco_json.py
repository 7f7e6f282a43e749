"""Regions of photos -> COCO instances json: for CVAT, Label Studio, pycocotools and our own import.

What the programs that load it need, beside the published form (Lin et al., 2014):
- CVAT (its reader is Datumaro) wants whole numbers as `id`, `iscrowd` on every annotation, category ids from 1 (0 has
  no label there), and `bbox` as a list. It makes a shape of each ring, those of a region grouped. It would load run
  lengths, too, as a brush mask. `score` becomes an attribute where the label has one of this name.
- Label Studio's converter takes polygons only (run lengths end it) and makes a shape of each ring, too, beside one of
  the `bbox`. Some of its versions want a `score` with every `bbox`.
So every region is polygons, one ring for all that hangs together, holes led into it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from carclf.regions.polygons import TOLERANCE, flat_rings, make_polygons
from carclf.regions.region import Region, box_pixels

_SCORE_DIGITS = 6  # float32 has no more


@dataclass(frozen=True)
class PhotoRegions:
    """The regions of one photo.

    Attributes:
        photo: its name, with "/" between folders, as the import finds it again.
        size: (width, height) in pixels, upright.
        regions: of the photo.
    """

    photo: str
    size: tuple[int, int]
    regions: Sequence[Region]


def coco_tree(
    photos: Iterable[PhotoRegions], class_names: Sequence[str], tolerance: float = TOLERANCE
) -> dict[str, Any]:
    """Makes the tree of a COCO file; `carclf.files.write_json` writes it.

    The same regions give the same bytes: nothing tells the time. A photo without a region is an image without an
    annotation. `area` and `bbox` are of the polygons as they are drawn, as pycocotools finds them.

    Args:
        photos: read once, one after the other; only their polygons are kept.
        class_names: of the class ids 1, 2, …
        tolerance: pixels that the polygons may lie off the regions' outlines; 0 = exact; see make_polygons.

    Raises:
        ValueError: if a photo is there twice, as no reader could tell whose regions are meant.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    seen: set[str] = set()
    for image_id, photo in enumerate(photos, 1):
        if photo.photo in seen:
            raise ValueError(f"{photo.photo} is there twice. Give each photo once, with all its regions.")
        seen.add(photo.photo)
        width, height = photo.size
        images.append({"id": image_id, "file_name": photo.photo, "width": width, "height": height})
        for region in photo.regions:
            entry = _annotation(region, photo.size, tolerance)
            annotations.append({"id": len(annotations) + 1, "image_id": image_id, **entry})
    return {
        "info": {"description": "Regions of damage found by carclf"},
        "licenses": [],
        "images": images,
        "annotations": annotations,
        "categories": [{"id": number, "name": name} for number, name in enumerate(class_names, 1)],
    }


def _annotation(region: Region, size: tuple[int, int], tolerance: float) -> dict[str, Any]:
    from pycocotools import mask as coco

    rings = flat_rings(make_polygons(box_pixels(region), region.box[:2], tolerance))
    drawn: Any = coco.merge(coco.frPyObjects(rings, size[1], size[0]))
    return {
        "category_id": region.class_id,
        "segmentation": rings,
        "area": int(coco.area(drawn)),
        "bbox": [float(value) for value in coco.toBbox(drawn)],
        "iscrowd": 0,
        "score": round(region.probability, _SCORE_DIGITS),
    }
