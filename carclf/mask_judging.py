"""The segmentation heads of a run: cross-validated fold by fold; a killed run goes on with the next fold."""

import hashlib
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
from tqdm import tqdm

from carclf.config import MaskTrainingConfig
from carclf.dataset import Dataset, Photo
from carclf.errors import AnnotationError, CarclfError, PhotoError, raise_all
from carclf.head_data import HeadData
from carclf.images import photo_frame
from carclf.masks.map_reader import MapReader, grid_size
from carclf.masks.scoring import class_probabilities, count_pixels
from carclf.masks.targets import MaskLoader, make_mask_targets
from carclf.metrics import MaskCounts
from carclf.records import write_history, write_mask_counts
from carclf.rundir import RunDir
from carclf.scores import Array
from carclf.sight import Sight
from carclf.splits import Split

LOG = logging.getLogger(__name__)
FILES = ("history.csv", "choices.json", "predictions.csv")
MASKS_VERSION = 1  # raised whenever the same inputs give other masks than before


MaskSums = Mapping[str, Mapping[str, str]]
"""Head -> photo -> what its mask shows, hashed."""


def read_mask_sums(dataset: Dataset) -> MaskSums:
    """Reads every mask once, before anything long is begun; photos that cannot be read are passed over.

    Raises:
        AnnotationError: if masks cannot be read or do not fit their photos; names all of them.
    """
    sums: dict[str, dict[str, str]] = {}
    problems = []
    for name, head in dataset.heads.items():
        for row in np.flatnonzero(head.labelled) if head.kind == "segmentation" else ():
            photo, source = dataset.photos[row], head.masks[row]
            try:
                frame = photo_frame(photo.path)
            except PhotoError:
                continue  # told, with the reason, when the photo is decoded
            try:
                mask = source.load(frame) if source is not None else None
            except CarclfError as problem:
                problems.append(str(problem))
                continue
            if mask is not None:
                seen = hashlib.sha256(str(mask.shape).encode())
                seen.update(mask.tobytes())
                sums.setdefault(name, {})[photo.name] = seen.hexdigest()
    raise_all(AnnotationError, problems)
    return sums


def judge_masks(
    run: RunDir, sight: Sight, split: Split, settings: MaskTrainingConfig, seed: int, sums: MaskSums
) -> None:
    """Cross-validates every segmentation head that is not there yet and writes what comes out.

    Args:
        run: where the results go.
        sight: photos, their masks and maps.
        split: groups and folds.
        settings: how to fit.
        seed: of the fits.
        sums: see read_mask_sums.

    Raises:
        TrainingError: if a fold has nothing to learn from or diverges.
    """
    for name, head in sight.dataset.heads.items():
        if head.kind == "segmentation":
            photos = np.flatnonzero(head.labelled)
            work = _Work(name, head, [sight.dataset.photos[row] for row in photos], split, photos)
            inputs = work.inputs(sight.key, settings, seed, sums.get(name, {}))
            files = [f"{name}/{file}" for file in FILES] + [fold_file(name, fold) for fold in range(len(split.folds))]
            if not (run.is_done(name, inputs) and all(run.has(file) for file in files)):
                _judge(run, work, sight, (settings, seed), inputs)


def fold_file(head: str, fold: int) -> str:
    """Name of the file that holds a fold's decoder, thresholds and out-of-fold masks."""
    return f"{head}/fold{fold}.npz"


@dataclass(frozen=True)
class _Work:
    """One segmentation head and the photos that are labelled for it."""

    name: str
    head: HeadData
    photos: Sequence[Photo]
    split: Split
    rows: Array  # int64 (m,), the photos among those of the run

    @cached_property
    def loaders(self) -> list[MaskLoader]:
        """Reads the masks at the photos' own sizes."""
        return [
            partial(load_mask, self.head, photo, int(row)) for photo, row in zip(self.photos, self.rows, strict=True)
        ]

    def inputs(
        self, features_key: str, settings: MaskTrainingConfig, seed: int, sums: Mapping[str, str]
    ) -> dict[str, Any]:
        return {
            "photos": [[photo.name, photo.sha256] for photo in self.photos],
            "features": features_key,
            "labels": [self.head.label_set.names, self.head.label_set.mirror],
            "masks": [sums[photo.name] for photo in self.photos],
            "folds": self.split.fold[self.rows].tolist(),
            "groups": self.split.group[self.rows].tolist(),
            "mask_training": settings.model_dump(mode="json"),
            "seed": seed,
            "version": MASKS_VERSION,
        }


