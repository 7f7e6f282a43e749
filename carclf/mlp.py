"""Networks with one hidden layer, for many training parts at once: weights, forward and backward pass, Adam.

All fits are one batch dimension, fits first. They start from the same weights and see the photos in the same order;
what a fit must not see has weight 0. So a fit comes out the same whatever else is in the batch.
"""

from dataclasses import dataclass

import numpy as np

from carclf.linear import Rows, probabilities_of, spread_of
from carclf.scores import Array

MOMENTUM, SQUARES, EPSILON = 0.9, 0.999, 1e-7  # Adam's, as Keras has them
CHUNK = 512  # rows looked at together: 25 fits of 3,600 numbers each take 180 MB


@dataclass(frozen=True)
class Inputs:
    """What the fits learn from; each sees the features centred and scaled by its own training rows alone.

    Attributes:
        rows: the feature vectors.
        kind: "categorical" or "multi_label".
        targets: float32 (num_rows, num_classes), one-hot or 0/1.
        shares: float32 (num_fits, num_rows), 0 where a fit must not look.
        centres: float32 (num_fits, 1, rank), mean of the fit's own rows.
        scales: float32 (num_fits, 1, 1), so that a feature's mean square over the fit's own rows is 1 on average.
    """

    rows: Rows
    kind: str
    targets: Array
    shares: Array
    centres: Array
    scales: Array

    def features(self, index: Array) -> Array:
        """Features of rows as each fit sees them, float32 (num_fits, len(index), rank)."""
        return np.asarray((self.rows.coordinates[index, :-1] - self.centres) * self.scales)


def make_inputs(rows: Rows, kind: str, targets: Array, shares: Array) -> Inputs:
    """Measures each fit's centre and scale on its own rows.

    Raises:
        TrainingError: if a fit has no rows.
    """
    centres, variances = spread_of(rows, shares)
    totals = np.maximum(variances.sum(axis=1), np.finfo(np.float32).tiny)
    scales = np.sqrt(len(rows.axes) / totals)[:, None, None].astype(np.float32)
    return Inputs(rows, kind, targets, shares, centres[:, None].astype(np.float32), scales)


class Networks:
    """The networks of all fits, and their optimiser.

    Adam keeps one running square for all weights into a unit (Adam-mini; Zhang et al., 2024) instead of one for each.
    So, like the penalty and the first weights, it does not depend on the axes that the features are written in: the
    rotation of `make_rows`, which comes from all photos, brings nothing from one fold to another.

    Attributes:
        weights: float32 hidden kernels (num_fits, rank, hidden), hidden biases (num_fits, 1, hidden), kernels
            (num_fits, hidden, num_classes) and biases (num_fits, 1, num_classes).
        steps: taken so far.
    """

    def __init__(self, inputs: Inputs, hidden_units: int, l2: float, learning_rate: float, seed: int) -> None:
        """Draws the first weights in the features' own axes (He et al., 2015) and rotates them; biases are 0."""
        self.inputs, self.learning_rate, self.steps = inputs, learning_rate, 0
        generator = np.random.default_rng(seed)
        axes, num_classes = inputs.rows.axes, inputs.targets.shape[1]
        num_features = len(axes)
        hidden = axes.T @ generator.standard_normal((num_features, hidden_units)) * np.sqrt(2 / num_features)
        output = generator.standard_normal((hidden_units, num_classes)) / np.sqrt(hidden_units)
        first = (hidden, np.zeros((1, hidden_units)), output, np.zeros((1, num_classes)))
        self.weights = [np.repeat(each[None].astype(np.float32), len(inputs.shares), axis=0) for each in first]
        self._fan_in = (num_features, 1, hidden_units, 1)
        self._penalty = (l2 * num_features, 0.0, l2 * hidden_units, 0.0)
        self._slopes = [np.zeros_like(each) for each in self.weights]
        self._squares = [np.zeros((len(each), 1, each.shape[2]), np.float32) for each in self.weights]

    def logits(self) -> Array:
        """Logits of all rows, float32 (num_rows, num_fits, num_classes)."""
        index = np.arange(len(self.inputs.targets))
        parts = [self._forward(self.inputs.features(index[start : start + CHUNK]))[1] for start in index[::CHUNK]]
        return np.concatenate(parts, axis=1).transpose(1, 0, 2)

    def step(self, index: Array) -> None:
        """One step of Adam down the mean loss over each fit's own rows among index, plus its penalty."""
        inputs, kernels = self.inputs, self.weights[2]
        features = inputs.features(index)
        activations, logits = self._forward(features)
        seen = inputs.shares[:, index, None] > 0  # (num_fits, b, 1)
        errors = (probabilities_of(logits, inputs.kind) - inputs.targets[index]) * seen
        errors = (errors / np.maximum(seen.sum(axis=1, keepdims=True), 1)).astype(np.float32)
        passed_back = (errors @ kernels.swapaxes(1, 2)) * (activations > 0)  # (num_fits, b, hidden)
        gradients = (
            features.swapaxes(1, 2) @ passed_back,
            passed_back.sum(axis=1, keepdims=True),
            activations.swapaxes(1, 2) @ errors,
            errors.sum(axis=1, keepdims=True),
        )
        self.steps += 1
        for place, gradient in enumerate(gradients):
            self._move(place, gradient)

    def _forward(self, features: Array) -> tuple[Array, Array]:
        """Activations (num_fits, b, hidden) and logits (num_fits, b, num_classes)."""
        hidden_kernels, hidden_biases, kernels, biases = self.weights
        activations = np.maximum(features @ hidden_kernels + hidden_biases, 0)
        return activations, activations @ kernels + biases

    def _move(self, place: int, gradient: Array) -> None:
        weights, slopes, squares = self.weights[place], self._slopes[place], self._squares[place]
        if self._penalty[place]:
            gradient = gradient + np.float32(self._penalty[place]) * weights
        slopes += np.float32(1 - MOMENTUM) * (gradient - slopes)
        mean_square = np.einsum("fij,fij->fj", gradient, gradient)[:, None] / self._fan_in[place]
        squares += np.float32(1 - SQUARES) * (mean_square - squares)
        pace = self.learning_rate / (1 - MOMENTUM**self.steps)
        size = np.sqrt(squares / (1 - SQUARES**self.steps)) + EPSILON
        weights -= slopes * (pace / size).astype(np.float32)


def original_layers(inputs: Inputs, fits: Array, weights: list[Array]) -> dict[str, Array]:
    """Turns weights of some fits back to the features as they come.

    Args:
        inputs: of all fits.
        fits: int (k,), which ones.
        weights: theirs, as in Networks.

    Returns:
        float32 hidden_kernels (k, num_features, hidden), hidden_biases (k, hidden), kernels (k, hidden, num_classes)
        and biases (k, num_classes).
    """
    scaled = weights[0].astype(np.float64) * inputs.scales[fits]
    hidden_kernels = np.einsum("dr,frh->fdh", inputs.rows.axes, scaled, optimize=True)
    shift = inputs.centres[fits] @ scaled + (inputs.rows.mean @ hidden_kernels)[:, None]  # (k, 1, hidden)
    return {
        "hidden_kernels": hidden_kernels.astype(np.float32),
        "hidden_biases": (weights[1] - shift)[:, 0].astype(np.float32),
        "kernels": weights[2],
        "biases": weights[3][:, 0],
    }
