"""First look at an annotation set: which classes and labels there are, before the first photo is read."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from carclf.annotations.classes import IGNORED, LEFT_OUT, Renames
from carclf.annotations.records import ClassMask, Problem, Record
from carclf.errors import AnnotationError, did_you_mean, listed
from carclf.importing.names import is_class
from carclf.label_table import GROUP_COLUMN
from carclf.labels import NULL


@dataclass
class Column:
    """The labels of one question.

    Attributes:
        values: labels as they are called here, in the order in which they come; NULL is not among them.
        several: whether a photo has several.
        null: whether a photo is known to have none.
        photos: that have a label.
        odd: those of them with a text that can be no class.
    """

    values: dict[str, None] = field(default_factory=dict)
    several: bool = False
    null: bool = False
    photos: int = 0
    odd: int = 0


@dataclass
class Survey:
    """What an annotation set holds.

    Attributes:
        records: of photos, with those that have a problem.
        names: all names of classes and labels, as the annotations have them.
        classes: classes of regions and masks as they are called here, in the order in which they come.
        named: regions with a name.
        nameless: regions without any.
        masks: photos with a mask in place of regions.
        bare_masks: those of them whose class ids nobody has named.
        empty: photos that are known to show nothing.
        columns: column -> its labels; HEAD = those of no column.
    """

    records: int = 0
    names: dict[str, None] = field(default_factory=dict)
    classes: dict[str, None] = field(default_factory=dict)
    named: int = 0
    nameless: int = 0
    masks: int = 0
    bare_masks: int = 0
    empty: int = 0
    columns: dict[str, Column] = field(default_factory=dict)

    @property
    def has_masks(self) -> bool:
        """Whether anything is said of pixels."""
        return bool(self.named or self.nameless or self.masks or self.empty)


def take_survey(records: Iterable[Record | Problem], renames: Renames) -> Survey:
    """Reads all records once; nothing of them is kept.

    Raises:
        AnnotationError: if a name of the class map is none of the annotations.
    """
    survey = Survey()
    for record in records:
        survey.records += 1
        if isinstance(record, Problem):
            continue
        _note_regions(survey, record, renames)
        survey.empty += record.known_empty
        if record.mask is not None:
            survey.masks += 1
            survey.bare_masks += not (record.mask.names or record.mask.colors)
            for name in mask_names(record.mask):
                _note_class(survey, (name,), renames)
        for column, labels in record.labels.items():
            _note_labels(survey, column, labels, renames)
    _check_map(survey, renames)
    return survey


def mask_names(mask: ClassMask) -> tuple[str, ...]:
    """The classes of a mask as the annotations call them, each once: by id, else in the order of the colours."""
    by_id = [name for _, name in sorted(mask.names.items())]
    return tuple(dict.fromkeys([*by_id, *mask.colors.values()]))


def rename_labels(labels: Iterable[str], renames: Renames) -> tuple[str, ...]:
    """Labels of a photo as they are called here; those that are left out or ignored are not among them."""
    return tuple(name for name in renames.of(tuple(labels)) if name not in (IGNORED, LEFT_OUT))


def _note_regions(survey: Survey, record: Record, renames: Renames) -> None:
    for region in record.regions:
        if region.names:
            survey.named += 1
            _note_class(survey, region.names, renames)
        else:
            survey.nameless += 1


def _note_class(survey: Survey, names: tuple[str, ...], renames: Renames) -> None:
    """A region of several names brings no class: which of them is one must be clear from elsewhere."""
    survey.names.update(dict.fromkeys(names))
    values = renames.of(names)
    if len(values) == 1 and values[0] != IGNORED and is_class(values[0]):
        survey.classes[values[0]] = None


def _note_labels(survey: Survey, name: str, labels: tuple[str, ...], renames: Renames) -> None:
    if name == GROUP_COLUMN:
        survey.columns.setdefault(name, Column())
        return
    survey.names.update(dict.fromkeys(labels))
    renamed = rename_labels(labels, renames)
    if not renamed:
        return
    values = [value for value in renamed if is_class(value)]
    column = survey.columns.setdefault(name, Column())
    column.photos += 1
    column.odd += len(values) < len(renamed)
    column.null |= NULL in values
    column.several |= len(values) > 1
    column.values.update(dict.fromkeys(value for value in values if value != NULL))


def _check_map(survey: Survey, renames: Renames) -> None:
    if not survey.records:
        return
    unknown = [name for name in renames.names if name not in survey.names and name != ""]
    if unknown:
        guess = did_you_mean(unknown[0], survey.names)
        raise AnnotationError(
            f"--map: {listed(unknown)} is no class of these annotations.{guess} "
            f"Their classes: {listed(list(survey.names), most=30) or 'none'}."
        )
