"""The main job: photos and labels in, judged models out. It and using.py see the whole config."""

import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from carclf import __version__
from carclf.backbone import Backbone, LoadOptions
from carclf.config import Config, check_paths
from carclf.config_checks import STANDALONE
from carclf.config_data import DatasetConfig, DemoConfig
from carclf.config_heads import HeadConfig
from carclf.dataset import Dataset, make_dataset
from carclf.errors import CarclfError, listed, raise_all
from carclf.files import digest, locked, remove_partial_files
from carclf.head_data import class_problems
from carclf.hub import Source
from carclf.judging import judge_heads
from carclf.mask_fold import head_levels
from carclf.mask_judging import MaskJob, MaskSums, judge_masks, read_mask_sums
from carclf.mask_sheet import draw_mask_sheet
from carclf.pixels import open_pixels
from carclf.results import PICTURES, draw_results, library_versions, make_results, picture_paths, write_results
from carclf.rundir import RunDir
from carclf.scores import Array
from carclf.sight import BACKBONE, Sight, SightRequest, describe, find_source, look_through, open_backbone
from carclf.splits import Split, share_split, split_photos

LOG = logging.getLogger(__name__)
CONFIG = "config.json"  # of a run: the effective one
CACHE = "cache"  # under results, shared by all models
MOST_SKIPPED = 10  # photos that cannot be read are named on the terminal
SEES_BY = ("sha256", "image_size", "input_range", "grid", "engine", "engine_version", "precision")


def run_config(config: Config) -> dict[str, dict[str, Any]]:
    """Does the main job: check, features, folds, cross-validation, results, pictures.

    What is done already, from the same inputs, is not done again.

    Returns:
        the tree of results.json of every model.
    """
    runs = {name: RunDir(config.results / name) for name in config.runs}
    dataset, sources, mask_sums = check_inputs(config)
    LOG.info("%d photos; heads: %s.", len(dataset.photos), ", ".join(dataset.heads))
    with ExitStack() as locks:
        for name, run in runs.items():
            locks.enter_context(locked(run.path))
            remove_partial_files(run.path)
            remove_partial_files(config.images, f"{name}_")
        trees: dict[str, dict[str, Any]] = {}
        split: Split | None = None
        for name, run in runs.items():
            seen = _see(config, sources[name], run, dataset) if name in sources else _see_pixels(config, run, dataset)
            dataset = seen[0].sight.dataset  # without the photos that could not be read
            # the first run's groups and folds serve all, so that models are compared over the same folds
            if split:
                split = share_split(split, runs[config.first_run], run, dataset, seen[0].sight.group_vectors)
            else:
                split = _split(config, run, seen[0].sight)
            _judge(config, seen, MaskJob(run, split, config.cross_validation.seed, mask_sums))
            # only now: a run that is killed half-way must not answer by a config that its heads do not know
            run.write_json(CONFIG, config.model_dump(mode="json"))
            trees[name] = _results(config, run, seen[0].sight, split)
        write_results(runs, trees, _same_masks(config), config.cross_validation.seed)
        for name, run in runs.items():
            _draw(config.images, name, run, trees[name], dataset)
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
            sources[model] = find_source(config.backbones, model, config.embedded_fallback)
    with _noted(problems):
        dataset = read_dataset(config)
        problems += _nothing_to_segment(dataset)
        label_sets = {name: head.label_set for name, head in dataset.heads.items()}
        problems += class_problems(config.heads, config.mask_training, label_sets)
        mask_sums = read_mask_sums(dataset)
    raise_all(CarclfError, list(dict.fromkeys(problems)))  # two models may lack the same backbone
    return dataset, sources, mask_sums


def _nothing_to_segment(dataset: Dataset) -> Iterator[str]:
    for name, head in dataset.heads.items():
        own = head.kind == "segmentation" and head.masks_of is None
        if own and not (head.targets == 1).any():
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
        if head.kind == "segmentation" and head.masks_of is None
    ]
    described = {"photos": folder / "photos", "labels": folder / "labels.csv", "annotations": masks}
    return DatasetConfig.model_validate(described)


def _judge(config: Config, seen: list["Seen"], job: MaskJob) -> None:
    """Cross-validates the heads of one run."""
    if job.run.path.name != STANDALONE:
        sight, settings = seen[0].sight, (config.training, config.cross_validation)
        judge_heads(job.run, sight.dataset, job.split, (sight.vectors, sight.key), settings)
    for each in seen:
        judge_masks(job, each.sight, each.mask_heads)


@dataclass(frozen=True)
class Seen:
    """What is seen in the photos, and the segmentation heads that look at it."""

    sight: Sight
    mask_heads: dict[str, HeadConfig]


