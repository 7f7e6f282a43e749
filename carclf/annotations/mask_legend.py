"""Files beside masks that say what their ids or colours mean."""

import csv
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from carclf.annotations.classes import LEFT_OUT
from carclf.errors import AnnotationError
from carclf.label_file import Color
from carclf.strict_json import read_text

_BACKGROUND = ("background", "_background_", "__background__", "_background")


@dataclass(frozen=True)
class Legend:
    """What the ids or colours of masks mean; one of the two is empty."""

    names: dict[int, str] = field(default_factory=dict)
    colors: dict[Color, str] = field(default_factory=dict)


def read_legend(folders: Iterable[Path]) -> Legend | None:
    """Reads the first legend that lies in one of the folders; None without any.

    Known are `labelmap.txt` (`name:red,green,blue:…`, CVAT's masks), `class_dict.csv` (name, r, g, b) and
    `_classes.csv` (Pixel Value, Class; Roboflow's masks). A class named background is left out.

    Raises:
        AnnotationError: if one cannot be read; names the line.
    """
    for folder in folders:
        for name, read_line in _READERS.items():
            path = folder / name
            if path.is_file():
                return _read(path, read_line)
    return None


def _read(path: Path, read_line: Callable[[Sequence[str]], tuple[int | Color, str]]) -> Legend:
    legend = Legend()
    separator = ":" if path.suffix == ".txt" else ","
    for number, line in enumerate(read_text(path, AnnotationError).splitlines(), 1):
        cells = [cell.strip() for cell in next(csv.reader([line], delimiter=separator), [])]
        heading = number == 1 and not any(re.fullmatch(r"[0-9, ]+", cell) for cell in cells)
        if heading or line.startswith("#") or not any(cells):
            continue
        try:
            key, name = read_line(cells)
        except (ValueError, IndexError):
            what = "a class and its colour or id were expected"
            raise AnnotationError(f"{path}, line {number}: {what}, but {line.strip()} came.") from None
        if name.lower() in _BACKGROUND:
            name = LEFT_OUT
        if isinstance(key, int):
            legend.names[key] = name
        else:
            legend.colors[key] = name
    return legend


def _labelmap_line(cells: Sequence[str]) -> tuple[Color, str]:
    return _color(cells[1].split(",")), _name(cells[0])


def _class_dict_line(cells: Sequence[str]) -> tuple[Color, str]:
    return _color(cells[1:4]), _name(cells[0])


def _classes_line(cells: Sequence[str]) -> tuple[int, str]:
    return _byte(cells[0]), _name(cells[1])


def _color(cells: Sequence[str]) -> Color:
    red, green, blue = (_byte(cell) for cell in cells)
    return red, green, blue


def _byte(cell: str) -> int:
    value = int(cell)
    if not 0 <= value <= 255:
        raise ValueError
    return value


def _name(cell: str) -> str:
    if not cell:
        raise ValueError
    return cell


_READERS: dict[str, Callable[[Sequence[str]], tuple[int | Color, str]]] = {
    "labelmap.txt": _labelmap_line,
    "class_dict.csv": _class_dict_line,
    "_classes.csv": _classes_line,
}
LEGENDS = tuple(_READERS)
