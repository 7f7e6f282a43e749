"""The folds that a run would make of these photos: their sizes, and how every label falls into them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carclf.checking.findings import Finding, from_error
from carclf.config import CrossValidationConfig
from carclf.dataset import Dataset
from carclf.errors import FoldError
from carclf.folds import check_folds, make_folds, read_folds_file
from carclf.groups import Groups
from carclf.splits import Split, inner_folds, stratified

Array = NDArray[Any]
_KIND = "folds"
_FEW_GROUPS = 20  # labelled groups of a training part from which on each part of it is sure to hold some


@dataclass(frozen=True)
class FoldShare:
    """One fold.

    Attributes:
        photos: how many it judges.
        groups: of how many groups they are.
        labels: head -> label -> photos in it; of segmentation heads "mask" = the mask shows something.
    """

    photos: int
    groups: int
    labels: Mapping[str, Mapping[str, int]]


def plan_folds(
    dataset: Dataset, groups: Groups, settings: CrossValidationConfig, inner: int
) -> tuple[list[FoldShare], list[Finding]]:
    """Makes the folds that a run would make.

    Args:
        dataset: readable photos.
        groups: of the same photos.
        settings: number of folds, seed, given folds.
        inner: folds inside each training part.

    Returns:
        (the folds, none where they cannot be made; what was found).
    """
    targets, names = stratified(dataset, np.arange(len(dataset.photos))), _class_names(dataset)
    try:
        fold = _folds(dataset, groups, targets, settings)
    except FoldError as problem:
        return [], from_error(_KIND, problem)
    findings = _judge(groups.group, targets, names, int(fold.max()) + 1)
    told = {finding.head for finding in findings if finding.severity == "unsound"}
    split = Split(groups.group, fold, ())
    texts = {**_too_few_labels(dataset, split, inner, settings.seed), **_too_few_regions(dataset, split)}
    findings += [Finding(_KIND, "unsound", text, head) for head, text in texts.items() if head not in told]
    return [_share(fold == each, groups.group, targets, names) for each in range(int(fold.max()) + 1)], findings


def _folds(dataset: Dataset, groups: Groups, targets: Mapping[str, Array], settings: CrossValidationConfig) -> Array:
    if settings.folds_file is None:
        return make_folds(groups.group, targets, settings.folds, settings.seed)
    photos, skipped = [photo.name for photo in dataset.photos], [photo.name for photo in dataset.skipped]
    return read_folds_file(settings.folds_file, photos, groups, skipped)


def _class_names(dataset: Dataset) -> dict[str, tuple[str, ...]]:
    return {
        name: ("mask",) if head.kind == "segmentation" else head.label_set.names for name, head in dataset.heads.items()
    }


def _judge(group: Array, targets: Mapping[str, Array], names: Mapping[str, tuple[str, ...]], k: int) -> list[Finding]:
    """What a run would say, or stop at; each head alone, so that one does not hide the other's lines."""
    found: dict[str, Finding] = {}
    for head in targets:
        only, present = _present(targets[head], names[head])
        try:
            for note in check_folds(group, {head: only}, {head: present}, k):
                about = head if note.startswith(f"{head}: ") else ""
                found.setdefault(note, Finding(_KIND, "warning", note, about))
        except FoldError as problem:
            for each in from_error(_KIND, problem, head):
                found.setdefault(each.text, each)
    return list(found.values())


def _too_few_labels(dataset: Dataset, split: Split, inner: int, seed: int) -> dict[str, str]:
    """Classification heads that some part of a training part has no label of: head -> what a run would say."""
    counts = {
        name: min(len(np.unique(split.group[fold.train][head.labelled[fold.train]])) for fold in split.folds)
        for name, head in dataset.heads.items()
        if head.kind != "segmentation"
    }
    few = [name for name, count in counts.items() if count < _FEW_GROUPS]
    parts = inner_folds(dataset, split, inner, seed) if few else []
    found = {}
    for name in few:
        labelled = dataset.heads[name].labelled
        if not all((labelled & (given >= 0) & (given != part)).any() for given in parts for part in set(given) - {-1}):
            found[name] = (
                f"{name}: the training part of a fold, or of a fold inside it, has no photo labelled for this head "
                f"({labelled.sum()} in all). Label more photos or use fewer folds."
            )
    return found


def _too_few_regions(dataset: Dataset, split: Split) -> dict[str, str]:
    """Segmentation heads with regions of fewer than two cars in a training part: head -> what is to be done."""
    found = {}
    for name, head in dataset.heads.items():
        shows = head.targets == 1
        if head.kind != "segmentation" or not shows.any():
            continue  # without any region: told with the classes
        cars = [len(np.unique(split.group[fold.train][shows[fold.train]])) for fold in split.folds]
        if min(cars) < 2:
            which = "no car" if min(cars) == 0 else "only 1 car"
            found[name] = (
                f"{name}: the training part of fold {cars.index(min(cars))} shows regions of {which}; one to learn "
                "from and one to choose thresholds on are needed. Add annotated photos, or delete the head."
            )
    return found


def _present(targets: Array, names: tuple[str, ...]) -> tuple[Array, tuple[str, ...]]:
    """The targets without the classes that never occur, which are told elsewhere."""
    if targets.ndim == 2:
        kept = [place for place in range(len(names)) if (targets[:, place] == 1).any()]
        return targets[:, kept], tuple(names[place] for place in kept)
    kept = [place for place in range(len(names)) if (targets == place).any()]
    numbers = np.full(len(names) + 1, -1, np.int64)  # the last one is for -1: not labelled
    numbers[kept] = np.arange(len(kept))
    return numbers[targets], tuple(names[place] for place in kept)


def _share(mine: Array, group: Array, targets: Mapping[str, Array], names: Mapping[str, tuple[str, ...]]) -> FoldShare:
    labels: dict[str, dict[str, int]] = {}
    for head, each in targets.items():
        chosen = each[mine]
        on = chosen[:, None] == np.arange(len(names[head])) if each.ndim == 1 else chosen == 1
        labels[head] = dict(zip(names[head], on.sum(axis=0).tolist(), strict=True))
    return FoldShare(int(mine.sum()), len(np.unique(group[mine])), labels)
