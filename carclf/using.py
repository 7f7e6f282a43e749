"""A trained run put to use: opened for classifying photos, scored on a separate labelled set."""

import logging
import time
from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from carclf.app import (
    CACHE,
    backbone_options,
    make_header,
    mask_heads_among,
    num_workers,
    sight_request,
    warn_of_skipped,
)
from carclf.backbone import Backbone
from carclf.config import Config
from carclf.config_checks import STANDALONE
from carclf.config_data import AnnotationConfig
from carclf.config_heads import HeadConfig
from carclf.dataset import Dataset, make_dataset
from carclf.errors import CarclfError, ConfigError, LabelError, RunDirError, did_you_mean, raise_all
from carclf.evaluate import evaluate_head, evaluate_masks, group_set, has_judged_pixel
from carclf.files import write_json, write_text
from carclf.heads import Head
from carclf.labels import IGNORED_PIXEL, read_label_table
from carclf.mask_heads import MaskHead
from carclf.mask_judging import read_mask_sums
from carclf.merged_runs import with_runs
from carclf.pixels import open_pixels
from carclf.predict import Predictor
from carclf.report import run_results
from carclf.report_text import results_text
from carclf.rundir import RunDir
from carclf.scores import Array
from carclf.sight import BACKBONE, Sight, find_source, look_through, open_backbone
from carclf.splits import seen_before
from carclf.trained import check_backbone, check_config, model_digest, read_heads, read_mask_heads
from carclf.views import VIEWS

LOG = logging.getLogger(__name__)


def open_predictor(config: Config, model: str | None = None, views: int | None = None) -> Predictor:
    """Opens a trained model for classifying photos, with all heads in one go where OpenVINO runs its backbone.

    Arguments and errors as of `load_predictor`.
    """
    return with_runs(load_predictor(config, model, views), config.results / CACHE)


def load_predictor(config: Config, model: str | None = None, views: int | None = None) -> Predictor:
    """Loads a trained model, whose heads answer one by one: sooner there, but slower with many photos.

    Args:
        config: the config that it was trained with.
        model: one of config.models, which answers with the heads without a backbone, too; "standalone" = with these
            alone; None = the first run.
        views: how many views of a photo the classification heads look at; None = as in training. Their temperatures
            and thresholds were chosen for the views of training.

    Raises:
        ConfigError: if there is no such model, or no photo has so many views.
        RunDirError: if it is not trained, or was trained otherwise than the config says now.
    """
    name = _choose(config, model)
    backbone = _open_backbone(config, name) if name in config.models else None
    heads: dict[str, Head] = {}
    mask_heads: dict[str, MaskHead] = {}
    for run_name in (name, STANDALONE) if name in config.models and config.standalone else (name,):
        run = RunDir(config.results / run_name)
        own = config.standalone if run_name == STANDALONE else config.on_backbones
        check_config(run, config.model_dump(mode="json"), own)
        run.check_finished(own)
        heads |= read_heads(run, own)
        mask_heads |= read_mask_heads(run, own, _looked_through(own, backbone))
    ordered = {head: mask_heads[head] for head in config.heads if head in mask_heads}
    sha256 = model_digest(backbone, heads, ordered)
    predictor = Predictor(name, sha256, backbone, _choose_views(config, views), heads, ordered, num_workers(config))
    _warn_of_views(predictor, config.training.views)
    return predictor


def _choose_views(config: Config, views: int | None) -> int:
    """How many views of a photo the classification heads look at."""
    if views is not None and views not in range(1, VIEWS + 1):
        raise ConfigError(f"views {views}: a photo has 1 to {VIEWS} views.")
    return config.training.views if views is None else views


def _warn_of_views(predictor: Predictor, trained: int) -> None:
    if predictor.heads and predictor.views != trained:
        LOG.warning(
            "%d views: the classification heads were fitted, calibrated and judged with %d. Their scores do not hold "
            "for these answers.",
            predictor.views,
            trained,
        )


