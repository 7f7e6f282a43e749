"""Photos and their masks, small, as text inside the page."""

import base64
import io
from pathlib import Path

import numpy as np
from PIL import Image

from carclf.errors import CarclfError
from carclf.images import open_image, photo_frame, read_bytes
from carclf.mask_images import mask_colors
from carclf.mask_sources import MaskSource

_BOX = (208, 156)  # pixels: twice what the page shows, for dense screens
_QUALITY = 68
_VEIL = 0.45  # how much of a pixel's colour is the mask's


def make_thumbnail(path: Path, mask: MaskSource | None = None) -> str:
    """Returns a photo as the address of a JPEG (`data:image/jpeg;base64,…`), its mask over it; "" if unreadable."""
    try:
        image = open_image(read_bytes(path), str(path), draft_size=max(_BOX))
        image = _over_white(image)
        image.thumbnail(_BOX)
        if mask is not None:
            image = _paint(image, mask, path)
        written = io.BytesIO()
        image.save(written, "JPEG", quality=_QUALITY)
    except (CarclfError, OSError, ValueError):
        return ""
    return f"data:image/jpeg;base64,{base64.b64encode(written.getvalue()).decode('ascii')}"


def _over_white(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image.convert("RGB")
    layered = image.convert("RGBA")
    white = Image.new("RGBA", layered.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, layered).convert("RGB")


def _paint(image: Image.Image, mask: MaskSource, path: Path) -> Image.Image:
    try:
        drawn = mask.load(photo_frame(path))
    except CarclfError:
        return image
    ids = np.asarray(Image.fromarray(drawn).resize(image.size, Image.Resampling.NEAREST))
    colors = np.array(mask_colors(mask.label_set), np.float32)
    pixels = np.asarray(image).astype(np.float32)
    veiled = pixels * (1 - _VEIL) + colors[ids] * _VEIL
    return Image.fromarray(np.where(ids[:, :, None] > 0, veiled, pixels).astype(np.uint8))
