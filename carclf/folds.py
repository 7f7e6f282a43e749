"""Groups and targets -> k folds: groups stay whole, every label of every head is spread evenly at once.

Iterative stratification (Sechidis, Tsoumakas and Vlahavas, 2011) with groups in the place of single photos.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carclf.errors import FoldError, counted, listed, raise_all
from carclf.groups import Groups
from carclf.label_table import Row, clean_photo_name, read_rows
from carclf.labels import NOT_LABELLED

Array = NDArray[Any]
_MOST_DIGITS = 9  # of a fold's number in a given file


@dataclass(frozen=True)
class Fold:
    """One split: positions of the photos that train and of those that judge, sorted, none in both."""

    train: Array  # int64
    test: Array  # int64


def make_folds(group: Array, targets: Mapping[str, Array], k: int, seed: int) -> Array:
    """Gives every photo its fold.

    Args:
        group: int64 (n,), the group of each photo.
        targets: per head int64 (n,) class index, or int8 (n, C) of 0 and 1; NOT_LABELLED where
            nobody labelled the photo. A head of masks has (n, 1): does the photo's mask hold anything?
        k: number of folds, at least 2.
        seed: decides between folds that are equally good.

    Returns:
        int64 (n,) in 0 .. k - 1. Groups are whole. Numbers of classes and order of heads have no influence.

    Raises:
        FoldError: if there are fewer groups than folds.
    """
    num_groups = len(np.unique(group))
    if num_groups < k:
        raise FoldError(_too_few_groups(len(group), num_groups, k))
    return make_parts(group, targets, [1 / k] * k, seed)


def make_parts(group: Array, targets: Mapping[str, Array], shares: Sequence[float], seed: int) -> Array:
    """Gives every photo its part, as `make_folds` does, of parts that need not be equal.

    Args:
        group: as for `make_folds`.
        targets: as for `make_folds`.
        shares: of the photos, each above 0, together 1. With few groups a part may stay empty.
        seed: as for `make_folds`.

    Returns:
        int64 (n,) in 0 .. len(shares) - 1.
    """
    _, group = np.unique(group, return_inverse=True)
    num_groups = int(group.max(initial=-1)) + 1
    generator = np.random.default_rng(seed)
    shuffled = generator.permutation(num_groups)
    counts = _count_labels(group, num_groups, targets)[shuffled]
    counts = counts[:, np.lexsort(counts)]  # an order of the labels that does not depend on their numbers
    fold_of_group = np.empty(num_groups, dtype=np.int64)
    fold_of_group[shuffled] = _assign(counts, np.array(shares), generator)
    fold: Array = fold_of_group[group]
    return fold


def make_splits(fold: Array) -> list[Fold]:
    """Turns each photo's fold (int64 (n,), 0 .. k - 1) into k pairs of index arrays."""
    return [Fold(train=np.flatnonzero(fold != i), test=np.flatnonzero(fold == i)) for i in range(int(fold.max()) + 1)]


def check_folds(
    group: Array, targets: Mapping[str, Array], class_names: Mapping[str, Sequence[str]], k: int
) -> tuple[str, ...]:
    """Checks that k folds can hold every label.

    Args:
        group: as for `make_folds`.
        targets: as for `make_folds`.
        class_names: per head the names of its classes, in the order of the targets.
        k: number of folds.

    Returns:
        One line for each thing that is possible but poor: a label of a multi-label head or a mask that some
        folds will lack, a class without photos, a group larger than a fold.

    Raises:
        FoldError: names every class of a categorical head that has photos of fewer groups than folds.
    """
    num_groups, largest = len(np.unique(group)), int(np.bincount(group).max(initial=0))
    if num_groups < k:
        raise FoldError(_too_few_groups(len(group), num_groups, k))
    problems: list[str] = []
    notes: list[str] = []
    for head, head_targets in targets.items():
        is_categorical = head_targets.ndim == 1
        for name, on in zip(class_names[head], _one_column_each(head_targets, len(class_names[head])).T, strict=True):
            holders = len(np.unique(group[on]))
            if holders == 0:
                notes.append(f'{head}: no photo is labelled "{name}": it can neither be learnt nor judged.')
            elif holders < k and is_categorical:
                problems.append(_too_few_of_class(head, name, holders, k))
            elif holders < k:
                notes.append(f'{head}: "{name}" has photos of only {holders} cars: {k - holders} of {k} folds lack it.')
    raise_all(FoldError, problems)
    if largest * k > len(group):
        notes.append(
            f"One group holds {largest} of {len(group)} photos, more than a fold's share ({len(group) // k}):"
            " the folds are uneven. If these are not one car, raise cross_validation.group_similarity."
        )
    return tuple(notes)


