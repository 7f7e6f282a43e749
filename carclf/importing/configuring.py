"""config.json of the folder: made, or lengthened by what is missing; what a user wrote stays."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from carclf.config import read_config
from carclf.errors import ConfigError
from carclf.files import write_json
from carclf.importing.classes import label_file_text, lengthen, read_classes
from carclf.importing.collection import CONFIG, LABELS, MASKS, PHOTOS, TABLE, Collection, write_if_other
from carclf.importing.options import ImportOptionError, ImportOptions
from carclf.importing.planning import LabelPlan
from carclf.label_file import LabelSet
from carclf.strict_json import read_json

_HANDLE = "https://tfhub.dev/google/imagenet/mobilenet_v1_100_224/feature_vector/5"
_TAKEN_OVER = ("backbones", "models", "embedded_fallback", "cross_validation", "training", "mask_training", "workers")
_NONE_NAMES = ("whole", "good", "none", "undamaged", "no_damage", "no damage", "intact", "ok")


def read_template(options: ImportOptions, root: Path) -> dict[str, Any]:
    """Reads how the folder's photos are to be looked at and learned from: a config without its dataset and heads.

    Raises:
        ConfigError: if the config that was named is wrong.
    """
    made: dict[str, Any] = {"backbones": {"mobilenet": {"handle": _HANDLE, "image_size": 224}}, "models": ["mobilenet"]}
    if options.config is not None:
        read_config(options.config)  # tells what is wrong with it
        given = read_json(options.config, ConfigError)
        made = {key: given[key] for key in _TAKEN_OVER if key in given}
        home = options.config.absolute().parent
        for backbone in made.get("backbones", {}).values():
            if backbone.get("local"):
                local = (home / Path(backbone["local"]).expanduser()).resolve()
                backbone["local"] = Path(os.path.relpath(local, root)).as_posix()
        made.get("cross_validation", {}).pop("folds_file", None)  # it names photos of another set
    dataset = {"photos": PHOTOS, "labels": TABLE, "annotations": []}
    return {"dataset": dataset, **made, "heads": {}, "results": "results", "images": "images"}


def check_requests(options: ImportOptions, folder: Collection, heads: Sequence[str], masks: Sequence[str]) -> None:
    """Finds what config.json forbids before anything is written.

    Args:
        options: of the import.
        folder: what is there.
        heads: those that the import brings.
        masks: those of them that are masks.

    Raises:
        ImportOptionError: if a derived head follows from a head that has no masks.
        ConfigError: if config.json names no photos, or a head that is something else.
    """
    known = list(dict.fromkeys([*_mask_heads(folder), *masks]))
    for head, derived in options.derive.items():
        for key in ("of", "by"):
            if key in derived and derived[key] not in known:
                which = f"Heads with masks: {', '.join(known) or 'none'}."
                raise ImportOptionError(f'--derive {head}: "{derived[key]}" has no masks here. {which}')
    if not folder.config:
        return
    dataset, there = folder.config["dataset"], folder.heads
    if not isinstance(dataset, dict) or "photos" not in dataset:
        raise ConfigError(f"{folder.root / CONFIG}: names no photos. Delete the file to have it made anew.")
    for name in [*heads, *masks, *options.derive]:
        wanted = f"{LABELS}/{name}.txt"
        given = there.get(name, {}).get("labels", wanted)
        if Path(str(given)).as_posix() != wanted:
            where = f"{folder.root / CONFIG}: heads.{name}.labels"
            raise ConfigError(f'{where}: "{given}" is not {wanted}, where imports add their classes. Correct it.')
    for name, derived in options.derive.items():
        if name in there and there[name].get("derived") != derived:
            raise ConfigError(f"--derive {name}: config.json has another head of this name. Take another one.")


def write_label_files(
    folder: Collection, options: ImportOptions, masks: LabelSet | None, labels: Mapping[str, LabelPlan]
) -> None:
    """Writes or lengthens the label files of an import, and of the heads that follow from its masks."""
    before = options.labels.read_text(encoding="utf-8-sig") if options.labels is not None else ""
    if masks is not None and folder.masks.get(options.mask_head):
        _write_classes(masks, before)
    for head, plan in labels.items():
        if folder.has_labels(head):
            _write_classes(plan.label_set, "")
    heads = {name: head.get("derived") for name, head in folder.heads.items()}
    for name, derived in {**dict(options.derive), **heads}.items():
        if isinstance(derived, Mapping):
            known = read_classes(folder.label_path(name))
            _write_classes(lengthen(known, _derived_classes(derived, folder), None), "")


def complete_config(
    folder: Collection, options: ImportOptions, template: dict[str, Any], labels: Mapping[str, LabelPlan]
) -> None:
    """Adds missing heads and annotations to config.json, or makes it; without any head it waits for another import."""
    config = folder.config or template
    heads, dataset = config.setdefault("heads", {}), config["dataset"]
    wanted = _wanted_heads(folder, options, labels)
    changed = not folder.config or not wanted.keys() <= heads.keys()
    for name, head in wanted.items():
        heads.setdefault(name, head)
    notes = dataset.setdefault("annotations", [])
    for name in _mask_heads(folder):
        if not any(note.get("head") == name for note in notes):
            notes.append({"format": "masks", "path": f"{MASKS}/{name}", "head": name})
            changed = True
    if changed and heads:
        write_json(folder.root / CONFIG, config)


def _wanted_heads(
    folder: Collection, options: ImportOptions, labels: Mapping[str, LabelPlan]
) -> dict[str, dict[str, Any]]:
    wanted: dict[str, dict[str, Any]] = {}
    for name, plan in labels.items():
        if folder.has_labels(name):
            wanted[name] = {"kind": plan.kind, "labels": f"{LABELS}/{name}.txt", "column": name}
            none = [label for label in plan.label_set.names if label.lower() in _NONE_NAMES]
            if plan.kind == "categorical" and len(none) == 1:
                wanted[name]["none_label"] = none[0]
    for name in _mask_heads(folder):
        wanted[name] = {"kind": "segmentation", "labels": f"{LABELS}/{name}.txt"}
    for name, derived in options.derive.items():
        share = derived["rule"] == "share"
        kind = "categorical" if share else "multi_label"
        wanted[name] = {"kind": kind, "labels": f"{LABELS}/{name}.txt", "derived": dict(derived)}
        if share and derived["bounds"][0] == 0:
            wanted[name]["none_label"] = "none"
    return wanted


def _derived_classes(derived: Mapping[str, Any], folder: Collection) -> list[str]:
    if derived.get("rule") != "share":
        return list(read_classes(folder.label_path(str(derived.get("of")))).names)
    bounds = derived["bounds"]
    first = "none" if bounds[0] == 0 else f"up to {bounds[0]} %"
    return [first, *(f"up to {bound} %" for bound in bounds[1:]), f"above {bounds[-1]} %"]


def _mask_heads(folder: Collection) -> list[str]:
    return [head for head, masks in folder.masks.items() if masks]


def _write_classes(label_set: LabelSet, before: str) -> None:
    path = label_set.path
    known = read_classes(path)
    if path.exists():
        before = path.read_text(encoding="utf-8-sig")
        num_known = len(known.names)
    else:
        num_known = len(_class_names(before))
    write_if_other(path, label_file_text(before, label_set, num_known))


def _class_names(text: str) -> list[str]:
    """The classes that stand in a text in the form of a label file."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [line.split(";")[0].strip() for line in lines]
