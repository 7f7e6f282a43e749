"""Runs the frozen backbone once over the photos and keeps what comes out, photo by photo.

Decoding and the network overlap: threads decode a bounded number of photos ahead while the network works.
"""

import hashlib
import json
import logging
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from carclf.backbone import Backbone
from carclf.errors import BackboneError, PhotoError
from carclf.feature_cache import MapFile, check_space, read_vectors, write_vectors
from carclf.files import locked
from carclf.graphs import LEVELS
from carclf.images import decode_photo, read_bytes
from carclf.views import LIGHT, VIEWS, ZOOM, make_view

LOG = logging.getLogger(__name__)
PIXELS_VERSION = 1
"""Raised whenever a photo's pixels come out otherwise than before: old caches must not be used then."""
_BATCH = 32  # photos handed to the network at once; never changes a result
_AHEAD = 64  # photos decoded ahead of the network: 39 MB at 224 px
_SHARD = 256  # vectors in a shard: what a killed run loses at most


class PhotoFile(Protocol):
    """What is needed of a photo; dataset.Photo is one."""

    @property
    def path(self) -> Path:
        """The file."""

    @property
    def sha256(self) -> str:
        """SHA-256 of the file's bytes, in hex."""


@dataclass(frozen=True)
class MapRequest:
    """Which photos' feature maps are wanted.

    Attributes:
        photos: positions among the photos.
        levels: which maps.
        views: 1 = the photo, 2 = its mirror image, too.
    """

    photos: Sequence[int]
    levels: tuple[str, ...] = LEVELS
    views: int = 1


@dataclass(frozen=True)
class Features:
    """What the backbone sees.

    Attributes:
        vectors: float32 (views, num_photos, D); view 0 is the photo, view 1 its mirror image. NaN for a bad
            photo.
        maps: level -> float16 memmap (rows, h, w, c), read only; empty without a MapRequest.
        map_rows: level -> int64 (map views, len(request.photos)): which row of `maps` is whose; -1 for a bad
            photo.
        bad: (position, reason) of the photos that could not be read.
    """

    vectors: NDArray[np.float32]
    maps: dict[str, NDArray[np.float16]]
    map_rows: dict[str, NDArray[np.int64]]
    bad: list[tuple[int, str]]


def extract_features(
    backbone: Backbone,
    photos: Sequence[PhotoFile],
    views: int,
    cache_dir: Path,
    map_request: MapRequest | None = None,
    workers: int | None = None,
) -> Features:
    """Computes what the cache does not hold yet and returns all of it.

    Args:
        backbone: the network.
        photos: in any order; the result keeps it.
        views: how many of the views of views.make_view.
        cache_dir: where features are kept; one folder for each way of computing them.
        map_request: the photos whose maps are wanted; None = no maps.
        workers: threads that decode; None = one for each core. Never changes a result.

    Raises:
        BackboneError: if a feature is not finite (names the photo), or a level does not exist.
        RunDirError: if the disk is too small or cannot be written.
    """
    wanted = map_request or MapRequest(())
    _check_levels(backbone, wanted)
    folder = cache_dir / f"features-{features_key(backbone)}"
    with locked(folder):
        store = _Store(folder, backbone, wanted.levels if wanted.photos else ())
        missing = _missing(store, photos, views, wanted)
        check_space(folder, store.bytes_needed(missing))
        reasons = _compute(store, backbone, missing, workers or os.cpu_count() or 1)
        return _collect(store, photos, views, wanted, reasons)


@dataclass
class _Missing:
    """One photo with views that the cache does not hold."""

    photo: PhotoFile
    vector_views: set[int]
    map_views: set[int]

    @property
    def views(self) -> list[int]:
        return sorted(self.vector_views | self.map_views)