def _choose(config: Config, model: str | None) -> str:
    """The run that answers; one of a model answers with the heads without a backbone, too."""
    name = model or config.first_run
    if name not in config.runs:
        raise ConfigError(f'--model "{name}" is not one of {", ".join(config.runs)}.{did_you_mean(name, config.runs)}')
    return name


def _open_backbone(config: Config, name: str) -> Backbone:
    run = RunDir(config.results / name)
    known = run.read_json(BACKBONE)
    source = find_source(config.backbones, name, config.embedded_fallback)
    backbone = open_backbone(config.backbones, source, backbone_options(config, name), known)
    check_backbone(run, backbone)
    return backbone


def _looked_through(heads: Mapping[str, HeadConfig], backbone: Backbone | None) -> dict[str, Backbone]:
    """Segmentation head -> what it looks through: the backbone, or the pixels of a size."""
    pixels: dict[int, Backbone] = {}
    found: dict[str, Backbone] = {}
    for name, head in mask_heads_among(heads).items():
        if head.from_pixels:
            size = head.mask.image_size
            found[name] = pixels.setdefault(size, open_pixels(size))
        elif backbone is not None:
            found[name] = backbone
    return found


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
    started = time.perf_counter()
    answering = config.heads if _choose(config, model) in config.models else config.standalone
    asked = _asked(answering, labels, annotations)
    workers, seed = num_workers(config), config.cross_validation.seed
    owners = {head.masks_of: config.heads[head.masks_of] for head in asked.values() if head.masks_of is not None}
    dataset = _take_heads(make_dataset(photos, labels, owners | asked, annotations, "skip", workers), asked)
    predictor = load_predictor(config, model)
    run = RunDir(config.results / predictor.model)
    _check_classes(run, predictor, dataset, asked)
    sights = _look(config, predictor, dataset)
    sight = next(iter(sights.values()))
    warn_of_skipped(sight.dataset)
    similarity = config.cross_validation.group_similarity
    seen = seen_before(run, sight.dataset, sight.group_vectors, similarity, workers)
    rows = (np.flatnonzero(~seen), group_set(sight, similarity, workers))
    trees = _score(config, predictor, sights, rows)
    header = make_header(run, sight, rows[1][rows[0]], seed) | {"folds": 1, "separate_set": True}
    header |= {"duration_s": {"total": round(time.perf_counter() - started, 3)}}
    header |= {"model_sha256": predictor.model_sha256}
    header |= {"photos_dir": str(photos), "labels": str(labels), "left_out_as_seen_in_training": int(seen.sum())}
    tree = run_results(header, trees)
    write_json(run.path / "evaluation.json", tree)
    write_text(run.path / "evaluation.txt", results_text(tree))
    return tree


def _take_heads(dataset: Dataset, heads: Collection[str]) -> Dataset:
    """Some heads of a dataset, whose masks can all be read; says what a user should know of it."""
    read_mask_sums(dataset)
    for note in dataset.notes:
        LOG.warning("%s", note)
    return replace(dataset, heads={name: dataset.heads[name] for name in heads})


def _look(config: Config, predictor: Predictor, dataset: Dataset) -> dict[int, Sight]:
    """What each of the model's backbones sees in a separate set: its id -> sight, the model's own first."""
    looks = []
    for backbone in predictor.backbones:
        mine = {
            name: config.heads[name]
            for name, head in predictor.mask_heads.items()
            if head.looking.backbone is backbone and name in dataset.heads
        }
        looks.append((backbone, sight_request(config, mine, "skip")))
    sights = look_through(looks, dataset, config.results / CACHE)
    return {id(backbone): sight for (backbone, _), sight in zip(looks, sights, strict=True)}


