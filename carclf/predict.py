"""Photos -> answers, through exactly the pixels and features of training."""

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
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

RunHeads = Callable[[Array, Sequence[str] | None], dict[str, Array]]
"""(float32 images (b, S, S, 3) in [0, 1], names of heads or None = all) -> head -> its answers, as Predictor.answer"""
BATCH = 16  # photos handed to the network at once; never changes an answer


@dataclass(frozen=True)
class Decoded:
    """One photo, ready for the networks.

    Attributes:
        source: which is asked about.
        sha256: of the file's bytes, hex.
        images: pixels on each side -> float32 (S, S, 3) in [0, 1].
        size: (width, height) of the photo held upright.
    """

    source: PhotoSource
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
        workers: threads that decode, and threads that draw masks; never changes an answer.
        runs: id of one of `backbones` -> what answers all heads that look through it in one go (merged_runs.py); for
            one that is not there, the backbone and the heads run one after the other.
    """

    model: str
    model_sha256: str
    backbone: Backbone | None
    views: int
    heads: dict[str, Head]
    mask_heads: dict[str, MaskHead]
    workers: int
    runs: Mapping[int, RunHeads] = field(default_factory=dict)

    def predict(self, photos: Iterable[PhotoSource | Path | PhotoError]) -> Iterator[Answer | PhotoError]:
        """Answers photo after photo, in order; a photo that cannot be read yields its error and the rest goes on.

        Photos are decoded, looked at and spoken of at the same time, in batches: memory does not grow with them.

        Args:
            photos: files or bytes; an error among them (see asking.list_photos) is passed on in its place.
        """
        looked: deque[Future[list[_Seen | PhotoError]]] = deque()
        with ThreadPoolExecutor(1) as looking, ThreadPoolExecutor(self.workers) as saying:
            for batch in _batched(self._decoded(photos)):
                looked.append(looking.submit(self._look_at, batch))
                if len(looked) > 1:  # the next batch is looked at while this one is spoken of
                    yield from saying.map(self._say, looked.popleft().result())
            while looked:
                yield from saying.map(self._say, looked.popleft().result())

    def answer(self, backbone: Backbone, images: Array, heads: Sequence[str] | None = None) -> dict[str, Array]:
        """What the heads that look through one of the backbones say of images.

        Args:
            backbone: one of `backbones`.
            images: float32 (b, S, S, 3) in [0, 1].
            heads: names of those that are asked; None = all.

        Returns:
            head -> float32: probabilities (b, C) of a classification head, grids (b, h, w, K) of a segmentation head.
        """
        run = self.runs.get(id(backbone))
        return self.answer_one_by_one(backbone, images, heads) if run is None else run(images, heads)

    def answer_one_by_one(
        self, backbone: Backbone, images: Array, heads: Sequence[str] | None = None
    ) -> dict[str, Array]:
        """What `answer` says, the backbone first and then head after head: as heads were judged."""
        asked = self.heads_of(backbone) if heads is None else heads
        vectors, maps = self.look(backbone, images)
        labels = {name: self.heads[name].probabilities(vectors) for name in asked if name in self.heads}
        return labels | {name: self.mask_heads[name].answer(maps) for name in asked if name in self.mask_heads}

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

    def heads_of(self, backbone: Backbone) -> list[str]:
        """The heads that look through one of the backbones."""
        masks = [name for name, head in self.mask_heads.items() if head.looking.backbone is backbone]
        return [*self.heads, *masks] if backbone is self.backbone else masks

    def _decoded(self, photos: Iterable[PhotoSource | Path | PhotoError]) -> Iterator[Decoded | PhotoError]:
        """Decodes in threads, in order, at most two batches ahead."""
        sizes = sorted({backbone.image_size for backbone in self.backbones})
        waiting: deque[Future[Decoded | PhotoError]] = deque()
        with ThreadPoolExecutor(self.workers) as pool:
            for photo in photos:
                waiting.append(pool.submit(decode, photo, sizes))
                if len(waiting) >= 2 * BATCH:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def _look_at(self, batch: Sequence[Decoded | PhotoError]) -> list["_Seen | PhotoError"]:
        photos = [photo for photo in batch if isinstance(photo, Decoded)]
        answers: dict[str, Array] = {}
        for backbone in self.backbones if photos else ():
            images = np.stack([photo.images[backbone.image_size] for photo in photos])
            answers |= self.answer(backbone, images)
        rows = ({name: each[row] for name, each in answers.items()} for row in range(len(photos)))
        return [each if isinstance(each, PhotoError) else _Seen(each, next(rows)) for each in batch]

    def _say(self, seen: "_Seen | PhotoError") -> Answer | PhotoError:
        if isinstance(seen, PhotoError):
            return seen
        photo, answered = seen.photo, seen.answered
        said: dict[str, Any] = {name: say_labels(head, answered[name]) for name, head in self.heads.items()}
        masks, probabilities, regions = {}, {}, {}
        for name, head in self.mask_heads.items():
            ask = partial(self._answer_tiles, name)
            try:
                grid = head.looking.answer_images(photo.source, answered[name], ask)
            except PhotoError as error:  # changed since it was decoded
                return error
            mask = head.decider.mask(grid, *photo.size)
            found = head.decider.find(grid, mask)
            said[name] = say_mask(head, grid, mask, found)
            masks[name], probabilities[name] = mask, grid[..., : len(head.label_set.names)]
            regions[name] = tuple(region for region in found if region.probability >= head.min_probability)
        fields = {
            "photo": str(photo.source.path),
            "photo_sha256": photo.sha256,
            "model": self.model,
            "model_sha256": self.model_sha256,
            "heads": said,
        }
        return Answer(photo.source, fields, masks, probabilities, regions)

    def _answer_tiles(self, name: str, tiles: Array) -> Array:
        return self.answer(self.mask_heads[name].looking.backbone, tiles, [name])[name]


@dataclass(frozen=True)
class _Seen:
    """One photo that was looked at: head -> float32 (C,), or its grid (h, w, K)."""

    photo: Decoded
    answered: dict[str, Array]


def _batched(photos: Iterable[Decoded | PhotoError]) -> Iterator[list[Decoded | PhotoError]]:
    remaining = iter(photos)
    while batch := list(islice(remaining, BATCH)):
        yield batch


def decode(given: PhotoSource | Path | PhotoError, sizes: Sequence[int]) -> Decoded | PhotoError:
    """Reads and decodes one photo for networks of these sizes; an error is passed on, one that comes up is returned."""
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