class _Store:
    """The cache of one way of computing features."""

    def __init__(self, folder: Path, backbone: Backbone, levels: tuple[str, ...]) -> None:
        self.folder = folder
        self.num_features = backbone.num_features
        self.vectors = read_vectors(folder, backbone.num_features)
        self.maps = {level: MapFile(folder, level, backbone.map_shapes[level]) for level in levels}

    def has_maps(self, key: str) -> bool:
        return all(key in file.rows for file in self.maps.values())

    def bytes_needed(self, missing: Sequence[_Missing]) -> int:
        map_bytes = sum(file.row_bytes for file in self.maps.values())
        return sum(4 * self.num_features * len(m.vector_views) + map_bytes * len(m.map_views) for m in missing)


def features_key(backbone: Backbone) -> str:
    """Names the way features are computed; together with a photo's bytes and view it decides every bit of them."""
    facts = {"pixels": PIXELS_VERSION, "views": [ZOOM, LIGHT], **_network_facts(backbone)}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def _network_facts(backbone: Backbone) -> dict[str, object]:
    facts: dict[str, object] = {
        "image_size": backbone.image_size,
        "input_range": backbone.input_range,
        "backbone": backbone.source.sha256,
        "engine": [backbone.engine, backbone.engine_version, backbone.precision],
        "grid": backbone.grid,
    }
    return facts | ({"parts": [_network_facts(part) for part in backbone.parts]} if backbone.parts else {})


def _record(photo: PhotoFile, view: int) -> str:
    return f"{photo.sha256}:{view}"


def _check_levels(backbone: Backbone, wanted: MapRequest) -> None:
    absent = [level for level in wanted.levels if level not in backbone.map_shapes]
    if wanted.photos and absent:
        raise BackboneError(
            f"backbone {backbone.source.name}: has no map {', '.join(absent)}, it has "
            f"{', '.join(backbone.map_shapes) or 'none'}. Take another backbone for masks."
        )


def _missing(store: _Store, photos: Sequence[PhotoFile], views: int, wanted: MapRequest) -> list[_Missing]:
    """Lists each photo's missing views once, even if its bytes come twice; those with maps first."""
    missing: dict[str, _Missing] = {}
    for photo in photos:
        lacking = {view for view in range(views) if _record(photo, view) not in store.vectors}
        if lacking:
            missing.setdefault(photo.sha256, _Missing(photo, set(), set())).vector_views |= lacking
    for position in wanted.photos:
        photo = photos[position]
        lacking = {view for view in range(wanted.views) if not store.has_maps(_record(photo, view))}
        if lacking:
            missing.setdefault(photo.sha256, _Missing(photo, set(), set())).map_views |= lacking
    return sorted(missing.values(), key=lambda entry: not entry.map_views)


def _compute(store: _Store, backbone: Backbone, missing: Sequence[_Missing], workers: int) -> dict[str, str]:
    """Fills the store; returns sha256 -> reason of the photos that cannot be read."""
    reasons: dict[str, str] = {}
    if not missing:
        return reasons
    hidden = None if LOG.isEnabledFor(logging.INFO) else True  # None: hidden unless on a terminal
    vectors: dict[str, NDArray[np.float32]] = {}
    batch: list[tuple[_Missing, NDArray[np.float32]]] = []
    with tqdm(total=len(missing), desc="features", unit="photo", disable=hidden) as bar:
        for entry, image in _decoded(missing, backbone.image_size, workers):
            bar.update()
            if isinstance(image, PhotoError):
                reasons[entry.photo.sha256] = str(image)
                continue
            batch.append((entry, image))
            if len(batch) == _BATCH:
                vectors |= _run_batch(store, backbone, batch)
                batch = []
            if len(vectors) >= _SHARD:
                _keep(store, vectors)
                vectors = {}
    if batch:
        vectors |= _run_batch(store, backbone, batch)
    _keep(store, vectors)
    return reasons