def _score(
    config: Config, predictor: Predictor, sights: Mapping[int, Sight], rows: tuple[Array, Array]
) -> dict[str, dict[str, Any]]:
    """The results of every head of the set."""
    trees, seed = {}, config.cross_validation.seed
    first = next(iter(sights.values()))
    for name in _scorable(first.dataset, rows[0]):
        run = RunDir(config.results / (STANDALONE if config.heads[name].from_pixels else predictor.model))
        if name in predictor.heads:
            trees[name] = evaluate_head(run, name, predictor.heads[name], first, rows, seed)
        else:
            head = predictor.mask_heads[name]
            trees[name] = evaluate_masks(run, name, head, sights[id(head.looking.backbone)], rows, seed)
    return trees


def _asked(
    heads: Mapping[str, HeadConfig], labels: Path, annotations: Sequence[AnnotationConfig]
) -> dict[str, HeadConfig]:
    """Those of the heads that answer which the set is labelled for; says which are left out.

    Raises:
        LabelError: if it is labelled for none.
    """
    annotated, columns = {annotation.head for annotation in annotations}, read_label_table(labels).columns
    asked = {name: head for name, head in heads.items() if _is_labelled(name, head, annotated, columns)}
    left = [name for name in heads if name not in asked]
    if not asked:
        raise LabelError(
            f"{labels.name}: is labelled for none of {', '.join(left)}. Its columns: {', '.join(columns) or 'none'}."
        )
    if left:
        LOG.warning("evaluate: %s not scored: the set has no labels for it.", " and ".join(left))
    return asked


def _is_labelled(name: str, head: HeadConfig, annotated: Set[str], columns: Collection[str]) -> bool:
    if head.derived is not None:
        return annotated >= {head.derived.of, head.derived.by or head.derived.of}
    return (head.masks_of or name) in annotated if head.kind == "segmentation" else head.column in columns


def _scorable(dataset: Dataset, judged: Array) -> list[str]:
    """The heads that some of the judged photos are labelled for; says which are left out.

    Raises:
        CarclfError: if there is none, or no pixel of the masks of those is judged.
    """
    known = [name for name, head in dataset.heads.items() if head.labelled[judged].any()]
    left = [name for name in dataset.heads if name not in known]
    if not known:
        raise CarclfError(
            f"evaluate: {len(judged)} of {len(dataset.photos)} photos show nothing that a photo of the training shows, "
            f"and none of them is labelled for {' or '.join(left)}. Give other photos."
        )
    if left:
        LOG.warning("evaluate: %s not scored: all photos labelled for it were in training.", " and ".join(left))
    masks = [name for name in known if dataset.heads[name].kind == "segmentation"]
    ignored = [name for name in masks if not has_judged_pixel(dataset, name, judged)]
    if ignored:
        names = " and ".join(ignored)
        told = f"evaluate: all pixels of the masks of {names} are ignored ones ({IGNORED_PIXEL} in a mask picture)"
        if ignored == known:
            raise CarclfError(f"{told}: nothing is left to be scored. Give other annotations.")
        LOG.warning("%s: not scored.", told)
    return [name for name in known if name not in ignored]


def _check_classes(run: RunDir, predictor: Predictor, dataset: Dataset, asked: Mapping[str, HeadConfig]) -> None:
    """Makes sure that the labels mean what they meant in training."""
    problems = []
    known = run.read_json("config.json")["heads"]
    for name, head in dataset.heads.items():
        rule = asked[name].derived
        if known.get(name, {}).get("derived") != (rule and rule.model_dump(mode="json")):
            problems.append(
                f"{run.path / name}: was trained with another heads.{name}.derived than the config has now. Set it "
                "back, or train again."
            )
        trained = predictor.heads.get(name) or predictor.mask_heads[name]
        kind = "segmentation" if isinstance(trained, MaskHead) else trained.kind
        if kind != head.kind:
            problems.append(f"{run.path / name}: was trained as {kind}, the config now says {head.kind}. Set it back.")
        if trained.label_set.names != head.label_set.names:
            problems.append(
                f"{run.path / name}: was trained for {', '.join(trained.label_set.names)}; {head.label_set.path} has "
                f"{', '.join(head.label_set.names)}. Put the label file back, or train again."
            )
    raise_all(RunDirError, problems)
