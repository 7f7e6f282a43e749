"""The photos that take part, which of them belong together, and what their masks show."""

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from carclf.app import locate_dataset, num_workers, read_dataset, warn_of_skipped
from carclf.config import Config, check_paths
from carclf.dataset import Dataset, Photo
from carclf.errors import AnnotationError, CarclfError, ConfigError, PhotoError, did_you_mean, listed, raise_all
from carclf.geometry import MOST_PIXELS_A_SIDE
from carclf.images import photo_frame
from carclf.kin import find_kin
from carclf.labels import IGNORED_PIXEL
from carclf.mask_images import count_ids
from carclf.mask_sources import MaskSource
from carclf.scores import Array
from carclf.splits import stratified

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Material:
    """What is split and written.

    Attributes:
        dataset: the photos that take part, and the heads that any of them is labelled for.
        head: the segmentation head whose masks are written, or None.
        group: int64 (n,), photos of one group show the same thing.
        pixels: int64 (n, num_classes + 2): pixels of each mask: background, the classes, ignored; (n, 0) without head.
        without_mask: names of the photos that were left out because nobody drew their mask.
        grouped_by: one sentence: how photos were recognised.
    """

    dataset: Dataset
    head: str | None
    group: Array
    pixels: Array
    without_mask: tuple[str, ...]
    grouped_by: str

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes of the masks; none without head."""
        return () if self.head is None else self.dataset.heads[self.head].label_set.names

    @property
    def masks(self) -> Sequence[MaskSource | None]:
        """The mask of each photo; None without head."""
        return [None] * len(self.group) if self.head is None else self.dataset.heads[self.head].masks

    @property
    def targets(self) -> dict[str, Array]:
        """What is to be spread evenly: labels of all heads, and the classes that the masks show."""
        targets = stratified(self.dataset, np.arange(len(self.group)))
        if self.head is not None:
            targets[self.head] = (self.pixels[:, 1:-1] > 0).astype(np.int8)
        return targets

    @property
    def target_names(self) -> dict[str, tuple[str, ...]]:
        """What the columns of the targets are called."""
        return {
            name: ("mask",) if head.kind == "segmentation" and name != self.head else head.label_set.names
            for name, head in self.dataset.heads.items()
        }


def gather(config: Config, wanted_head: str | None) -> Material:
    """Reads photos, labels and masks and finds the photos that belong together.

    Args:
        config: says where they are.
        wanted_head: the segmentation head; None = the only one, if there is one.

    Raises:
        CarclfError: with everything that cannot be read.
    """
    check_paths(config)
    head = _choose_head(config, wanted_head)
    dataset = read_dataset(config)
    kin = find_kin(config, dataset)
    bad = kin.dataset.skipped[len(dataset.skipped) :]
    if locate_dataset(config).on_bad_photo == "stop":
        raise_all(PhotoError, [photo.reason for photo in bad])
    warn_of_skipped(kin.dataset)
    part, without = np.arange(len(kin.dataset.photos)), np.array([], np.int64)
    if head is not None:
        labelled = kin.dataset.heads[head].labelled
        part, without = np.flatnonzero(labelled), np.flatnonzero(~labelled)
    if not len(part):
        raise AnnotationError(f'heads.{head}: no photo has a mask. Add "annotations" to dataset.')
    photos = kin.dataset.photos
    taken = {name: data.take(part) for name, data in kin.dataset.heads.items()}
    chosen = Dataset(
        tuple(photos[row] for row in part),
        {name: data for name, data in taken.items() if name == head or data.labelled.any()},
        kin.dataset.skipped,
        kin.dataset.notes,
    )
    pixels = _count_pixels(chosen, head, num_workers(config))
    without_mask = tuple(photos[row].name for row in without)
    return Material(chosen, head, kin.groups.group[part], pixels, without_mask, kin.by)


def _choose_head(config: Config, wanted: str | None) -> str | None:
    """Returns the segmentation head whose masks are written."""
    heads = [name for name, head in config.heads.items() if head.kind == "segmentation" and head.masks_of is None]
    if wanted is None:
        if len(heads) > 1:
            raise ConfigError(f"--head is needed: the config has {len(heads)} segmentation heads, {listed(heads)}.")
        return heads[0] if heads else None
    if wanted not in heads:
        which = f"Those of the config: {listed(heads)}." if heads else "The config has none."
        raise ConfigError(f'--head: "{wanted}" is no segmentation head.{did_you_mean(wanted, heads)} {which}')
    return wanted


def _count_pixels(dataset: Dataset, head: str | None, workers: int) -> Array:
    """Reads every mask once, so that whatever is wrong is told before anything is written.

    Raises:
        CarclfError: names every mask that cannot be read and every photo that is too large.
    """
    num_classes = 0 if head is None else len(dataset.heads[head].label_set.names)

    def count(photo: Photo, source: MaskSource | None) -> Array | CarclfError:
        try:
            frame = photo_frame(photo.path)
            if max(frame.stored) > MOST_PIXELS_A_SIDE:
                raise PhotoError(
                    f"{photo.path}: has {frame.width} × {frame.height} pixels, more than {MOST_PIXELS_A_SIDE} on a "
                    "side. Make it smaller."
                )
            if source is None:
                return np.zeros(0, np.int64)
            return count_classes(source.load(frame), num_classes)
        except CarclfError as problem:
            return problem

    masks = [None] * len(dataset.photos) if head is None else dataset.heads[head].masks
    with ThreadPoolExecutor(workers) as threads:
        found = list(threads.map(count, dataset.photos, masks))
    problems = [each for each in found if isinstance(each, CarclfError)]
    kinds = {type(problem) for problem in problems}
    raise_all(kinds.pop() if len(kinds) == 1 else CarclfError, [str(problem) for problem in problems])
    return np.array(found, np.int64)


def count_classes(mask: Array, num_classes: int) -> Array:
    """Counts the pixels of a mask: int64 (num_classes + 2,): background, the classes, ignored."""
    counts = count_ids(mask)
    return np.append(counts[: num_classes + 1], counts[IGNORED_PIXEL])
