"""Everything that the config names, looked at in order; no part is kept from its work by what another one found."""

import logging
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from carclf.app import locate_dataset
from carclf.checking.classes import ClassCount, count_classes, judge_counts
from carclf.checking.conflicts import find_conflicts
from carclf.checking.duplicates import KinCounts, count_kin, find_duplicates
from carclf.checking.findings import Finding, by_severity, from_error
from carclf.checking.fold_plan import FoldShare, plan_folds
from carclf.checking.label_reading import compare_with_folder, note_unlabelled, read_column, read_labels, read_table
from carclf.checking.mask_reading import SeenMask, judge_masks, look_at_masks, make_mask_head, read_sources, usable
from carclf.checking.photo_quality import PhotoFile, judge_files, look_at_files
from carclf.checking.suspects import find_suspects
from carclf.config import Config, check_paths
from carclf.config_checks import STANDALONE
from carclf.config_data import DatasetConfig
from carclf.config_heads import HeadConfig
from carclf.dataset import Dataset, Photo
from carclf.derived import derive_head
from carclf.errors import BackboneError, CarclfError, ConfigError
from carclf.groups import Groups
from carclf.head_data import HeadData, class_problems
from carclf.kin import Kin, find_kin
from carclf.label_errors import LabelIssue
from carclf.labels import LabelTable
from carclf.rundir import RunDir
from carclf.sight import find_source

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Labels:
    """What the label table and the annotations say, as far as they can be read.

    Attributes:
        table: None if it cannot be read at all.
        heads: head -> its labels, in the order of the table.
        seen: segmentation head -> row of the table -> what its mask shows.
    """

    table: LabelTable | None = None
    heads: Mapping[str, HeadData] = field(default_factory=dict)
    seen: Mapping[str, Mapping[int, SeenMask]] = field(default_factory=dict)


@dataclass(frozen=True)
class Survey:
    """What there is, and what is wrong with it.

    Attributes:
        folder: of the photos.
        files: every photo in it.
        labels: what is said of them.
        classes: how often every class occurs.
        kin: how many photos belong together; None where nothing could be compared.
        groups: the same in full, of the photos `grouped`.
        grouped: names of the photos that were compared.
        by: what the photos were recognised by.
        folds: that a run would make; none where it could not.
        suspects: head -> labels that are most likely wrong, by the last run of the first model, or of the head alone.
        findings: the worst first.
        seconds: that it took.
    """

    folder: Path
    files: tuple[PhotoFile, ...]
    labels: Labels
    classes: tuple[ClassCount, ...]
    kin: KinCounts | None
    groups: Groups | None
    grouped: tuple[str, ...]
    by: str
    folds: tuple[FoldShare, ...]
    suspects: Mapping[str, list[LabelIssue]]
    findings: tuple[Finding, ...]
    seconds: float

    @property
    def is_sound(self) -> bool:
        """Whether nothing was found at which a run would stop, or go wrong."""
        return all(finding.severity != "unsound" for finding in self.findings)


def survey_data(config: Config) -> Survey:
    """Looks at photos, labels, masks, groups and folds."""
    started = time.perf_counter()
    source = locate_dataset(config)
    findings = [*_path_findings(config), *_backbone_findings(config)]
    table: LabelTable | None = None
    files: list[PhotoFile] = []
    if os.path.isfile(source.labels):
        table, found = read_table(source.labels)
        findings += found
    if os.path.isdir(source.photos):
        LOG.info("Looking at the photos.")
        files, others = look_at_files(source.photos, table.photos if table else (), config.workers)
        named = set(table.photos) if table else {file.name for file in files}
        used = [file for file in files if file.name in named]  # others may be anything: masks, pictures of results
        findings += judge_files(used, others, config.check, source.on_bad_photo)
        if table is not None:
            findings += compare_with_folder(table, files, source.photos)
    labels = Labels(table)
    if table is not None:
        LOG.info("Looking at labels and masks.")
        labels, found = _read_heads(config, source, table, files)
        findings += [*found, *_class_findings(config, labels), *note_unlabelled(table, dict(labels.heads))]
        findings += find_conflicts(table.photos, labels.heads, config.heads)
    else:
        for name, head in config.heads.items():
            findings += read_labels(head.labels, name)[1] if os.path.isfile(head.labels) else []
    dataset = _readable(labels, files)
    kin, found = _find_kin(config, dataset)
    findings += found
    suspects: dict[str, list[LabelIssue]] = {}
    for run in dict.fromkeys((config.first_run, STANDALONE)):
        suspects |= find_suspects(RunDir(config.results / run), labels.heads, table.photos if table else ())
    classes, folds, found = _count(config, labels, kin)
    return Survey(
        source.photos,
        tuple(files),
        labels,
        tuple(classes),
        count_kin(kin.groups) if kin else None,
        kin.groups if kin else None,
        tuple(photo.name for photo in kin.dataset.photos) if kin else (),
        kin.by if kin else "",
        tuple(folds),
        suspects,
        tuple(by_severity([*findings, *found])),
        time.perf_counter() - started,
    )


def _path_findings(config: Config) -> list[Finding]:
    try:
        check_paths(config)
    except ConfigError as problem:
        return from_error("missing path", problem)
    return []


def _backbone_findings(config: Config) -> list[Finding]:
    findings: list[Finding] = []
    for model in config.models:
        try:
            find_source(config.backbones, model, config.embedded_fallback)
        except BackboneError as problem:
            findings += from_error("missing backbone", problem, severity="warning")
    return [finding for place, finding in enumerate(findings) if finding not in findings[:place]]  # a part of several


