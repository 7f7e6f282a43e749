"""Heads: what answers one question from the feature vectors of a photo's views."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from carclf.labels import NOT_LABELLED, LabelSet, mirror_targets
from carclf.linear import Rows, make_rows, probabilities_of
from carclf.scores import Array
from carclf.views import is_mirrored

HIDDEN_ARRAYS = ("hidden_kernels", "hidden_biases")  # of a HiddenHead, before these of every head:
LINEAR_ARRAYS = ("kernels", "biases", "temperatures", "thresholds")


def has_sides(label_set: LabelSet) -> bool:
    """Whether a mirrored photo has other labels than the photo."""
    return label_set.mirror != tuple(range(len(label_set.names)))


@dataclass(frozen=True)
class Question:
    """A classification head before it is fitted.

    Attributes:
        name: the head's name.
        kind: "categorical" or "multi_label".
        label_set: its classes.
        targets: int64 (n,) or int8 (n, num_classes); NOT_LABELLED where nobody labelled the photo.
    """

    name: str
    kind: str
    label_set: LabelSet
    targets: Array

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.label_set.names)

    @property
    def labelled(self) -> Array:
        """Bool (n,): the photos that train and judge this head."""
        return np.asarray((self.targets.reshape(len(self.targets), -1) != NOT_LABELLED).all(axis=1))

    @property
    def has_sides(self) -> bool:
        """Whether a mirrored photo has other labels than the photo."""
        return has_sides(self.label_set)

    def columns(self) -> Array:
        """Returns the targets as float32 (n, num_classes), one-hot or 0/1; zeros where not labelled."""
        return _columns(self.targets, self.kind, self.num_classes)

    def mirrored_columns(self) -> Array:
        """The same of the mirrored photos."""
        return _columns(mirror_targets(self.targets, self.label_set), self.kind, self.num_classes)


def _columns(targets: Array, kind: str, num_classes: int) -> Array:
    if kind == "categorical":
        return np.asarray(targets[:, None] == np.arange(num_classes), np.float32)
    return np.asarray(np.maximum(targets, 0), np.float32)


class Views:
    """The feature vectors of all photos, as rows that heads are fitted on.

    A head whose labels stay the same in the mirror takes the mean of a photo's views as one row; one that tells left
    from right takes each view as a row of its own.
    """

    def __init__(self, vectors: Array) -> None:
        """Takes float32 (num_views, n, num_features), in the order of views.make_view."""
        self.vectors = vectors
        self._rows: dict[int, Rows] = {}

    def rows(self, has_sides: bool) -> tuple[Rows, int]:
        """Returns the rows and how many of them a photo has; row = view * n + photo."""
        count = len(self.vectors) if has_sides else 1
        if count not in self._rows:
            rows = _view_rows(self.vectors, has_sides)
            self._rows[count] = make_rows(rows.reshape(-1, rows.shape[-1]))
        return self._rows[count], count


def _view_rows(vectors: Array, has_sides: bool) -> Array:
    """What a head looks at, (num_views, n, num_features): each view, or (1, n, num_features) their mean."""
    return vectors if has_sides else vectors.mean(axis=0, keepdims=True)


def merge_views(logits: Array, label_set: LabelSet) -> Array:
    """Mean of the views' logits, (views, ..., num_classes) -> (..., num_classes); mirrored labels are turned back."""
    if len(logits) == 1:
        return np.asarray(logits[0])
    back = list(label_set.mirror)
    upright = [each[..., back] if is_mirrored(view) else each for view, each in enumerate(logits)]
    return np.asarray(np.mean(upright, axis=0, dtype=logits.dtype))