def read_folds_file(path: Path, photos: Sequence[str], groups: Groups, left_out: Collection[str] = ()) -> Array:
    """Reads given folds: a csv file with the columns `photo` and `fold`.

    Args:
        path: the csv file.
        photos: names of the photos, in the order of the groups.
        groups: what must not be torn apart.
        left_out: names that may stand in the file although their photos were left out (unreadable ones).

    Returns:
        int64 (n,): the folds in the order of their numbers in the file, counted from 0.

    Raises:
        FoldError: names every line that cannot be used, every photo that is unknown, twice or missing, every
            pair of photos of one group in two folds.
    """
    given, problems = _read_fold_lines(path)
    known = set(photos)
    unknown = [name for name in given if name not in known and name not in left_out]
    missing = [name for name in photos if name not in given]
    if unknown:
        problems.append(f"{path}: these photos are not in the dataset: {listed(unknown)}. Delete their lines.")
    if missing and not problems:
        problems.append(f"{path}: these photos have no line: {listed(missing)}. Add them.")
    raise_all(FoldError, problems)
    numbers = np.array([given[name] for name in photos], dtype=np.int64)
    different, fold = np.unique(numbers, return_inverse=True)
    if len(different) < 2:
        problems.append(f"{path}: all photos are in fold {different[0]}. Give at least 2 folds.")
    problems += [f"{path}: {torn}" for torn in _torn_pairs(numbers, photos, groups)]
    raise_all(FoldError, problems)
    return fold.astype(np.int64)


def _torn_pairs(fold: Array, photos: Sequence[str], groups: Groups) -> list[str]:
    """Says which pairs of photos that belong together are in two folds."""
    return [
        f"{photos[pair.first]} (fold {fold[pair.first]}) and {photos[pair.second]} (fold {fold[pair.second]})"
        f" belong together ({pair.reason}, similarity {pair.similarity:.3f}). Put them into one fold; if they"
        " show different cars, raise cross_validation.group_similarity."
        for pair in groups.pairs
        if fold[pair.first] != fold[pair.second]
    ]


def _one_column_each(targets: Array, num_classes: int) -> Array:
    """Bool (n, C): which photo is labelled with which class; all False where nobody labelled it."""
    if targets.ndim == 1:
        return np.asarray(targets[:, None] == np.arange(num_classes))
    return np.asarray(targets == 1)


def _count_labels(group: Array, num_groups: int, targets: Mapping[str, Array]) -> Array:
    """Counts what is to be spread evenly: int64 (num_groups, labels).

    Besides the labels of all heads: photos labelled with none of a head's labels, and photos as such.
    """
    columns = [np.ones((len(group), 1), dtype=bool)]
    for head_targets in targets.values():
        on = _one_column_each(head_targets, int(head_targets.max(initial=-1)) + 1)
        columns.append(on)
        if head_targets.ndim == 2:
            labelled = head_targets[:, :1] != NOT_LABELLED
            columns.append(labelled & ~on.any(axis=1, keepdims=True))
    labels = np.concatenate(columns, axis=1)
    counts = np.zeros((num_groups, labels.shape[1]), dtype=np.int64)
    np.add.at(counts, group, labels)
    return counts[:, counts.any(axis=0)]


