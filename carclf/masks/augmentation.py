"""On-line augmentation: a photo and what it is taught, warped together and anew each time it is drawn."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from carclf.appearance import AppearanceRanges, change_look, draw_appearance
from carclf.geometry import GeometryRanges, draw_geometry, warp_planes

Array = NDArray[Any]


def augment(
    image: NDArray[np.float16], shares: NDArray[np.float16], mirror: tuple[int, ...], random: np.random.Generator
) -> tuple[NDArray[np.float16], NDArray[np.float16]]:
    """Warps a photo and its targets in the same way, and changes the light of the photo.

    A warp that would leave nothing of the damage is drawn milder, down to a mere mirroring. What lies outside the
    photo is its reflection, and neither trains nor judges.

    Args:
        image: float16 (S, S, 3) in [0, 1].
        shares: float16 (S, S, C + 1), as MaskTargets.shares.
        mirror: for every class the index of the class that it becomes when the photo is mirrored.
        random: makes every choice.

    Returns:
        (image, shares) of the same shapes.
    """
    import cv2

    warps = draw_geometry(random, GeometryRanges())
    look = draw_appearance(random, AppearanceRanges())
    judged = shares[..., -1:].astype(np.float32)
    planes = np.concatenate([shares[..., :-1] * judged, judged], axis=-1).astype(np.float32)
    for warp in warps:
        warped = warp_planes(planes, warp, cv2.BORDER_CONSTANT)
        if warped[..., :-1].any() or not planes[..., :-1].any():
            break
    if warp.mirrored:
        warped = warped[..., [*mirror, len(mirror)]]
    covered, seen = warped[..., :-1], warped[..., -1:]
    taught = np.divide(covered, seen, out=np.zeros_like(covered), where=seen > 0)
    moved = warp_planes(image.astype(np.float32), warp, cv2.BORDER_REFLECT_101)
    lit = change_look(np.round(moved * 255).clip(0, 255).astype(np.uint8), look)
    return (lit / np.float32(255)).astype(np.float16), np.concatenate([taught, seen], axis=-1).astype(np.float16)
