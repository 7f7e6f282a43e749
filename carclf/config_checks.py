"""What one part of the config demands of another, and of the disk.

These checks work on the plain JSON value, whatever is in it, so that they can be told together with the
findings of the schema: a user mends the whole config at once.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from carclf.config_backbones import backbone_problems
from carclf.errors import did_you_mean, listed
from carclf.mask_architectures import FROM_PIXELS

SEGMENTATION = "segmentation"
ANNOTATIONS_ARE = {"via": "file", "coco": "file", "masks": "folder"}  # other formats take a file or a folder
STAGES = ("features", "groups", "folds", "pictures")  # of a run beside its heads: names a head cannot have
RUN_SUFFIXES = (".json", ".csv", ".txt", ".npz")  # of a run's own files, beside which its heads have their folders
STANDALONE = "standalone"  # the run of the networks without a backbone
RESULTS_FOLDERS = ("cache", "check", "demo", STANDALONE)  # in the results: names a backbone cannot have
MASK_KEYS = ("empty_where", "masks_of", "architecture", "mask_training", "tile", "overlap", "folds", "regions")
SHARED_KEYS = ("labels", "empty_where")  # of a head and of those that answer its masks, too


def with_head_names(data: Any) -> Any:
    """Returns a copy with `column`, `annotations[].head` and what follows from `masks_of` filled in."""
    if not isinstance(data, dict):
        return data
    filled = dict(data)
    if isinstance(data.get("heads"), dict):
        filled["heads"] = {
            name: {"column": name, **_shared_keys(data, head), **head} if isinstance(head, dict) else head
            for name, head in data["heads"].items()
        }
    mask_heads = _annotated_heads(data)
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
        *backbone_problems(_section(data, "backbones"), data.get("embedded_fallback") is True),
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


def _annotated_heads(data: Any) -> list[str]:
    """The segmentation heads with masks of their own."""
    heads = _section(data, "heads")
    return [name for name in _segmentation_heads(data) if heads[name].get("masks_of") is None]


def _shared_keys(data: Any, head: dict[str, Any]) -> dict[str, Any]:
    """What a head has from the one whose masks it answers, too."""
    name = head.get("masks_of")
    owner = _section(_section(data, "heads"), name) if isinstance(name, str) else {}
    return {key: owner[key] for key in SHARED_KEYS if key in owner}


def _needs_backbone(head: Any) -> bool:
    if not isinstance(head, dict):
        return False
    given = head.get("architecture")
    name = given.get("name") if isinstance(given, dict) else given
    return head.get("kind") != SEGMENTATION or name not in FROM_PIXELS


def _dataset_problems(data: Any) -> Iterator[str]:
    dataset = _section(data, "dataset")
    beside = [key for key in dataset if key != "demo"]
    if "demo" in dataset and beside:
        yield f'dataset: "demo" stands beside {", ".join(beside)}. Keep one of the two.'


def _model_problems(data: Any) -> Iterator[str]:
    models, backbones = data.get("models", []), data.get("backbones", {})
    if not isinstance(models, list | tuple) or not isinstance(backbones, dict):
        return
    needing = [str(name) for name, head in _section(data, "heads").items() if _needs_backbone(head)]
    if not models and needing:
        need = "needs" if len(needing) == 1 else "need"
        yield f"models: names no backbone, but {listed(needing)} {need} one. Add a name of backbones."
    for index, name in enumerate(models):
        if not isinstance(name, str):
            continue
        if name not in backbones:
            guess = did_you_mean(name, backbones)
            yield f'models[{index}]: "{name}" is not among backbones.{guess} Known: {", ".join(backbones) or "none"}.'
        if name in RESULTS_FOLDERS:
            yield f'models[{index}]: the results have a folder "{name}" of their own. Take another name.'
        if name in models[:index]:
            yield f'models[{index}]: "{name}" stands twice. Name every model once.'


def _head_problems(data: Any) -> Iterator[str]:
    for name, head in _section(data, "heads").items():
        if name in STAGES or str(name).endswith(RUN_SUFFIXES):
            yield f"heads.{name}: the run itself has something of that name. Take another one."
        if not isinstance(head, dict):
            continue
        kind = head.get("kind")
        yield from _derived_problems(data, str(name), kind, head.get("derived"))
        if kind in ("categorical", "multi_label"):
            for key in (key for key in MASK_KEYS if head.get(key) is not None):
                yield f'heads.{name}.{key}: is for segmentation heads, not for kind "{kind}". Delete it.'
        yield from _masks_of_problems(data, str(name), head)
        yield from _tile_problems(str(name), head)
        if head.get("none_label") is not None and kind == SEGMENTATION:
            yield f"heads.{name}.none_label: a segmentation head has none; say empty_where instead."
        if head.get("min_probability") is not None and head.get("target_precision") is not None:
            yield (
                f"heads.{name}: min_probability and target_precision both say which answers are told. Keep one of the "
                "two."
            )


def _tile_problems(name: str, head: dict[str, Any]) -> Iterator[str]:
    tile, overlap = head.get("tile"), head.get("overlap") or 0
    if isinstance(tile, int) and isinstance(overlap, int) and overlap > tile // 2:
        yield f"heads.{name}.overlap: {overlap} pixels, but a tile has {tile}. At most half of it: {tile // 2}."
    size = _section(head, "architecture").get("image_size")
    if isinstance(tile, int) and isinstance(size, int) and tile < size:
        yield f"heads.{name}.tile: {tile} pixels, fewer than the image_size: tiles would be enlarged. Set {size}."
    if tile is None and head.get("overlap") is not None and head.get("kind") == SEGMENTATION:
        yield f"heads.{name}.overlap: is of tiles, but tile is missing. Add it, or delete this key."


def _masks_of_problems(data: Any, name: str, head: dict[str, Any]) -> Iterator[str]:
    owner = head.get("masks_of")
    if not isinstance(owner, str):
        return
    known = [other for other in _annotated_heads(data) if other != name]
    if owner not in known:
        yield (
            f'heads.{name}.masks_of: "{owner}" is no segmentation head with masks of its own.'
            f"{did_you_mean(owner, known)} Such heads: {', '.join(known) or 'none'}."
        )
        return
    theirs = _section(_section(data, "heads"), owner)
    for key in SHARED_KEYS:
        if key in head and head[key] != theirs.get(key):
            yield f'heads.{name}.{key}: is that of "{owner}", whose masks it answers, too. Delete it.'


def _derived_problems(data: Any, name: str, kind: Any, derived: Any) -> Iterator[str]:
    if not isinstance(derived, dict):
        return
    place, rule, mask_heads = f"heads.{name}.derived", derived.get("rule"), _annotated_heads(data)
    wanted = {"share": "categorical", "classes": "multi_label", "touched": "multi_label"}.get(str(rule))
    if wanted and kind in ("categorical", "multi_label", SEGMENTATION) and kind != wanted:
        yield f'{place}.rule: "{rule}" is for kind "{wanted}", not for "{kind}".'
    for key in ("of", "by"):
        head = derived.get(key)
        if isinstance(head, str) and head not in mask_heads:
            own = " with masks of its own" if head in _segmentation_heads(data) else ""
            known = f"Segmentation heads: {', '.join(mask_heads) or 'none'}."
            yield f'{place}.{key}: "{head}" is no segmentation head{own}.{did_you_mean(head, mask_heads)} {known}'
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
    heads, mask_heads = _section(data, "heads"), _annotated_heads(data)
    for place, note in _annotations(data):
        head = note.get("head", mask_heads[0] if len(mask_heads) == 1 else None)
        if head is None and not mask_heads:
            yield f"{place}: no head of kind segmentation is in heads. Add one, or delete the annotation."
        elif head is None:
            known = ", ".join(mask_heads)
            yield f"{place}.head: is missing, and there are {len(mask_heads)} segmentation heads: {known}."
        elif isinstance(head, str) and head not in mask_heads:
            other = _section(heads, head)
            what = f'of kind "{other.get("kind")}"' if head in heads else "not among heads"
            if other.get("masks_of") is not None:
                what = f'without masks of its own: its masks are those of "{other["masks_of"]}"'
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
