"""A trained run put to use: opened for classifying photos, scored on a separate labelled set."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from carclf.app import CACHE, backbone_options, make_header, num_workers, sight_request
from carclf.backbone import Backbone
from carclf.config import AnnotationConfig, Config
from carclf.dataset import make_dataset
from carclf.errors import ConfigError, did_you_mean
from carclf.evaluate import evaluate_head, evaluate_masks, group_set
from carclf.files import write_json, write_text
from carclf.labels import read_label_file
from carclf.predict import Predictor
from carclf.report import run_results
from carclf.report_text import results_text
from carclf.rundir import RunDir
from carclf.sight import BACKBONE, look_at, open_backbone
from carclf.splits import seen_before
from carclf.trained import check_backbone, model_digest, read_heads, read_mask_head

LOG = logging.getLogger(__name__)


def open_predictor(config: Config, model: str | None = None) -> Predictor:
    """Opens a trained model for classifying photos.

    Args:
        config: the config that it was trained with.
        model: one of config.models; None = the first.

    Raises:
        ConfigError: if there is no such model.
        RunDirError: if it is not trained, or was trained otherwise than the config says now.
    """
    run, backbone = _open(config, model)
    run.check_finished(config.heads)
    heads = read_heads(run, {name: head.kind for name, head in config.heads.items()})
    mask_heads = {
        name: read_mask_head(run, name, read_label_file(head.labels), config.mask_training.views)
        for name, head in config.heads.items()
        if head.kind == "segmentation"
    }
    return Predictor(
        run.path.name,
        model_digest(backbone, heads, mask_heads),
        backbone,
        config.training.views,
        heads,
        mask_heads,
        num_workers(config),
    )


def _open(config: Config, model: str | None) -> tuple[RunDir, Backbone]:
    name = model or config.models[0]
    if name not in config.models:
        raise ConfigError(
            f'--model "{name}" is not one of {", ".join(config.models)}.{did_you_mean(name, config.models)}'
        )
    run = RunDir(config.results / name)
    known = run.read_json(BACKBONE)
    backbone = open_backbone(
        config.backbones[name], config.embedded_fallback, backbone_options(config, name), name, known
    )
    check_backbone(run, backbone)
    return run, backbone


def evaluate_config(
    config: Config,
    model: str | None,
    photos: Path,
    labels: Path,
    annotations: Sequence[AnnotationConfig] = (),
) -> dict[str, Any]:
    """Scores a trained model on a separate set; writes evaluation.json and evaluation.txt into its run directory.

    Photos that show what a training photo shows are counted and left out. Segmentation heads are scored if there are
    annotations for them.

    Returns:
        the tree of evaluation.json.
    """
    predictor = open_predictor(config, model)
    run, workers, seed = RunDir(config.results / predictor.model), num_workers(config), config.cross_validation.seed
    annotated = {annotation.head for annotation in annotations}
    asked = {name: head for name, head in config.heads.items() if head.kind != "segmentation" or name in annotated}
    dataset = make_dataset(photos, labels, asked, annotations, "skip", workers)
    for note in dataset.notes:
        LOG.warning("%s", note)
    sight = look_at(predictor.backbone, dataset, sight_request(config, "skip"), config.results / CACHE)
    similarity = config.cross_validation.group_similarity
    seen = seen_before(run, sight.dataset, sight.plain_vectors, similarity, workers)
    rows = (np.flatnonzero(~seen), group_set(sight, similarity, workers))
    trees = {}
    for name in asked:
        if name in predictor.heads:
            trees[name] = evaluate_head(run, name, predictor.heads[name], sight, rows, seed)
        else:
            trees[name] = evaluate_masks(run, name, predictor.mask_heads[name], sight, rows, seed)
    header = make_header(run, sight, rows[1][rows[0]], seed) | {"folds": 1, "separate_set": True, "duration_s": {}}
    header |= {"photos_dir": str(photos), "labels": str(labels), "left_out_as_seen_in_training": int(seen.sum())}
    tree = run_results(header, trees)
    write_json(run.path / "evaluation.json", tree)
    write_text(run.path / "evaluation.txt", results_text(tree))
    return tree