def _class_findings(config: Config, labels: Labels) -> list[Finding]:
    """What the config says of classes that the label files do not have."""
    label_sets = {name: head.label_set for name, head in labels.heads.items()}
    shared = {name: head.masks_of for name, head in config.heads.items()}
    label_sets |= {name: label_sets[owner] for name, owner in shared.items() if owner in label_sets}
    problems = class_problems(config.heads, config.mask_training, label_sets)
    return [Finding("classes of the config", "unsound", problem) for problem in problems]


def _read_heads(
    config: Config, source: DatasetConfig, table: LabelTable, files: list[PhotoFile]
) -> tuple[Labels, list[Finding]]:
    """Reads the heads: columns and masks first, as derived ones follow from masks."""
    heads: dict[str, HeadData] = {}
    seen: dict[str, dict[int, SeenMask]] = {}
    findings: list[Finding] = []
    known = {file.name: file for file in files}
    frames = [known[name].frame if name in known and not known[name].problem else None for name in table.photos]
    for name, head in config.heads.items():
        if head.derived is not None or head.masks_of is not None or not os.path.isfile(head.labels):
            continue  # masks of another head are looked at once
        label_set, found = read_labels(head.labels, name)
        findings += found
        if label_set is None:
            continue
        if head.kind != "segmentation":
            made, found = read_column(name, head, label_set, table)
            findings += found
            if made is not None:
                heads[name] = made
            continue
        mine = [each for each in source.annotations if each.head == name and os.path.exists(each.path)]
        sources, found = read_sources(name, label_set, table, mine)
        drawn, empty = make_mask_head(name, head, label_set, table, sources)
        seen[name] = look_at_masks(drawn, frames, config.workers)
        findings += [*found, *empty]
        findings += judge_masks(name, table.photos, drawn, seen[name], config.check.outside_share)
        heads[name] = usable(drawn, seen[name])
    paths = [source.photos / name for name in table.photos]
    for name, head in config.heads.items():
        if head.derived is not None:
            findings += _derive(name, head, heads, paths, config.workers)
    ordered = {name: heads[name] for name in config.heads if name in heads}
    return Labels(table, ordered, seen), findings


def _derive(
    name: str, head: HeadConfig, heads: dict[str, HeadData], paths: list[Path], workers: int | None
) -> list[Finding]:
    """Adds a head whose labels follow from masks; what is wrong with the masks is told already."""
    label_set, found = read_labels(head.labels, name) if os.path.isfile(head.labels) else (None, [])
    needed = [each for each in (head.derived.of, head.derived.by) if each] if head.derived else []
    if label_set is None or not all(each in heads for each in needed):
        return found
    try:
        heads[name] = derive_head(name, head, label_set, heads, paths, workers)
    except CarclfError as problem:
        return from_error("derived labels", problem, name)
    return found


def _readable(labels: Labels, files: list[PhotoFile]) -> Dataset:
    """The photos that a run could read, with their labels; all photos of the folder where there is no table."""
    whole = {file.name: file for file in files if not file.problem}
    if labels.table is None:
        return Dataset(tuple(Photo(file.name, file.path, file.sha256, None) for file in whole.values()), {})
    rows = [row for row, name in enumerate(labels.table.photos) if name in whole]
    groups = labels.table.groups or ("",) * len(labels.table.photos)
    chosen = [(whole[labels.table.photos[row]], groups[row] or None) for row in rows]
    photos = tuple(Photo(file.name, file.path, file.sha256, group) for file, group in chosen)
    kept = np.array(rows, np.int64)
    return Dataset(photos, {name: head.take(kept) for name, head in labels.heads.items()})


def _find_kin(config: Config, dataset: Dataset) -> tuple[Kin | None, list[Finding]]:
    if not dataset.photos:
        text = "No photo can be read that has a line in the label table, so there is nothing to train on."
        return None, [Finding("unreadable photo", "unsound", text)]
    LOG.info("Comparing the photos.")
    try:
        return find_kin(config, dataset), []
    except CarclfError as problem:
        return None, from_error("comparison of photos", problem)


def _count(config: Config, labels: Labels, kin: Kin | None) -> tuple[list[ClassCount], list[FoldShare], list[Finding]]:
    """Duplicates, folds and classes: what needs the groups."""
    findings: list[Finding] = []
    classes: list[ClassCount] = []
    folds: list[FoldShare] = []
    group: dict[int, int] | None = None
    if kin is not None:
        names = [photo.name for photo in kin.dataset.photos]
        photos = labels.table.photos if labels.table else ()
        seen = {head: {photos[row]: mask for row, mask in masks.items()} for head, masks in labels.seen.items()}
        findings += find_duplicates(names, kin.groups, kin.dataset.heads, seen)
        rows = {name: row for row, name in enumerate(photos)}
        group = {rows[name]: int(each) for name, each in zip(names, kin.groups.group, strict=True) if name in rows}
        if labels.table is not None:
            folds, found = plan_folds(kin.dataset, kin.groups, config.cross_validation, config.training.inner_folds)
            findings += found
    for name, head in labels.heads.items():
        counts = count_classes(name, head, labels.seen.get(name, {}), group)
        if kin is not None or head.kind != "segmentation":  # else no mask was looked at
            told_by_folds = config.cross_validation.folds if head.kind != "segmentation" else 0
            findings += judge_counts(counts, config.check.rare_photos, told_by_folds)
        classes += counts
    return classes, folds, findings
