"""Dataset and vectors -> groups.csv and folds.csv of a run: who must stay together, and who judges whom."""

import csv
import io
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from carclf.config import CrossValidationConfig
from carclf.dataset import Dataset
from carclf.errors import FoldError, listed
from carclf.folds import Fold, check_folds, make_folds, make_splits, read_folds_file
from carclf.groups import Groups, Pair, hash_photos, make_groups
from carclf.images import read_photo
from carclf.rundir import RunDir
from carclf.scores import Array

GROUPS, FOLDS = "groups.csv", "folds.csv"
GROUPS_VERSION = 1  # raised whenever the same inputs give other groups than before
KNOWN = "known_photos.npz"  # what the training photos are recognised by when they turn up in another set


@dataclass(frozen=True)
class Split:
    """How the photos of a run are split.

    Attributes:
        group: int64 (n,), photos of one group show the same thing.
        fold: int64 (n,), the fold that each photo judges.
        notes: what is possible but poor, a line each.
    """

    group: Array
    fold: Array
    notes: tuple[str, ...]

    @property
    def folds(self) -> list[Fold]:
        """The k index pairs."""
        return make_splits(self.fold)


def split_photos(
    run: RunDir, dataset: Dataset, vectors: Array, features_key: str, settings: CrossValidationConfig, workers: int
) -> Split:
    """Makes groups and folds, or reads those that the run has made from the same inputs.

    Args:
        run: where they are kept.
        dataset: readable photos.
        vectors: float32 (views, n, num_features).
        features_key: names how the vectors were computed.
        settings: number of folds, seed, similarity, given folds.
        workers: threads; never changes the result.
    """
    photos = [[photo.name, photo.sha256, photo.table_group] for photo in dataset.photos]
    inputs = {"photos": photos, "features": [features_key, *vectors.shape], "version": GROUPS_VERSION}
    inputs |= {"group_similarity": settings.group_similarity}
    if not (run.is_done("groups", inputs) and run.has(GROUPS) and run.has(KNOWN)):
        _write_groups(run, dataset, vectors, settings.group_similarity, workers, inputs)
    group = run.read_table(GROUPS, ("photo",))["group"].to_numpy(np.int64)
    targets = stratified(dataset, np.arange(len(dataset.photos)))
    names = {name: dataset.heads[name].label_set.names for name in targets}
    names |= {name: ("mask",) for name in targets if dataset.heads[name].kind == "segmentation"}
    inputs |= {"labels": {name: each.tolist() for name, each in targets.items()}, "group": group.tolist()}
    inputs |= {"folds": settings.folds, "seed": settings.seed}
    given = None if settings.folds_file is None else _given_folds(run, settings.folds_file, dataset, group)
    inputs |= {"given folds": None if given is None else given.tolist()}
    done = run.is_done("folds", inputs) and run.has(FOLDS)
    if given is not None:
        fold = given
    elif done:
        fold = run.read_table(FOLDS, ("photo",))["fold"].to_numpy(np.int64)
    else:
        fold = make_folds(group, targets, settings.folds, settings.seed)
    notes = check_folds(group, targets, names, int(fold.max()) + 1)
    if not done:
        run.write_table(FOLDS, {"photo": [photo.name for photo in dataset.photos], "group": group, "fold": fold})
        run.finish("folds", inputs, 0.0)
    return Split(group, fold, notes)


def share_split(split: Split, owner: RunDir, run: RunDir, dataset: Dataset, vectors: Array) -> Split:
    """Gives a run the groups and folds of another one.

    Args:
        split: of the owner.
        owner: the run that made them.
        run: the run that takes them.
        dataset: what the run's backbone could read.
        vectors: float32 (views, n, num_features) of the run's own backbone, by which it knows its photos again.

    Raises:
        FoldError: if the two runs could not read the same photos.
    """
    theirs, ours = owner.read_table(FOLDS, ("photo",))["photo"].tolist(), [photo.name for photo in dataset.photos]
    if theirs != ours:
        raise FoldError(
            f"{owner.path.name} and {run.path.name} could not read the same photos, so they cannot share folds: "
            f"{listed(sorted(set(theirs) ^ set(ours)))}. Replace these photos or delete their lines."
        )
    run.forget("groups", "folds")  # made from other features than the run would take if it were alone
    for name in (GROUPS, FOLDS):
        run.write_text(name, owner.read_text(name))
    run.write_arrays(KNOWN, owner.read_arrays(KNOWN) | {"vectors": vectors})
    return split


