"""Names and label lines of the written files, also of mirrored copies."""

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from carclf.config_heads import HeadConfig
from carclf.label_table import GROUP_COLUMN, NAME_COLUMN, LabelTable
from carclf.labels import LabelSet, split_cell

MOST_STEM_BYTES = 180  # disks take names of 255; a copy's number and a partial file's mark are added


def unique_stems(names: Sequence[str], copies: int) -> list[str]:
    """Gives every photo a file name without suffix; neither it nor a copy's is another's, on any disk.

    Args:
        names: photos of the table, "/" between folders; all files go into one folder, as other tools want them.
        copies: of each photo, named by copy_stem.
    """
    taken: set[str] = set()
    stems = []
    for name in names:
        wanted = PurePosixPath(name).with_suffix("").as_posix().replace("/", "_")
        wanted = wanted.encode()[:MOST_STEM_BYTES].decode(errors="ignore")
        stem, number = wanted, 1
        while taken & (mine := {copy_stem(stem, copy).casefold() for copy in range(copies + 1)}):
            number += 1
            stem = f"{wanted}-{number}"
        taken |= mine
        stems.append(stem)
    return stems


def copy_stem(stem: str, copy: int) -> str:
    """The file name of a copy, counted from 1, without suffix; 0 is the photo itself."""
    return f"{stem}_copy{copy}" if copy else stem


def mirrored_labels(heads: Mapping[str, HeadConfig], label_sets: Mapping[str, LabelSet]) -> dict[str, dict[str, str]]:
    """Column of the table -> label -> what it becomes when the photo is mirrored, where that is another one."""
    found: dict[str, dict[str, str]] = {}
    for name, labels in label_sets.items():
        head = heads[name]
        swaps = {
            label: labels.names[other]
            for label, other in zip(labels.names, labels.mirror, strict=True)
            if labels.names[other] != label
        }
        if head.kind != "segmentation" and head.derived is None and swaps:
            found.setdefault(head.column or name, {}).update(swaps)
    return found


def mirror_cell(cell: str, swaps: Mapping[str, str]) -> str:
    """Returns what stands in a cell of a mirrored photo: `left;roof` becomes `right;roof`."""
    values = split_cell(cell)
    if not any(value in swaps for value in values):
        return cell
    return ";".join(swaps.get(value, value) for value in values)


class LabelLines:
    """The lines of labels.csv: those of the table, mirrored where the photo is, with the groups that were found."""

    def __init__(self, table: LabelTable, swaps: Mapping[str, Mapping[str, str]]) -> None:
        self.header = (NAME_COLUMN, GROUP_COLUMN, *table.columns)
        self._columns = table.columns
        self._row = {photo: row for row, photo in enumerate(table.photos)}
        self._swaps = swaps

    def line(self, photo: str, file_name: str, group: int, mirrored: bool) -> tuple[str, ...]:
        """The line of a file that shows a photo of the table."""
        row = self._row[photo]
        cells = (
            mirror_cell(cells[row], self._swaps[column]) if mirrored and column in self._swaps else cells[row]
            for column, cells in self._columns.items()
        )
        return (file_name, str(group), *cells)
