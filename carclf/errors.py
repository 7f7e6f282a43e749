"""The errors a user can cause. Anything else that is raised is a bug and keeps its traceback."""

import difflib
from collections.abc import Iterable, Sequence


class CarclfError(Exception):
    """What the user gave cannot be used: the message says where, what came, what was expected, how to mend it.

    The message may hold several lines, one per problem. The command line prints it and exits with 2.
    """


class ConfigError(CarclfError):
    """A key or value of the config file."""


class LabelError(CarclfError):
    """A label file or label table."""


class PhotoError(CarclfError):
    """A photo or mask that cannot be read."""


class AnnotationError(CarclfError):
    """An annotation file or one of its records."""


class BackboneError(CarclfError):
    """A SavedModel that cannot be found, loaded or used."""


class FoldError(CarclfError):
    """Photos that cannot be split into the folds that were asked for."""


class TrainingError(CarclfError):
    """A fit that diverged or had nothing to learn from."""


class RunDirError(CarclfError):
    """A run directory that cannot be read or written."""


def raise_all(kind: type[CarclfError], problems: Sequence[str]) -> None:
    """Raises one error that names every problem, one a line; does nothing if there is none."""
    if problems:
        raise kind("\n".join(problems))


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """Returns ' Did you mean "x"?' with the nearest known name, or '' if none is near."""
    nearest = difflib.get_close_matches(given, list(known), n=1, cutoff=0.6)
    return f' Did you mean "{nearest[0]}"?' if nearest else ""


def counted(number: int, thing: str, things: str = "") -> str:
    """Returns `1 photo`, `2,000 photos`."""
    return f"{number:,} {thing if number == 1 else things or thing + 's'}"


def listed(names: Sequence[str], most: int = 5) -> str:
    """Joins names for an error: all of them, or the first few and how many more."""
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[:most])} and {len(names) - most} more"
