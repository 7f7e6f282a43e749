"""Names of regions -> classes of a label file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from carclf.annotations.records import Region
from carclf.errors import did_you_mean, listed
from carclf.labels import IGNORED_PIXEL, LabelSet

LEFT_OUT = ""  # a class renamed to this is left out
IGNORED = "ignore"  # a class renamed to this neither trains nor judges: its pixels are 255


@dataclass(frozen=True)
class Renames:
    """What the classes of an annotation set are called here.

    Attributes:
        names: name in the annotations -> name here, LEFT_OUT or IGNORED; names that are not among them stay.
    """

    names: Mapping[str, str] = field(default_factory=dict)

    def of(self, names: Sequence[str]) -> list[str]:
        """The names as they are called here, each once; those that are left out are not among them."""
        renamed = (self.names.get(name, name) for name in names)
        return list(dict.fromkeys(name for name in renamed if name != LEFT_OUT))


def find_class(region: Region, label_set: LabelSet, renames: Renames) -> int | None:
    """Finds the class id of a region: 1 for the first class, IGNORED_PIXEL; None = left out.

    A region's class is the one of its names that is a class. Where the label file has one class, a region without
    any name is of that class.

    Raises:
        ValueError: if it names no class or several; says so.
    """
    values = renames.of(region.names)
    if region.names and not values:
        return None
    if IGNORED in values:
        return IGNORED_PIXEL
    named = [value for value in values if value in label_set.names]
    known = f"{label_set.path.name} ({listed(label_set.names, most=20)})"
    if len(named) == 1:
        return label_set.names.index(named[0]) + 1
    if len(named) > 1:
        raise ValueError(f"names several classes: {', '.join(named)}. Keep one, or draw two regions.")
    if not values and len(label_set.names) == 1:
        return 1
    if not values:
        raise ValueError(f"does not say which class of {known} it is.")
    guess = did_you_mean(values[0], label_set.names)
    raise ValueError(f'"{", ".join(values)}" is no class of {known}.{guess}')
