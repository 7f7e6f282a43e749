"""What is gathered joins the folder: by the photos' content; what differs is a conflict and changes nothing."""

from dataclasses import dataclass, field
from pathlib import Path

from carclf.errors import CarclfError
from carclf.importing.collection import PHOTOS, Collection, MaskState
from carclf.importing.gather import DrawnMask, Gathered, describe_mask
from carclf.importing.summary import Summary
from carclf.importing.writing import Writer
from carclf.label_file import LabelSet
from carclf.mask_images import read_mask

_SHOWN_PLACES = 3


@dataclass
class Merger:
    """Joins one photo after the other with the folder.

    Attributes:
        folder: what is there.
        writer: writes photos and masks.
        summary: counts.
        mask_head: the head that masks are for.
        label_set: its classes.
        known: photos that were there before this import.
        used: files of the source that were used.
    """

    folder: Collection
    writer: Writer
    summary: Summary
    mask_head: str
    label_set: LabelSet | None
    known: frozenset[str]
    used: set[Path] = field(default_factory=set)

    def add(self, photo: Gathered) -> None:
        """Makes the photo's row if its content is new, and fills in its labels and its mask.

        Raises:
            RunDirError: if something cannot be written.
        """
        name, is_new = self.folder.place_photo(photo.name, photo.sha256)
        target = self.folder.root / PHOTOS / name
        if not self.writer.has(target):
            self.writer.write_photo(photo, target)
        self._count(name, is_new)
        self.used.update(photo.used)
        for head, labels in photo.labels.items():
            self._add_labels(name, head, labels, photo.place)
        if photo.mask is not None:
            self._add_mask(name, photo.mask, photo.place)
        if photo.outside:
            self.summary.outside += photo.outside
            if len(self.summary.outside_at) < _SHOWN_PLACES:
                self.summary.outside_at.append(photo.place)

    def _count(self, name: str, is_new: bool) -> None:
        if is_new:
            self.summary.made += 1
        elif name in self.known:
            self.summary.there += 1
        else:
            self.summary.twins += 1

    def _add_labels(self, name: str, head: str, labels: tuple[str, ...], place: str) -> None:
        counts = self.summary.labels.setdefault(head, [0, 0])
        was_empty = not self.folder.rows[name].get(head)
        other = self.folder.fill_cell(name, head, labels)
        if other is not None:
            self.summary.conflicts.append([name, head, other, ";".join(labels), place])
        else:
            counts[0 if was_empty else 1] += 1

    def _add_mask(self, name: str, mask: DrawnMask, place: str) -> None:
        counts = self.summary.masks.setdefault(self.mask_head, [0, 0])
        states = self.folder.masks.setdefault(self.mask_head, {})
        path = self.folder.mask_path(self.mask_head, name)
        there = states.get(name) or self._unknown_mask(path)
        if there is None or (there == mask.state and not self.writer.has(path)):
            self.writer.write_mask(mask.png, path)
            counts[0] += 1
        elif there.digest == mask.state.digest:
            counts[1] += 1
        else:
            self.summary.conflicts.append([name, self.mask_head, there.shows, mask.state.shows, place])
            return
        states[name] = mask.state

    def _unknown_mask(self, path: Path) -> MaskState | None:
        """What a mask shows that no import has made; leftovers of an import that was cut off count as none."""
        if self.folder.unfinished or self.label_set is None or not path.exists():
            return None
        try:
            return describe_mask(read_mask(path), self.label_set)
        except CarclfError:
            return MaskState("", "a file that is no mask")
