"""The whole folder, or nothing: written beside its place, then moved into it."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from carclf.errors import RunDirError, listed
from carclf.preparing.options import SPLITS

RECIPE_FILE = "prepare.json"  # marks a folder as ours: what it was made from
UNFINISHED_FILE = ".prepare_unfinished"  # stands there while the parts of an earlier folder are exchanged
CLASSES, SPLIT_TABLE, LABELS = "classes.txt", "split.csv", "labels.csv"
STATISTICS, SAMPLES = "statistics.png", "samples.png"
PARTS = (*SPLITS, CLASSES, SPLIT_TABLE, STATISTICS, SAMPLES, RECIPE_FILE)  # the recipe last
MADE_BY = "carclf prepare"


def check_folder(to: Path) -> None:
    """Refuses a folder that holds anything but what this command has written before.

    Raises:
        RunDirError: names what is there.
    """
    try:
        if not to.exists():
            return
        if not to.is_dir():
            raise RunDirError(f"{to}: is a file, and a folder is needed. Give another one.")
        entries = sorted(entry.name for entry in to.iterdir())
    except OSError as error:
        raise RunDirError(f"{to}: cannot be looked at ({error.strerror or error}).") from error
    if entries and not _is_ours(to):
        raise RunDirError(
            f"{to}: holds {listed(entries, 3)} and was not made by prepare (there is no {RECIPE_FILE} of it). "
            "Give a new or empty folder."
        )


@contextmanager
def replaced_folder(to: Path) -> Iterator[Path]:
    """Gives an empty folder to write to; when the block ends without error it takes the place of `to`.

    In a folder that was prepared earlier the parts are replaced, and nothing else is touched.

    Raises:
        RunDirError: if `to` holds something else or the disk cannot be written.
    """
    check_folder(to)
    target = to.resolve()
    half_written = target.with_name(f".{target.name}.preparing")
    try:
        shutil.rmtree(half_written, ignore_errors=True)
        half_written.mkdir(parents=True)
        yield half_written
        _move_into_place(half_written, target)
    except OSError as error:
        raise RunDirError(
            f"{to}: cannot be written ({error.strerror or error}). Free some space or make the folder writable."
        ) from error
    finally:
        shutil.rmtree(half_written, ignore_errors=True)


def _is_ours(folder: Path) -> bool:
    if (folder / UNFINISHED_FILE).exists():
        return True
    try:
        recipe = json.loads((folder / RECIPE_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(recipe, dict) and recipe.get("made_by") == MADE_BY


def _move_into_place(written: Path, target: Path) -> None:
    """Renames the written folder, or, into a folder that is there, its parts one by one, the recipe last."""
    if not target.exists() or not any(target.iterdir()):
        os.replace(written, target)
        return
    (target / UNFINISHED_FILE).touch()
    (target / RECIPE_FILE).unlink(missing_ok=True)
    for name in PARTS:
        old, new = target / name, written / name
        if old.is_dir() and not old.is_symlink():
            shutil.rmtree(old)
        else:
            old.unlink(missing_ok=True)
        if new.exists():
            os.replace(new, old)
    (target / UNFINISHED_FILE).unlink()
