"""Regions of answered photos as COCO json, one file per segmentation head: to be corrected by people and imported."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from carclf.files import write_json
from carclf.label_file import LabelSet
from carclf.regions.coco_json import PhotoRegions, coco_tree
from carclf.saying import Answer


class RegionWriter:
    """Collects the regions of every photo; `finish` writes <folder>/<head>.json, whole or not at all."""

    def __init__(self, folder: Path, label_sets: Mapping[str, LabelSet], given: Sequence[Path]) -> None:
        """Makes a writer; nothing is written yet.

        Args:
            folder: where the files go.
            label_sets: head -> its classes.
            given: photos and folders that are asked about: photos are called by their place in their folder; where
                two would have one name, the later one with the folder it lies in.
        """
        self.folder, self.label_sets, self.given = folder, label_sets, given
        self._photos: dict[str, dict[str, PhotoRegions]] = {head: {} for head in label_sets}
        self._owners: dict[str, Path] = {}  # name -> the photo that is called so

    def write(self, answer: Answer) -> None:
        """Takes note of one photo; one that comes again takes the place of what it was."""
        name = next(
            each for each in self._names(answer.path) if self._owners.setdefault(each, answer.path) == answer.path
        )
        for head, mask in answer.masks.items():
            self._photos[head][name] = PhotoRegions(name, (mask.shape[1], mask.shape[0]), answer.regions[head])

    def finish(self) -> None:
        """Writes the files.

        Raises:
            RunDirError: if one cannot be written.
        """
        for head, photos in self._photos.items():
            write_json(self.folder / f"{head}.json", coco_tree(photos.values(), self.label_sets[head].names))

    def _names(self, photo: Path) -> Iterator[str]:
        """What a photo may be called, the shortest first; the last is its alone."""
        folders = [folder for folder in self.given if folder != photo and photo.is_relative_to(folder)]
        yield (photo.relative_to(folders[0]) if folders else Path(photo.name)).as_posix()
        yield f"{photo.absolute().parent.name}/{photo.name}"
        yield photo.absolute().as_posix()
