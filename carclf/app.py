"""The main job: photos and labels in, judged models out. The only module that sees the whole config."""

import logging
import os
from contextlib import ExitStack
from typing import Any

import numpy as np

from carclf import __version__
from carclf.backbone import LoadOptions
from carclf.config import Config, DatasetConfig, DemoConfig, check_paths
from carclf.dataset import Dataset, make_dataset
from carclf.feature_cache import locked
from carclf.judging import judge_heads
from carclf.results import draw_results, library_versions, make_results, write_results
from carclf.rundir import RunDir
from carclf.sight import Sight, SightRequest, look_at, open_backbone
from carclf.splits import Split, share_split, split_photos

LOG = logging.getLogger(__name__)


def run_config(config: Config) -> dict[str, dict[str, Any]]:
    """Does the main job: check, features, folds, cross-validation, results, pictures.

    What is done already, from the same inputs, is not done again.

    Returns:
        the tree of results.json of every model.
    """
    check_paths(config)
    runs = {model: RunDir(config.results / model) for model in config.models}
    with ExitStack() as locks:
        for run in runs.values():
            locks.enter_context(locked(run.path))
        dataset = read_dataset(config)
        trees: dict[str, dict[str, Any]] = {}
        first, split = runs[config.models[0]], None
        for model, run in runs.items():
            run.write_json("config.json", config.model_dump(mode="json"))
            sight = see(config, model, run, dataset)
            # the first model's groups and folds serve all, so that models are compared over the same folds
            split = share_split(split, first, run) if split else _split(config, run, sight)
            settings = (config.training, config.cross_validation)
            judge_heads(run, sight.dataset, split, (sight.vectors, sight.key), settings)
            trees[model] = _results(config, run, sight, split)
        write_results(runs, trees, config.cross_validation.seed)
        for model, run in runs.items():
            draw_results(run, trees[model], config.images)
    return trees


def read_dataset(config: Config) -> Dataset:
    """Reads the photos and labels of the config; the demo's are drawn first if they are not there."""
    source = config.dataset
    if isinstance(source, DemoConfig):
        source = _draw_demo(config, source)
    dataset = make_dataset(
        source.photos, source.labels, config.heads, source.annotations, source.on_bad_photo, config.workers
    )
    for note in dataset.notes:
        LOG.warning("%s", note)
    return dataset


def _draw_demo(config: Config, demo: DemoConfig) -> DatasetConfig:
    from carclf.demo import write_demo

    folder = config.results / "demo"
    write_demo(folder, demo.count, demo.seed, demo.image_size)
    masks = [
        {"format": "masks", "path": folder / "masks", "head": name}
        for name, head in config.heads.items()
        if head.kind == "segmentation"
    ]
    described = {"photos": folder / "photos", "labels": folder / "labels.csv", "annotations": masks}
    return DatasetConfig.model_validate(described)


def see(config: Config, model: str, run: RunDir, dataset: Dataset) -> Sight:
    """Looks at the photos with one model's backbone, through the cache that all models share."""
    workers = config.workers or os.cpu_count() or 1
    cache_dir = config.results / "cache"
    options = LoadOptions(config.backbones[model].grid, workers, cache_dir)
    backbone = open_backbone(run, model, config.backbones[model], config.embedded_fallback, options)
    on_bad_photo = "skip" if isinstance(config.dataset, DemoConfig) else config.dataset.on_bad_photo
    request = SightRequest(
        config.training.views, config.mask_training.levels, config.mask_training.views, workers, on_bad_photo
    )
    return look_at(run, backbone, dataset, request, cache_dir)


def _split(config: Config, run: RunDir, sight: Sight) -> Split:
    workers = config.workers or os.cpu_count() or 1
    split = split_photos(run, sight.dataset, sight.plain_vectors, sight.key, config.cross_validation, workers)
    for note in split.notes:
        LOG.warning("%s", note)
    return split


def _results(config: Config, run: RunDir, sight: Sight, split: Split) -> dict[str, Any]:
    header = {
        "carclf_version": __version__,
        "model": run.path.name,
        "backbone": sight.backbone,
        "photos": len(sight.dataset.photos),
        "groups": len(np.unique(split.group)),
        "folds": len(split.folds),
        "seed": config.cross_validation.seed,
        "skipped": [{"name": photo.name, "reason": photo.reason} for photo in sight.dataset.skipped],
        "versions": library_versions(),
    }
    heads = {
        name: (head.kind, head.none_label) for name, head in sight.dataset.heads.items() if head.kind != "segmentation"
    }
    return make_results(run, header, heads)
