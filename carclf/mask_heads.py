"""A trained segmentation head: its k networks, which answer together."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carclf.labels import LabelSet
from carclf.mask_looking import Looking
from carclf.masks.answers import Decider, make_grids
from carclf.scores import Array


@dataclass(frozen=True)
class MaskHead:
    """The k networks of a segmentation head.

    Attributes:
        label_set: its classes.
        decoders: carclf.masks.decoder.MaskDecoder, one per fold.
        decider: decides with thresholds that are the means over the folds.
        looking: how it looks at photos.
        min_probability: least probability of a region that is answered.
        least_confidence: below it the head cannot say; 0 = it always answers, 1 = never.
    """

    label_set: LabelSet
    decoders: tuple[Any, ...]
    decider: Decider
    looking: Looking
    min_probability: float
    least_confidence: float = 0.0

    @property
    def thresholds(self) -> Array:
        """float64 (C,), means over the folds."""
        return self.decider.thresholds

    def answer(self, maps: Mapping[str, Array]) -> NDArray[np.float32]:
        """Mean of the k networks' outputs, as grids: level -> (views, b, h, w, c) to float32 (b, H, W, K)."""
        chosen = {level: maps[level][: self.looking.views] for level in self.looking.levels}
        outputs = np.mean([decoder.predict_logits(chosen) for decoder in self.decoders], axis=0)
        return make_grids(outputs, len(self.label_set.names))
