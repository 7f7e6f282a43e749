"""What readers of json files share: telling their files from others, photo sizes, bad regions of a photo."""

import json
from array import array
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from carclf.annotations.records import Problem
from carclf.annotations.sources import files_below
from carclf.errors import listed


def files_at(source: Path, suffixes: Sequence[str]) -> list[Path]:
    """Lists the files of these suffixes (lower case) at or below a file or folder; none if there is no such thing."""
    paths = files_below(source) if source.is_dir() else [source]
    return [path for path in paths if path.suffix.lower() in suffixes and path.is_file()]


def looks_like(path: Path, keys: Sequence[str], fits: Callable[[Any], bool]) -> bool:
    """Tells whether a json file is of a format. Never raises.

    Args:
        path: the file.
        keys: names that every file of the format holds somewhere; only files that do are parsed.
        fits: looks at what was parsed; of a list in an object only the first item is kept, for the memory's sake. A
            file that is not whole counts as one of the format, so that its reader can say in which line it is broken.
    """
    try:
        data = path.read_bytes()
        if not all(f'"{key}"'.encode() in data for key in keys):
            return False
        return fits(json.loads(data.decode("utf-8-sig"), object_pairs_hook=_shorten))
    except json.JSONDecodeError:
        return True
    except (OSError, ValueError, RecursionError):
        return False


def _shorten(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return {key: value[:1] if isinstance(value, list) else value for key, value in pairs}


def pack_numbers(values: Any) -> Any:
    """Packs a list of numbers, 8 bytes each in place of 32; what is anything else stays."""
    if isinstance(values, list) and set(map(type, values)) <= {int, float}:
        try:
            return array("d", values)
        except OverflowError:  # a whole number that is too large for this is too large for a photo, too
            return values
    return values


def read_size(width: Any, height: Any) -> tuple[int, int] | None:
    """Returns the size that annotations state for a photo, in pixels; None where they state none.

    Raises:
        ValueError: if it is no size.
    """
    if width is None and height is None:
        return None
    for value in (width, height):
        if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value < 1e6 or value != int(value):
            raise ValueError(f"states a size of {width} × {height}; whole numbers of pixels were expected.")
    return int(width), int(height)


def join_problems(place: str, problems: Sequence[tuple[str, str]]) -> Problem:
    """Makes one problem of all that is wrong with a photo's regions: (which region, what is wrong)."""
    which = listed([region for region, _ in problems])
    return Problem(f"{place} {which}", " ".join(dict.fromkeys(what for _, what in problems)))
