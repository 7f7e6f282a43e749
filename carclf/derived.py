"""Labels that follow from masks: damage types from what is drawn, the damaged share, the parts that damage touches."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carclf.config_heads import Derived, HeadConfig
from carclf.errors import AnnotationError, CarclfError, LabelError, PhotoError, did_you_mean, listed, raise_all
from carclf.head_data import HeadData
from carclf.images import Frame, photo_frame
from carclf.label_file import LabelSet
from carclf.labels import IGNORED_PIXEL, NOT_LABELLED
from carclf.mask_sources import MaskSource

Array = NDArray[Any]


def derive_head(
    name: str,
    head: HeadConfig,
    label_set: LabelSet,
    masks: Mapping[str, HeadData],
    photos: Sequence[Path],
    workers: int | None = None,
) -> HeadData:
    """Makes the targets of a head from the masks of others. A photo that lacks one of the masks is not labelled.

    Args:
        name: the head's name.
        head: its config, with `derived`.
        label_set: its classes.
        masks: the segmentation heads.
        photos: the files.
        workers: threads; None = one per core.

    Raises:
        LabelError: if the label file does not fit the rule, or no photo is labelled.
        AnnotationError: with every mask that cannot be used.
    """
    if head.derived is None:
        raise ValueError(f"{name} is not derived")
    source = masks[head.derived.of]
    label = _make_rule(name, head.derived, label_set, source.label_set)
    others = masks[head.derived.by].masks if head.derived.by else source.masks
    work = [each for each in zip(photos, source.masks, others, strict=True) if None not in each]
    with ThreadPoolExecutor(workers) as threads:
        found = iter(list(threads.map(lambda each: _label(label, *each), work)))
    problems = []
    empty: Any = NOT_LABELLED if head.kind == "categorical" else [NOT_LABELLED] * len(label_set.names)
    rows: list[Any] = []
    for each in zip(source.masks, others, strict=True):
        row = None if None in each else next(found)
        if isinstance(row, CarclfError):
            problems.append(str(row))
        rows.append(empty if row is None or isinstance(row, CarclfError) else row)
    raise_all(AnnotationError, problems)
    targets = np.array(rows, np.int64 if head.kind == "categorical" else np.int8)
    if (targets == NOT_LABELLED).all():
        raise LabelError(f"heads.{name}.derived: no photo has the masks that it needs, so none is labelled.")
    return HeadData(head.kind, label_set, head.none_label, targets)


Rule = Callable[[Frame, MaskSource, MaskSource], Any]
"""The size of a photo, its mask and the mask of `by` -> the row of targets."""


def _label(rule: Rule, photo: Path, mask: MaskSource, other: MaskSource) -> Any:
    try:
        frame = photo_frame(photo)
    except PhotoError:
        return None  # told, with the reason, when the photo is decoded
    try:
        return rule(frame, mask, other)
    except CarclfError as problem:
        return problem


def _make_rule(name: str, derived: Derived, label_set: LabelSet, source: LabelSet) -> Rule:
    if derived.rule == "share":
        if len(label_set.names) != len(derived.bounds) + 1:
            raise LabelError(
                f"heads.{name}: {label_set.path.name} has {len(label_set.names)} classes, but {len(derived.bounds)} "
                f"bounds make {len(derived.bounds) + 1}. Write one class for each share between two bounds."
            )
        return lambda frame, mask, _: int(np.searchsorted(derived.bounds, _damaged_percent(mask.load(frame))))
    unknown = [each for each in label_set.names if each not in source.names]
    if unknown:
        guess = did_you_mean(unknown[0], source.names)
        raise LabelError(
            f"heads.{name}: {listed(unknown)} in {label_set.path.name} is no class of {source.path.name} "
            f"({listed(source.names, most=20)}), which {derived.of} has.{guess}"
        )
    ids = np.array([source.names.index(each) + 1 for each in label_set.names])
    if derived.rule == "touched":
        return lambda frame, mask, other: _chosen(ids, _touched(mask.load(frame), other.load(frame)))
    return lambda frame, mask, _: _chosen(ids, sorted(mask.class_ids))


def _chosen(ids: Array, found: Any) -> list[int]:
    """0 or 1 for each of the label file's class ids."""
    return [int(chosen) for chosen in np.isin(ids, found)]


def _damaged_percent(mask: NDArray[np.uint8]) -> float:
    """Share of the pixels of any class among those that are not ignored, in percent."""
    judged = int((mask != IGNORED_PIXEL).sum())
    return 100.0 * int(((mask != 0) & (mask != IGNORED_PIXEL)).sum()) / max(judged, 1)


def _touched(mask: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The class ids of a mask where the other one shows something."""
    return np.unique(mask[(other != 0) & (other != IGNORED_PIXEL)])