def load_mask(head: HeadData, photo: Photo, row: int) -> Any:
    """Reads the true mask of a labelled photo at its own size: uint8 (height, width), class ids."""
    source = head.masks[row]
    if source is None:
        raise ValueError(f"{photo.name} is not labelled")
    return source.load(photo_frame(photo.path))


def _judge(run: RunDir, work: _Work, sight: Sight, how: tuple[MaskTrainingConfig, int], inputs: dict[str, Any]) -> None:
    from carclf.masks.training import MaskData

    reader = MapReader(sight.maps, {level: rows[:, work.rows] for level, rows in sight.map_rows.items()})
    targets = make_mask_targets(work.loaders, len(work.head.label_set.names), *grid_size(reader.shapes))
    data = MaskData(reader, targets, work.split.group[work.rows], work.head.label_set.mirror)
    LOG.info("%s: fitting mask decoders for %d folds.", work.name, len(work.split.folds))
    started, earlier = time.perf_counter(), 0.0
    hidden = None if LOG.isEnabledFor(logging.INFO) else True  # None: hidden unless on a terminal
    for fold in tqdm(range(len(work.split.folds)), desc=work.name, unit="fold", disable=hidden):
        stage = f"{work.name}/fold{fold}"
        if run.is_done(stage, inputs) and run.has(fold_file(work.name, fold)):
            earlier += run.seconds()[stage]
            continue
        fold_started = time.perf_counter()
        run.write_arrays(fold_file(work.name, fold), _judge_fold(work, data, fold, how))
        run.finish(stage, inputs, time.perf_counter() - fold_started)
    _assemble(run, work, len(work.split.folds))
    run.finish(work.name, inputs, time.perf_counter() - started + earlier)


def _judge_fold(work: _Work, data: Any, fold: int, how: tuple[MaskTrainingConfig, int]) -> dict[str, Array]:
    """Fits one fold and scores it: the arrays of its file."""
    from carclf.masks.fit import MaskSplit, fit_mask_head

    fold_of = work.split.fold[work.rows]
    train, test = np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)
    fit = fit_mask_head(data, MaskSplit(work.name, fold, train, test), *how)
    probabilities = class_probabilities(fit.decoder.predict_photos(data.reader, test))
    counts = count_pixels(probabilities, fit.thresholds, fit.mean_mask, [work.loaders[row] for row in test])
    return {f"decoder:{name}": array for name, array in fit.decoder.to_arrays().items()} | {
        "class_names": np.array(work.head.label_set.names),
        "test": test,
        "probabilities": probabilities.astype(np.float16),
        "thresholds": fit.thresholds,
        "mean_mask": fit.mean_mask.probabilities,
        "mean_mask_thresholds": fit.mean_mask.thresholds,
        "counts": counts.counts,
        "baselines": counts.baselines,
        "pixels": counts.pixels,
        "history": np.array([(point.epoch, point.loss, point.metric) for point in fit.history]),
        "history_split": np.array([point.split for point in fit.history]),
    }


def _assemble(run: RunDir, work: _Work, num_folds: int) -> None:
    """Joins the folds' files into predictions.csv, history.csv and choices.json."""
    num_classes = len(work.head.label_set.names)
    counts = np.zeros((len(work.rows), num_classes, 3), np.int64)
    baselines, pixels = np.zeros((3, *counts.shape), np.int64), np.zeros(len(work.rows), np.int64)
    history: list[dict[str, Any]] = []
    choices: list[dict[str, Any]] = []
    for fold in range(num_folds):
        arrays = run.read_arrays(fold_file(work.name, fold))
        test = arrays["test"]
        counts[test], baselines[:, test], pixels[test] = arrays["counts"], arrays["baselines"], arrays["pixels"]
        choices.append({"fold": fold, "thresholds": arrays["thresholds"].tolist()})
        for split, (epoch, loss, metric) in zip(arrays["history_split"], arrays["history"], strict=True):
            row = {"fold": fold, "epoch": int(epoch), "split": str(split), "loss": loss, "metric": metric}
            history.append(row)
    photos = tuple(photo.name for photo in work.photos)
    group, fold_of = work.split.group[work.rows], work.split.fold[work.rows]
    record = MaskCounts(work.head.label_set.names, photos, group, fold_of, counts, baselines, pixels)
    write_mask_counts(run, work.name, record)
    write_history(run, work.name, history)
    run.write_json(f"{work.name}/choices.json", choices)
