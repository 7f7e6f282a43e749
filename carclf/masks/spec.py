"""What a mask network reads, what it answers, and how it is built, as plain values."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
PIXELS = "P0"
"""The level that is the photo itself: (h, w, 3), values in [0, 1]."""
INSTANCE_OUTPUTS = ("centre", "offset_y", "offset_x")
"""What panoptic answers behind the classes' logits, in this order; see panoptic_network.py."""


@dataclass(frozen=True)
class NetworkSpec:
    """How a mask network is built.

    Attributes:
        architecture: one of carclf.mask_architectures.ARCHITECTURES.
        map_shapes: level -> (h, w, c) of what it reads: "P2" … "P5" are maps of a frozen backbone, PIXELS the photo.
        num_classes: C, without the background.
        mirror: for every class the index of the class that it becomes when the photo is mirrored.
        options: of the architecture, JSON values; see its module.
    """

    architecture: str
    map_shapes: dict[str, tuple[int, int, int]]
    num_classes: int
    mirror: tuple[int, ...]
    options: dict[str, Any]

    @property
    def levels(self) -> list[str]:
        """Coarse to fine."""
        return sorted(self.map_shapes, key=lambda level: self.map_shapes[level])

    @property
    def num_outputs(self) -> int:
        """K, channels of its answer: the classes' logits, and INSTANCE_OUTPUTS of panoptic."""
        return self.num_classes + (len(INSTANCE_OUTPUTS) if self.architecture == "panoptic" else 0)

    @property
    def mirror_index(self) -> tuple[int, ...]:
        """For every output of a mirrored photo the output of the photo that it is: K numbers."""
        return (*self.mirror, *range(self.num_classes, self.num_outputs))

    @property
    def mirror_signs(self) -> tuple[int, ...]:
        """1, and -1 for what points the other way in a mirrored photo: K numbers."""
        names = (*[""] * self.num_classes, *INSTANCE_OUTPUTS)[: self.num_outputs]
        return tuple(-1 if name == "offset_x" else 1 for name in names)

    def turn_back(self, outputs: Array) -> Array:
        """Turns the network's answer to mirrored photos, (b, h, w, K), into what it means for the photos."""
        return mirror_back(outputs, self.mirror_index, self.mirror_signs)

    def to_json(self) -> str:
        """As text that `from_json` reads."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "NetworkSpec":
        """Reads what `to_json` wrote.

        Raises:
            ValueError, KeyError, TypeError: if the text is another one.
        """
        given = json.loads(text)
        shapes = {level: (int(h), int(w), int(c)) for level, (h, w, c) in given["map_shapes"].items()}
        return cls(**{**given, "map_shapes": shapes, "mirror": tuple(given["mirror"])})


def mirror_back(grid: Array, index: Sequence[int], signs: Sequence[int] | None = None) -> Array:
    """Turns what was said about mirrored photos into what it means for the photos; also targets, either way.

    Args:
        grid: (b, h, w, k).
        index: for every channel the index of the one that it becomes, (k,); swaps and what stays.
        signs: 1 or -1 for every channel, (k,); None = all 1.

    Returns:
        (b, h, w, k) of grid's dtype.
    """
    turned = grid[:, :, ::-1][..., list(index)]
    return turned if signs is None else turned * np.asarray(signs, grid.dtype)