def _see(config: Config, source: Source, run: RunDir, dataset: Dataset) -> list[Seen]:
    """Looks at the photos with one model's backbone, through the cache that all models share."""
    model = run.path.name
    known = run.read_json(BACKBONE) if run.has(BACKBONE) else None
    backbone = open_backbone(config.backbones, source, backbone_options(config, model), known)
    facts = describe(backbone)
    if known is not None and digest([known.get(key) for key in SEES_BY]) != digest([facts[key] for key in SEES_BY]):
        LOG.warning("%s: the backbone changed since the last run; everything is computed again.", model)
        run.forget()  # or its heads would be taken for heads of this backbone
    run.write_json(BACKBONE, facts)
    LOG.info("%s: %s backbone %s, run by %s.", model, facts["source"], facts["where"], facts["engine"])
    return _look(config, run, dataset, [(backbone, mask_heads_among(config.on_backbones))])


def _see_pixels(config: Config, run: RunDir, dataset: Dataset) -> list[Seen]:
    """Looks at the photos themselves, once for each size that a network from pixels takes."""
    by_size: dict[int, dict[str, HeadConfig]] = {}
    for name, head in config.standalone.items():
        by_size.setdefault(head.mask.image_size, {})[name] = head
    return _look(config, run, dataset, [(open_pixels(size), heads) for size, heads in by_size.items()])


def _look(
    config: Config, run: RunDir, dataset: Dataset, looks: Sequence[tuple[Backbone, dict[str, HeadConfig]]]
) -> list[Seen]:
    """Looks at the photos through each backbone, for the segmentation heads beside it."""
    on_bad_photo = "skip" if isinstance(config.dataset, DemoConfig) else config.dataset.on_bad_photo
    started = time.perf_counter()
    requests = [(backbone, sight_request(config, heads, on_bad_photo)) for backbone, heads in looks]
    sights = look_through(requests, dataset, config.results / CACHE)
    warn_of_skipped(sights[0].dataset)
    inputs: dict[str, Any] = {"photos": [photo.sha256 for photo in dataset.photos]}
    inputs["key"] = " ".join(sight.key for sight in sights)
    if not run.is_done("features", inputs):
        run.finish("features", inputs, time.perf_counter() - started)
    return [Seen(sight, heads) for sight, (_, heads) in zip(sights, looks, strict=True)]


def mask_heads_among(heads: Mapping[str, HeadConfig]) -> dict[str, HeadConfig]:
    """The segmentation heads among heads."""
    return {name: head for name, head in heads.items() if head.kind == "segmentation"}


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
    own = config.standalone if run.path.name == STANDALONE else config.on_backbones
    heads = {name: (sight.dataset.heads[name].kind, sight.dataset.heads[name].none_label) for name in own}
    architectures = {name: head.mask.describe() for name, head in mask_heads_among(own).items()}
    return make_results(run, header | {"architectures": architectures}, heads)


def _draw(images: Path, model: str, run: RunDir, tree: dict[str, Any], dataset: Dataset) -> None:
    """Draws the pictures of one model, unless they are there and show these very results."""
    heads = [name for name, head in tree["heads"].items() if head["kind"] == "segmentation"]
    sheets = {name: images / f"{model}_{name}_masks.png" for name in heads}
    pictures = [path for paths in picture_paths(tree, images).values() for path in paths.values()]
    inputs = {"results": {key: value for key, value in tree.items() if key != "duration_s"}, "images": str(images)}
    if run.is_done(PICTURES, inputs) and all(path.exists() for path in [*pictures, *sheets.values()]):
        return
    started = time.perf_counter()
    draw_results(run, tree, images)
    for name, path in sheets.items():
        draw_mask_sheet(run, name, dataset, path)
    run.finish(PICTURES, inputs, time.perf_counter() - started)


def _same_masks(config: Config) -> dict[str, list[str]]:
    """Segmentation head -> it and those that answer its masks, too."""
    shared = {name: head.masks_of for name, head in config.heads.items() if head.masks_of is not None}
    owners = dict.fromkeys(shared.values())
    return {owner: [owner, *(name for name, other in shared.items() if other == owner)] for owner in owners}


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


def sight_request(config: Config, heads: Mapping[str, HeadConfig], on_bad_photo: str) -> SightRequest:
    """What is wanted of photos, as in training; `heads`: the segmentation heads that look at them."""
    levels = sorted({level for head in heads.values() for level in head_levels(head.mask)})
    views = max((head.mask.training.views for head in heads.values()), default=1)
    return SightRequest(config.training.views, tuple(heads), tuple(levels), views, num_workers(config), on_bad_photo)


def backbone_options(config: Config, model: str) -> LoadOptions:
    """How a model's backbone is loaded."""
    return LoadOptions(config.backbones[model].grid, num_workers(config), config.results / CACHE)
