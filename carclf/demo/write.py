"""Writes a demo set: photos, masks, labels.csv, label files and a config that runs; whole or not at all."""

import csv
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from carclf.demo.damage import KINDS, LOCATIONS, SEVERITIES
from carclf.demo.photo import draw_photo
from carclf.errors import RunDirError

RECIPE_FILE = "demo.json"  # marks a folder as a demo set: what it was drawn from
UNFINISHED_FILE = ".demo_unfinished"  # stands there while the parts of an older set are exchanged
JPEG_QUALITY = 92  # the photo has the traces of a worse camera already; writing it adds next to none
MASK_COLOR = (226, 60, 50)
HANDLE = "https://tfhub.dev/google/imagenet/mobilenet_v1_100_224/feature_vector/5"

LABEL_FILES = {
    "severity.txt": SEVERITIES,
    "location.txt": LOCATIONS,
    "damage_type.txt": KINDS,
    "damage_mask.txt": (f"damage; color={','.join(map(str, MASK_COLOR))}",),
}
CONFIG: dict[str, Any] = {
    "dataset": {
        "photos": "photos",
        "labels": "labels.csv",
        "annotations": [{"format": "masks", "path": "masks", "head": "damage_mask"}],
    },
    "backbones": {"mobilenet": {"handle": HANDLE, "image_size": 224}},
    "models": ["mobilenet"],
    "embedded_fallback": True,
    "heads": {
        "severity": {
            "kind": "categorical",
            "labels": "labels/severity.txt",
            "column": "damage",
            "none_label": "whole",
        },
        "location": {"kind": "multi_label", "labels": "labels/location.txt", "column": "location"},
        "damage_type": {"kind": "multi_label", "labels": "labels/damage_type.txt", "column": "damagetype"},
        "damage_mask": {
            "kind": "segmentation",
            "labels": "labels/damage_mask.txt",
            "empty_where": {"column": "damage", "value": "whole"},
        },
    },
    # Drawn cars look alike; which photos show the same one stands in the table.
    "cross_validation": {"folds": 5, "seed": 42},
    "results": "results",
    "images": "images",
}


def write_demo(to: Path, count: int, seed: int, image_size: int, workers: int = 1) -> None:
    """Draws a demo set into a folder; one that is there already, from the same recipe, is left as it is.

    The folder gets photos/*.jpg, masks/*.png (indexed), labels.csv (name, damage, location, damagetype,
    group), labels/*.txt, config.json and demo.json. It appears when everything is drawn. In an older demo set
    these parts are replaced and nothing else is touched.

    Args:
        to: the folder; new, empty, or a demo set.
        count: photos to draw, at least 1.
        seed: of the set, 0 or more.
        image_size: pixels on either side, at least 32.
        workers: processes to draw in; the bytes are the same for any number.

    Raises:
        RunDirError: if the folder holds something else or cannot be written, or a number is out of range.
    """
    _check(to, count, seed, image_size)
    recipe = {
        "drawing": _hash_drawing(),
        "count": count,
        "seed": seed,
        "image_size": image_size,
    }
    if _recipe_of(to) == recipe:
        return
    target = to.resolve()
    with _clear_errors(to):
        target.parent.mkdir(parents=True, exist_ok=True)
        half_drawn = target.with_name(f".{target.name}.drawing")
        shutil.rmtree(half_drawn, ignore_errors=True)
        try:
            _write_parts(half_drawn, recipe, workers)
            _move_into_place(half_drawn, target)
        finally:
            shutil.rmtree(half_drawn, ignore_errors=True)


def _check(to: Path, count: int, seed: int, image_size: int) -> None:
    """Refuses what cannot be drawn, and a folder that holds anything but a demo set."""
    for name, value, least in (("count", count, 1), ("seed", seed, 0), ("image_size", image_size, 32)):
        if value < least:
            raise RunDirError(f"demo: {name} must be at least {least}, not {value}.")
    if not to.exists():
        return
    if not to.is_dir():
        raise RunDirError(f"{to}: is a file, and the demo set needs a folder. Give another one.")
    entries = sorted(entry.name for entry in to.iterdir())
    if entries and not {RECIPE_FILE, UNFINISHED_FILE} & set(entries):
        found = ", ".join(entries[:3]) + (", …" if len(entries) > 3 else "")
        raise RunDirError(
            f"{to}: holds {found} and is no demo set (there is no {RECIPE_FILE}). Give a new or empty folder."
        )


def _hash_drawing() -> str:
    """Hashes the code that draws: a set of an older version is drawn again."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _recipe_of(folder: Path) -> Any:
    """Returns what a finished demo set was drawn from; None if there is none."""
    if (folder / UNFINISHED_FILE).exists():
        return None
    try:
        return json.loads((folder / RECIPE_FILE).read_text())
    except (OSError, ValueError):
        return None


@contextmanager
def _clear_errors(to: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RunDirError(f"{to}: the demo set cannot be written ({error.strerror or error}).") from error


def _write_parts(folder: Path, recipe: dict[str, Any], workers: int) -> None:
    for part in ("photos", "masks", "labels"):
        (folder / part).mkdir(parents=True)
    draw = partial(_write_photo, folder, recipe["seed"], recipe["image_size"])
    with open(folder / "labels.csv", "w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("name", "damage", "location", "damagetype", "group"))
        table.writerows(_map(draw, range(recipe["count"]), workers))
    for name, classes in LABEL_FILES.items():
        (folder / "labels" / name).write_text("\n".join(classes) + "\n")
    for name, content in (("config.json", CONFIG), (RECIPE_FILE, recipe)):
        (folder / name).write_text(json.dumps(content, indent=2) + "\n")


def _map(draw: Any, indices: Iterable[int], workers: int) -> Iterator[Any]:
    """Calls draw for every index, in order, in this process or in several."""
    if workers == 1:
        yield from map(draw, indices)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(draw, indices, chunksize=16)


def _write_photo(folder: Path, seed: int, image_size: int, index: int) -> tuple[str, str, str, str, str]:
    """Draws one photo and its mask; returns its line of the label table."""
    drawn = draw_photo(seed, index, image_size)
    stem = f"{index:05d}"
    Image.fromarray(drawn.image).save(folder / "photos" / f"{stem}.jpg", quality=JPEG_QUALITY)
    mask = Image.fromarray(np.ascontiguousarray(drawn.mask))
    mask.putpalette([0, 0, 0, *MASK_COLOR])
    mask.save(folder / "masks" / f"{stem}.png")
    places, kinds = ";".join(drawn.location) or "NULL", ";".join(drawn.damagetype) or "NULL"
    return f"{stem}.jpg", drawn.severity, places, kinds, drawn.group


def _move_into_place(drawn: Path, target: Path) -> None:
    """Renames the drawn folder, or, into a folder that is there, its parts one by one, the recipe last."""
    if not target.exists() or not any(target.iterdir()):
        os.replace(drawn, target)
        return
    (target / UNFINISHED_FILE).touch()
    parts = sorted(drawn.iterdir(), key=lambda part: part.name == RECIPE_FILE)
    for part in parts:
        old = target / part.name
        if old.is_dir():
            shutil.rmtree(old)
        os.replace(part, old)
    (target / UNFINISHED_FILE).unlink()
