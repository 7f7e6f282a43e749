"""The main job: photos and labels in, judged models out. It and using.py see the whole config."""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from carclf import __version__
from carclf.backbone import LoadOptions
from carclf.config import Config, check_paths
from carclf.config_data import DatasetConfig, DemoConfig
from carclf.dataset import Dataset, make_dataset
from carclf.errors import CarclfError, listed, raise_all
from carclf.files import digest, locked, remove_partial_files
from carclf.hub import Source
from carclf.judging import judge_heads
from carclf.mask_judging import MaskSums, judge_masks, read_mask_sums
from carclf.mask_sheet import draw_mask_sheet
from carclf.results import PICTURES, draw_results, library_versions, make_results, picture_paths, write_results
from carclf.rundir import RunDir
from carclf.scores import Array
from carclf.sight import BACKBONE, Sight, SightRequest, describe, find_source, look_at, open_backbone
from carclf.splits import Split, share_split, split_photos

LOG = logging.getLogger(__name__)
CACHE = "cache"  # under results, shared by all models
MOST_SKIPPED = 10  # photos that cannot be read are named on the terminal
SEES_BY = ("sha256", "image_size", "input_range", "grid", "engine", "engine_version", "precision")


def run_config(config: Config) -> dict[str, dict[str, Any]]:
    """Does the main job: check, features, folds, cross-validation, results, pictures.

    What is done already, from the same inputs, is not done again.

    Returns:
        the tree of results.json of every model.
    """
    runs = {model: RunDir(config.results / model) for model in config.models}
    dataset, sources, mask_sums = check_inputs(config)
    LOG.info("%d photos; heads: %s.", len(dataset.photos), ", ".join(dataset.heads))
    with ExitStack() as locks:
        for model, run in runs.items():
            locks.enter_context(locked(run.path))
            remove_partial_files(run.path)
            remove_partial_files(config.images, f"{model}_")
        trees: dict[str, dict[str, Any]] = {}
        first, split = runs[config.models[0]], None
        for model, run in runs.items():
            run.write_json("config.json", config.model_dump(mode="json"))
            sight = _see(config, sources[model], run, dataset)
            # the first model's groups and folds serve all, so that models are compared over the same folds
            if split:
                split = share_split(split, first, run, sight.dataset, sight.group_vectors)
            else:
                split = _split(config, run, sight)
            settings = (config.training, config.cross_validation)
            judge_heads(run, sight.dataset, split, (sight.vectors, sight.key), settings)
            judge_masks(run, sight, split, config.mask_training, config.cross_validation.seed, mask_sums)
            trees[model] = _results(config, run, sight, split)
        write_results(runs, trees, config.cross_validation.seed)
        for model, run in runs.items():
            _draw(config.images, model, run, trees[model], dataset)
    return trees


def check_inputs(config: Config) -> tuple[Dataset, dict[str, Source], MaskSums]:
    """Reads everything that is given, so that whatever is wrong is told at once and before anything long begins.

    Returns:
        photos and labels; model -> its SavedModel; what the masks show.

    Raises:
        CarclfError: with every problem, one a line.
    """
    check_paths(config)  # a slip of the pen in a path is told before a backbone is looked for on the internet
    problems: list[str] = []
    sources: dict[str, Source] = {}
    for model in config.models:
        with _noted(problems):
            sources[model] = find_source(config.backbones[model], model, config.embedded_fallback)
    with _noted(problems):
        dataset = read_dataset(config)
        problems += _nothing_to_segment(dataset)
        mask_sums = read_mask_sums(dataset)
    raise_all(CarclfError, problems)
    return dataset, sources, mask_sums


def _nothing_to_segment(dataset: Dataset) -> Iterator[str]:
    for name, head in dataset.heads.items():
        if head.kind == "segmentation" and not (head.targets == 1).any():
            yield (
                f"heads.{name}: no photo has a region of {listed(head.label_set.names)}, so there is nothing to learn. "
                f'Add "annotations" to dataset, or delete the head.'
            )


@contextmanager
def _noted(problems: list[str]) -> Iterator[None]:
    """Keeps a user's error for later, so that others are found, too."""
    try:
        yield
    except CarclfError as error:
        problems += str(error).splitlines()


def read_dataset(config: Config) -> Dataset:
    """Reads the photos and labels of the config; the demo's are drawn first if they are not there."""
    source = locate_dataset(config)
    dataset = make_dataset(
        source.photos, source.labels, config.heads, source.annotations, source.on_bad_photo, config.workers
    )
    for note in dataset.notes:
        LOG.warning("%s", note)
    return dataset


def locate_dataset(config: Config) -> DatasetConfig:
    """Says where photos, labels and annotations are; the demo's are drawn first if they are not there."""
    return _draw_demo(config, config.dataset) if isinstance(config.dataset, DemoConfig) else config.dataset