def _assign(counts: Array, shares: Array, generator: np.random.Generator) -> Array:
    """Spreads groups over k folds: the rarest label first, each group where most of its labels are wanting.

    The original looks at the rarest label only and breaks ties by chance. Here a group goes to the fold
    that brings the sum over labels of (photos - share)^2 / share down most: labels are spread more evenly so.

    Args:
        counts: int64 (num_groups, labels): photos. Every label has a group, every group a photo.
        shares: float64 (k,): of the photos, for each fold.
        generator: decides between equally good folds; the order of the groups decides which one goes first.

    Returns:
        int64 (num_groups,): the fold of each group.
    """
    share = shares[:, None] * counts.sum(axis=0)  # (k, labels): photos of each label in perfect folds
    wanting = share.copy()  # (k, labels): what each fold still lacks
    fold = np.full(len(counts), -1, dtype=np.int64)
    while (fold < 0).any():
        left = counts[fold < 0].sum(axis=0)
        rarest = int(np.argmin(np.where(left > 0, left, np.iinfo(np.int64).max)))
        holders = np.flatnonzero((fold < 0) & (counts[:, rarest] > 0))
        for i in holders[np.argsort(-counts[holders, rarest], kind="stable")]:
            gain = ((wanting - counts[i] / 2) / share) @ counts[i]  # (k,)
            best = np.flatnonzero(gain > gain.max() - 1e-9)
            fold[i] = best[generator.integers(len(best))]
            wanting[fold[i]] -= counts[i]
    return fold


def _too_few_groups(num_photos: int, num_groups: int, k: int) -> str:
    shown = f"Cannot make {k} folds: the {num_photos} photos show only {num_groups} different cars."
    if num_groups < 2:
        return f"{shown} Add photos."
    return f"{shown} Set cross_validation.folds to {num_groups} or less, or add photos."


def _too_few_of_class(head: str, name: str, holders: int, k: int) -> str:
    cars = counted(holders, "car")
    shown = f'{head}: Cannot make {k} folds: "{name}" has photos of only {cars}.'
    if holders < 2:
        return f"{shown} Add photos, or leave the class out of its label file and empty its cells."
    return f"{shown} Set cross_validation.folds to {holders} or less, or add photos."


def _read_fold_lines(path: Path) -> tuple[dict[str, int], list[str]]:
    """Reads photo -> number of its fold, and what is wrong with the lines.

    Raises:
        FoldError: if the file cannot be read as a table with both columns.
    """
    header, *rows = list(read_rows(path, FoldError)) or [Row(1, ())]
    absent = [column for column in ("photo", "fold") if column not in header.cells]
    if absent:
        raise FoldError(
            f"{path}: no column {' and '.join(absent)}; it has {listed(header.cells)}."
            " The first line must name the columns photo,fold."
        )
    given: dict[str, int] = {}
    problems = []
    for row in rows:
        try:
            name, number = _read_fold_line(row, header)
            if name in given:
                raise ValueError(f'photo "{name}" stands here for the second time.')
            given[name] = number
        except ValueError as problem:
            problems.append(f"{path}, line {row.line}: {problem}")
    return given, problems


def _read_fold_line(row: Row, header: Row) -> tuple[str, int]:
    if len(row.cells) != len(header.cells):
        raise ValueError(f"{len(row.cells)} cells, but the header names {len(header.cells)} columns.")
    name, number = (row.cells[header.cells.index(column)] for column in ("photo", "fold"))
    if not number.isdecimal() or len(number) > _MOST_DIGITS:
        raise ValueError(f'fold "{number[:20]}" is not a whole number from 0 to {10**_MOST_DIGITS - 1}.')
    return clean_photo_name(name), int(number)
