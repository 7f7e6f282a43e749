"""The photo itself in place of a backbone's features: for networks that are trained from scratch.

It looks like a backbone whose only map is P0, the photo, so that what is read, cached, mirrored and cut into tiles is
the same as with any backbone.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carclf.backbone import Backbone
from carclf.engines import PRECISION
from carclf.hub import Source
from carclf.masks.spec import PIXELS

NO_BACKBONE = "none"
"""What stands for its source, its engine and its hash."""


def open_pixels(image_size: int) -> Backbone:
    """A "backbone" that yields the photo, float32 (b, S, S, 3) in [0, 1], as map P0, and vectors without features."""
    return Backbone(
        source=Source("pixels", NO_BACKBONE, "the photo itself", Path(), NO_BACKBONE, seen_drawn_cars=False),
        image_size=image_size,
        input_range=(0.0, 1.0),
        engine=NO_BACKBONE,
        engine_version="",
        precision=PRECISION,
        grid=None,
        num_features=0,
        map_shapes={PIXELS: (image_size, image_size, 3)},
        range_warning="",
        run=_pass_on,
    )


def _pass_on(images: NDArray[np.float32], maps: bool) -> dict[str, Any]:
    vector = np.zeros((len(images), 0), np.float32)
    return {"vector": vector, PIXELS: images} if maps else {"vector": vector}