def _draw_demo(config: Config, demo: DemoConfig) -> DatasetConfig:
    from carclf.demo import write_demo

    folder = config.results / "demo"
    with locked(config.results):
        write_demo(folder, demo.count, demo.seed, demo.image_size)
    masks = [
        {"format": "masks", "path": folder / "masks", "head": name}
        for name, head in config.heads.items()
        if head.kind == "segmentation"
    ]
    described = {"photos": folder / "photos", "labels": folder / "labels.csv", "annotations": masks}
    return DatasetConfig.model_validate(described)


def _see(config: Config, source: Source, run: RunDir, dataset: Dataset) -> Sight:
    """Looks at the photos with one model's backbone, through the cache that all models share."""
    model = run.path.name
    known = run.read_json(BACKBONE) if run.has(BACKBONE) else None
    backbone = open_backbone(config.backbones[model], source, backbone_options(config, model), known)
    facts = describe(backbone)
    if known is not None and digest([known.get(key) for key in SEES_BY]) != digest([facts[key] for key in SEES_BY]):
        LOG.warning("%s: the backbone changed since the last run; everything is computed again.", model)
        run.forget()  # or its heads would be taken for heads of this backbone
    run.write_json(BACKBONE, facts)
    LOG.info("%s: %s backbone %s, run by %s.", model, facts["source"], facts["where"], facts["engine"])
    on_bad_photo = "skip" if isinstance(config.dataset, DemoConfig) else config.dataset.on_bad_photo
    started = time.perf_counter()
    sight = look_at(backbone, dataset, sight_request(config, on_bad_photo), config.results / CACHE)
    warn_of_skipped(sight.dataset)
    inputs = {"photos": [photo.sha256 for photo in dataset.photos], "key": sight.key}
    if not run.is_done("features", inputs):
        run.finish("features", inputs, time.perf_counter() - started)
    return sight


def warn_of_skipped(dataset: Dataset) -> None:
    """Names the photos that are left out, the first of many."""
    for photo in dataset.skipped[:MOST_SKIPPED]:
        LOG.warning("left out: %s", photo.reason)
    if len(dataset.skipped) > MOST_SKIPPED:
        LOG.warning("left out: %d more photos; results.json names all.", len(dataset.skipped) - MOST_SKIPPED)


def _split(config: Config, run: RunDir, sight: Sight) -> Split:
    split = split_photos(
        run, sight.dataset, sight.group_vectors, sight.key, config.cross_validation, num_workers(config)
    )
    for note in split.notes:
        LOG.warning("%s", note)
    return split


def _results(config: Config, run: RunDir, sight: Sight, split: Split) -> dict[str, Any]:
    header = make_header(run, sight, split.group, config.cross_validation.seed) | {"folds": len(split.folds)}
    heads = {name: (head.kind, head.none_label) for name, head in sight.dataset.heads.items()}
    return make_results(run, header, heads)


def _draw(images: Path, model: str, run: RunDir, tree: dict[str, Any], dataset: Dataset) -> None:
    """Draws the pictures of one model, unless they are there and show these very results."""
    sheets = {name: images / f"{model}_{name}_masks.png" for name, head in dataset.heads.items() if head.masks}
    pictures = [path for paths in picture_paths(tree, images).values() for path in paths.values()]
    inputs = {"results": {key: value for key, value in tree.items() if key != "duration_s"}, "images": str(images)}
    if run.is_done(PICTURES, inputs) and all(path.exists() for path in [*pictures, *sheets.values()]):
        return
    started = time.perf_counter()
    draw_results(run, tree, images)
    for name, path in sheets.items():
        draw_mask_sheet(run, name, dataset, path)
    run.finish(PICTURES, inputs, time.perf_counter() - started)


def make_header(run: RunDir, sight: Sight, group: Array, seed: int) -> dict[str, Any]:
    """What the head of results.txt and evaluation.txt says."""
    return {
        "carclf_version": __version__,
        "model": run.path.name,
        "backbone": sight.backbone,
        "photos": len(group),
        "groups": len(np.unique(group)),
        "seed": seed,
        "skipped": [{"name": photo.name, "reason": photo.reason} for photo in sight.dataset.skipped],
        "versions": library_versions(),
    }


def num_workers(config: Config) -> int:
    """Threads: those of the config, or every core."""
    return config.workers or os.cpu_count() or 1


def sight_request(config: Config, on_bad_photo: str) -> SightRequest:
    """What is wanted of photos, as in training."""
    masks = config.mask_training
    return SightRequest(config.training.views, masks.levels, masks.views, num_workers(config), on_bad_photo)


def backbone_options(config: Config, model: str) -> LoadOptions:
    """How a model's backbone is loaded."""
    return LoadOptions(config.backbones[model].grid, num_workers(config), config.results / CACHE)
