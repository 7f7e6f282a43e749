"""Photos -> answers, through exactly the pixels and features of training."""

import hashlib
import stat
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from carclf.backbone import Backbone
from carclf.calibration import decide
from carclf.errors import PhotoError
from carclf.heads import Head
from carclf.images import decode_photo, find_photos, photo_size, read_bytes
from carclf.labels import LabelSet
from carclf.masks.scoring import class_probabilities, mask_at_size
from carclf.scores import Array
from carclf.views import make_view

BATCH = 16  # photos handed to the network at once; never changes an answer
PROBABILITY_DIGITS = 6
PERCENT_DIGITS = 2
PROMPT = "Image filepath: "  # the predecessor's words
QUOTES = ("'", '"')


@dataclass(frozen=True)
class MaskHead:
    """The k decoders of a segmentation head, which answer together.

    Attributes:
        label_set: its classes.
        decoders: carclf.masks.decoder.MaskDecoder, one per fold.
        thresholds: float64 (num_classes,), mean over the folds.
        levels: the maps they read.
        views: 2 = the mirrored photo is looked at, too.
    """

    label_set: LabelSet
    decoders: tuple[Any, ...]
    thresholds: Array
    levels: tuple[str, ...]
    views: int

    def probabilities(self, maps: Mapping[str, Array]) -> Array:
        """Mean of the k decoders' logits as probabilities; level -> (views, b, h, w, c) to float32 (b, h, w, C)."""
        chosen = {level: maps[level][: self.views] for level in self.levels}
        return class_probabilities(np.mean([decoder.predict_logits(chosen) for decoder in self.decoders], axis=0))


@dataclass(frozen=True)
class Decoded:
    """One photo, ready for the network.

    Attributes:
        path: as it was given.
        sha256: of the file's bytes, hex.
        image: float32 (S, S, 3) in [0, 1].
        size: (width, height) of the photo held upright.
    """

    path: Path
    sha256: str
    image: Array
    size: tuple[int, int]


@dataclass(frozen=True)
class Answer:
    """What is said of one photo.

    Attributes:
        path: as it was given.
        fields: the JSON object of one line.
        masks: head -> uint8 (height, width) class ids at the photo's own size.
    """

    path: Path
    fields: dict[str, Any]
    masks: dict[str, Array]


@dataclass(frozen=True)
class Predictor:
    """A trained model, ready to answer.

    Attributes:
        model: its name.
        model_sha256: of everything that decides an answer.
        backbone: as in training.
        views: how many views of a photo are looked at, as in training.
        heads: the classification heads.
        mask_heads: the segmentation heads.
        workers: threads that decode; never changes an answer.
    """

    model: str
    model_sha256: str
    backbone: Backbone
    views: int
    heads: dict[str, Head]
    mask_heads: dict[str, MaskHead]
    workers: int

    def predict(self, photos: Iterable[Path | PhotoError]) -> Iterator[Answer | PhotoError]:
        """Answers photo after photo, in order; a photo that cannot be read yields its error and the rest goes on.

        Args:
            photos: paths; an error among them (see list_photos) is passed on in its place.
        """
        batch: list[Decoded | PhotoError] = []
        for photo in self._decoded(photos):
            batch.append(photo)
            if len(batch) == BATCH:
                yield from self._answer(batch)
                batch = []
        yield from self._answer(batch)

    def look(self, images: Array) -> tuple[Array, dict[str, Array]]:
        """Features of images (b, S, S, 3) in [0, 1]: vectors (views, b, D), level -> maps (views, b, h, w, c)."""
        map_views = max([head.views for head in self.mask_heads.values()], default=0)
        vectors, maps = [], []
        for view in range(max(self.views, map_views)):
            view_vectors, view_maps = self.backbone.extract(make_view(images, view), maps=view < map_views)
            vectors.append(view_vectors)
            maps.append(view_maps)
        levels = maps[0] if map_views else {}
        stacked = {level: np.stack([each[level] for each in maps[:map_views]]) for level in levels}
        return np.stack(vectors[: self.views]), stacked

    def _decoded(self, photos: Iterable[Path | PhotoError]) -> Iterator[Decoded | PhotoError]:
        """Decodes in threads, in order, at most two batches ahead."""
        waiting: deque[Future[Decoded | PhotoError]] = deque()
        with ThreadPoolExecutor(self.workers) as pool:
            for photo in photos:
                waiting.append(pool.submit(_decode, photo, self.backbone.image_size))
                if len(waiting) >= 2 * BATCH:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def _answer(self, batch: list[Decoded | PhotoError]) -> Iterator[Answer | PhotoError]:
        read = [photo for photo in batch if isinstance(photo, Decoded)]
        answers: Iterator[Answer] = iter(())
        if read:
            vectors, maps = self.look(np.stack([photo.image for photo in read]))
            probabilities = {name: head.probabilities(vectors) for name, head in self.heads.items()}
            probabilities |= {name: head.probabilities(maps) for name, head in self.mask_heads.items()}
            answers = (
                self._say(photo, {name: each[row] for name, each in probabilities.items()})
                for row, photo in enumerate(read)
            )
        for each in batch:
            yield each if isinstance(each, PhotoError) else next(answers)

    def _say(self, photo: Decoded, probabilities: Mapping[str, Array]) -> Answer:
        said: dict[str, Any] = {name: _say_labels(head, probabilities[name]) for name, head in self.heads.items()}
        masks = {}
        for name, head in self.mask_heads.items():
            masks[name] = mask_at_size(probabilities[name], *photo.size, head.thresholds)
            said[name] = say_mask(masks[name], head.label_set)
        fields = {
            "photo": str(photo.path),
            "photo_sha256": photo.sha256,
            "model": self.model,
            "model_sha256": self.model_sha256,
            "heads": said,
        }
        return Answer(photo.path, fields, masks)


