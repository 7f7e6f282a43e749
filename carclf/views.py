"""Ways to look at a photo: as it is, its middle enlarged, in brighter light, and each of these mirrored.

Heads and masks learn from the same views that predict; the answers of the views are averaged.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from carclf.images import mirror, resize_channel

VIEWS = 6
ZOOM = 0.8  # share of the photo's height and width that the enlarged view shows
LIGHT = 0.7  # exponent of the brighter view: middle grey 0.5 becomes 0.62


def make_view(images: NDArray[np.float32], view: int) -> NDArray[np.float32]:
    """Returns another view of photos: float32 (b, S, S, 3) in [0, 1], of the same shape.

    Args:
        images: float32 (b, S, S, 3) in [0, 1].
        view: 0 the photo, 2 its middle enlarged (ZOOM), 4 the photo in brighter light (LIGHT); the odd ones are the
            mirror images of those before them.
    """
    kind = view // 2
    if kind == 1:
        images = np.stack([_enlarge_middle(image) for image in images])
    elif kind == 2:
        images = images**LIGHT
    return np.ascontiguousarray(mirror(images)) if is_mirrored(view) else images


def is_mirrored(view: int) -> bool:
    """Whether left and right are swapped in a view."""
    return view % 2 == 1


def middle_weights(size: int) -> NDArray[np.float32]:
    """The enlarged view as a matrix, float32 (size, size): along either axis, view = weights @ photo."""
    unit = np.eye(size, dtype=np.float32)
    edge = round(size * (1 - ZOOM) / 2)
    middle = unit[edge : size - edge]
    return resize_channel(Image.fromarray(middle), (size, size))


def _enlarge_middle(image: NDArray[np.float32]) -> NDArray[np.float32]:
    size = len(image)
    edge = round(size * (1 - ZOOM) / 2)
    middle = image[edge : size - edge, edge : size - edge]
    channels = [resize_channel(Image.fromarray(np.ascontiguousarray(middle[:, :, i])), (size, size)) for i in range(3)]
    return np.clip(np.stack(channels, axis=-1), 0.0, 1.0)
