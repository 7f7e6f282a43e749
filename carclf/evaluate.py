"""A trained run scored on a separate labelled set, with the metrics and intervals of cross-validation."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from carclf.calibration import decide
from carclf.dataset import Dataset
from carclf.groups import hash_photos, make_groups
from carclf.heads import Head
from carclf.images import read_photo
from carclf.labels import IGNORED_PIXEL
from carclf.mask_fold import fold_file, load_truth
from carclf.mask_heads import MaskHead
from carclf.mask_metrics import MaskCounts
from carclf.masks.map_reader import MapReader
from carclf.masks.photo_scores import judge_photos
from carclf.masks.scoring import MeanMask
from carclf.metrics import Predictions
from carclf.photo_source import PhotoSource
from carclf.predict import BATCH
from carclf.records import read_predictions
from carclf.report import head_results, mask_results
from carclf.risk_coverage import Cutoffs
from carclf.rundir import RunDir
from carclf.scores import Array
from carclf.selective import ALWAYS
from carclf.sight import Sight


def group_set(sight: Sight, similarity: float, workers: int) -> Array:
    """Groups the photos of a separate set among themselves: int64 (n,)."""
    photos = sight.dataset.photos
    hashes = hash_photos([photo.path for photo in photos], read_photo, workers)
    sha256s, given = [photo.sha256 for photo in photos], [photo.table_group for photo in photos]
    return make_groups(sha256s, given, hashes, sight.group_vectors, similarity).group


def evaluate_head(
    run: RunDir, name: str, head: Head, sight: Sight, rows: tuple[Array, Array], seed: int
) -> dict[str, Any]:
    """Scores one classification head.

    Args:
        run: the trained run; its labels give the baseline.
        name: the head's name.
        head: the k heads, which answer together.
        sight: the separate set.
        rows: (int64 (m,), photos that are judged; int64 (n,), group of every photo of the set).
        seed: of the bootstrap.
    """
    data, (judged, group) = sight.dataset.heads[name], rows
    judged = judged[data.labelled[judged]]
    vectors = sight.vectors[:, judged]
    raw = replace(head, temperatures=np.ones_like(head.temperatures))
    probabilities = head.probabilities(vectors)
    record = Predictions(
        head.kind,
        head.label_set.names,
        tuple(sight.dataset.photos[row].name for row in judged),
        group[judged],
        np.zeros(len(judged), np.int64),
        data.targets[judged],
        raw.logits(vectors),
        probabilities,
        decide(probabilities, head.kind, head.threshold),
        np.tile(_training_shares(run, name, head), (len(judged), 1)),
    )
    thresholds = head.threshold.tolist() if head.kind == "multi_label" else None
    choices = [{"fold": 0, "temperature": None, "thresholds": thresholds}]
    return head_results(record, [], choices, data.none_label, seed, _cutoffs(head))


def evaluate_masks(
    run: RunDir, name: str, head: MaskHead, sight: Sight, rows: tuple[Array, Array], seed: int
) -> dict[str, Any]:
    """Scores one segmentation head; arguments as in `evaluate_head`. Some pixel must be judged."""
    data, (judged, group) = sight.dataset.heads[name], rows
    judged = judged[data.labelled[judged]]
    photos = [sight.dataset.photos[row] for row in judged]
    loaders = [partial(load_truth, data, photo, int(row)) for photo, row in zip(photos, judged, strict=True)]
    folds = (run.read_arrays(fold_file(name, fold)) for fold in range(len(head.decoders)))  # one in memory at a time
    probabilities, thresholds = zip(*((fold["mean_mask"], fold["mean_mask_thresholds"]) for fold in folds), strict=True)
    mean_mask = MeanMask(np.mean(probabilities, axis=0), np.mean(thresholds, axis=0))
    counted = judge_photos(_answers(head, sight, judged), head.decider, mean_mask, loaders)
    record = MaskCounts(
        head.label_set.names,
        tuple(photo.name for photo in photos),
        group[judged],
        np.zeros(len(judged), np.int64),
        counted.pixels,
        counted.scores,
        counted.baselines,
        head.min_probability,
        counted.confidence,
    )
    choices = [{"fold": 0, "thresholds": head.thresholds.tolist()}]
    return mask_results(record, [], choices, seed, _cutoffs(head))


def has_judged_pixel(dataset: Dataset, name: str, judged: Array) -> bool:
    """Whether a pixel of a segmentation head's masks is judged, among photos int64 (m,); reads until one is found."""
    data = dataset.heads[name]
    rows = judged[data.labelled[judged]]
    return any((load_truth(data, dataset.photos[row], int(row)).mask != IGNORED_PIXEL).any() for row in rows)


def _cutoffs(head: Head | MaskHead) -> Cutoffs | None:
    """From which confidence on the k heads answer together, as on photos that are asked about."""
    return Cutoffs(np.array([head.least_confidence])) if head.least_confidence > ALWAYS else None


def _answers(head: MaskHead, sight: Sight, rows: Array) -> Iterator[Array]:
    """Yields the grids of photos, in order; of large ones, where there are tiles, of the tiles."""
    reader = MapReader(sight.maps, sight.map_rows)
    for start in range(0, len(rows), BATCH):
        batch = rows[start : start + BATCH]
        for row, grid in zip(batch, head.answer(reader.read_views(batch)), strict=True):
            yield head.looking.answer_photo(PhotoSource(sight.dataset.photos[row].path), grid, head.answer)


def _training_shares(run: RunDir, name: str, head: Head) -> Array:
    trained = read_predictions(run, name, head.kind)
    if head.kind == "categorical":
        return np.bincount(trained.targets, minlength=len(trained.class_names)) / len(trained.targets)
    return np.asarray(trained.targets.mean(axis=0))
