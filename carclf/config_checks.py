"""What one part of the config demands of another, and of the disk.

These checks work on the plain JSON value, whatever is in it, so that they can be told together with the
findings of the schema: a user mends the whole config at once.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from carclf.errors import did_you_mean

SEGMENTATION = "segmentation"
ANNOTATIONS_ARE = {"via": "file", "coco": "file", "masks": "folder"}  # other formats take a file or a folder
STAGES = ("features", "groups", "folds", "pictures")  # of a run beside its heads: names a head cannot have
RUN_SUFFIXES = (".json", ".csv", ".txt", ".npz")  # of a run's own files, beside which its heads have their folders
RESULTS_FOLDERS = ("cache", "check", "demo")  # in the results beside the models: names a backbone cannot have


def with_head_names(data: Any) -> Any:
    """Returns a copy with `column` and `annotations[].head` filled in from the heads' names."""
    if not isinstance(data, dict):
        return data
    filled = dict(data)
    if isinstance(data.get("heads"), dict):
        filled["heads"] = {
            name: {"column": name, **head} if isinstance(head, dict) else head for name, head in data["heads"].items()
        }
    mask_heads = _segmentation_heads(data)
    dataset = data.get("dataset")
    if isinstance(dataset, dict) and isinstance(dataset.get("annotations"), list | tuple) and len(mask_heads) == 1:
        notes = [{"head": mask_heads[0], **note} if isinstance(note, dict) else note for note in dataset["annotations"]]
        filled["dataset"] = {**dataset, "annotations": notes}
    return filled


def cross_problems(data: Any) -> list[str]:
    """Returns what does not fit together, one line each, without the file's name.

    Args:
        data: the value of the JSON file; wrong types in it are the schema's business and passed over.
    """
    if not isinstance(data, dict):
        return []
    return [
        *_dataset_problems(data),
        *_model_problems(data),
        *_backbone_problems(data),
        *_head_problems(data),
        *_annotation_problems(data),
    ]


def path_problems(data: Any, folder: Path) -> list[str]:
    """Returns what the config names and the disk lacks, one line each.

    Args:
        data: the value of the JSON file.
        folder: where relative paths start.
    """
    problems = []
    for place, given, wanted in _named_paths(data):
        if not isinstance(given, str) or not given.strip() or "\0" in given:
            continue
        try:
            path = folder / Path(given).expanduser()
            if not {"folder": path.is_dir, "file": path.is_file}.get(wanted, path.exists)():
                what = f"is not a {wanted}" if path.exists() else f"no such {wanted}"
                problems.append(f"{place}: {path}: {what}.{_sibling(path)}")
        except RuntimeError:  # "~nobody": the schema tells it
            continue
        except OSError as error:
            problems.append(f"{place}: {given}: cannot be looked at ({error.strerror or error}).")
    return problems


def _section(data: Any, key: str) -> dict[str, Any]:
    found = data.get(key) if isinstance(data, dict) else None
    return found if isinstance(found, dict) else {}


def _annotations(data: Any) -> list[tuple[str, dict[str, Any]]]:
    found = _section(data, "dataset").get("annotations")
    notes = found if isinstance(found, list | tuple) else []
    return [(f"dataset.annotations[{index}]", note) for index, note in enumerate(notes) if isinstance(note, dict)]


def _segmentation_heads(data: Any) -> list[str]:
    heads = _section(data, "heads")
    return [name for name, head in heads.items() if isinstance(head, dict) and head.get("kind") == SEGMENTATION]


def _dataset_problems(data: Any) -> Iterator[str]:
    dataset = _section(data, "dataset")
    beside = [key for key in dataset if key != "demo"]
    if "demo" in dataset and beside:
        yield f'dataset: "demo" stands beside {", ".join(beside)}. Keep one of the two.'


def _model_problems(data: Any) -> Iterator[str]:
    models, backbones = data.get("models"), data.get("backbones")
    if not isinstance(models, list | tuple) or not isinstance(backbones, dict):
        return
    for index, name in enumerate(models):
        if not isinstance(name, str):
            continue
        if name not in backbones:
            guess = did_you_mean(name, backbones)
            yield f'models[{index}]: "{name}" is not among backbones.{guess} Known: {", ".join(backbones)}.'
        if name in RESULTS_FOLDERS:
            yield f'models[{index}]: the results have a folder "{name}" of their own. Take another name.'
        if name in models[:index]:
            yield f'models[{index}]: "{name}" stands twice. Name every model once.'