def seen_before(run: RunDir, dataset: Dataset, vectors: Array, similarity: float, workers: int) -> Array:
    """Tells which photos of a separate set show what a training photo shows, by the rules of groups.

    But for the group column: two sets may number their cars alike.

    Args:
        run: a trained run.
        dataset: the separate set.
        vectors: float32 (views, n, num_features) of the backbone that made the run's groups, without grid.
        similarity: cross_validation.group_similarity.
        workers: threads; never changes the result.

    Returns:
        bool (n,).
    """
    known = run.read_arrays(KNOWN)
    hashes = hash_photos([photo.path for photo in dataset.photos], read_photo, workers)
    count = len(known["sha256"])
    groups = make_groups(
        [*known["sha256"].tolist(), *(photo.sha256 for photo in dataset.photos)],
        [None] * (count + len(dataset.photos)),
        np.concatenate([known["dhash"], hashes]),
        np.concatenate([known["vectors"], vectors], axis=1),
        similarity,
    )
    return np.isin(groups.group[count:], groups.group[:count])


def stratified(dataset: Dataset, photos: Array) -> dict[str, Array]:
    """The targets that folds are balanced for: labels of every head, and whether a mask holds anything."""
    return {
        name: head.targets[photos][:, None] if head.kind == "segmentation" else head.targets[photos]
        for name, head in dataset.heads.items()
        if head.masks_of is None  # or the masks of one head would count twice
    }


def inner_folds(dataset: Dataset, split: Split, count: int, seed: int) -> list[Array]:
    """Splits each fold's training part again, groups whole, by its own labels alone.

    Returns:
        for each fold int64 (n,): the inner fold of its training photos, -1 for its test photos.
    """
    inner = []
    for fold in split.folds:
        group = split.group[fold.train]
        parts = min(count, len(np.unique(group)))
        given = np.full(len(split.group), -1, np.int64)
        given[fold.train] = make_folds(group, stratified(dataset, fold.train), parts, seed)
        inner.append(given)
    return inner


def _write_groups(
    run: RunDir, dataset: Dataset, vectors: Array, similarity: float, workers: int, inputs: Mapping[str, object]
) -> None:
    started = time.perf_counter()
    names = [photo.name for photo in dataset.photos]
    hashes = hash_photos([photo.path for photo in dataset.photos], read_photo, workers)
    groups = make_groups(
        [photo.sha256 for photo in dataset.photos],
        [photo.table_group for photo in dataset.photos],
        hashes,
        vectors,
        similarity,
    )
    known = {
        "sha256": np.array([photo.sha256 for photo in dataset.photos]),
        "dhash": hashes,
        "vectors": vectors,
    }
    run.write_arrays(KNOWN, known)
    run.write_table(GROUPS, {"photo": names, "group": groups.group, **_pair_columns(groups.pairs, names)})
    run.finish("groups", inputs, time.perf_counter() - started)


def _read_pairs(run: RunDir, names: list[str]) -> tuple[Pair, ...]:
    """The pairs that _pair_columns has written."""
    columns = ("similar_to", "similarity", "reason")
    table, place = run.read_table(GROUPS, ("photo", *columns)), {name: row for row, name in enumerate(names)}
    return tuple(
        Pair(place[first], second, float(similarity), reason)
        for second, cells in enumerate(zip(*(table[column] for column in columns), strict=True))
        for first, similarity, reason in zip(*map(_split, cells), strict=True)
    )


def _joined(values: list[str]) -> str:
    """Joins values by `;`; one that holds a `;` itself is quoted."""
    cell = io.StringIO()
    csv.writer(cell, delimiter=";", lineterminator="").writerow(values)
    return cell.getvalue()


def _split(cell: str) -> list[str]:
    return next(csv.reader([cell], delimiter=";"), [])


def _pair_columns(pairs: tuple[Pair, ...], names: list[str]) -> dict[str, list[str]]:
    """The pairs that made the groups, each in the row of its later photo; several are joined by `;`."""
    cells: dict[str, list[list[str]]] = {name: [[] for _ in names] for name in ("similar_to", "similarity", "reason")}
    for pair in pairs:
        cells["similar_to"][pair.second].append(names[pair.first])
        cells["similarity"][pair.second].append(f"{pair.similarity:.4f}")
        cells["reason"][pair.second].append(pair.reason)
    return {name: [_joined(cell) for cell in column] for name, column in cells.items()}


def _given_folds(run: RunDir, path: Path, dataset: Dataset, group: Array) -> Array:
    names = [photo.name for photo in dataset.photos]
    skipped = [photo.name for photo in dataset.skipped]
    return read_folds_file(path, names, Groups(group, _read_pairs(run, names)), skipped)
