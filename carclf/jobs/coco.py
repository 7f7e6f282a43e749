"""The regions of all photos of a job as COCO json, written piece by piece: memory does not grow with their number."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from carclf.files import write_whole
from carclf.images import photo_size
from carclf.jobs.journal import read_lines
from carclf.jobs.ledger import Ledger, Names


@dataclass(frozen=True)
class RegionFiles:
    """What is needed to write the regions of a job.

    Attributes:
        journal: answers.jsonl, which says what the regions are.
        ledger: says how large the photos are, and remembers what they are called.
        given: photos and folders that are asked about: photos are called by their place in their folder; where two
            would have one name, the later one with the folder it lies in.
    """

    journal: Path
    ledger: Ledger
    given: Sequence[Path]

    def write(self, to: Path, head: str, class_names: Sequence[str]) -> None:
        """Writes the regions of one head, as coco_json.coco_tree describes them; whole or not at all.

        Raises:
            RunDirError: if the file cannot be written.
        """
        write_whole(to, lambda path: self._write(path, head, class_names))

    def _write(self, path: Path, head: str, class_names: Sequence[str]) -> None:
        with path.open("w", encoding="utf-8", errors="backslashreplace") as file:
            file.write('{"info": {"description": "Regions of damage found by carclf"},\n"licenses": [],\n"images": [\n')
            _write_list(file, self._images())
            file.write('],\n"annotations": [\n')
            _write_list(file, self._annotations(head, class_names))
            categories = [{"id": number, "name": name} for number, name in enumerate(class_names, 1)]
            file.write(f'],\n"categories": {json.dumps(categories, ensure_ascii=False)}}}\n')

    def _images(self) -> Iterator[dict[str, Any]]:
        for number, (_, fields) in enumerate(read_lines(self.journal), 1):
            width, height = self._size(fields["photo"])
            yield {"id": number, "file_name": self._name(fields["photo"]), "width": width, "height": height}

    def _annotations(self, head: str, class_names: Sequence[str]) -> Iterator[dict[str, Any]]:
        count = 0
        for number, (_, fields) in enumerate(read_lines(self.journal), 1):
            size = self._size(fields["photo"])
            for region in fields["heads"][head]["regions"]:
                count += 1
                class_id = class_names.index(region["class"]) + 1
                yield {"id": count, "image_id": number, "category_id": class_id, **_drawn(region, size)}

    def _size(self, photo: str) -> tuple[int, int]:
        """(width, height); asks the photo where a kill came between two notes."""
        return self.ledger.size(photo) or photo_size(Path(photo))

    def _name(self, photo: str) -> str:
        """What a photo is called: its place in its folder, unless another photo of the job has that name; for good."""
        path = Path(photo)
        names, shown = Names(self.ledger, "regions"), (path, "", "")
        if (known := names.of(shown)) is not None:
            return known
        folders = [folder for folder in self.given if folder != path and path.is_relative_to(folder)]
        first = (path.relative_to(folders[0]) if folders else Path(path.name)).as_posix()
        absolute = path.absolute()
        for name in (first, f"{absolute.parent.name}/{path.name}"):
            if names.setdefault(name, shown) == shown:
                return name
        return absolute.as_posix()


def _drawn(region: dict[str, Any], size: tuple[int, int]) -> dict[str, Any]:
    """The polygons of a region, and the area and box that they have when pycocotools draws them."""
    from pycocotools import mask as coco

    rings = region["polygon"]
    pixels: Any = coco.merge(coco.frPyObjects(rings, size[1], size[0]))
    box = [float(value) for value in coco.toBbox(pixels)]
    return {
        "segmentation": rings,
        "area": int(coco.area(pixels)),
        "bbox": box,
        "iscrowd": 0,
        "score": region["probability"],
    }


def _write_list(file: TextIO, entries: Iterable[dict[str, Any]]) -> None:
    """Writes the entries of a list, one a line."""
    for number, entry in enumerate(entries):
        file.write(f"{',' if number else ' '}{json.dumps(entry, ensure_ascii=False)}\n")