@dataclass(frozen=True)
class FittedHead:
    """The k linear heads of a cross-validation, which answer together.

    Attributes:
        kind: "categorical" or "multi_label".
        label_set: its classes.
        kernels: float32 (k, num_features, num_classes).
        biases: float32 (k, num_classes).
        temperatures: float64 (k,).
        thresholds: float64 (k, num_classes); of a categorical head unused.
        least_confidence: below it the head cannot say; 0 = it always answers, 1 = never.
    """

    kind: str
    label_set: LabelSet
    kernels: Array
    biases: Array
    temperatures: Array
    thresholds: Array
    least_confidence: float = 0.0

    def logits(self, vectors: Array) -> Array:
        """The mean of the k heads' temperature-scaled logits.

        Args:
            vectors: float32 (num_views, n, num_features).

        Returns:
            float32 (n, num_classes).
        """
        kernel, bias = self.merged()
        return merge_views(vectors @ kernel + bias, self.label_set).astype(np.float32)

    def merged(self) -> tuple[Array, Array]:
        """The k heads as the one that they are together: kernel, float32 (num_features, C), and bias, (C,)."""
        kernel = (self.kernels / self.temperatures[:, None, None]).mean(axis=0).astype(np.float32)
        bias = (self.biases / self.temperatures[:, None]).mean(axis=0).astype(np.float32)
        return kernel, bias

    def probabilities(self, vectors: Array) -> Array:
        """Answers with those logits: float32 (n, num_classes) in [0, 1]."""
        return probabilities_of(self.logits(vectors), self.kind).astype(np.float32)

    @property
    def threshold(self) -> Array:
        """Mean of the k heads' thresholds, float64 (num_classes,)."""
        return np.asarray(self.thresholds.mean(axis=0))

    def arrays(self) -> dict[str, Array]:
        """Everything that decides an answer but the classes and `least_confidence`."""
        return {name: getattr(self, name) for name in LINEAR_ARRAYS}


@dataclass(frozen=True)
class HiddenHead:
    """The k heads of a cross-validation that have a hidden layer; used like a FittedHead.

    Attributes:
        kind: "categorical" or "multi_label".
        label_set: its classes.
        hidden_kernels: float32 (k, num_features, hidden).
        hidden_biases: float32 (k, hidden).
        kernels: float32 (k, hidden, num_classes).
        biases: float32 (k, num_classes).
        temperatures: float64 (k,).
        thresholds: float64 (k, num_classes); of a categorical head unused.
        least_confidence: below it the head cannot say; 0 = it always answers, 1 = never.
    """

    kind: str
    label_set: LabelSet
    hidden_kernels: Array
    hidden_biases: Array
    kernels: Array
    biases: Array
    temperatures: Array
    thresholds: Array
    least_confidence: float = 0.0

    def logits(self, vectors: Array) -> Array:
        """The mean of the k heads' temperature-scaled logits, as `FittedHead.logits`."""
        rows = _view_rows(vectors, has_sides(self.label_set))
        logits = np.zeros((*rows.shape[:2], len(self.label_set.names)))
        for fold, temperature in enumerate(self.temperatures):
            hidden = np.maximum(rows @ self.hidden_kernels[fold] + self.hidden_biases[fold], 0)
            logits += (hidden @ self.kernels[fold] + self.biases[fold]) / temperature
        return merge_views(logits / len(self.temperatures), self.label_set).astype(np.float32)

    def probabilities(self, vectors: Array) -> Array:
        """Answers with those logits: float32 (n, num_classes) in [0, 1]."""
        return probabilities_of(self.logits(vectors), self.kind).astype(np.float32)

    @property
    def threshold(self) -> Array:
        """Mean of the k heads' thresholds, float64 (num_classes,)."""
        return np.asarray(self.thresholds.mean(axis=0))

    def arrays(self) -> dict[str, Array]:
        """Everything that decides an answer but the classes and `least_confidence`."""
        return {name: getattr(self, name) for name in (*HIDDEN_ARRAYS, *LINEAR_ARRAYS)}


Head = FittedHead | HiddenHead


def make_head(kind: str, label_set: LabelSet, arrays: Mapping[str, Array]) -> Head:
    """Makes the head that has these arrays, and always answers; the inverse of `arrays`."""
    if HIDDEN_ARRAYS[0] not in arrays:
        linear: dict[str, Any] = {name: arrays[name] for name in LINEAR_ARRAYS}
        return FittedHead(kind, label_set, **linear)
    layers: dict[str, Any] = {name: arrays[name] for name in (*HIDDEN_ARRAYS, *LINEAR_ARRAYS)}
    return HiddenHead(kind, label_set, **layers)
