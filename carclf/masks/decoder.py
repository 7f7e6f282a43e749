"""A fitted mask network: maps or pixels -> logits, its weights as plain arrays."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from carclf.errors import TrainingError
from carclf.masks.map_reader import MapReader, grid_size
from carclf.masks.networks import make_network
from carclf.masks.spec import NetworkSpec

Array = NDArray[Any]
SPEC_KEY = "spec"
"""The entry of a network's arrays that says how it is built; the others are its weights."""
_MOST_PHOTOS = 32
_MOST_CELLS = 2**20  # four photos of 512 × 512 pixels; more at once would be no faster, but fill the memory
# A photo's logits do not depend on how many are looked at together.


class MaskDecoder:
    """A fitted network: maps of photos, or their pixels -> logits on its grid."""

    def __init__(self, spec: NetworkSpec, model: Any) -> None:
        self.spec = spec
        self.model = model
        self._run = tf.function(
            lambda maps: tf.cast(model(maps, training=False), tf.float32),
            input_signature=[map_signature(spec, tf.float32)],
            autograph=False,
        )

    @property
    def grid(self) -> tuple[int, int]:
        """(H, W) of its answer."""
        _, height, width, _ = self.model.output_shape
        return int(height), int(width)

    @property
    def photos_together(self) -> int:
        """How many photos are looked at in one go: as many as memory bears."""
        height, width = grid_size(self.spec.map_shapes)
        return max(1, min(_MOST_PHOTOS, _MOST_CELLS // (height * width)))

    def predict_logits(self, maps: Mapping[str, Array]) -> NDArray[np.float32]:
        """Averages the answers over the views of each photo; looks at `photos_together` in one go.

        Args:
            maps: level -> float16 or float32 (views, b, h, w, c); view 1 is the mirrored photo. Rounded to
                float16, as cached maps are.

        Returns:
            float32 (b, H, W, K): the classes' logits (the background's is 0) and what else the architecture says.
        """
        views, count = next(iter(maps.values())).shape[:2]
        answers = np.zeros((count, *self.grid, self.spec.num_outputs), np.float32)
        for start in range(0, count, self.photos_together):
            few = slice(start, start + self.photos_together)
            for view in range(views):
                given = {
                    level: tf.constant(maps[level][view, few].astype(np.float16), tf.float32)
                    for level in self.spec.map_shapes
                }
                outputs = self._run(given).numpy()
                answers[few] += self.spec.turn_back(outputs) if view == 1 else outputs
        answers /= np.float32(views)
        return answers

    def predict_photos(self, reader: MapReader, photos: Array, views: int | None = None) -> NDArray[np.float32]:
        """The answers for cached photos.

        Args:
            reader: their maps.
            photos: int (n,).
            views: how many of them are averaged; None = all.

        Returns:
            float32 (n, H, W, K), in the order of `photos`.
        """
        answers = np.zeros((len(photos), *self.grid, self.spec.num_outputs), np.float32)
        for start in range(0, len(photos), self.photos_together):
            batch = photos[start : start + self.photos_together]
            answers[start : start + len(batch)] = self.predict_logits(reader.read_views(batch, views))
        return answers

    def to_arrays(self) -> dict[str, Array]:
        """Everything that is needed to build it again, running statistics included; np.savez keeps it."""
        arrays = {SPEC_KEY: np.array(self.spec.to_json())}
        for index, weight in enumerate(self.model.weights):
            arrays[f"{index:03d}"] = np.asarray(weight.numpy())
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> "MaskDecoder":
        """Builds the network that `to_arrays` described.

        Raises:
            TrainingError: if the arrays are no network's, or one's of another version.
        """
        if SPEC_KEY not in arrays:
            raise TrainingError(f'a mask decoder without the entry "{SPEC_KEY}": it is incomplete, fit it again.')
        try:
            spec = NetworkSpec.from_json(str(arrays[SPEC_KEY]))
        except (ValueError, KeyError, TypeError) as error:
            raise TrainingError("a mask decoder whose description is of another version: fit it again.") from error
        model = make_network(spec, dropout=0.0, seed=0)
        weights = [arrays[key] for key in sorted(set(arrays) - {SPEC_KEY})]
        wanted = [tuple(weight.shape) for weight in model.weights]
        if [weight.shape for weight in weights] != wanted:
            raise TrainingError("a mask decoder whose weights do not fit its own description: fit it again.")
        model.set_weights(weights)
        return cls(spec, model)


def map_signature(spec: NetworkSpec, dtype: Any) -> dict[str, Any]:
    """What a network's graph takes: any number of photos, so that the first call's number changes no bit."""
    return {level: tf.TensorSpec((None, *shape), dtype, name=level) for level, shape in spec.map_shapes.items()}
