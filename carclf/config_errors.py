"""Turns pydantic's findings into the errors of the config: place, what came, what was expected."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from carclf.config_types import NAME_PATTERN
from carclf.errors import did_you_mean
from carclf.strict_json import join_key

Sections = Mapping[tuple[str, ...], type[BaseModel]]


def schema_problems(found: ValidationError, data: Any, sections: Sections) -> list[str]:
    """Returns one line per finding, without the file's name.

    Args:
        found: what pydantic raised for `data`.
        data: the value read from the JSON file.
        sections: place of a section, "*" for any name or list index -> its model; unknown keys are compared
            with the model's keys.
    """
    problems = []
    for detail in found.errors(include_url=False):
        if detail["type"] == "too_short" and detail["input"]:
            continue  # its entries were wrong, which is told for each
        location = _place_in(data, detail["loc"], keep_last=detail["type"] in ("missing", "extra_forbidden"))
        place = ""
        for part in location:
            place = join_key(place, part)
        problems.append(f"{place}: {_explain(detail, location, sections)}" if place else _explain(detail, (), {}))
    return list(dict.fromkeys(problems))


def known_keys(location: Sequence[str | int], sections: Sections) -> tuple[str, ...]:
    """Returns the keys that the section at this place may have, sorted."""
    for pattern, model in sections.items():
        if len(pattern) == len(location) and all(
            want in ("*", part) for want, part in zip(pattern, location, strict=True)
        ):
            return tuple(sorted(model.model_fields))
    return ()


def _place_in(data: Any, location: tuple[str | int, ...], *, keep_last: bool) -> tuple[str | int, ...]:
    """Drops the parts that pydantic adds (names of union members, "[key]"); the user's own path stays."""
    kept: list[str | int] = []
    for index, part in enumerate(location):
        if isinstance(data, dict) and part in data:
            data = data[part]
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            data = data[part]
        elif not (keep_last and index == len(location) - 1):
            continue
        kept.append(part)
    return tuple(kept)


def _explain(detail: Any, location: tuple[str | int, ...], sections: Sections) -> str:
    kind, given = detail["type"], detail["input"]
    if kind == "extra_forbidden":
        keys = known_keys(location[:-1], sections) or known_keys(detail["loc"][:-1], sections)  # with the union's tag
        return f"unknown key.{did_you_mean(str(location[-1]), keys)} Known keys: {', '.join(keys)}."
    if kind == "missing":
        return f"this key is missing.{_describe(location, sections)}"
    guess = ""
    if kind == "union_tag_invalid":
        known = re.findall(r"'([^']*)'", detail["ctx"]["expected_tags"])
        tag = detail["ctx"]["tag"]
        return f'"{tag}" is not known.{did_you_mean(tag, known)} Known: {", ".join(known)}.'
    if kind == "literal_error" and isinstance(given, str):
        guess = did_you_mean(given, re.findall(r"'([^']*)'", detail["ctx"]["expected"]))
    elif kind in ("model_type", "dict_type", "model_attributes_type"):
        guess = _describe(location, sections)
    return f"{_demand(detail)}, not {_shown(given)}.{guess}"


def _demand(detail: Any) -> str:
    """Says what a value must be, in the words of JSON instead of Python's."""
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])
    if kind == "union_tag_not_found":
        return 'must be a name, or an object with the key "name"'
    if kind == "string_pattern_mismatch" and context["pattern"] == NAME_PATTERN:
        return "must be a name of letters, digits, _, - and ."
    if kind == "too_short":
        return f"must have at least {context['min_length']} entry"
    if kind == "too_long":
        return f"must have at most {context['max_length']} entries"
    if kind in ("model_type", "dict_type", "model_attributes_type"):
        return "must be an object {…}"
    words = {"Input should be": "must be", "String should": "must", "'": '"', "a valid tuple": "a list"}
    words |= {"a valid integer": "a whole number", "a valid boolean": "true or false", "a valid ": "a "}
    text = str(detail["msg"])
    for theirs, ours in words.items():
        text = text.replace(theirs, ours)
    return text


def _describe(location: tuple[str | int, ...], sections: Sections) -> str:
    for pattern, model in sections.items():
        if len(pattern) == len(location) - 1 and known_keys(location[:-1], {pattern: model}):
            field = model.model_fields.get(str(location[-1]))
            if field is not None and field.description:
                return f" Expected: {field.description}."
    return ""


def _shown(given: Any) -> str:
    text = json.dumps(given, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}…"
