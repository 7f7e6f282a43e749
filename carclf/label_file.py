"""Label files: the classes of a head, one a line."""

import re
from dataclasses import dataclass
from pathlib import Path

from carclf.errors import LabelError, did_you_mean, raise_all
from carclf.strict_json import read_text

Color = tuple[int, int, int]
MOST_CLASSES = 254  # class ids of a mask are 1 to 254: 0 is background, 255 is ignored
_OPTIONS = ("mirror", "color")
_BACKGROUND: Color = (0, 0, 0)


@dataclass(frozen=True)
class LabelSet:
    """The classes of one head, in order; the index is the target, index + 1 the class id in masks.

    Attributes:
        names: class names.
        mirror: for every class the index of the class that it becomes when the photo is mirrored.
        colors: for every class (red, green, blue), 0 to 255, or None.
        path: the label file.
    """

    names: tuple[str, ...]
    mirror: tuple[int, ...]
    colors: tuple[Color | None, ...]
    path: Path

    @property
    def mirror_names(self) -> dict[str, str]:
        """Class -> what it becomes when the photo is mirrored, of those that change."""
        pairs = zip(self.names, self.mirror, strict=True)
        return {name: self.names[other] for name, other in pairs if self.names[other] != name}


@dataclass(frozen=True)
class _Line:
    number: int
    name: str
    mirror: str | None
    color: Color | None


def read_label_file(path: Path) -> LabelSet:
    """Reads the classes of one head: `name`, `name; mirror=other`, `name; color=19,164,201`, one a line.

    Blank lines and lines that begin with # are passed over.

    Raises:
        LabelError: with every bad line.
    """
    lines: list[_Line] = []
    problems: list[tuple[int, str]] = []
    for number, text in enumerate(read_text(path, LabelError).splitlines(), 1):
        if not text.strip() or text.startswith("#"):
            continue
        try:
            lines.append(_read_line(number, text))
        except ValueError as problem:
            problems.append((number, str(problem)))
    broken = bool(problems)
    problems += _repeats(lines)
    if not broken:
        problems += _mirror_problems(lines)
    raise_all(LabelError, [f"{path.name}, line {number}: {what}" for number, what in sorted(problems)])
    if not lines:
        raise LabelError(f"{path.name}: names no class. Write one a line.")
    if len(lines) > MOST_CLASSES:
        raise LabelError(f"{path.name}: {len(lines)} classes; a head takes {MOST_CLASSES} at most.")
    names = tuple(line.name for line in lines)
    mirror = tuple(names.index(line.mirror or line.name) for line in lines)
    return LabelSet(names, mirror, tuple(line.color for line in lines), path)


def _read_line(number: int, text: str) -> _Line:
    name, *options = (part.strip() for part in text.split(";"))
    if not name:
        raise ValueError("a class without a name. Write name; mirror=other; color=red,green,blue.")
    found: dict[str, str] = {}
    for option in options:
        key, equals, value = (part.strip() for part in option.partition("="))
        if key not in _OPTIONS or not equals or not value:
            guess = did_you_mean(key, _OPTIONS)
            raise ValueError(f'"{option}" is not mirror=other or color=red,green,blue.{guess}')
        if key in found:
            raise ValueError(f"{key} is given twice. Keep one.")
        found[key] = value
    color = _read_color(found["color"]) if "color" in found else None
    return _Line(number, name, found.get("mirror"), color)


def _read_color(text: str) -> Color:
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 3 or not all(re.fullmatch(r"[0-9]{1,3}", part) and int(part) <= 255 for part in parts):
        raise ValueError(f'color "{text}" is not red,green,blue with whole numbers from 0 to 255.')
    red, green, blue = (int(part) for part in parts)
    if (red, green, blue) == _BACKGROUND:
        raise ValueError("color 0,0,0 is the background's. Choose another.")
    return red, green, blue


def _repeats(lines: list[_Line]) -> list[tuple[int, str]]:
    problems = []
    names: dict[str, int] = {}
    colors: dict[Color, int] = {}
    for line in lines:
        first = names.setdefault(line.name, line.number)
        if first != line.number:
            problems.append((line.number, f'"{line.name}" stands in line {first} already. Keep one.'))
        if line.color is not None:
            first = colors.setdefault(line.color, line.number)
            if first != line.number:
                problems.append((line.number, f"line {first} has the same color. Choose another."))
    return problems


def _mirror_problems(lines: list[_Line]) -> list[tuple[int, str]]:
    """Finds mirror images that are no class, and pairs that do not point at each other."""
    problems = []
    classes = {line.name: line for line in lines}
    for line in lines:
        if line.mirror is None:
            continue
        if line.mirror not in classes:
            guess = did_you_mean(line.mirror, classes)
            problems.append((line.number, f'mirror "{line.mirror}" is no class of this file.{guess}'))
            continue
        other = classes[line.mirror]
        back = other.mirror or other.name
        if back != line.name:
            what = f'"{line.name}" becomes "{other.name}", but "{other.name}" (line {other.number}) becomes'
            problems.append((line.number, f'{what} "{back}". Write mirror={line.name} there.'))
    return problems
