"""Small questions with a true answer, for the tests of everything that fits heads."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from carclf.crossval import Settings
from carclf.folds import Fold, make_folds, make_splits
from carclf.heads import Question
from carclf.label_file import LabelSet
from carclf.labels import NOT_LABELLED
from carclf.scores import Array

SIDES = ("left", "rear", "right")  # left and right change places in the mirror
SETTINGS = Settings(l2=(1e-4, 1e-3, 1e-2), max_steps=400)


def make_label_set(names: Sequence[str], mirror: Sequence[int] | None = None) -> LabelSet:
    return LabelSet(tuple(names), tuple(mirror or range(len(names))), (None,) * len(names), Path("labels.txt"))


def make_vectors(num_photos: int = 120, num_features: int = 16, seed: int = 0, views: int = 1) -> Array:
    """Vectors of unlike scales, not centred; the mirrored photo's features stand in reverse order, with noise."""
    random = np.random.default_rng(seed)
    plain = random.normal(size=(num_photos, num_features)) * np.geomspace(1, 0.1, num_features) + 2
    mirrored = plain[:, ::-1] + 0.05 * random.normal(size=plain.shape)
    return np.stack([plain, mirrored][:views]).astype(np.float32)


def make_question(kind: str, vectors: Array, seed: int = 0, unlabelled: float = 0.0, sides: bool = False) -> Question:
    """Three classes that a linear head answers well, but not always; a share of the photos is not labelled."""
    random = np.random.default_rng(seed)
    photos = vectors[0] - vectors[0].mean(axis=0)
    scores = photos @ random.normal(size=(photos.shape[1], 3)) + random.normal(size=(len(photos), 3))
    targets: Any = scores.argmax(axis=1) if kind == "categorical" else (scores > 1).astype(np.int8)
    targets[random.random(len(photos)) < unlabelled] = NOT_LABELLED
    return Question("side", kind, make_label_set(SIDES, (2, 1, 0) if sides else None), targets)


def make_split(num_photos: int, seed: int = 0, k: int = 4) -> tuple[list[Fold], list[Array]]:
    """Folds of pairs of photos, and three inner folds of every training part; they depend on no label."""
    group = np.arange(num_photos) // 2
    folds = make_splits(make_folds(group, {}, k, seed))
    inner = []
    for fold in folds:
        given = np.full(num_photos, -1, np.int64)
        given[fold.train] = make_folds(group[fold.train], {}, 3, seed)
        inner.append(given)
    return folds, inner
