"""The classification heads of a run: cross-validated, or read where nothing they depend on has changed."""

import logging
import time
from typing import Any

import numpy as np

from carclf.config import CrossValidationConfig, TrainingConfig
from carclf.crossval import OutOfFold, Settings, cross_validate
from carclf.dataset import Dataset
from carclf.heads import Question, Views
from carclf.metrics import Predictions
from carclf.records import INNER, write_head, write_history, write_inner, write_predictions
from carclf.rundir import RunDir
from carclf.scores import Array
from carclf.splits import Split, inner_folds

LOG = logging.getLogger(__name__)
FILES = ("heads.npz", "history.csv", "choices.json", "predictions.csv", INNER)
FITTING_VERSION = 1  # raised whenever the same inputs give other heads than before


def judge_heads(
    run: RunDir,
    dataset: Dataset,
    split: Split,
    vectors: tuple[Array, str],
    settings: tuple[TrainingConfig, CrossValidationConfig],
) -> None:
    """Cross-validates every classification head that is not there yet and writes what comes out.

    Args:
        run: where the results go.
        dataset: photos and their labels.
        split: groups and folds.
        vectors: float32 (views, n, num_features), and what names the way they were computed.
        settings: how to fit, and how many inner folds with which seed.
    """
    training, validation = settings
    views, inner = Views(vectors[0]), None
    photos = [[photo.name, photo.sha256] for photo in dataset.photos]
    # masks that several heads answer count once, as for splits.stratified: a rival architecture changes no other head
    all_labels = [head.targets.tolist() for head in dataset.heads.values() if head.masks_of is None]
    for name, head in dataset.heads.items():
        if head.kind == "segmentation":
            continue
        inputs: dict[str, Any] = {
            "photos": photos,
            "features": [vectors[1], len(vectors[0])],
            "labels": [head.kind, head.label_set.names, head.label_set.mirror, head.targets.tolist()],
            "folds": split.fold.tolist(),
            "groups": split.group.tolist(),
            "all labels": all_labels,  # inner folds balance them
            "training": training.model_dump(mode="json"),
            "seed": validation.seed,
            "version": FITTING_VERSION,
        }
        missing = [file for file in FILES if not run.has(f"{name}/{file}")]
        if run.is_done(name, inputs):
            if not missing:
                continue
            LOG.warning("%s, %s: %s not there; computed again.", run.path.name, name, " and ".join(missing))
        started = time.perf_counter()
        if inner is None:
            inner = inner_folds(dataset, split, training.inner_folds, validation.seed)
        question = Question(name, head.kind, head.label_set, head.targets)
        outcome = cross_validate(question, views, split.folds, inner, _settings(training, validation.seed))
        _write(run, dataset, split, question, outcome)
        run.finish(name, inputs, time.perf_counter() - started)


def _settings(training: TrainingConfig, seed: int) -> Settings:
    return Settings(
        training.l2,
        training.max_steps,
        training.hidden_units,
        training.batch_size,
        training.learning_rate,
        training.patience,
        seed,
    )


def _write(run: RunDir, dataset: Dataset, split: Split, question: Question, outcome: OutOfFold) -> None:
    rows = np.flatnonzero(question.labelled)
    write_head(run, question.name, outcome.head)
    write_history(run, question.name, outcome.history)
    run.write_json(f"{question.name}/choices.json", outcome.choices)
    predictions = Predictions(
        question.kind,
        question.label_set.names,
        tuple(dataset.photos[row].name for row in rows),
        split.group[rows],
        split.fold[rows],
        question.targets[rows],
        outcome.logits[rows],
        outcome.probabilities[rows],
        outcome.decisions[rows],
        outcome.baseline[rows],
    )
    write_predictions(run, question.name, predictions)
    write_inner(run, question.name, outcome.inner, [photo.name for photo in dataset.photos], split.group)