def _backbone_problems(data: Any) -> Iterator[str]:
    if data.get("embedded_fallback") is True:
        return
    for name, backbone in _section(data, "backbones").items():
        if isinstance(backbone, dict) and backbone.get("local") is None and backbone.get("handle") is None:
            yield f"backbones.{name}: neither local nor handle is given. Write where its SavedModel is."


def _head_problems(data: Any) -> Iterator[str]:
    for name, head in _section(data, "heads").items():
        if name in STAGES or str(name).endswith(RUN_SUFFIXES):
            yield f"heads.{name}: the run itself has something of that name. Take another one."
        if not isinstance(head, dict):
            continue
        kind = head.get("kind")
        yield from _derived_problems(data, str(name), kind, head.get("derived"))
        if head.get("empty_where") is not None and kind in ("categorical", "multi_label"):
            yield f'heads.{name}.empty_where: is for segmentation heads, not for kind "{kind}". Delete it.'
        if head.get("none_label") is not None and kind == SEGMENTATION:
            yield f"heads.{name}.none_label: a segmentation head has none; say empty_where instead."


def _derived_problems(data: Any, name: str, kind: Any, derived: Any) -> Iterator[str]:
    if not isinstance(derived, dict):
        return
    place, rule, mask_heads = f"heads.{name}.derived", derived.get("rule"), _segmentation_heads(data)
    wanted = {"share": "categorical", "classes": "multi_label", "touched": "multi_label"}.get(str(rule))
    if wanted and kind in ("categorical", "multi_label", SEGMENTATION) and kind != wanted:
        yield f'{place}.rule: "{rule}" is for kind "{wanted}", not for "{kind}".'
    for key in ("of", "by"):
        head = derived.get(key)
        if isinstance(head, str) and head not in mask_heads:
            known = f"Segmentation heads: {', '.join(mask_heads) or 'none'}."
            yield f'{place}.{key}: "{head}" is no segmentation head.{did_you_mean(head, mask_heads)} {known}'
    bounds = derived.get("bounds", [])
    if rule == "share" and not bounds:
        yield f"{place}.bounds: is missing. Write the percent up to which each class goes, such as [0, 1, 5]."
    if isinstance(bounds, list | tuple) and any(not isinstance(bound, int | float) for bound in bounds):
        return  # the schema tells it
    if bounds and (rule != "share" or list(bounds) != sorted(set(bounds))):
        yield f'{place}.bounds: {list(bounds)}: rising numbers for the rule "share" were expected.'
    if (rule == "touched") != (derived.get("by") is not None):
        yield f'{place}.by: belongs to the rule "touched" and is needed there; the rule is "{rule}".'


def _annotation_problems(data: Any) -> Iterator[str]:
    heads, mask_heads = _section(data, "heads"), _segmentation_heads(data)
    for place, note in _annotations(data):
        head = note.get("head", mask_heads[0] if len(mask_heads) == 1 else None)
        if head is None and not mask_heads:
            yield f"{place}: no head of kind segmentation is in heads. Add one, or delete the annotation."
        elif head is None:
            known = ", ".join(mask_heads)
            yield f"{place}.head: is missing, and there are {len(mask_heads)} segmentation heads: {known}."
        elif isinstance(head, str) and head not in mask_heads:
            what = f'of kind "{_section(heads, head).get("kind")}"' if head in heads else "not among heads"
            known = f"Segmentation heads: {', '.join(mask_heads) or 'none'}."
            yield f'{place}.head: "{head}" is {what}.{did_you_mean(head, mask_heads)} {known}'


def _named_paths(data: Any) -> Iterator[tuple[str, Any, str]]:
    """Yields (place, path as given, "file", "folder" or "file or folder") of everything that must be there."""
    dataset = _section(data, "dataset")
    yield "dataset.photos", dataset.get("photos"), "folder"
    yield "dataset.labels", dataset.get("labels"), "file"
    for place, note in _annotations(data):
        yield f"{place}.path", note.get("path"), ANNOTATIONS_ARE.get(str(note.get("format")), "file or folder")
    for name, head in _section(data, "heads").items():
        yield f"heads.{name}.labels", _section({name: head}, name).get("labels"), "file"
    yield "cross_validation.folds_file", _section(data, "cross_validation").get("folds_file"), "file"


def _sibling(path: Path) -> str:
    """Guesses the file that was meant from what is beside the missing one."""
    try:
        beside = [entry.name for entry in path.parent.iterdir()]
    except OSError:
        return f" The folder {path.parent} is not there either."
    return did_you_mean(path.name, beside)
