"""Annotations and masks, read as far as they can be read; regions that stick out of their photos."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from carclf.annotations.mask_pictures import load_class_mask
from carclf.annotations.shapes import Polygon, Runs, find_box, lies_outside
from carclf.checking.findings import Finding, Severity, from_error
from carclf.config_data import AnnotationConfig
from carclf.config_heads import EmptyWhere, HeadConfig
from carclf.errors import AnnotationError, CarclfError, counted, did_you_mean, listed
from carclf.head_data import HeadData
from carclf.images import Frame
from carclf.labels import IGNORED_PIXEL, NOT_LABELLED, LabelSet, LabelTable, split_cell
from carclf.mask_images import ids_in, mask_sha256
from carclf.mask_sources import MaskSource, collect_sources, match_photos

_ANNOTATION = "annotation"


@dataclass(frozen=True)
class SeenMask:
    """What the mask of one photo shows.

    Attributes:
        class_ids: the classes that have a pixel; without background and ignored pixels.
        digest: the same for equal masks only.
        outside: how far its regions stick out of the photo, as a share of the photo's side; 1 = not a pixel inside.
        kind: of the finding, if it cannot be used; "" if it can.
        problem: why it cannot be used.
        ignored: whether there are ignored pixels.
    """

    class_ids: frozenset[int] = frozenset()
    digest: str = ""
    outside: float = 0.0
    kind: str = ""
    problem: str = ""
    ignored: bool = False


def read_sources(
    name: str, label_set: LabelSet, table: LabelTable, annotations: Sequence[AnnotationConfig]
) -> tuple[dict[int, MaskSource], list[Finding]]:
    """Reads the annotations of one head; records that cannot be used are left out.

    Returns:
        (row of the table -> its mask source, what was found).
    """
    sources: dict[int, MaskSource] = {}
    findings: list[Finding] = []
    for annotation in annotations:
        try:
            found, problems = collect_sources(annotation, label_set)
        except CarclfError as problem:
            findings += from_error(_ANNOTATION, problem, name)
            continue
        for what, places in problems.items():
            findings.append(Finding(_ANNOTATION, "unsound", f"{listed(places, most=10)}: {what}", name))
        matched, several = match_photos(list(found), table.photos)
        findings += _match_findings(name, annotation, table, (found, matched, several))
        times = Counter(matched.values())
        twice = tuple(table.photos[row] for row in times if row in sources or times[row] > 1)
        if twice:
            text = f"{annotation.path.name}: {counted(len(twice), 'photo')} annotated twice. Keep one annotation."
            findings.append(Finding(_ANNOTATION, "unsound", text, name, twice))
        sources = {row: found[key] for key, row in matched.items()} | sources
    return sources, findings


def make_mask_head(
    name: str, head: HeadConfig, label_set: LabelSet, table: LabelTable, sources: Mapping[int, MaskSource]
) -> tuple[HeadData, list[Finding]]:
    """Joins the mask sources of a head with the photos that are known to have an empty mask."""
    findings: list[Finding] = []
    empty: set[int] = set()
    if head.empty_where is not None:
        empty, findings = _known_empty(name, head.empty_where, table)
    masks = tuple(sources.get(row, MaskSource(label_set) if row in empty else None) for row in range(len(table.photos)))
    # what the masks show is read later, with the photos' sizes
    targets = [NOT_LABELLED if mask is None else int(not mask.mask and mask.shows_something) for mask in masks]
    return HeadData("segmentation", label_set, None, np.array(targets, np.int8), masks), findings


def look_at_masks(head: HeadData, frames: Sequence[Frame | None], workers: int | None) -> dict[int, SeenMask]:
    """Draws or reads every mask of a head whose photo can be read.

    Args:
        head: a segmentation head.
        frames: the size of each photo, in the order of the head's targets; None = cannot be read.
        workers: threads; None = one per core.

    Returns:
        row -> what its mask shows; masks that are known to be empty by the table are not looked at.
    """
    rows = [
        row for row, mask in enumerate(head.masks) if mask is not None and (mask.shapes or mask.mask) and frames[row]
    ]
    with ThreadPoolExecutor(workers) as threads:
        seen = list(threads.map(lambda row: _look(head.masks[row], frames[row]), rows))
    return dict(zip(rows, seen, strict=True))


def usable(head: HeadData, seen: Mapping[int, SeenMask]) -> HeadData:
    """The head without the masks that cannot be used, and with what the others show, as a run takes it."""
    targets, masks = head.targets.copy(), list(head.masks)
    for row, source in enumerate(head.masks):
        if source is None or not (source.shapes or source.mask):
            continue
        if row in seen and not seen[row].kind:
            targets[row] = int(source.shows_something)
        else:  # cannot be used, or its photo cannot be read
            targets[row], masks[row] = NOT_LABELLED, None
    return replace(head, targets=targets, masks=tuple(masks))


def judge_masks(
    name: str, photos: Sequence[str], head: HeadData, seen: Mapping[int, SeenMask], most_outside: float
) -> Iterator[Finding]:
    """Says what is wrong with the masks of a head.

    Args:
        name: the head's name.
        photos: names of the photos, in the order of the head's targets.
        head: the head before `usable`.
        seen: see look_at_masks.
        most_outside: how far a region may stick out, as a share of the photo's side.
    """
    for kind in dict.fromkeys(mask.kind for mask in seen.values() if mask.kind):
        notes = {photos[row]: mask.problem for row, mask in seen.items() if mask.kind == kind}
        text = f"{counted(len(notes), 'mask')} that a run refuses: {_first(notes)}"
        yield Finding(kind, "unsound", text, name, tuple(notes), notes if len(notes) > 1 else {})
    fine = {row: mask for row, mask in seen.items() if not mask.kind}
    gone = [row for row, mask in fine.items() if mask.outside >= 1]
    text = "{}: all regions lie outside the photo, nothing of them is left. Draw them again on this very photo."
    yield from _rows("region outside the photo", "unsound", name, photos, (gone, text, {}))
    out = {
        photos[row]: f"{mask.outside:.0%} of a side" for row, mask in fine.items() if most_outside < mask.outside < 1
    }
    rows = [row for row, mask in fine.items() if most_outside < mask.outside < 1]
    text = "{}: regions stick out and are cut off. Were they drawn on another size of the photo?"
    yield from _rows("region outside the photo", "warning", name, photos, (rows, text, out))
    ignored = [row for row, mask in fine.items() if not mask.class_ids and mask.ignored and mask.outside < 1]
    text = "{}: the mask holds background and ignored pixels only. Mark something, or delete the mask."
    yield from _rows("empty mask", "warning", name, photos, (ignored, text, {}))
    empty = [row for row, mask in fine.items() if not mask.class_ids and not mask.ignored and mask.outside < 1]
    text = "{}: the mask shows nothing, which means: known to have nothing. Delete masks that nobody has drawn yet."
    yield from _rows("empty mask", "note", name, photos, (empty, text, {}))
    bare = [row for row in range(len(photos)) if head.masks[row] is None]
    if bare and len(bare) < len(photos):
        text = (
            f"{counted(len(bare), 'photo')} without an annotation for {name}: neither trains nor judges it. Where it "
            "is known that there is nothing, say so with empty_where."
        )
        yield Finding("photo without mask", "note", text, name, tuple(photos[row] for row in bare))


Chosen = tuple[Sequence[int], str, Mapping[str, str]]
"""Rows, the sentence about them, what is to be said of each photo."""


def _rows(kind: str, severity: Severity, head: str, photos: Sequence[str], chosen: Chosen) -> Iterator[Finding]:
    rows, text, notes = chosen
    if rows:
        names = tuple(photos[row] for row in rows)
        yield Finding(kind, severity, text.format(counted(len(rows), "photo")), head, names, notes)


def _look(source: MaskSource | None, frame: Frame | None) -> SeenMask:
    if source is None or frame is None:
        raise ValueError("a mask and the size of its photo were expected")
    outside = _outside(source, frame)
    try:
        mask = source.load(frame)
    except AnnotationError as problem:
        return SeenMask(kind=_kind_of(source, frame), problem=str(problem))
    except CarclfError as problem:
        return SeenMask(kind="unreadable mask", problem=str(problem))
    ids = frozenset(ids_in(mask))
    return SeenMask(ids - {0, IGNORED_PIXEL}, mask_sha256(mask), outside, ignored=IGNORED_PIXEL in ids)


def _kind_of(source: MaskSource, frame: Frame) -> str:
    """What an annotation that cannot be drawn suffers from."""
    if source.mask is None:
        fits = source.size in (None, (frame.width, frame.height), frame.stored)
        return "mask that cannot be drawn" if fits else "mask of another size"
    try:
        load_class_mask(source.mask, source.label_set)
    except CarclfError:
        return "mask with unknown values"
    return "mask of another size"


def _outside(source: MaskSource, frame: Frame) -> float:
    """How far the regions stick out of the photo, as a share of its side; 1 = none has a point inside."""
    width, height = source.size or (frame.width, frame.height)
    shapes = [shape for _, shape in source.shapes]
    if shapes and all(lies_outside(shape, width, height) for shape in shapes):
        return 1.0
    most = 0.0
    for shape in shapes:
        if isinstance(shape, Polygon | Runs):
            left, top, right, bottom = find_box(shape)
            most = max(most, -left / width, -top / height, right / width - 1, bottom / height - 1)
    return min(most, 0.999)


def _match_findings(
    name: str,
    annotation: AnnotationConfig,
    table: LabelTable,
    result: tuple[Mapping[str, MaskSource], Mapping[str, int], Mapping[str, Sequence[int]]],
) -> Iterator[Finding]:
    found, matched, several = result
    file = annotation.path.name
    for key, places in several.items():
        photos = tuple(table.photos[row] for row in places)
        text = f'{file}: "{key}" fits several photos: {listed(photos)}. Rename all but one.'
        yield Finding(_ANNOTATION, "unsound", text, name, photos)
    left = [key for key in found if key not in matched and key not in several]
    if left and len(left) == len(found):
        text = f"{file}: none of its {len(found)} photos is in {table.path.name} (the first: {left[0]})."
        yield Finding(_ANNOTATION, "unsound", f"{text} Is it the annotation of these photos?", name)
    elif left:
        text = f"{file}: {counted(len(left), 'annotated photo')} not in {table.path.name}: {listed(left)}."
        yield Finding("annotation without photo", "warning", f"{text} Add lines for them, or leave them.", name)


def _known_empty(name: str, where: EmptyWhere, table: LabelTable) -> tuple[set[int], list[Finding]]:
    """The rows whose mask is empty by the table."""
    place = f"heads.{name}.empty_where"
    if where.column not in table.columns:
        guess = did_you_mean(where.column, table.columns)
        text = f'{place}: {table.path.name} has no column "{where.column}".{guess}'
        return set(), [Finding("label table", "unsound", text, name)]
    rows: set[int] = set()
    values: set[str] = set()
    for row, cell in enumerate(table.columns[where.column]):
        try:
            inside = split_cell(cell)
        except ValueError:
            continue  # told with the head that reads this column
        values.update(inside)
        if inside == (where.value,):
            rows.add(row)
    if rows:
        return rows, []
    text = (
        f'{place}: no photo has {where.column} "{where.value}".{did_you_mean(where.value, values)} Correct the config.'
    )
    return set(), [Finding("label table", "warning", text, name)]


def _first(notes: Mapping[str, str]) -> str:
    return next(iter(notes.values()))
