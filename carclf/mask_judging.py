"""The segmentation heads of a run: cross-validated fold by fold; a killed run goes on with the next fold."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from tqdm import tqdm

from carclf.config_heads import HeadConfig
from carclf.dataset import Dataset
from carclf.errors import AnnotationError, CarclfError, PhotoError, TrainingError, raise_all
from carclf.images import photo_frame
from carclf.mask_fold import (
    FoldWork,
    fit_fold,
    fold_file,
    make_data,
    read_inner_answers,
    read_scores,
    score_fold,
    scores_file,
)
from carclf.mask_images import mask_sha256
from carclf.mask_metrics import MaskCounts
from carclf.masks.photo_scores import JudgedPhotos, join_judged
from carclf.records import INNER, write_history, write_inner, write_mask_counts
from carclf.rundir import RunDir
from carclf.scores import Array
from carclf.selective import InnerAnswers
from carclf.sight import Sight
from carclf.splits import Split

LOG = logging.getLogger(__name__)
FILES = ("history.csv", "choices.json", "predictions.csv", "regions.csv")
MASKS_VERSION = 2  # raised whenever the same inputs give other masks than before
COUNTS_VERSION = 2  # raised whenever more is counted in the same masks: no network is fitted again for it


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
        own = head.kind == "segmentation" and head.masks_of is None
        for row in np.flatnonzero(head.labelled) if own else ():
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
                sums.setdefault(name, {})[photo.name] = mask_sha256(mask)
    raise_all(AnnotationError, problems)
    shared = {name: head.masks_of for name, head in dataset.heads.items() if head.masks_of is not None}
    return sums | {name: sums[owner] for name, owner in shared.items() if owner in sums}


@dataclass(frozen=True)
class MaskJob:
    """What all segmentation heads of a run share.

    Attributes:
        run: where the results go.
        split: groups and folds.
        seed: of the fits.
        sums: see read_mask_sums.
    """

    run: RunDir
    split: Split
    seed: int
    sums: MaskSums


def judge_masks(job: MaskJob, sight: Sight, heads: Mapping[str, HeadConfig]) -> None:
    """Cross-validates every segmentation head that is not there yet and writes what comes out.

    Args:
        job: the run.
        sight: photos, their masks and maps.
        heads: those whose maps are in sight.

    Raises:
        TrainingError: if a fold has nothing to learn from or diverges, or there is nothing to judge.
    """
    for name, head in heads.items():
        data = sight.dataset.heads[name]
        rows = np.flatnonzero(data.labelled)
        photos = tuple(sight.dataset.photos[row] for row in rows)
        work = FoldWork(name, data, head.mask, photos, rows, job.split)
        _check_folds(work)
        inputs = _record_inputs(work, sight.key, job)
        folds = range(work.num_folds)
        files = [f"{name}/{file}" for file in (*FILES, *((INNER,) if head.target_precision else ()))]
        files += [file(name, fold) for file in (fold_file, scores_file) for fold in folds]
        if not (job.run.is_done(name, inputs) and all(job.run.has(file) for file in files)):
            _forget_old_fits(job.run, work, head.target_precision)
            _judge(job, work, sight, inputs)


def _check_folds(work: FoldWork) -> None:
    """Makes sure that the folds that are judged hold a photo of the head."""
    if not (work.split.fold[work.rows] < work.num_folds).any():
        raise TrainingError(
            f"heads.{work.name}.folds: {work.num_folds}, but no photo of these folds is labelled for it, so there is "
            "nothing to judge. Set more of them, or leave the key out."
        )


def _forget_old_fits(run: RunDir, work: FoldWork, target_precision: float | None) -> None:
    """Forgets folds of an earlier version if they lack what a min_probability is chosen from, and one is wanted."""
    for file in (fold_file(work.name, fold) for fold in range(work.num_folds)):
        if target_precision and run.has(file) and read_inner_answers(run.read_arrays(file)) is None:
            LOG.warning(
                "%s, %s: fitted by a version that kept nothing to choose a min_probability from; fitted again.",
                run.path.name,
                file,
            )
            run.forget(file.removesuffix(".npz"))


def _fit_inputs(work: FoldWork, features_key: str, job: MaskJob) -> dict[str, Any]:
    """What decides the networks."""
    sums = job.sums.get(work.name, {})
    return {
        "photos": [[photo.name, photo.sha256] for photo in work.photos],
        "features": features_key,
        "labels": [work.data.label_set.names, work.data.label_set.mirror],
        "masks": [sums[photo.name] for photo in work.photos],
        "folds": job.split.fold[work.rows].tolist(),
        "groups": job.split.group[work.rows].tolist(),
        "architecture": work.config.architecture.model_dump(mode="json"),
        "mask_training": work.config.training.model_dump(mode="json"),
        "seed": job.seed,
        "version": MASKS_VERSION,
    }


def _score_inputs(work: FoldWork, features_key: str, job: MaskJob) -> dict[str, Any]:
    """What decides the masks and regions of fitted networks."""
    regions = work.config.regions.model_dump(mode="json", exclude={"min_probability"})
    tiles = [work.config.tile, work.config.overlap]
    counted = {"tiles": tiles, "regions": regions, "what is counted": COUNTS_VERSION}
    return _fit_inputs(work, features_key, job) | counted


def _record_inputs(work: FoldWork, features_key: str, job: MaskJob) -> dict[str, Any]:
    """What decides the tables of a head."""
    least, folds = work.config.regions.min_probability, work.num_folds
    return _score_inputs(work, features_key, job) | {"min_probability": least, "number of folds": folds}


def _judge(job: MaskJob, work: FoldWork, sight: Sight, inputs: dict[str, Any]) -> None:
    data = make_data(work, sight)
    LOG.info("%s: %s, %d folds.", work.name, work.config.architecture.name, work.num_folds)
    hidden = None if LOG.isEnabledFor(logging.INFO) else True  # None: hidden unless on a terminal
    seconds = 0.0
    for fold in tqdm(range(work.num_folds), desc=work.name, unit="fold", disable=hidden):
        fitted, judged = fold_file(work.name, fold), scores_file(work.name, fold)
        fit = partial(fit_fold, job.run, work, data, fold, job.seed)
        seconds += _do(job.run, fitted, _fit_inputs(work, sight.key, job), fit, judged)
        score = partial(score_fold, job.run, work, data, fold)
        seconds += _do(job.run, judged, _score_inputs(work, sight.key, job), score)
    _assemble(job, work)
    job.run.finish(work.name, inputs, seconds)


def _do(run: RunDir, file: str, inputs: dict[str, Any], work: Callable[[], None], *behind: str) -> float:
    """Does what makes a file, unless it is there from the same inputs; returns the seconds that it took.

    Files behind it are then made again, too: another processor or library may have made another network of the same
    inputs.
    """
    stage, *following = (each.removesuffix(".npz") for each in (file, *behind))
    if not (run.is_done(stage, inputs) and run.has(file)):
        run.forget(stage, *following)
        started = time.perf_counter()
        work()
        run.finish(stage, inputs, time.perf_counter() - started)
    return run.seconds()[stage]


def _assemble(job: MaskJob, work: FoldWork) -> None:
    """Joins the folds' files into predictions.csv, regions.csv, history.csv, choices.json and inner.csv."""
    history: list[dict[str, Any]] = []
    choices: list[dict[str, Any]] = []
    tests: list[Array] = []
    parts: list[JudgedPhotos] = []
    inner: list[InnerAnswers | None] = []
    for fold in range(work.num_folds):
        arrays = job.run.read_arrays(fold_file(work.name, fold))
        test, judged = read_scores(job.run, work.name, fold)
        tests.append(test)
        parts.append(judged)
        inner.append(read_inner_answers(arrays))
        choices.append({"fold": fold, "thresholds": arrays["thresholds"].tolist(), "epochs": int(arrays["epochs"])})
        for split, (epoch, loss, metric) in zip(arrays["history_split"], arrays["history"], strict=True):
            row = {"fold": fold, "epoch": int(epoch), "split": str(split), "loss": loss, "metric": metric}
            history.append(row)
    record = _record(job, work, np.concatenate(tests), join_judged(parts, len(work.data.label_set.names)))
    write_mask_counts(job.run, work.name, record)
    write_history(job.run, work.name, history)
    job.run.write_json(f"{work.name}/choices.json", choices)
    known = [each for each in inner if each is not None]
    if len(known) == len(inner):
        write_inner(job.run, work.name, known, [photo.name for photo in work.photos], job.split.group[work.rows])


def _record(job: MaskJob, work: FoldWork, tests: Array, judged: JudgedPhotos) -> MaskCounts:
    """The record of all photos in the order of the head's; `tests`: their places, as they were judged."""
    names: Sequence[str] = [work.photos[row].name for row in tests]
    group, fold_of = job.split.group[work.rows], job.split.fold[work.rows]
    record = MaskCounts(
        work.data.label_set.names,
        tuple(names),
        group[tests],
        fold_of[tests],
        judged.pixels,
        judged.scores,
        judged.baselines,
        work.config.regions.min_probability,
        judged.confidence,
    )
    return record.rows(np.argsort(tests, kind="stable"))
