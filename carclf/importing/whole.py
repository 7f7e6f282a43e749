"""An import from end to end: looked at, gathered, merged, written; the label table and the config come last."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tqdm import tqdm

from carclf.annotations import read_records
from carclf.annotations.classes import Renames
from carclf.annotations.detect import choose
from carclf.annotations.records import Problem, ReadOptions, Record
from carclf.annotations.sources import PhotoFinder, files_below
from carclf.config_data import ANNOTATION_FORMATS
from carclf.errors import AnnotationError
from carclf.files import digest, locked, remove_partial_files
from carclf.images import has_photo_suffix
from carclf.importing.classes import read_classes
from carclf.importing.collection import (
    LABELS,
    MASKS,
    PHOTOS,
    Collection,
    check_folder,
    mark_unfinished,
    open_collection,
    refuse_links,
    remove_leftovers,
    save_collection,
)
from carclf.importing.configuring import check_requests, complete_config, read_template, write_label_files
from carclf.importing.gather import Gathered, Gatherer, Plan
from carclf.importing.merging import Merger
from carclf.importing.options import ImportOptions
from carclf.importing.planning import LabelPlan, class_names, make_plan, plan_labels
from carclf.importing.summary import Summary, skipped_lines
from carclf.importing.survey import take_survey
from carclf.importing.writing import Writer, in_order
from carclf.label_file import read_label_file

_LOOKED_FOR = 100_000  # files below the source that are counted at most


def import_set(options: ImportOptions, progress: bool | None = None) -> Summary:
    """Brings an annotation set into a folder; what is there stays.

    Args:
        options: what the user says.
        progress: whether a bar is shown; None = on a terminal.

    Returns:
        what came of it.

    Raises:
        CarclfError: if nothing of the set is usable, or the folder cannot be used.
    """
    format_name, source = choose(options.format, options.source)
    root = options.to.resolve()
    if options.columns and format_name != "table":
        raise AnnotationError(f"--column: is for label tables (--format table), not for {format_name}. Delete it.")
    _check_places(source, options, root)
    refuse_links(root, (options.mask_head,))
    check_folder(root)
    with locked(root):
        folder = open_collection(root, workers())
        for part in (PHOTOS, MASKS, LABELS):  # not the results: a run may be at work there
            remove_partial_files(root / part)
        template = read_template(options, root)
        reading = _read_options(options, folder)
        survey = take_survey(read_records(format_name, source, reading), Renames(options.map))
        if options.empty and format_name in ANNOTATION_FORMATS:  # which could have said something of pixels
            survey.empty = max(survey.empty, survey.records)
        plan = make_plan(options, survey, folder)
        labels = plan_labels(options, survey, plan, folder)
        check_requests(options, folder, list(labels), [options.mask_head] if plan.label_set else [])
        summary = Summary(format_name, str(options.source), str(options.to), records=survey.records)
        summary.remarks = frozenset(plan.heads[name] for name in plan.remarks)
        work = _Work(options, folder, plan, summary)
        work.run(read_records(format_name, source, reading), _folders(source, options), progress)
        _finish(work, template, labels, (format_name, source))
    return summary


class _Work:
    """The long part of an import."""

    def __init__(self, options: ImportOptions, folder: Collection, plan: Plan, summary: Summary) -> None:
        self.options, self.folder, self.plan, self.summary = options, folder, plan, summary

    def run(self, records: Iterator[Record | Problem], folders: list[Path], progress: bool | None) -> None:
        """Gathers in threads, merges in the order of the records.

        Raises:
            AnnotationError: if no record is usable; nothing is written then but what was cut off before.
        """
        finders = tuple(PhotoFinder([each], without=self.folder.root) for each in folders)
        gatherer = Gatherer(self.plan, finders)
        hidden = None if progress is None else not progress
        with ThreadPoolExecutor(workers()) as pool, ThreadPoolExecutor(workers()) as writing:
            merger = Merger(
                self.folder,
                Writer(self.folder.root, writing, self.options.copy),
                self.summary,
                self.options.mask_head,
                self.plan.label_set,
                frozenset(self.folder.rows),
            )
            found = in_order(pool, gatherer, records)
            for each in tqdm(found, total=self.summary.records, desc="import", unit="photo", disable=hidden):
                self._take(each, merger)
            merger.writer.finish()
        if not self.summary.used:
            raise AnnotationError("\n".join(["Nothing here is usable.", *skipped_lines(self.summary.skipped, "")]))
        self.summary.not_mentioned = _count_unused(folders, merger.used, self.folder.root)

    def _take(self, found: Gathered | Problem, merger: Merger) -> None:
        if isinstance(found, Problem):
            self.summary.skipped.append([found.place, found.what])
            return
        if not self.summary.used:
            mark_unfinished(self.folder, self.options.mask_head)
        try:
            merger.add(found)
        except ValueError as problem:
            self.summary.skipped.append([found.place, str(problem)])


def workers() -> int:
    """Threads: one per core."""
    return os.cpu_count() or 1


def _finish(work: _Work, template: dict[str, Any], labels: dict[str, LabelPlan], chosen: tuple[str, Path]) -> None:
    """Writes what names the photos and masks: label files, the config, then the table and the state."""
    folder, options, summary = work.folder, work.options, work.summary
    remove_leftovers(folder)
    write_label_files(folder, options, work.plan.label_set, labels)
    complete_config(folder, options, template, labels)
    summary.classes = {head: read_classes(folder.label_path(head)).names for head in [*summary.masks, *labels]}
    format_name, source = chosen
    said = {"map": dict(options.map), "attribute": options.attribute, "columns": dict(options.columns)}
    folder.remember(
        {
            "key": digest([format_name, str(source.resolve()), options.head, said]),
            "format": format_name,
            "source": str(source.resolve()),
            "head": options.mask_head if work.plan.label_set else ", ".join(labels),
            "records": summary.records,
            "skipped": summary.skipped,
            "conflicts": summary.conflicts,
        }
    )
    save_collection(folder)


def _check_places(source: Path, options: ImportOptions, root: Path) -> None:
    """Refuses places that would read what is written, or that are not there."""
    for place in options.photos:
        if not place.is_dir():
            raise AnnotationError(f"--photos {place}: no such folder.")
    if source.is_dir() and (root == source.resolve() or source.resolve() in root.parents):
        raise AnnotationError(f"--to {options.to}: lies inside {source}. Give a folder beside it.")
    if root in (source.resolve(), *source.resolve().parents):
        raise AnnotationError(f"{source}: lies inside the folder that it would be imported into. Give another --to.")


def _folders(source: Path, options: ImportOptions) -> list[Path]:
    """Where photos are looked for: where the user says, then at the annotations."""
    return list(dict.fromkeys([*options.photos, source if source.is_dir() else source.parent]))


def _read_options(options: ImportOptions, folder: Collection) -> ReadOptions:
    names, colors = class_names(options, folder), dict(options.colors)
    if not colors and options.labels is not None:
        given = read_label_file(options.labels)
        colors = {color: name for name, color in zip(given.names, given.colors, strict=True) if color is not None}
    return ReadOptions(options.attribute, names, colors, options.tolerance, options.columns)


def _count_unused(folders: list[Path], used: set[Path], root: Path) -> int:
    """Photos of the source that no record speaks of, each once, though folders may lie in one another."""
    found: set[str] = set()
    for folder in folders:
        for path in files_below(folder)[:_LOOKED_FOR]:
            if has_photo_suffix(path) and root not in path.parents:
                found.add(os.path.realpath(path))
    return len(found - {os.path.realpath(path) for path in used})
