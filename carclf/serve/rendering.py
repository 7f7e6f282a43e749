"""Masks and overlays of an answer as text in JSON: base64 of PNGs, or COCO's run lengths."""

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from carclf.label_file import LabelSet
from carclf.mask_images import put_colors
from carclf.mask_plots import label_colors, paint_mask
from carclf.saying import Answer

MaskFormat = Literal["png", "rle", "none"]
_OVERLAY_COMPRESSION = 1  # of 9: several times faster than Pillow's 6, a fifth larger


@dataclass(frozen=True)
class Wanted:
    """What is wanted beside the answers.

    Attributes:
        masks: as indexed PNGs, as run lengths, or not at all.
        overlays: the photo with its mask drawn over it.
    """

    masks: MaskFormat = "none"
    overlays: bool = False


def render(answer: Answer, wanted: Wanted, label_sets: Mapping[str, LabelSet]) -> dict[str, Any]:
    """What is wanted of an answer beside its fields.

    Args:
        answer: of a photo.
        wanted: what of it.
        label_sets: segmentation head -> its classes.

    Returns:
        "masks" and "overlays", head -> text or run lengths; each only if it is wanted.

    Raises:
        PhotoError: if the photo cannot be decoded at its own size.
    """
    made: dict[str, Any] = {}
    if wanted.masks != "none":
        pack = _packed_png if wanted.masks == "png" else _run_lengths
        made["masks"] = {head: pack(mask, label_sets[head]) for head, mask in answer.masks.items()}
    if wanted.overlays:
        photo = answer.photo.read_full() if answer.masks else np.zeros((0, 0, 3), np.uint8)
        made["overlays"] = {
            head: _png(Image.fromarray(paint_mask(photo, mask, label_colors(label_sets[head]))), _OVERLAY_COMPRESSION)
            for head, mask in answer.masks.items()
        }
    return made


def rendered_bytes(made: Mapping[str, Any]) -> int:
    """How much memory the texts of `render` take."""
    texts = (each for heads in made.values() for each in heads.values())
    return sum(len(each if isinstance(each, str) else each["counts"]) for each in texts)


def _packed_png(mask: NDArray[np.uint8], label_set: LabelSet) -> str:
    """The indexed PNG that `predict --masks` writes."""
    image = Image.fromarray(np.ascontiguousarray(mask))
    put_colors(image, label_set)
    return _png(image)


def _png(image: Image.Image, compression: int | None = None) -> str:
    written = io.BytesIO()
    image.save(written, "PNG", **({} if compression is None else {"compress_level": compression}))
    return base64.b64encode(written.getbuffer()).decode()


def _run_lengths(mask: NDArray[np.uint8], label_set: LabelSet) -> dict[str, Any]:
    """COCO's run lengths of all damage, and of each class."""
    classes = {name: _encode(mask == index) for index, name in enumerate(label_set.names, 1)}
    return {**_encode(mask != 0), "classes": classes}


def _encode(pixels: NDArray[np.bool_]) -> dict[str, Any]:
    from pycocotools import mask as coco

    packed = coco.encode(np.asfortranarray(pixels, np.uint8))
    return {"size": [int(side) for side in packed["size"]], "counts": packed["counts"].decode()}
