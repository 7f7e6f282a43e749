"""Made-up records of a plausible run, for the tests of everything that reads records."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from carclf.metrics import MaskCounts, Predictions
from carclf.scores import sigmoid, softmax

SEVERITY = ("minor", "moderate", "severe", "whole")


def make_predictions(
    kind: str = "categorical",
    class_names: Sequence[str] = SEVERITY,
    num_photos: int = 200,
    seed: int = 0,
    noise: float = 1.5,
) -> Predictions:
    """Predictions that are better than chance, over five folds of groups of one to three photos."""
    random = np.random.default_rng(seed)
    num_classes = len(class_names)
    groups = np.sort(random.integers(0, num_photos, num_photos))
    folds = groups % 5
    if kind == "categorical":
        targets: Any = random.permutation(np.arange(num_photos) % num_classes)
        truth = np.eye(num_classes, dtype=bool)[targets]
    else:
        truth = random.random((num_photos, num_classes)) < 0.3
        targets = truth.astype(np.int8)
    logits = (3.0 * truth - 1.5 + noise * random.normal(size=truth.shape)).astype(np.float32)
    activation = softmax if kind == "categorical" else sigmoid
    probabilities = activation(logits / 1.3).astype(np.float32)
    most = np.eye(num_classes, dtype=bool)[probabilities.argmax(axis=1)]
    return Predictions(
        kind=kind,
        class_names=tuple(class_names),
        photos=tuple(f"{i:04d}.jpg" for i in range(num_photos)),
        groups=groups,
        folds=folds,
        targets=targets,
        logits=logits,
        probabilities=probabilities,
        decisions=most if kind == "categorical" else probabilities >= 0.4,
        baseline=np.stack([truth[folds != fold].mean(axis=0) for fold in folds]),
    )


def make_mask_counts(class_names: Sequence[str] = ("damage",), num_photos: int = 120, seed: int = 0) -> MaskCounts:
    """Pixel counts of photos of 5,000 pixels, every second one without damage."""
    random = np.random.default_rng(seed)
    groups = np.sort(random.integers(0, num_photos, num_photos))
    shape = (num_photos, len(class_names))
    damaged = np.arange(num_photos)[:, None] % 2 == 0
    area = np.where(damaged, random.integers(50, 1000, shape), 0)
    hits = (area * random.random(shape)).astype(np.int64)
    false = np.where(random.random(shape) < np.where(damaged, 0.9, 0.1), random.integers(1, 300, shape), 0)
    none = np.zeros_like(area)
    constants = [
        np.stack([none, none, area], axis=-1),
        np.stack([area, 5000 - area, none], axis=-1),
        np.stack([area // 2, none + 400, area - area // 2], axis=-1),
    ]
    return MaskCounts(
        class_names=tuple(class_names),
        photos=tuple(f"{i:04d}.jpg" for i in range(num_photos)),
        groups=groups,
        folds=groups % 5,
        counts=np.stack([hits, false, area - hits], axis=-1),
        baselines=np.stack(constants),
        pixels=np.full(num_photos, 5000),
    )
