"""Everything in its order: read, group, split, write, count, draw."""

import dataclasses
import logging
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits
from tqdm import tqdm

from carclf import __version__
from carclf.app import locate_dataset, num_workers
from carclf.appearance import AppearanceRanges
from carclf.config import Config
from carclf.files import write_csv, write_json, write_text
from carclf.geometry import GeometryRanges
from carclf.label_file import LabelSet
from carclf.label_table import read_label_table
from carclf.mask_images import mask_colors
from carclf.preparing.folder import (
    CLASSES,
    LABELS,
    MADE_BY,
    RECIPE_FILE,
    SAMPLES,
    SPLIT_TABLE,
    STATISTICS,
    check_folder,
    replaced_folder,
)
from carclf.preparing.material import Material, gather
from carclf.preparing.options import PrepareOptions, check_options
from carclf.preparing.output import Recipe, Task, Written, write_photo
from carclf.preparing.pictures import draw_samples, draw_statistics
from carclf.preparing.splitting import split_groups, split_notes
from carclf.preparing.statistics import count_everything
from carclf.preparing.tables import LabelLines, mirrored_labels, unique_stems
from carclf.scores import Array

LOG = logging.getLogger(__name__)
LIBRARIES = ("numpy", "Pillow", "opencv-python-headless")  # they decide the bytes of a copy
SPLIT_COLUMNS = ("photo", "group", "split", "copy_of", "source", "mirrored")

Output = dict[str, list[Written]]  # part -> its files


def prepare(config: Config, options: PrepareOptions, to: Path) -> dict[str, Any]:
    """Writes train, valid and test folders of images and masks; copies are made of the training part alone.

    The folder gets <split>/images, <split>/masks, <split>/labels.csv, classes.txt, split.csv, statistics.png,
    samples.png and prepare.json. It appears when everything is written.

    Args:
        config: where photos, labels and masks are.
        options: what is wanted.
        to: the folder; new, empty, or prepared earlier.

    Returns:
        the tree of prepare.json.

    Raises:
        CarclfError: if anything cannot be read, split or written; then nothing is written.
    """
    check_options(options)
    check_folder(to)
    material = gather(config, options.head)
    shares, targets = options.shares, material.targets
    part = split_groups(material.group, targets, shares, options.seed)
    notes = list(split_notes(part, targets, material.target_names, shares))
    for note in notes:
        LOG.warning("%s", note)
    with replaced_folder(to) as folder:
        written = _write_photos(material, part, options, folder, num_workers(config))
        _write_tables(config, material, written, folder)
        counts = count_everything(material, part, list(shares), written)
        draw_statistics(counts, folder / STATISTICS)
        draw_samples(folder / "train", written["train"], material.class_names, folder / SAMPLES)
        tree = _describe(material, options, counts, notes)
        write_json(folder / RECIPE_FILE, tree)
    return tree


def _write_photos(material: Material, part: Array, options: PrepareOptions, folder: Path, workers: int) -> Output:
    """Writes photos, masks and copies, several at a time; never more in memory than there are workers."""
    import cv2

    cv2.setNumThreads(1)  # one photo per thread is faster than several threads per photo
    photos = material.dataset.photos
    stems = unique_stems([photo.name for photo in photos], options.copies)
    splits = list(options.shares)
    recipe = Recipe(GeometryRanges(), AppearanceRanges(), options.size, options.seed, _label_set(material))
    tasks = [
        Task(
            position=position,
            photo=photo,
            mask=mask,
            folder=folder / splits[part[position]],
            stem=stems[position],
            copies=options.copies if splits[part[position]] == "train" else 0,
        )
        for position, (photo, mask) in enumerate(zip(photos, material.masks, strict=True))
    ]
    written: Output = {split: [] for split in splits}
    pool, hidden = ThreadPoolExecutor(workers), not sys.stderr.isatty()
    try:
        with threadpool_limits(1, "blas"):  # as above: the products of a warp are small
            files_of_photos = pool.map(partial(write_photo, recipe=recipe), tasks)
            bar = tqdm(files_of_photos, desc="prepare", total=len(tasks), unit="photo", disable=hidden)
            for task, files in zip(tasks, bar, strict=True):
                written[task.folder.name] += files
    finally:
        pool.shutdown(cancel_futures=True)  # after an error nothing more is written
    return written


def _label_set(material: Material) -> LabelSet | None:
    return None if material.head is None else material.dataset.heads[material.head].label_set


def _write_tables(config: Config, material: Material, written: Mapping[str, Sequence[Written]], folder: Path) -> None:
    heads = {name: head.label_set for name, head in material.dataset.heads.items()}
    lines = LabelLines(read_label_table(locate_dataset(config).labels), mirrored_labels(config.heads, heads))
    photos, group = material.dataset.photos, material.group.tolist()
    rows = []
    for split, files in written.items():
        table = [
            lines.line(photos[each.position].name, each.name, group[each.position], each.mirrored) for each in files
        ]
        write_csv(folder / split / LABELS, lines.header, table)
        originals = {each.position: each.name for each in files if not each.copy}
        rows += [
            (
                each.name,
                str(group[each.position]),
                split,
                originals[each.position] if each.copy else "",
                photos[each.position].name,
                str(int(each.mirrored)),
            )
            for each in files
        ]
    write_csv(folder / SPLIT_TABLE, SPLIT_COLUMNS, rows)
    label_set = _label_set(material)
    if label_set is not None:
        write_text(folder / CLASSES, _classes_text(label_set))


def _classes_text(label_set: LabelSet) -> str:
    """A label file of the masks' classes, with the colours of their palette."""
    text = "# class ids of the masks: 0 = background, 1 = the first line below, …, 255 = ignored\n"
    colors = mask_colors(label_set)[1:]
    for index, name in enumerate(label_set.names):
        other = label_set.mirror[index]
        mirror = f"; mirror={label_set.names[other]}" if other != index else ""
        text += f"{name}{mirror}; color={','.join(map(str, colors[index]))}\n"
    return text


def _describe(
    material: Material, options: PrepareOptions, counts: Mapping[str, Any], notes: Sequence[str]
) -> dict[str, Any]:
    """The tree of prepare.json."""
    return {
        "made_by": MADE_BY,
        "carclf_version": __version__,
        "settings": dataclasses.asdict(options) | {"head": material.head},
        "augmentation": {
            "geometry": dataclasses.asdict(GeometryRanges()),
            "appearance": dataclasses.asdict(AppearanceRanges()),
        },
        "grouped_by": material.grouped_by,
        "counts": dict(counts),
        "left_out": {
            "without_mask": len(material.without_mask),
            "unreadable": [{"name": each.name, "reason": each.reason} for each in material.dataset.skipped],
        },
        "notes": [*material.dataset.notes, *notes],
        "versions": {name: version(name) for name in LIBRARIES},
    }
