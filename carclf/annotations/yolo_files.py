"""data.yaml of a YOLO data set: the classes, and where the photos are."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

import yaml

from carclf.annotations.records import Problem
from carclf.annotations.sources import files_at, inside, read_beginning
from carclf.errors import AnnotationError
from carclf.strict_json import read_text

SPLITS = ("train", "val", "valid", "test")
USUAL_FOLDERS = (*SPLITS, "images")  # looked for where data.yaml names none

_MOST_CHARACTERS = 2**20
_MOST_DEPTH = 20
_NAMES = re.compile(rb"^names\s*:", re.MULTILINE)
_OTHER_KEYS = re.compile(rb"^(train|val|valid|test|path|nc)\s*:", re.MULTILINE)


@dataclass(frozen=True)
class DataFile:
    """What data.yaml says.

    Attributes:
        names: class id -> name.
        splits: (key, folder or list of photos, as it stands there), the key `path` put before it.
    """

    names: Mapping[int, str]
    splits: Sequence[tuple[str, PureWindowsPath]]


def find_data_files(source: Path) -> list[Path]:
    """Finds the data.yaml of every data set at or below a file or folder, whatever it is called, by its first lines."""
    return [path for path in files_at(source, (".yaml", ".yml")) if _looks_right(path)]


def read_data_file(path: Path) -> DataFile:
    """Reads data.yaml.

    Raises:
        AnnotationError: if it is not that of a data set for segmentation or detection.
    """
    data = _read_yaml(path)
    if "kpt_shape" in data:
        raise AnnotationError(f"{path.name}: describes key points (kpt_shape), not regions. Export outlines or boxes.")
    base = _texts(path, data, "path")
    splits = []
    for key in SPLITS:
        splits += [(key, PureWindowsPath(*base[:1], value)) for value in _texts(path, data, key)]
    return DataFile(_read_names(path, data.get("names")), splits)


def find_places(
    root: Path, data_file: Path, splits: Sequence[tuple[str, PureWindowsPath]]
) -> tuple[list[Path], list[Problem]]:
    """Finds the folders and lists of photos that data.yaml names.

    A path that leads out of the source, as "../train/images" often does, or comes from another machine is looked for
    beside data.yaml: by its whole length, then by less and less of its end.

    Args:
        root: nothing outside of it is looked at.
        data_file: data.yaml.
        splits: see DataFile.

    Returns:
        (folders and text files below root, each once; what could not be found).
    """
    if not splits:
        usual = [data_file.parent / name for name in USUAL_FOLDERS if (data_file.parent / name).is_dir()]
        return usual or [data_file.parent], []
    places: dict[Path, None] = {}
    problems: list[Problem] = []
    for key, asked in splits:
        try:
            found = _find_place(root, data_file, asked)
        except ValueError as problem:
            problems.append(Problem(f"{data_file.name}: {key}", f"{problem}"))
            continue
        if found is not None:
            places[found] = None
        elif key != "test":  # tools name a test folder even where there is none
            what = f'"{asked.as_posix()}" is not in {root}. Add the folder, or delete the line.'
            problems.append(Problem(f"{data_file.name}: {key}", what))
    return list(places), problems


def _looks_right(path: Path) -> bool:
    head = read_beginning(path)
    return bool(_NAMES.search(head) and _OTHER_KEYS.search(head))


def _read_yaml(path: Path) -> dict[str, Any]:
    text = read_text(path, AnnotationError)
    if len(text) > _MOST_CHARACTERS:
        raise AnnotationError(f"{path.name}: is larger than {_MOST_CHARACTERS // 2**20} MiB; no data.yaml is.")
    try:
        _check_events(text)
        data = yaml.safe_load(text)
    except yaml.MarkedYAMLError as problem:
        line = f", line {problem.problem_mark.line + 1}" if problem.problem_mark else ""
        raise AnnotationError(f"{path.name}{line}: not valid YAML: {problem.problem}.") from None
    except (yaml.YAMLError, ValueError) as problem:
        raise AnnotationError(f"{path.name}: not usable YAML: {' '.join(str(problem).split())}.") from None
    if not isinstance(data, dict):
        raise AnnotationError(f"{path.name}: not data.yaml of YOLO: keys were expected (names: [dent, glass]).")
    return data


def _check_events(text: str) -> None:
    """Refuses what fills the memory or takes for ever, and no data.yaml needs.

    Raises:
        ValueError: if the text refers to itself, or is nested too deep.
    """
    depth = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent):
            raise ValueError("it holds references (*name). Write them out")
        if depth > _MOST_DEPTH:
            raise ValueError(f"it is nested more than {_MOST_DEPTH} deep")


def _read_names(path: Path, names: Any) -> dict[int, str]:
    """Class id -> name, from a list or a mapping."""
    pairs = (
        list(enumerate(names)) if isinstance(names, list) else list(names.items()) if isinstance(names, dict) else []
    )
    if not pairs:
        raise AnnotationError(f"{path.name}: names: a list of the classes was expected, like names: [dent, glass].")
    read: dict[int, str] = {}
    for key, name in pairs:
        if isinstance(name, bool) or not isinstance(name, str | int | float) or not str(name).strip():
            raise AnnotationError(
                f"{path.name}: names: class {key} is no text; YAML reads words like yes and no otherwise. "
                'Write it in quotes: "no".'
            )
        if isinstance(key, bool) or not str(key).isdecimal():
            raise AnnotationError(f"{path.name}: names: the class id {str(key)[:40]} is no whole number from 0 on.")
        read[int(key)] = str(name).strip()
    return read


def _texts(path: Path, data: Mapping[str, Any], key: str) -> list[str]:
    """The values of a key: none, one, or a list."""
    given = data.get(key)
    values = given if isinstance(given, list) else [given or ""]
    if not all(isinstance(value, str) for value in values):
        raise AnnotationError(f"{path.name}: {key}: a path was expected, or a list of paths.")
    return [value.strip() for value in values if value.strip()]


def _find_place(root: Path, data_file: Path, asked: PureWindowsPath) -> Path | None:
    """Finds a folder or text file below root; None if there is none.

    Raises:
        ValueError: if it is a link that leads out of root.
    """
    if not asked.drive and not asked.root:
        exact = (data_file.parent / asked.as_posix()).resolve()
        if exact.is_relative_to(root.resolve()) and _is_place(exact):
            return root / exact.relative_to(root.resolve())
    parts = [part for part in asked.parts if part not in ("..", asked.anchor)]
    beside = data_file.parent.relative_to(root)
    for first in range(len(parts)):
        place = inside(root, (beside / Path(*parts[first:])).as_posix())
        if _is_place(place):
            return place
    return None


def _is_place(path: Path) -> bool:
    # unlike Path's, these take a name that no disk can hold for one that is not there
    return os.path.isdir(path) or (path.suffix.lower() == ".txt" and os.path.isfile(path))
