"""A model of the config as it is used: its backbone, loaded once, and what it sees in the photos."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from carclf.backbone import Backbone, LoadOptions, load_backbone
from carclf.config import BackboneConfig
from carclf.dataset import Dataset, drop_photos
from carclf.errors import PhotoError
from carclf.features import Features, MapRequest, extract_features, features_key
from carclf.hub import Source, find_backbone
from carclf.scores import Array

BACKBONE = "backbone.json"


@dataclass(frozen=True)
class Sight:
    """What one backbone sees in the photos of a dataset.

    Attributes:
        dataset: the photos that could be read.
        backbone: facts of backbone.json.
        key: names the way the features were computed.
        vectors: float32 (views, n, num_features).
        group_vectors: the same without the cells of the grid; no features of the embedded backbone, to which different
            cars look alike: then bytes, dHash and the group column tell who belongs together.
        maps: level -> float16 memmap (rows, h, w, c), of the photos with a mask target.
        map_rows: level -> int64 (views, n): a photo's row in its map, -1 where it has none.
    """

    dataset: Dataset
    backbone: dict[str, Any]
    key: str
    vectors: Array
    group_vectors: Array
    maps: dict[str, Array]
    map_rows: dict[str, Array]


def find_source(config: BackboneConfig, name: str, embedded_fallback: bool) -> Source:
    """Finds the SavedModel of a backbone.

    Raises:
        BackboneError: says everything that was tried and how to mend it.
    """
    return find_backbone(name, config.local, config.handle, config.sha256, embedded_fallback)


def open_backbone(
    config: BackboneConfig, source: Source, options: LoadOptions, known: Mapping[str, Any] | None = None
) -> Backbone:
    """Loads a backbone; a run that has begun (`known`: its backbone.json) keeps its engine."""
    engine = config.engine
    if engine == "auto" and known is not None and known["sha256"] == source.sha256:
        engine = known["engine"]
    return load_backbone(source, config.image_size, config.input_range, engine, options)


def describe(backbone: Backbone) -> dict[str, Any]:
    """The facts of backbone.json."""
    return {
        "name": backbone.source.name,
        "source": backbone.source.source,
        "where": backbone.source.where,
        "sha256": backbone.source.sha256,
        "seen_drawn_cars": backbone.source.seen_drawn_cars,
        "image_size": backbone.image_size,
        "input_range": list(backbone.input_range),
        "engine": backbone.engine,
        "engine_version": backbone.engine_version,
        "precision": backbone.precision,
        "grid": backbone.grid,
        "num_features": backbone.num_features,
        "map_shapes": {level: list(shape) for level, shape in backbone.map_shapes.items()},
        "range_warning": backbone.range_warning,
    }


def look_at(backbone: Backbone, dataset: Dataset, request: "SightRequest", cache_dir: Path) -> Sight:
    """Extracts the features of a dataset; photos that cannot be read are left out or end the run.

    Raises:
        PhotoError: if a photo cannot be read and `request.on_bad_photo` is "stop".
    """
    wanted = np.zeros(len(dataset.photos), bool)
    for head in dataset.heads.values():
        if head.kind == "segmentation":
            wanted |= head.labelled
    positions = np.flatnonzero(wanted)
    maps = MapRequest(positions.tolist(), request.levels, request.map_views) if len(positions) else None
    features = extract_features(backbone, dataset.photos, request.views, cache_dir, maps, request.workers)
    if features.bad and request.on_bad_photo == "stop":
        raise PhotoError("\n".join(reason for _, reason in features.bad))
    kept = np.setdiff1d(np.arange(len(dataset.photos)), [position for position, _ in features.bad])
    return Sight(
        drop_photos(dataset, features.bad),
        describe(backbone),
        features_key(backbone),
        features.vectors[:, kept],
        features.vectors[:, kept, : 0 if backbone.source.source == "embedded" else backbone.num_plain],
        dict(features.maps),
        {level: _spread(features, level, positions, len(dataset.photos))[:, kept] for level in features.maps},
    )


@dataclass(frozen=True)
class SightRequest:
    """What is wanted of the photos.

    Attributes:
        views: 2 = the mirrored photo's vectors, too.
        levels: the maps.
        map_views: 2 = the mirrored photo's maps, too.
        workers: threads.
        on_bad_photo: "skip" or "stop".
    """

    views: int
    levels: tuple[str, ...]
    map_views: int
    workers: int
    on_bad_photo: str


def _spread(features: Features, level: str, positions: Array, count: int) -> Array:
    """The rows of a level's maps, by photo instead of by request: int64 (views, count), -1 where there is none."""
    requested = features.map_rows[level]
    rows = np.full((len(requested), count), -1, np.int64)
    rows[:, positions] = requested
    return rows
