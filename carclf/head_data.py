"""Labels and masks of one head, for every photo of a label table."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carclf.config_data import AnnotationConfig
from carclf.config_heads import EmptyWhere, HeadConfig, HeadKind
from carclf.config_masks import FlexUNetArchitecture, MaskTrainingConfig
from carclf.errors import AnnotationError, LabelError, PhotoError, counted, did_you_mean, listed
from carclf.labels import NOT_LABELLED, LabelSet, LabelTable, find_column, make_targets, split_cell
from carclf.mask_sources import MaskSource, find_mask_sources

Array = NDArray[Any]


@dataclass(frozen=True)
class HeadData:
    """What one head is told about every photo.

    Attributes:
        kind: categorical, multi_label or segmentation.
        label_set: the classes.
        none_label: the label that means none, if there is one.
        targets: categorical int64 (n,); multi_label int8 (n, num_classes); segmentation int8 (n,): 1 = the
            mask shows something, 0 = it is known to be empty. NOT_LABELLED where nobody said.
        masks: segmentation only: n mask sources, None = not labelled.
        masks_of: the head whose masks these are, where it is not this one.
    """

    kind: HeadKind
    label_set: LabelSet
    none_label: str | None
    targets: Array
    masks: tuple[MaskSource | None, ...] = ()
    masks_of: str | None = None

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """Which photos train and judge this head: bool (n,)."""
        flat = self.targets if self.targets.ndim == 1 else self.targets[:, 0]
        return np.asarray(flat != NOT_LABELLED)

    def take(self, indices: Array) -> "HeadData":
        """Returns the same for some of the photos; indices: int (m,)."""
        masks = tuple(self.masks[index] for index in indices) if self.masks else ()
        return replace(self, targets=self.targets[indices], masks=masks)


def make_head_data(
    name: str,
    head: HeadConfig,
    label_set: LabelSet,
    table: LabelTable,
    annotations: Sequence[AnnotationConfig],
) -> tuple[HeadData, list[str]]:
    """Joins one head's labels with the photos of a table.

    Args:
        name: the head's name.
        head: its config.
        label_set: its classes.
        table: the label table.
        annotations: those of this head.

    Returns:
        (targets and masks in the order of the table, notes: one line each).

    Raises:
        LabelError: with every bad cell.
        AnnotationError: with every bad annotation.
    """
    if head.kind == "segmentation":
        return _make_mask_head(head.empty_where, label_set, table, annotations)
    if head.kind == "categorical" and head.none_label is not None and head.none_label not in label_set.names:
        guess = did_you_mean(head.none_label, label_set.names)
        raise LabelError(
            f'heads.{name}.none_label: "{head.none_label}" is not in {label_set.path.name}.{guess} '
            f"Its classes: {listed(label_set.names, most=20)}."
        )
    column = head.column or name
    targets = make_targets(table, column, head.kind, label_set, head.none_label)
    if (targets == NOT_LABELLED).all():
        raise LabelError(f'{table.path.name}: column "{column}" is empty: no photo is labelled for {name}.')
    return HeadData(head.kind, label_set, head.none_label, targets), []


def class_problems(
    heads: Mapping[str, HeadConfig], general: MaskTrainingConfig, label_sets: Mapping[str, LabelSet]
) -> Iterator[str]:
    """Yields what is said of the classes of segmentation heads and does not fit their label files, one line each.

    Args:
        heads: head -> its config, with all that it leaves to defaults filled in.
        general: mask_training of the config. Its class_weights are for all heads, whose classes may differ: one that
            any head has is known.
        label_sets: head -> its classes; heads that are not here are passed over.
    """
    known: dict[str, None] = {}  # classes of any segmentation head
    for name, head in heads.items():
        if head.kind != "segmentation" or name not in label_sets:
            continue
        label_set = label_sets[name]
        known |= dict.fromkeys(label_set.names)
        architecture, weights = head.mask.architecture, head.mask.training.class_weights
        stated = architecture.num_classes if isinstance(architecture, FlexUNetArchitecture) else None
        if stated not in (None, len(label_set.names) + 1):
            has = counted(len(label_set.names), "class", "classes")
            yield (
                f"heads.{name}.architecture.num_classes: {stated}, but {label_set.path.name} has {has}: with the "
                f"background {len(label_set.names) + 1}. Write that, or leave the key out."
            )
        if weights and weights != general.class_weights:
            yield from _unknown_weights(f"heads.{name}.mask_training", weights, label_set.names)
    if general.class_weights and known:
        yield from _unknown_weights("mask_training", general.class_weights, known)


def _unknown_weights(place: str, weights: Mapping[str, float], known: Collection[str]) -> Iterator[str]:
    for name in weights:
        if name not in known:
            classes = listed(list(known), most=20)
            yield f'{place}.class_weights: "{name}" is no class.{did_you_mean(name, known)} Classes: {classes}.'


def _make_mask_head(
    empty_where: EmptyWhere | None,
    label_set: LabelSet,
    table: LabelTable,
    annotations: Sequence[AnnotationConfig],
) -> tuple[HeadData, list[str]]:
    sources, notes = find_mask_sources(table.photos, annotations, label_set)
    empty = _known_empty(empty_where, table, notes) if empty_where else set()
    both = sorted(row for row in empty & set(sources) if sources[row].shows_something)
    if both and empty_where:
        which = listed([table.photos[index] for index in both])
        raise LabelError(
            f'{table.path.name}: {which}: {empty_where.column} is "{empty_where.value}", so there is '
            "nothing to segment, but there are annotations. Correct one of them."
        )
    masks = tuple(MaskSource(label_set) if index in empty else sources.get(index) for index in range(len(table.photos)))
    targets = [NOT_LABELLED if mask is None else int(_shows_something(mask)) for mask in masks]
    return HeadData("segmentation", label_set, None, np.array(targets, np.int8), masks), notes


def _shows_something(mask: MaskSource) -> bool:
    try:
        return mask.shows_something
    except (AnnotationError, PhotoError):
        return True  # whoever loads it tells the reason, together with those of other masks


def _known_empty(empty_where: EmptyWhere, table: LabelTable, notes: list[str]) -> set[int]:
    """Returns the indices of the photos whose mask is empty by the table; notes a value that no photo has."""
    found = set()
    values: dict[str, None] = {}
    for index, cell in enumerate(find_column(table, empty_where.column)):
        try:
            inside = split_cell(cell)
        except ValueError as problem:
            raise LabelError(f"{table.path.name}, line {table.lines[index]}: {problem}") from None
        values.update(dict.fromkeys(inside))
        if inside == (empty_where.value,):
            found.add(index)
    if not found:
        guess = did_you_mean(empty_where.value, values)
        notes.append(f'{table.path.name}: no photo has {empty_where.column} "{empty_where.value}".{guess}')
    return found
