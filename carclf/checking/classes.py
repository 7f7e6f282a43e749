"""How many photos and groups every class of every head has."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carclf.checking.findings import Finding
from carclf.checking.mask_reading import SeenMask
from carclf.errors import counted
from carclf.head_data import HeadData


@dataclass(frozen=True)
class ClassCount:
    """How often a class occurs.

    Attributes:
        head: the head.
        name: the class.
        photos: that are labelled with it, or whose mask shows it.
        groups: that these photos are of; None where the groups are not known.
        labelled: photos that are labelled for the head.
    """

    head: str
    name: str
    photos: int
    groups: int | None
    labelled: int


Array = NDArray[np.int64]


def class_rows(head: HeadData, seen: Mapping[int, SeenMask]) -> list[Array]:
    """For each class the rows that have it, int64; seen: of the segmentation head, row -> what its mask shows."""
    count = len(head.label_set.names)
    if head.kind == "segmentation":
        found = {row: mask.class_ids for row, mask in seen.items() if not mask.kind}
        return [np.array([row for row, ids in found.items() if each + 1 in ids], np.int64) for each in range(count)]
    if head.kind == "categorical":
        return [np.flatnonzero(head.targets == each) for each in range(count)]
    return [np.flatnonzero(head.targets[:, each] == 1) for each in range(count)]


def count_classes(
    name: str, head: HeadData, seen: Mapping[int, SeenMask], group: Mapping[int, int] | None
) -> list[ClassCount]:
    """Counts the classes of a head.

    Args:
        name: the head's name.
        head: its targets.
        seen: see class_rows.
        group: row -> group of its photo, of those that can be read; None = not known.
    """
    counts = []
    for label, rows in zip(head.label_set.names, class_rows(head, seen), strict=True):
        groups = None if group is None else len({group[row] for row in rows.tolist() if row in group})
        counts.append(ClassCount(name, label, len(rows), groups, int(head.labelled.sum())))
    return counts


def judge_counts(counts: list[ClassCount], rare_photos: int, folds: int) -> Iterator[Finding]:
    """Names the classes of one head that never or rarely occur.

    Args:
        counts: of the classes.
        rare_photos: photos below which a class is rare.
        folds: classes of fewer groups are told with the folds; 0 = none is, as folds know no classes of masks.
    """
    never = [each for each in counts if not each.photos]
    for each in never:
        stops = len(never) == len(counts)
        text = f'{each.head}: no photo is labelled "{each.name}": it can neither be learnt nor judged.'
        text += " Add photos, or delete the class from the label file."
        yield Finding("class that never occurs", "unsound" if stops else "warning", text, each.head)
    for each in counts:
        if 0 < each.photos < rare_photos and (each.groups is None or each.groups >= folds):
            of = "" if each.groups is None else f" of {counted(each.groups, 'group')}"
            text = f'{each.head}: only {counted(each.photos, "photo")}{of} labelled "{each.name}": its scores will be '
            yield Finding("rare class", "warning", f"{text}vague. Add photos, or merge it with another.", each.head)