def _decoded(
    missing: Sequence[_Missing], image_size: int, workers: int
) -> Iterator[tuple[_Missing, NDArray[np.float32] | PhotoError]]:
    """Decodes in threads, in order, at most _AHEAD photos ahead."""
    waiting: deque[tuple[_Missing, Future[NDArray[np.float32] | PhotoError]]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for entry in missing:
                waiting.append((entry, pool.submit(_decode, entry.photo, image_size)))
                if len(waiting) >= _AHEAD:
                    first, image = waiting.popleft()
                    yield first, image.result()
            for first, image in waiting:
                yield first, image.result()
        finally:
            for _, image in waiting:
                image.cancel()


def _decode(photo: PhotoFile, image_size: int) -> NDArray[np.float32] | PhotoError:
    try:
        data = read_bytes(photo.path)
        if hashlib.sha256(data).hexdigest() != photo.sha256:
            raise PhotoError(f"{photo.path}: was changed while it was being used. Run again.")
        return decode_photo(data, image_size, str(photo.path))
    except PhotoError as error:
        return error


def _run_batch(
    store: _Store, backbone: Backbone, batch: Sequence[tuple[_Missing, NDArray[np.float32]]]
) -> dict[str, NDArray[np.float32]]:
    """Runs one batch view by view; maps go to the store at once, vectors are returned by record."""
    vectors: dict[str, NDArray[np.float32]] = {}
    for view in range(VIEWS):
        chosen = [(entry, image) for entry, image in batch if view in entry.views]
        if not chosen:
            continue
        entries = [entry for entry, _ in chosen]
        images = np.stack([image for _, image in chosen])
        with_maps = any(view in entry.map_views for entry in entries)
        batch_vectors, maps = backbone.extract(make_view(images, view), maps=with_maps)
        for entry, vector in zip(entries, batch_vectors, strict=True):
            _check_finite(vector, entry.photo, "vector")
            if view in entry.vector_views:
                vectors[_record(entry.photo, view)] = vector
        _keep_maps(store, entries, view, maps)
    return vectors


def _keep_maps(store: _Store, entries: Sequence[_Missing], view: int, maps: dict[str, NDArray[np.float32]]) -> None:
    for level, file in store.maps.items():
        rows = [
            row
            for row, entry in enumerate(entries)
            if view in entry.map_views and _record(entry.photo, view) not in file.rows
        ]
        if rows:
            with np.errstate(over="ignore"):  # what overflows is refused below
                halves = maps[level][rows].astype(np.float16)
            for row, half in zip(rows, halves, strict=True):
                _check_finite(half, entries[row].photo, f"map {level} in float16")
            file.append([_record(entries[row].photo, view) for row in rows], halves)


def _check_finite(values: NDArray[np.float32] | NDArray[np.float16], photo: PhotoFile, what: str) -> None:
    if not np.isfinite(values).all():
        raise BackboneError(f"{photo.path}: the backbone's {what} is not finite. Check the model and its input_range.")


def _keep(store: _Store, vectors: dict[str, NDArray[np.float32]]) -> None:
    if vectors:
        write_vectors(store.folder, list(vectors), np.stack(list(vectors.values())))
        store.vectors.update(vectors)


def _collect(
    store: _Store, photos: Sequence[PhotoFile], views: int, wanted: MapRequest, reasons: dict[str, str]
) -> Features:
    unread = np.full(store.num_features, np.nan, np.float32)
    vectors = np.empty((views, len(photos), store.num_features), np.float32)
    for view in range(views):
        for position, photo in enumerate(photos):
            vectors[view, position] = store.vectors.get(_record(photo, view), unread)
    map_rows = {
        level: np.array(
            [[file.rows.get(_record(photos[p], view), -1) for p in wanted.photos] for view in range(wanted.views)],
            dtype=np.int64,
        )
        for level, file in store.maps.items()
    }
    bad = [(position, reasons[photo.sha256]) for position, photo in enumerate(photos) if photo.sha256 in reasons]
    return Features(vectors, {level: file.open() for level, file in store.maps.items()}, map_rows, bad)
