"""Survey × folder -> plan: what the classes and labels of an annotation set become."""

from collections.abc import Mapping
from dataclasses import dataclass

from carclf.annotations.classes import Renames
from carclf.annotations.records import HEAD
from carclf.config_heads import HeadKind
from carclf.errors import AnnotationError, did_you_mean, listed
from carclf.importing.classes import lengthen, read_classes
from carclf.importing.collection import Collection
from carclf.importing.gather import Plan
from carclf.importing.names import head_name
from carclf.importing.options import DEFAULT_MASK_HEAD, ImportOptions, check_head
from carclf.importing.survey import Column, Survey
from carclf.label_file import LabelSet, read_label_file
from carclf.label_table import GROUP_COLUMN
from carclf.labels import NULL

PHOTO_LABELS = "photo_labels"  # head of labels of whole photos that have no column, beside masks
_FEW_PHOTOS, _RARE = 10, 10  # a column with labels of fewer photos, and less than one in so many, is a remark
_MANY_TEXTS = 20  # a column of more texts, most of which stand once, is one, too
NAMELESS = "damage"  # class of regions that nobody has named, where no region of the set has a name


@dataclass(frozen=True)
class LabelPlan:
    """A head whose labels stand in the table.

    Attributes:
        kind: categorical or multi_label.
        label_set: its classes.
    """

    kind: HeadKind
    label_set: LabelSet


def make_plan(options: ImportOptions, survey: Survey, folder: Collection) -> Plan:
    """Decides on the classes of masks and the heads of columns.

    Raises:
        AnnotationError: if a head is of another kind in the folder, or none is named for labels of no column.
        LabelError: if a class cannot stand in a label file.
    """
    renames = Renames(options.map)
    heads = _name_heads(options, survey)
    label_set, nameless = None, None
    if survey.has_masks:
        _check_kind(folder, options.mask_head, ("segmentation",))
        known = known_classes(options, folder)
        if survey.bare_masks and len(known.names) > 1:
            raise AnnotationError(
                f"The masks hold class ids, and nothing says what they mean: {options.mask_head} has "
                f"{listed(known.names)} already. Name them by a label file, line i for class id i: --labels FILE."
            )
        nameless = _nameless_class(options, survey, known)
        wanted = [*([nameless] if survey.nameless and nameless else []), *survey.classes]
        wanted = wanted or ([] if known.names else [nameless or NAMELESS])
        colors = {name: color for color, name in options.colors.items()}
        label_set = lengthen(known, [name for name in wanted if name not in ("", "ignore")], colors)
    remarks = [name for name, head in heads.items() if not _is_question(name, head, options, survey, folder)]
    return Plan(label_set, renames, nameless, heads, options.empty, frozenset(remarks))


def _is_question(name: str, head: str, options: ImportOptions, survey: Survey, folder: Collection) -> bool:
    """Tells the labels of a question from remarks on photos: captions, addresses, a note on one of a thousand."""
    column = survey.columns[name]
    asked = {HEAD, GROUP_COLUMN, *options.kinds, *options.columns, *folder.heads}
    if name in asked or head in asked:
        return True
    texts = len(column.values) + column.odd
    rare = column.photos < _FEW_PHOTOS and column.photos * _RARE < survey.records
    return not rare and not (texts > _MANY_TEXTS and 2 * texts > column.photos)


def known_classes(options: ImportOptions, folder: Collection) -> LabelSet:
    """The classes of the mask head so far: of the folder, else of --labels, else none."""
    known = read_classes(folder.label_path(options.mask_head))
    if not known.names and options.labels is not None:
        given = read_label_file(options.labels)
        return LabelSet(given.names, given.mirror, given.colors, known.path)
    return known


def class_names(options: ImportOptions, folder: Collection) -> tuple[str, ...]:
    """What class ids of masks mean: what --labels says; without it a head of one class has only one answer."""
    if options.labels is not None:
        return read_label_file(options.labels).names
    there = read_classes(folder.label_path(options.mask_head)).names
    return there if len(there) == 1 else ()


