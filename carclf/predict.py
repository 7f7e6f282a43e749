"""Photos -> answers, through exactly the pixels and features of training."""

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from carclf.backbone import Backbone
from carclf.errors import PhotoError
from carclf.heads import Head
from carclf.images import decode_photo, read_head
from carclf.mask_heads import MaskHead
from carclf.photo_source import PhotoSource
from carclf.saying import Answer, say_labels, say_mask
from carclf.scores import Array
from carclf.views import make_view

BATCH = 16  # photos handed to the network at once; never changes an answer


@dataclass(frozen=True)
class Decoded:
    """One photo, ready for the networks.

    Attributes:
        photo: which is asked about.
        sha256: of the file's bytes, hex.
        images: pixels on each side -> float32 (S, S, 3) in [0, 1].
        size: (width, height) of the photo held upright.
    """

    photo: PhotoSource
    sha256: str
    images: dict[int, Array]
    size: tuple[int, int]


@dataclass(frozen=True)
class Predictor:
    """A trained model, ready to answer.

    Attributes:
        model: its name.
        model_sha256: of everything that decides an answer.
        backbone: as in training; None if all heads are masks from pixels.
        views: how many views of a photo the classification heads look at, as in training.
        heads: the classification heads.
        mask_heads: the segmentation heads, those without a backbone among them.
        workers: threads that decode; never changes an answer.
    """

    model: str
    model_sha256: str
    backbone: Backbone | None
    views: int
    heads: dict[str, Head]
    mask_heads: dict[str, MaskHead]
    workers: int

    def predict(self, photos: Iterable[PhotoSource | Path | PhotoError]) -> Iterator[Answer | PhotoError]:
        """Answers photo after photo, in order; a photo that cannot be read yields its error and the rest goes on.

        Args:
            photos: files or bytes; an error among them (see asking.list_photos) is passed on in its place.
        """
        batch: list[Decoded | PhotoError] = []
        for photo in self._decoded(photos):
            batch.append(photo)
            if len(batch) == BATCH:
                yield from self._answer(batch)
                batch = []
        yield from self._answer(batch)

    def look(self, backbone: Backbone, images: Array) -> tuple[Array, dict[str, Array]]:
        """What one of the backbones sees in images (b, S, S, 3) in [0, 1].

        Returns:
            (vectors (views, b, D), of one view where no head asks for them; level -> maps (views, b, h, w, c) of the
            most views that a head looks at).
        """
        mine = [head.looking for head in self.mask_heads.values() if head.looking.backbone is backbone]
        map_views = max([looking.views for looking in mine], default=0)
        vector_views = self.views if self.heads and backbone is self.backbone else 1
        vectors, maps = [], []
        for view in range(max(vector_views, map_views)):
            view_vectors, view_maps = backbone.extract(make_view(images, view), maps=view < map_views)
            vectors.append(view_vectors)
            maps.append(view_maps)
        levels = maps[0] if map_views else {}
        stacked = {level: np.stack([each[level] for each in maps[:map_views]]) for level in levels}
        return np.stack(vectors[:vector_views]), stacked

    @property
    def backbones(self) -> list[Backbone]:
        """Each once, the model's own first."""
        own = [] if self.backbone is None else [self.backbone]
        others = {id(head.looking.backbone): head.looking.backbone for head in self.mask_heads.values()}
        return own + [each for each in others.values() if each is not self.backbone]

    def _decoded(self, photos: Iterable[PhotoSource | Path | PhotoError]) -> Iterator[Decoded | PhotoError]:
        """Decodes in threads, in order, at most two batches ahead."""
        sizes = sorted({backbone.image_size for backbone in self.backbones})
        waiting: deque[Future[Decoded | PhotoError]] = deque()
        with ThreadPoolExecutor(self.workers) as pool:
            for photo in photos:
                waiting.append(pool.submit(_decode, photo, sizes))
                if len(waiting) >= 2 * BATCH:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def _answer(self, batch: list[Decoded | PhotoError]) -> Iterator[Answer | PhotoError]:
        read = [photo for photo in batch if isinstance(photo, Decoded)]
        answers = self._answer_read(read) if read else iter(())
        for each in batch:
            yield each if isinstance(each, PhotoError) else next(answers)

    def _answer_read(self, photos: Sequence[Decoded]) -> Iterator[Answer | PhotoError]:
        probabilities: dict[str, Array] = {}
        for backbone in self.backbones:
            vectors, maps = self.look(backbone, np.stack([photo.images[backbone.image_size] for photo in photos]))
            if backbone is self.backbone:
                probabilities |= {name: head.probabilities(vectors) for name, head in self.heads.items()}
            for name, head in self.mask_heads.items():
                if head.looking.backbone is backbone:
                    probabilities[name] = head.answer(maps)
        for row, photo in enumerate(photos):
            try:
                yield self._say(photo, {name: each[row] for name, each in probabilities.items()})
            except PhotoError as error:  # changed since it was decoded
                yield error

    def _say(self, photo: Decoded, answered: Mapping[str, Array]) -> Answer:
        said: dict[str, Any] = {name: say_labels(head, answered[name]) for name, head in self.heads.items()}
        masks, probabilities, regions = {}, {}, {}
        for name, head in self.mask_heads.items():
            grid = head.looking.answer_photo(photo.photo, answered[name], head.answer)
            mask = head.decider.mask(grid, *photo.size)
            found = head.decider.find(grid, mask)
            said[name] = say_mask(mask, found, head.label_set, head.min_probability)
            masks[name], probabilities[name] = mask, grid[..., : len(head.label_set.names)]
            regions[name] = tuple(region for region in found if region.probability >= head.min_probability)
        fields = {
            "photo": str(photo.photo.path),
            "photo_sha256": photo.sha256,
            "model": self.model,
            "model_sha256": self.model_sha256,
            "heads": said,
        }
        return Answer(photo.photo, fields, masks, probabilities, regions)


def _decode(given: PhotoSource | Path | PhotoError, sizes: Sequence[int]) -> Decoded | PhotoError:
    if isinstance(given, PhotoError):
        return given
    photo = PhotoSource(given) if isinstance(given, Path) else given
    try:
        data, name = photo.read_bytes(), str(photo.path)
        frame = read_head(data, name)[1]
        images = {size: decode_photo(data, size, name) for size in sizes}
        return Decoded(photo, hashlib.sha256(data).hexdigest(), images, (frame.width, frame.height))
    except PhotoError as error:
        return error
