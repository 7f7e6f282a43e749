"""Second look at an annotation set: one record -> a photo, its labels, and its mask, drawn."""

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from carclf.annotations.classes import IGNORED, Renames
from carclf.annotations.mask_files import rename_mask
from carclf.annotations.records import Problem, Record
from carclf.annotations.shapes import lies_outside
from carclf.annotations.sources import PhotoFinder
from carclf.errors import CarclfError, listed
from carclf.images import SUFFIXES_OF, Frame, has_photo_suffix, open_image, read_bytes, read_head
from carclf.importing.collection import MaskState
from carclf.importing.names import check_class, safe_photo_name
from carclf.importing.survey import rename_labels
from carclf.label_table import GROUP_COLUMN
from carclf.labels import IGNORED_PIXEL, NULL, LabelSet
from carclf.mask_images import count_ids, mask_sha256, put_colors
from carclf.mask_sources import MaskSource, make_mask_source

_DRAFT = 16  # pixels: decoding a photo at its smallest scale tells whether it is whole


@dataclass(frozen=True)
class Plan:
    """What the records of an import become.

    Attributes:
        label_set: classes of the masks; None = nothing is said of pixels.
        renames: the class map.
        nameless: class of regions without a name; None = they are a problem.
        heads: column of the annotations -> head.
        empty: photos without a region have a known empty mask.
        remarks: those of the columns that are no question, such as captions: kept as they are.
    """

    label_set: LabelSet | None
    renames: Renames
    nameless: str | None
    heads: Mapping[str, str]
    empty: bool
    remarks: frozenset[str] = frozenset()


@dataclass(frozen=True)
class DrawnMask:
    """A mask, ready to be written.

    Attributes:
        png: the bytes of an indexed PNG.
        state: what it shows.
    """

    png: bytes
    state: MaskState


@dataclass(frozen=True)
class Gathered:
    """A photo with all that one record says of it.

    Attributes:
        name: wanted below the photo folder.
        place: of the record, for people.
        source: the photo's file; None where the annotations hold its bytes.
        data: those bytes.
        sha256: of the photo.
        labels: head -> labels.
        mask: None = nothing is said of the pixels.
        outside: regions that lie wholly outside the photo.
        used: files of the source that this record is made of.
    """

    name: PurePosixPath
    place: str
    source: Path | None
    data: bytes | None
    sha256: str
    labels: Mapping[str, tuple[str, ...]]
    mask: DrawnMask | None
    outside: int
    used: tuple[Path, ...]


