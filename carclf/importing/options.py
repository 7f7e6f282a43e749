"""What a user says about an import, read from the words of the command line."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from carclf.config_data import COLOR_TOLERANCE
from carclf.config_heads import HeadKind
from carclf.config_types import NAME_PATTERN
from carclf.errors import CarclfError, did_you_mean
from carclf.importing.names import is_class
from carclf.label_file import Color

DEFAULT_MASK_HEAD = "damage_mask"
RULES = ("classes", "share", "touched")


class ImportOptionError(CarclfError):
    """An option of the import that cannot be understood."""


@dataclass(frozen=True)
class ImportOptions:
    """One import.

    Attributes:
        format: name of the format, or "auto".
        source: the annotation file or folder.
        to: the folder to import into.
        head: the head that masks, or labels of no column, are for; None = not said.
        map: class in the annotations -> class here, "" (left out) or "ignore".
        photos: folders to look for photos in.
        labels: label file that names the classes of masks.
        columns: head -> column, of label tables.
        kinds: head -> kind, where it is not as the labels look.
        colors: (red, green, blue) -> class, of colour masks.
        tolerance: how far off a colour may be.
        attribute: attribute that holds the class (VIA).
        empty: photos without a region have a known empty mask.
        copy: photos are copied, not linked.
        strict: anything left out is an error.
        derive: head -> how its labels follow from masks, as in the config.
        config: where backbones, models and training are taken from; None = the project's own choice.
    """

    format: str
    source: Path
    to: Path
    head: str | None = None
    map: Mapping[str, str] = field(default_factory=dict)
    photos: tuple[Path, ...] = ()
    labels: Path | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    kinds: Mapping[str, HeadKind] = field(default_factory=dict)
    colors: Mapping[Color, str] = field(default_factory=dict)
    tolerance: int = COLOR_TOLERANCE
    attribute: str | None = None
    empty: bool = False
    copy: bool = False
    strict: bool = False
    derive: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    config: Path | None = None

    @property
    def mask_head(self) -> str:
        """The head that masks are for."""
        return self.head or DEFAULT_MASK_HEAD


def read_pairs(option: str, words: Sequence[str]) -> dict[str, str]:
    """Reads `old=new` of an option that may be given several times; "=" may stand in the new name.

    Raises:
        ImportOptionError: if a word is no pair, or one name is given twice.
    """
    pairs: dict[str, str] = {}
    for word in words:
        left, equals, right = (part.strip() for part in word.partition("="))
        if not equals:
            raise ImportOptionError(f'{option} "{word}": two names with "=" between them were expected.')
        if left in pairs:
            raise ImportOptionError(f'{option}: "{left}" is given twice. Keep one.')
        pairs[left] = right
    return pairs


def read_map(words: Sequence[str]) -> dict[str, str]:
    """Reads `old=new`, where new is a class, nothing, or ignore.

    Raises:
        ImportOptionError: if it cannot be a class.
    """
    renames = read_pairs("--map", words)
    for old, new in renames.items():
        if new and not is_class(new):
            raise ImportOptionError(
                f'--map {old}: "{new}" is no name of a class: no ";", no line break, no brackets around it, '
                "no # before it. Write another one."
            )
    return renames


def read_kinds(words: Sequence[str]) -> dict[str, HeadKind]:
    """Reads `head=kind`.

    Raises:
        ImportOptionError: if a kind is none of labels.
    """
    kinds: dict[str, HeadKind] = {}
    known = [kind for kind in get_args(HeadKind) if kind != "segmentation"]
    for head, kind in read_pairs("--kind", words).items():
        if kind not in known:
            guess = did_you_mean(kind, known)
            raise ImportOptionError(f'--kind {head}: "{kind}" is no kind of labels.{guess} Known: {", ".join(known)}.')
        kinds[head] = kind  # type: ignore[assignment]  # as tested above
    return kinds


def read_colors(words: Sequence[str]) -> dict[Color, str]:
    """Reads `red,green,blue=class`.

    Raises:
        ImportOptionError: if a color is none.
    """
    colors: dict[Color, str] = {}
    for text, name in read_pairs("--color", words).items():
        parts = [part.strip() for part in text.split(",")]
        if len(parts) != 3 or not all(re.fullmatch(r"[0-9]{1,3}", part) and int(part) <= 255 for part in parts):
            raise ImportOptionError(f'--color "{text}": red,green,blue with whole numbers from 0 to 255 was expected.')
        if not name:
            raise ImportOptionError(f"--color {text}: the class is missing. Write {text}=name.")
        red, green, blue = map(int, parts)
        colors[red, green, blue] = name
    return colors


def read_derived(words: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Reads `head=classes:mask_head`, `head=share:mask_head:0,1,5` and `head=touched:mask_head:other_mask_head`.

    Raises:
        ImportOptionError: if one is something else.
    """
    derived: dict[str, dict[str, Any]] = {}
    for head, rule in read_pairs("--derive", words).items():
        check_head("--derive", head)
        name, *rest = rule.split(":")
        if name not in RULES or len(rest) != (1 if name == "classes" else 2):
            raise ImportOptionError(
                f'--derive {head}: "{rule}" is none of classes:HEAD, share:HEAD:0,1,5 and touched:HEAD:OTHER_HEAD.'
                f"{did_you_mean(name, RULES)}"
            )
        derived[head] = {"of": rest[0], "rule": name}
        if name == "touched":
            derived[head]["by"] = rest[1]
        if name == "share":
            derived[head]["bounds"] = _read_bounds(head, rest[1])
    return derived


def check_head(option: str, head: str) -> None:
    """Refuses what cannot be the name of a head.

    Raises:
        ImportOptionError: if it is none.
    """
    if head in ("name", "group"):
        raise ImportOptionError(
            f'{option}: "{head}" is a column of labels.csv with a meaning of its own. Take another.'
        )
    if not re.fullmatch(NAME_PATTERN, head) or len(head) > 64:
        raise ImportOptionError(f'{option}: "{head}" is no name of a head: letters, digits, _, - and . were expected.')


def _read_bounds(head: str, text: str) -> list[float]:
    try:
        bounds = [float(part) for part in text.split(",")]
    except ValueError:
        bounds = []
    if not bounds or bounds != sorted(set(bounds)) or not 0 <= bounds[0] <= bounds[-1] < 100:
        raise ImportOptionError(f'--derive {head}: "{text}" are no rising percents, such as 0,1,5.')
    return [int(bound) if bound == int(bound) else bound for bound in bounds]
