"""Photos that show one thing, exactly or nearly, also mirrored; and labels that disagree about them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from carclf.checking.findings import Finding
from carclf.checking.mask_reading import SeenMask
from carclf.groups import Groups, Pair
from carclf.head_data import HeadData
from carclf.labels import NOT_LABELLED

_SAME_BYTES, _TABLE = "same bytes", "group column"  # of groups.REASONS; all others are near duplicates


@dataclass(frozen=True)
class KinCounts:
    """How many photos belong together.

    Attributes:
        photos: that can be read.
        groups: that they make.
        shared: groups of more than one photo.
        largest: photos of the largest group.
        exact: photos whose bytes another one before them has.
        near: pairs of like photos that hold the groups together.
        mirrored: pairs among them that are alike when one is mirrored.
    """

    photos: int
    groups: int
    shared: int
    largest: int
    exact: int
    near: int
    mirrored: int


def count_kin(groups: Groups) -> KinCounts:
    """Counts groups and duplicates."""
    sizes = np.bincount(groups.group)
    near = [pair for pair in groups.pairs if _is_near(pair)]
    return KinCounts(
        len(groups.group),
        len(sizes),
        int((sizes > 1).sum()),
        int(sizes.max(initial=0)),
        sum(pair.reason == _SAME_BYTES for pair in groups.pairs),
        len(near),
        sum("mirrored" in pair.reason for pair in near),
    )


def find_duplicates(
    photos: Sequence[str],
    groups: Groups,
    heads: Mapping[str, HeadData],
    seen: Mapping[str, Mapping[str, SeenMask]],
) -> Iterator[Finding]:
    """Names the pairs that hold the groups together, and how their labels disagree.

    Args:
        photos: their names, in the order of the groups.
        groups: which photos belong together.
        heads: their labels, in the same order.
        seen: segmentation head -> photo -> what its mask shows.
    """
    for pair in groups.pairs:
        if pair.reason == _TABLE:
            continue  # one car from several sides is no duplicate
        first, second = photos[pair.first], photos[pair.second]
        against = [
            text
            for name, head in heads.items()
            if (text := _disagreement(name, head, pair, photos, seen.get(name, {})))
        ]
        exact, alike = pair.reason == _SAME_BYTES, _likeness(pair)
        what = f"{first} and {second} {alike}"
        if against:
            kind = "duplicates with other labels" if exact else "near duplicates with other labels"
            text = f"{what}, but their labels differ: {'; '.join(against)}. "
            text += "Correct one and delete the other." if exact else "If they show the same damage, correct one."
            yield Finding(kind, "unsound" if exact else "warning", text, photos=(first, second))
        elif exact:
            text = f"{what}. They stay in one fold, but count twice: delete one."
            yield Finding("exact duplicates", "note", text, photos=(first, second))
        else:
            text = f"{what}. They stay in one fold; delete one if it is a copy."
            yield Finding("near duplicates", "note", text, photos=(first, second))


def _is_near(pair: Pair) -> bool:
    return pair.reason not in (_SAME_BYTES, _TABLE)


def _likeness(pair: Pair) -> str:
    if pair.reason == _SAME_BYTES:
        return "have the same bytes"
    by = "dHash" if pair.reason.startswith("dHash") else "the backbone's vectors"
    return f"are alike{', mirrored' if 'mirrored' in pair.reason else ''} ({by}, {pair.similarity:.3f})"


def _disagreement(name: str, head: HeadData, pair: Pair, photos: Sequence[str], seen: Mapping[str, SeenMask]) -> str:
    """How the labels of a head differ between two photos; "" if they do not, or one of them has none."""
    if not (head.labelled[pair.first] and head.labelled[pair.second]):
        return ""
    first, second = head.targets[pair.first], head.targets[pair.second]
    if head.kind == "segmentation":
        if first != second:
            return f"{name} shows something in one, nothing in the other"
        digests = [seen[photos[row]].digest for row in (pair.first, pair.second) if photos[row] in seen]
        differ = pair.reason == _SAME_BYTES and len(set(digests)) == 2
        return f"{name} has different masks" if differ else ""
    if "mirrored" in pair.reason:
        mirror = np.array(head.label_set.mirror)
        second = mirror[second] if head.kind == "categorical" else second[mirror]
    if np.array_equal(first, second):
        return ""
    return f"{name} {_named(head, first)} and {_named(head, second)}"


def _named(head: HeadData, target: np.ndarray) -> str:
    names = head.label_set.names
    if head.kind == "categorical":
        return names[int(target)] if target != NOT_LABELLED else "nothing"
    return ", ".join(names[place] for place in np.flatnonzero(target == 1)) or "nothing"