class Gatherer:
    """Turns records into photos, labels and masks; may be called by several threads at once."""

    def __init__(self, plan: Plan, finders: tuple[PhotoFinder, ...]) -> None:
        """Photos are looked for by one finder after the other."""
        self.plan = plan
        self.finders = finders

    def __call__(self, record: Record | Problem) -> Gathered | Problem:
        """Reads the photo and draws the mask; what is wrong with either becomes the record's problem."""
        if isinstance(record, Problem):
            return record
        try:
            return self._gather(record)
        except (ValueError, CarclfError) as problem:
            what = "; ".join(str(problem).splitlines()).removeprefix(f"{record.place}: ")
            if record.mask is not None:
                what += _hint(what)
            return Problem(record.place, what)

    def _gather(self, record: Record) -> Gathered:
        if record.embedded is None:
            source = record.path or self._find(record)
            data = read_bytes(source)
        else:
            source, data = None, record.embedded
        kind, frame = read_head(data, record.photo)
        open_image(data, record.photo, _DRAFT)
        labels = self._labels(record)
        mask, outside = self._draw(record, frame)
        return Gathered(
            _wanted_name(record, source, kind),
            record.place,
            source,
            record.embedded,
            hashlib.sha256(data).hexdigest(),
            labels,
            mask,
            outside,
            _files_of(record, source),
        )

    def _find(self, record: Record) -> Path:
        """Finds the photo; where several places are given, the first that has it."""
        problem = ValueError("")
        for finder in self.finders:
            try:
                found = finder.find(record.photo)
            except ValueError as error:
                problem = error
                continue
            if record.mask is None or found.resolve() != record.mask.path.resolve():
                return found
            problem = ValueError(
                "the only picture of this name is the mask. Say where the photos are: --photos FOLDER."
            )
        raise problem

    def _labels(self, record: Record) -> dict[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = {}
        for column, given in record.labels.items():
            if column == GROUP_COLUMN:
                found[column] = given
                continue
            labels = rename_labels(given, self.plan.renames)
            if column in self.plan.remarks:
                found[self.plan.heads[column]] = labels
                continue
            if NULL in labels and len(labels) > 1:
                raise ValueError(f"{column}: {NULL} stands beside {listed(labels)}. Delete one of them.")
            for label in labels:
                check_class(label)
            if labels:
                found[self.plan.heads[column]] = labels
        return found

    def _draw(self, record: Record, frame: Frame) -> tuple[DrawnMask | None, int]:
        label_set = self.plan.label_set
        if label_set is None:
            return None, 0
        if record.mask is not None:
            mask = rename_mask(record.mask, self.plan.renames)
            source = MaskSource(label_set, (), mask, record.size, record.place)
            return self._pack(source.load(frame), label_set), 0
        named = self._name_regions(record, label_set)
        source = make_mask_source(named, label_set, self.plan.renames)
        if not source.shapes and not record.known_empty and not self.plan.empty:
            return None, 0
        size = record.size or (frame.width, frame.height)
        outside = sum(lies_outside(region.shape, *size) for region in record.regions)
        return self._pack(source.load(frame), label_set), outside

    def _name_regions(self, record: Record, label_set: LabelSet) -> Record:
        """Gives regions without a name theirs.

        Raises:
            ValueError: if it cannot be told which class a region is of.
        """
        regions = []
        for index, region in enumerate(record.regions, 1):
            names = region.names or ((self.plan.nameless,) if self.plan.nameless is not None else ())
            if not names:
                what = "has no name, but others have. Say what it is with --map =class, or leave it out with --map ="
                raise ValueError(f"region {index} {what}.")
            values = self.plan.renames.of(names)
            for value in values:
                check_class(value)
            if len(values) > 1 and IGNORED not in values and sum(value in label_set.names for value in values) != 1:
                raise ValueError(
                    f"region {index} has several names: {listed(values)}. Say which attribute holds the class with "
                    '--attribute NAME, or leave names out with --map "name=".'
                )
            regions.append(replace(region, names=names))
        return replace(record, regions=tuple(regions))

    def _pack(self, ids: NDArray[np.uint8], label_set: LabelSet) -> DrawnMask:
        image = Image.fromarray(np.ascontiguousarray(ids))
        put_colors(image, label_set)
        file = io.BytesIO()
        image.save(file, format="PNG", compress_level=2)  # hardly larger, and faster
        return DrawnMask(file.getvalue(), describe_mask(ids, label_set))


def _hint(problem: str) -> str:
    """How to say on the command line what a mask's ids or colours mean."""
    if "class id" in problem:
        return " Name the ids by a label file, line i for class id i: --labels FILE."
    return " Name a color by --color R,G,B=class." if "colours" in problem else ""


def describe_mask(ids: NDArray[np.uint8], label_set: LabelSet) -> MaskState:
    """Hashes a mask, uint8 (height, width), and says in words what it shows."""
    counts = count_ids(ids)
    names = {**dict(enumerate(label_set.names, 1)), IGNORED_PIXEL: "ignored"}
    shares = [
        f"{names.get(each, f'class id {each}')} {100 * counts[each] / ids.size:.2f} %"
        for each in range(1, 256)
        if counts[each]
    ]
    return MaskState(mask_sha256(ids), ", ".join(shares) or "nothing")


def _wanted_name(record: Record, source: Path | None, kind: str) -> PurePosixPath:
    if has_photo_suffix(PurePosixPath(record.photo)):
        return safe_photo_name(record.photo)
    usual = SUFFIXES_OF.get(kind, SUFFIXES_OF["JPEG"])[0]
    suffix = source.suffix if source is not None and has_photo_suffix(source) else usual
    return safe_photo_name(f"{record.photo}{suffix.lower()}")


def _files_of(record: Record, source: Path | None) -> tuple[Path, ...]:
    used = [] if source is None else [source]
    if record.mask is not None:
        used.append(record.mask.path)
    return tuple(used + [path for region in record.regions if (path := getattr(region.shape, "path", None))])
