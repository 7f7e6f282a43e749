"""Made-up records of a plausible run, for the tests of everything that reads records."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from carclf.mask_metrics import MaskCounts, MaskScores
from carclf.masks.photo_scores import join_scores
from carclf.metrics import Predictions
from carclf.region_scores import JudgedRegions
from carclf.scores import Array, sigmoid, softmax

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
    """What was counted in photos of 5,000 pixels, every second one without damage."""
    random = np.random.default_rng(seed)
    groups = np.sort(random.integers(0, num_photos, num_photos))
    shape = (num_photos, len(class_names))
    damaged = np.arange(num_photos)[:, None] % 2 == 0
    area = np.where(damaged, random.integers(50, 1000, shape), 0)
    hits = (area * random.random(shape)).astype(np.int64)
    false = np.where(random.random(shape) < np.where(damaged, 0.9, 0.1), random.integers(1, 300, shape), 0)
    none = np.zeros_like(area)
    true_counts = np.where(damaged, random.integers(1, 4, shape), 0)
    constants = {
        "nothing": np.stack([none, none, area], axis=-1),
        "everything": np.stack([area, 5000 - area, none], axis=-1),
        "mean_mask": np.stack([area // 2, none + 400, area - area // 2], axis=-1),
    }
    return MaskCounts(
        class_names=tuple(class_names),
        photos=tuple(f"{i:04d}.jpg" for i in range(num_photos)),
        groups=groups,
        folds=groups % 5,
        pixels=np.full(num_photos, 5000),
        scores=make_mask_scores(np.stack([hits, false, area - hits], axis=-1), true_counts, random),
        baselines={name: make_mask_scores(counts, true_counts, random, name) for name, counts in constants.items()},
        min_probability=0.5,
        confidence=make_confidence(hits.sum(axis=1), false.sum(axis=1), area.sum(axis=1), seed),
    )


def make_confidence(hits: Array, false: Array, area: Array, seed: int) -> Array:
    """How sure masks are: rather sure of those that are right."""
    dice = np.where(false + area > 0, 2 * hits / np.maximum(hits + false + area, 1), 1)
    noise = np.random.default_rng([seed, 1]).normal(0, 0.2, len(hits))
    return np.clip(0.2 + 0.6 * dice + noise, 0, 1).astype(np.float32)


def make_mask_scores(counts: Array, true_counts: Array, random: np.random.Generator, answer: str = "") -> MaskScores:
    """Scores that go with pixel counts; `answer`: the name of a constant one, which finds hardly any region."""
    drawn, true = counts[..., :2].sum(axis=-1) // 8, counts[..., (0, 2)].sum(axis=-1) // 8
    near = counts[..., 0] // 10
    soft = np.stack([1 - counts[..., 1:].sum(axis=(1, 2)) / 5000, random.random(len(counts))], axis=1)
    if answer == "everything":
        soft[:] = np.nan
    return MaskScores(
        counts=counts,
        boundaries=np.stack([drawn, np.minimum(near, drawn), true, np.minimum(near, true)], axis=-1),
        soft=soft,
        regions=make_regions(true_counts, random, 0 if answer == "nothing" else 1 if answer else 3),
    )


def make_regions(true_counts: Array, random: np.random.Generator, most: int) -> JudgedRegions:
    """Up to `most` found regions of every class in every photo; what is found well is found well at lower IoUs, too."""
    rows: list[tuple[int, int, float, Array]] = []
    for photo, class_place in np.ndindex(true_counts.shape):
        for place in range(int(random.integers(0, most + 1))):
            level = int(random.integers(0, 11)) if place < true_counts[photo, class_place] else 0
            rows.append((photo, class_place + 1, float(np.float32(random.random())), np.arange(10) < level))
    photos, class_ids, probabilities = (np.array([row[k] for row in rows]) for k in range(3))
    return JudgedRegions(
        photos=photos.astype(np.int64),
        class_ids=class_ids.astype(np.int64),
        probabilities=probabilities.astype(np.float64),
        matched=np.array([row[3] for row in rows], bool).reshape(len(rows), 10),
        true_counts=true_counts,
    )


def repeat_photos(counts: MaskCounts, times: Array) -> MaskCounts:
    """The photos, each as often as int (n,) says; `rows` takes each at most once."""
    index = np.repeat(np.arange(len(counts.photos)), times)
    num_classes = len(counts.class_names)
    single = [counts.scores.rows(np.array([row])) for row in index]
    return replace(
        counts,
        photos=tuple(f"{place} {counts.photos[row]}" for place, row in enumerate(index)),
        groups=counts.groups[index],
        folds=counts.folds[index],
        pixels=counts.pixels[index],
        scores=join_scores(single, num_classes),
        baselines={},
        confidence=counts.confidence[index],
    )
