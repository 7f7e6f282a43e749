"""Heads that contradict each other about one photo: severity says whole, a mask of damage shows something.

A head of car parts contradicts nothing: whole cars have doors. So two heads are held against each other only where
the config ties them (empty_where), or where the labels do: photos without damage have nothing there as a rule.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carclf.checking.findings import Finding
from carclf.config_heads import HeadConfig
from carclf.errors import counted
from carclf.head_data import HeadData
from carclf.labels import NULL

Rows = NDArray[np.bool_]
_TIED = 0.5  # share of the photos without damage that have something there: parts are on most, damage is on few


@dataclass(frozen=True)
class _Said:
    """What a head says of every photo: bool (n,) each; neither where it is not labelled."""

    none: Rows
    some: Rows
    head: HeadData


def find_conflicts(
    photos: Sequence[str], heads: Mapping[str, HeadData], configs: Mapping[str, HeadConfig]
) -> Iterator[Finding]:
    """Finds photos of which one head says that there is nothing and another one that there is something.

    Args:
        photos: their names, in the order of the heads' targets.
        heads: the heads, with usable masks only.
        configs: of the same heads.
    """
    judges = [
        name
        for name, head in heads.items()
        if head.kind == "categorical" and head.none_label is not None and configs[name].derived is None
    ]
    for judge in judges:
        for name, other in heads.items():
            said = _said(other)
            if name != judge and said is not None and configs[name].derived is None:
                whole = _said(heads[judge])
                if whole is not None:
                    stated = _is_stated(configs[name], configs[judge])
                    yield from _compare(photos, (judge, whole, heads[judge].none_label or ""), (name, said), stated)


def _compare(
    photos: Sequence[str], judge: tuple[str, _Said, str], other: tuple[str, _Said], stated: bool
) -> Iterator[Finding]:
    (first, whole, none_label), (second, said) = judge, other
    with_something = whole.none & said.some
    usual = float(said.some[whole.some].mean()) if whole.some.any() else 0.0
    share = float(with_something.sum() / max(1, whole.none.sum()))
    if with_something.any() and (stated or share < _TIED * min(1.0, usual)):
        names = tuple(np.array(photos, object)[with_something])
        text = (
            f'{first} says "{none_label}", but {second} shows something: {counted(len(names), "photo")}. '
            "Look at it and correct one of the two."
        )
        yield Finding(
            "heads contradict each other", "unsound", text, second, names, _notes(said, names, with_something)
        )
    without = whole.some & said.none
    agree = float((whole.none & said.none).sum() / max(1, (whole.none & (said.none | said.some)).sum()))
    if without.any() and (stated or agree > _TIED) and without.sum() < _TIED * (whole.some & said.some).sum():
        names = tuple(np.array(photos, object)[without])
        text = (
            f"{first} says that there is something, but {second} says that there is nothing: "
            f"{counted(len(names), 'photo')}. Look at it; where nobody has looked yet, empty the cell or delete "
            "the mask."
        )
        yield Finding("heads contradict each other", "warning", text, second, names)


def _said(head: HeadData) -> _Said | None:
    """What a head says of every photo; None if it has no way to say none."""
    if head.kind == "segmentation":
        return _Said(head.targets == 0, head.targets == 1, head)
    names = head.label_set.names
    if head.kind == "categorical":
        if head.none_label is None:
            return None
        none = head.targets == names.index(head.none_label)
        return _Said(none, head.labelled & ~none, head)
    real = [place for place, name in enumerate(names) if name not in (NULL, head.none_label)]
    some = (head.targets[:, real] == 1).any(axis=1)
    return _Said(head.labelled & ~some, some, head)


def _notes(said: _Said, photos: Sequence[str], rows: Rows) -> dict[str, str]:
    """Photo -> its labels; masks are shown with the photo."""
    names, targets = said.head.label_set.names, said.head.targets[rows]
    if said.head.kind == "segmentation":
        return {}
    on = targets == 1 if targets.ndim == 2 else targets[:, None] == np.arange(len(names))
    return {
        photo: ", ".join(names[place] for place in np.flatnonzero(row)) for photo, row in zip(photos, on, strict=True)
    }


def _is_stated(other: HeadConfig, judge: HeadConfig) -> bool:
    """Whether the config says that the photos without damage have an empty mask."""
    where = other.empty_where
    return where is not None and (where.column, where.value) == (judge.column, judge.none_label)