def plan_labels(options: ImportOptions, survey: Survey, plan: Plan, folder: Collection) -> dict[str, LabelPlan]:
    """Decides on kind and classes of every head whose labels stand in the table.

    Raises:
        AnnotationError: if a head is of another kind in the folder.
        LabelError: if a class cannot stand in a label file.
    """
    unknown = [head for head in options.kinds if head not in plan.heads.values()]
    if unknown:
        known = listed(sorted(plan.heads.values()), 20) or "none"
        guess = did_you_mean(unknown[0], plan.heads.values())
        raise AnnotationError(f"--kind: {listed(unknown)} is no head of these labels.{guess} Their heads: {known}.")
    plans = {}
    for name, column in survey.columns.items():
        head = plan.heads[name]
        if head == GROUP_COLUMN or name in plan.remarks:
            continue
        kind = _kind_of(head, column, options.kinds, folder)
        values = list(column.values)
        there = read_classes(folder.label_path(head))
        if kind == "categorical" and column.null and not _none_label(folder, head):
            values.append(NULL)
        if values or there.names:
            plans[head] = LabelPlan(kind, lengthen(there, values, None))
    return plans


def _name_heads(options: ImportOptions, survey: Survey) -> dict[str, str]:
    """Column of the annotations -> head; no two heads have one name."""
    heads: dict[str, str] = {}
    columns: dict[str, str] = {}  # head -> its column
    for column in survey.columns:
        head = heads[column] = _head_of(column, options, survey.has_masks)
        if head in columns:
            raise AnnotationError(f'"{columns[head]}" and "{column}" would both be the head {head}. Rename one.')
        columns[head] = column
    if survey.has_masks and options.mask_head in columns:
        raise AnnotationError(
            f'"{options.mask_head}" is the name of labels of these photos, too. Give the masks another: --head.'
        )
    for head in {*columns, *([options.mask_head] if survey.has_masks else [])}:
        if head != GROUP_COLUMN:
            check_head("--head", head)
    return heads


def _head_of(column: str, options: ImportOptions, beside_masks: bool) -> str:
    if column != HEAD:
        return GROUP_COLUMN if column == GROUP_COLUMN else head_name(column)
    if beside_masks:
        return PHOTO_LABELS
    if options.head is None:
        raise AnnotationError(
            "These annotations label whole photos, and nothing says for which question. Name it: --head severity."
        )
    return options.head


def _nameless_class(options: ImportOptions, survey: Survey, known: LabelSet) -> str | None:
    if "" in options.map:
        return options.map[""]
    if survey.named:
        return None
    return known.names[0] if len(known.names) == 1 else NAMELESS


def _kind_of(head: str, column: Column, kinds: Mapping[str, HeadKind], folder: Collection) -> HeadKind:
    looks: HeadKind = "multi_label" if column.several or column.null else "categorical"
    there = _check_kind(folder, head, ("categorical", "multi_label"))
    if there is None:
        kind = kinds.get(head, looks)
    else:
        kind = "categorical" if there == "categorical" else "multi_label"
    if kind == "categorical" and column.several:
        raise AnnotationError(
            f"{head} takes one label (categorical), but some photos have several. "
            'Make it "multi_label" (--kind, or the kind in config.json).'
        )
    return kind


def _check_kind(folder: Collection, head: str, kinds: tuple[str, ...]) -> str | None:
    """The kind of a head in the folder's config; None if it has none of that name."""
    kind = folder.heads[head]["kind"] if head in folder.heads else None
    if kind is not None and kind not in kinds:
        example = DEFAULT_MASK_HEAD if "segmentation" in kinds else "severity"
        raise AnnotationError(
            f'{head} is of kind "{kind}" in config.json; these labels need {" or ".join(kinds)}. '
            f"Name another head, such as --head {example}_2."
        )
    return kind


def _none_label(folder: Collection, head: str) -> bool:
    return bool(folder.heads.get(head, {}).get("none_label"))
