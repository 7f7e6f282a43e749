"""What readers of json files share: telling their files from others, and keeping numbers small."""

import json
from array import array
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any


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
