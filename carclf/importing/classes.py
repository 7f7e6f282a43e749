"""Label files of imported heads: made, and lengthened by new classes; what stands in them stays."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from carclf.errors import LabelError
from carclf.importing.names import check_class
from carclf.label_file import MOST_CLASSES, Color, LabelSet, read_label_file
from carclf.mask_images import free_color


def read_classes(path: Path) -> LabelSet:
    """Reads a label file; one that is not there yet has no classes.

    Raises:
        LabelError: if it is wrong.
    """
    return read_label_file(path) if path.exists() else LabelSet((), (), (), path)


def lengthen(known: LabelSet, names: Iterable[str], colors: Mapping[str, Color] | None) -> LabelSet:
    """Appends classes that are not there yet.

    Args:
        known: the classes so far; their ids stay.
        names: classes that there must be.
        colors: class -> color, of masks; others get one that is free. None: no colors.

    Raises:
        LabelError: if a name is no class name, or there are too many.
    """
    all_names, all_colors = list(known.names), list(known.colors)
    problems = []
    for name in dict.fromkeys(names):
        if name in known.names:
            continue
        try:
            check_class(name)
        except ValueError as problem:
            problems.append(str(problem))
        taken = {color for color in all_colors if color is not None} | {(0, 0, 0)}
        wanted = None if colors is None else colors.get(name)
        all_names.append(name)
        all_colors.append(None if colors is None else wanted if wanted and wanted not in taken else free_color(taken))
    if problems:
        raise LabelError("\n".join(problems))
    if len(all_names) > MOST_CLASSES:
        raise LabelError(f"{known.path.name}: {len(all_names)} classes; a head takes {MOST_CLASSES} at most.")
    mirror = (*known.mirror, *range(len(known.names), len(all_names)))
    return LabelSet(tuple(all_names), mirror, tuple(all_colors), known.path)


def label_file_text(before: str, label_set: LabelSet, num_known: int) -> str:
    """Returns the text of a label file: what was there, and a line for each class from the `num_known`-th on."""
    lines = []
    for name, color in list(zip(label_set.names, label_set.colors, strict=True))[num_known:]:
        lines.append(name if color is None else f"{name}; color={','.join(map(str, color))}")
    if before and not before.endswith("\n"):
        before += "\n"
    return before + "".join(f"{line}\n" for line in lines)
