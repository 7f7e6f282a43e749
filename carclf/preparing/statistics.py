"""Counts per split and class: photos, copies and pixels."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from carclf.head_data import HeadData
from carclf.preparing.material import Material
from carclf.preparing.output import Written
from carclf.scores import Array

Tree = dict[str, Any]
BACKGROUND, IGNORED = "(background)", "(ignored)"  # no label file names a class so


def count_everything(
    material: Material, part: Array, splits: Sequence[str], written: Mapping[str, Sequence[Written]]
) -> Tree:
    """Counts what was written.

    Args:
        material: the photos.
        part: int64 (n,), positions in `splits`.
        splits: names of the parts.
        written: part -> its files.

    Returns:
        part -> photos, copies, groups; `labels`: head -> label -> photos, copies; `classes` (with masks): class,
        `(background)` and `(ignored)` -> photos, copies, pixels, pixels_of_copies.
    """
    trees: Tree = {}
    for position, split in enumerate(splits):
        rows = np.flatnonzero(part == position)
        copies = [each for each in written[split] if each.copy]
        trees[split] = {
            "photos": len(rows),
            "copies": len(copies),
            "groups": len(np.unique(material.group[rows])),
            "labels": {
                name: _count_labels(head, rows, copies)
                for name, head in material.dataset.heads.items()
                if head.kind != "segmentation"
            },
        }
        if material.head is not None:
            trees[split]["classes"] = _count_classes(material.class_names, written[split])
    return trees


def _count_labels(head: HeadData, rows: Array, copies: Sequence[Written]) -> Tree:
    """Label -> photos and copies that have it."""
    sources = np.array([each.position for each in copies], np.int64)
    mirrored = np.array([each.mirrored for each in copies], bool)
    mirror = np.array(head.label_set.mirror)
    counted = {}
    for index, name in enumerate(head.label_set.names):
        of_photos = _has(head, rows, index).sum()
        of_copies = np.where(mirrored, _has(head, sources, int(mirror[index])), _has(head, sources, index)).sum()
        counted[name] = {"photos": int(of_photos), "copies": int(of_copies)}
    return counted


def _has(head: HeadData, rows: Array, index: int) -> Array:
    targets = head.targets[rows]
    return np.asarray(targets == index if targets.ndim == 1 else targets[:, index] == 1)


def _count_classes(class_names: Sequence[str], written: Sequence[Written]) -> Tree:
    """Class -> photos and copies that show it, and pixels."""
    names = (BACKGROUND, *class_names, IGNORED)
    sums = {}
    for kind, chosen in (
        ("photos", [each.pixels for each in written if not each.copy]),
        ("copies", [each.pixels for each in written if each.copy]),
    ):
        pixels = np.array(chosen, np.int64).reshape(-1, len(names))
        sums[kind] = ((pixels > 0).sum(axis=0), pixels.sum(axis=0))
    return {
        name: {
            "photos": int(sums["photos"][0][row]),
            "copies": int(sums["copies"][0][row]),
            "pixels": int(sums["photos"][1][row]),
            "pixels_of_copies": int(sums["copies"][1][row]),
        }
        for row, name in enumerate(names)
    }