def _decode(photo: Path | PhotoError, image_size: int) -> Decoded | PhotoError:
    if isinstance(photo, PhotoError):
        return photo
    try:
        data = read_bytes(photo)
        image = decode_photo(data, image_size, str(photo))
        return Decoded(photo, hashlib.sha256(data).hexdigest(), image, photo_size(photo))
    except PhotoError as error:
        return error


def _say_labels(head: Head, probabilities: Array) -> dict[str, Any]:
    names = head.label_set.names
    chosen = np.flatnonzero(decide(probabilities[None], head.kind, head.threshold)[0])
    said: dict[str, Any] = {"kind": head.kind}
    if head.kind == "categorical":
        said["label"] = names[int(chosen[0])]
    else:
        said["labels"] = [names[int(place)] for place in chosen]
    said["probabilities"] = {
        name: round(float(value), PROBABILITY_DIGITS) for name, value in zip(names, probabilities, strict=True)
    }
    return said


def say_mask(mask: Array, label_set: LabelSet) -> dict[str, Any]:
    """The answer of a segmentation head: how much of the photo is damaged, and by what."""
    pixels = [np.count_nonzero(mask == index) for index in range(1, len(label_set.names) + 1)]
    percent = {name: 100 * count / mask.size for name, count in zip(label_set.names, pixels, strict=True)}
    return {
        "kind": "segmentation",
        "damaged_percent": round(sum(percent.values()), PERCENT_DIGITS),
        "percent": {name: round(share, PERCENT_DIGITS) for name, share in percent.items()},
    }


def list_photos(given: Iterable[Path]) -> Iterator[Path | PhotoError]:
    """Yields photos as they were given, and those of folders, sorted; an error for what is neither."""
    for path in given:
        try:
            mode = path.stat().st_mode
            if stat.S_ISDIR(mode):
                yield from find_photos(path)
            elif stat.S_ISREG(mode):
                yield path
            else:
                yield PhotoError(f"{path}: is no file that can be read again. Save the photo as a file.")
        except FileNotFoundError:
            yield PhotoError(f"{path}: no such file or folder.")
        except PhotoError as error:
            yield error
        except (OSError, ValueError) as error:  # ValueError: a path with a NUL
            yield PhotoError(f"{str(path)!r}: cannot be read ({getattr(error, 'strerror', None) or error}).")


def prompt_for_photos() -> Iterator[Path]:
    """Asks for one image path after the other, until an empty line or the end of the input."""
    while True:
        # where the answers go to a pipe, the question must not
        print(PROMPT, end="", flush=True, file=sys.stdout if sys.stdout.isatty() else sys.stderr)
        try:
            line = input().strip()
        except EOFError:
            print(file=sys.stderr)  # the question has had no answer to end its line
            return
        if not line:
            return
        if len(line) > 1 and line[0] == line[-1] and line[0] in QUOTES:
            line = line[1:-1]  # terminals quote what is dragged into them
        try:
            yield Path(line).expanduser()
        except RuntimeError:  # ~somebody who is not known here
            yield Path(line)
