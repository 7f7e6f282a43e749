"""Which annotations lie in a folder, and of which format they are."""

from pathlib import Path

from carclf.annotations import FINDERS, LAST, READERS
from carclf.errors import AnnotationError, did_you_mean, listed

AUTO = "auto"
_FILES = ("via", "coco", "cvat", "table")  # formats of one file, not of a folder


def choose(format_name: str, source: Path) -> tuple[str, Path]:
    """Finds the annotation file or folder that a user means.

    Args:
        format_name: one of READERS, or "auto".
        source: a file, or a folder with one annotation set in it.

    Returns:
        (format, path for its reader).

    Raises:
        AnnotationError: if there is no such file, no annotations or several; lists them.
    """
    if format_name != AUTO and format_name not in READERS:
        known = [AUTO, *READERS]
        guess = did_you_mean(format_name, known)
        raise AnnotationError(f'"{format_name}" is no annotation format.{guess} Known: {", ".join(known)}.')
    if not source.exists():
        raise AnnotationError(f"{source}: no such file or folder.")
    if format_name == AUTO:
        return _only_one(find_annotations(source), source)
    if source.is_file():
        return format_name, source
    found = [(format_name, path) for path in FINDERS[format_name](source)]
    if not found and format_name in _FILES:
        raise AnnotationError(f"{source}: holds no file of the format {format_name}. Name the file, or mend it.")
    return _only_one(found, source) if found else (format_name, source)


def find_annotations(source: Path) -> list[tuple[str, Path]]:
    """Lists (format, path) of all annotations at or below a place.

    Formats that fit nearly any folder (masks, folders of photos) are only looked for where nothing else is found.
    """
    found = [(name, path) for name, find in FINDERS.items() if name not in LAST for path in find(source)]
    for name in LAST:
        if not found:
            found = [(name, path) for path in FINDERS[name](source)]
    return found


def _only_one(found: list[tuple[str, Path]], source: Path) -> tuple[str, Path]:
    if len(found) == 1:
        return found[0]
    if not found:
        raise AnnotationError(
            f"{source}: no annotations were recognised. Say what they are with --format: {', '.join(READERS)}."
        )
    which = listed([f"{path} ({name})" for name, path in found], 20)
    example = f"--format {found[0][0]} {found[0][1]}"
    raise AnnotationError(f"{source}: holds several annotation sets: {which}. Name one, such as {example}")
