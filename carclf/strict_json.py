"""JSON files read strictly: a syntax error names line and column, a repeated key is an error."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from carclf.errors import CarclfError, raise_all


class _JsonObject(dict[str, Any]):
    """A JSON object that remembers which of its keys were written more than once."""

    repeated: tuple[str, ...] = ()


def read_text(path: Path, error: type[CarclfError]) -> str:
    """Reads a UTF-8 text file, with or without a byte order mark.

    Raises:
        CarclfError: of kind `error`, if the file is missing, unreadable or not UTF-8 (names the line).
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise error(f"{path}: no such file.") from None
    except OSError as problem:
        raise error(f"{path}: cannot be read ({problem.strerror}).") from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        line = data[: problem.start].count(b"\n") + 1
        raise error(f"{path.name}, line {line}: not UTF-8 text. Save the file as UTF-8.") from None


def read_json(path: Path, error: type[CarclfError], pack: Callable[[dict[str, Any]], None] | None = None) -> Any:
    """Reads a JSON file; objects come as dicts, lists as lists.

    Args:
        path: the file.
        error: kind of the errors.
        pack: makes an object smaller as soon as it is read; large files would fill the memory with single numbers.

    Raises:
        CarclfError: of kind `error`, if the file cannot be read, is not JSON or repeats a key in one object.
    """

    def make(pairs: list[tuple[str, Any]]) -> _JsonObject:
        made = _make_object(pairs)
        if pack is not None:
            pack(made)
        return made

    text = read_text(path, error)
    try:
        value = json.loads(text, object_pairs_hook=make)
        repeated = list(_repeated_keys(value, ""))  # in here, as it may be nested too deep for this, too
    except json.JSONDecodeError as problem:
        where = f"{path.name}, line {problem.lineno}, column {problem.colno}"
        raise error(f"{where}: not valid JSON: {problem.msg}.{_json_hint(text, problem.pos)}") from None
    except (ValueError, RecursionError) as problem:
        raise error(f"{path.name}: not usable JSON: {problem}.") from None
    repeats = [f"{path.name}: {where}: the key stands more than once. Keep one." for where in repeated]
    raise_all(error, repeats)
    return value


def join_key(prefix: str, key: str | int) -> str:
    """Returns the dotted place of a key or list item: heads.severity, annotations[0]."""
    if isinstance(key, int):
        return f"{prefix}[{key}]"
    return f"{prefix}.{key}" if prefix else key


def _make_object(pairs: list[tuple[str, Any]]) -> _JsonObject:
    made = _JsonObject(pairs)
    if len(made) < len(pairs):
        keys = [key for key, _ in pairs]
        made.repeated = tuple(key for key in made if keys.count(key) > 1)
    return made


def _repeated_keys(value: Any, place: str) -> Iterator[str]:
    if isinstance(value, _JsonObject):
        for key in value.repeated:
            yield join_key(place, key)
        for key, inner in value.items():
            yield from _repeated_keys(inner, join_key(place, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _repeated_keys(inner, join_key(place, index))


def _json_hint(text: str, position: int) -> str:
    """Names the usual cause of a syntax error at this place, or nothing."""
    if not text.strip():
        return " The file is empty."
    before, here = text[:position].rstrip(), text[position : position + 2]
    after = text[position + 1 :].lstrip()  # Python 3.13 points at the comma, older ones at the bracket
    if (here[:1] in "]}" and before.endswith(",")) or (here[:1] == "," and after[:1] in ("]", "}")):
        return " Delete the comma before the closing bracket."
    if here[:1] == "'" or (here[:1] == "," and before.endswith(",")):
        return " Text is written in double quotes, one comma between two entries."
    if here == "//" or here[:1] == "#":
        return " JSON has no comments."
    return ""
