"""Groups of photos -> train, valid, test: groups stay whole, every label and every class of the masks is spread."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from carclf.errors import FoldError
from carclf.folds import make_parts
from carclf.scores import Array

FAR_OFF = 0.05  # a part whose share of the photos is off by more is told


def split_groups(group: Array, targets: Mapping[str, Array], shares: Mapping[str, float], seed: int) -> Array:
    """Gives every photo its part.

    Args:
        group: int64 (n,), the group of each photo.
        targets: see folds.make_folds; of masks int8 (n, num_classes), the classes that they show.
        shares: part -> its share of the photos; together 1.
        seed: decides between parts that are equally good.

    Returns:
        int64 (n,), positions in `shares`. No group is in two parts, and no part is empty.

    Raises:
        FoldError: if there are fewer groups than parts.
    """
    groups, group = np.unique(group, return_inverse=True)
    if len(groups) < len(shares):
        raise FoldError(
            f"Cannot make {len(shares)} parts ({', '.join(shares)}): the {len(group)} photos show only {len(groups)} "
            "different cars. Add photos, or leave a part out with --valid 0 or --test 0."
        )
    part = make_parts(group, targets, list(shares.values()), seed)
    return _fill_empty_parts(part, group, len(shares))


def _fill_empty_parts(part: Array, group: Array, num_parts: int) -> Array:
    """Gives a part without photos the smallest group of the part that has the most groups."""
    part = part.copy()
    for empty in range(num_parts):
        if (part == empty).any():
            continue
        held = [np.unique(group[part == other]) for other in range(num_parts)]
        giver = max(held, key=len)
        sizes = np.bincount(group)[giver]
        part[group == giver[int(np.argmin(sizes))]] = empty
    return part


def split_notes(
    part: Array, targets: Mapping[str, Array], class_names: Mapping[str, Sequence[str]], shares: Mapping[str, float]
) -> Iterator[str]:
    """Says what is possible but poor: classes that a part lacks, shares that could not be kept.

    Args:
        part: of split_groups.
        targets: as for split_groups.
        class_names: head -> names of its classes.
        shares: as for split_groups.
    """
    for position, (name, share) in enumerate(shares.items()):
        got = float((part == position).mean())
        if abs(got - share) > FAR_OFF:
            yield (
                f"{name} has {got:.0%} of the photos in place of {share:.0%}: groups of photos that belong together "
                "stay whole, and there are few or large ones."
            )
    for head, names in class_names.items():
        given = targets[head]
        for class_id, class_name in enumerate(names):
            on = given == class_id if given.ndim == 1 else given[:, class_id] == 1
            lacking = [name for position, name in enumerate(shares) if not on[part == position].any()]
            if lacking and len(lacking) < len(shares):
                yield f'{head}: no photo of "{class_name}" is in {" and ".join(lacking)}; {_held(int(on.sum()))}.'
            elif lacking:
                yield f'{head}: no photo of "{class_name}" takes part.'


def _held(count: int) -> str:
    return "there is 1 in all" if count == 1 else f"there are {count} in all"
