"""A model of the config as it is used: its backbone, loaded once, and what it sees in the photos."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from carclf.backbone import Backbone, LoadOptions, load_backbone, range_of
from carclf.config_backbones import BackboneConfig
from carclf.dataset import Dataset, drop_photos
from carclf.errors import BackboneError, PhotoError, raise_all
from carclf.features import Features, MapRequest, extract_features, features_key
from carclf.hub import Source, find_backbone
from carclf.joined import join_backbones, join_sources
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
        group_vectors: the same without the cells of the grid; no features where the embedded backbone stands in, to
            which different cars look alike: then bytes, dHash and the group column tell who belongs together.
        maps: level -> float16 memmap (rows, h, w, c), of the photos with a mask target.
        map_rows: level -> int64 (views, n): a photo's row in its map, -1 where it has none.
        network: the backbone itself.
    """

    dataset: Dataset
    backbone: dict[str, Any]
    key: str
    vectors: Array
    group_vectors: Array
    maps: dict[str, Array]
    map_rows: dict[str, Array]
    network: Backbone


def find_source(backbones: Mapping[str, BackboneConfig], name: str, embedded_fallback: bool) -> Source:
    """Finds the SavedModel of a backbone, or of all parts of a joined one.

    Args:
        backbones: those of the config, by name.
        name: of the one that is wanted.
        embedded_fallback: whether the small backbone that comes with the project may stand in.

    Raises:
        BackboneError: says everything that was tried and how to mend it, of all missing parts at once.
    """
    config = backbones[name]
    if config.joined is None:
        return find_backbone(name, config.local, config.handle, config.sha256, embedded_fallback)
    parts: list[tuple[Source, tuple[float, float]]] = []
    problems: list[str] = []
    for part in config.joined:
        try:
            source = find_source(backbones, part, embedded_fallback)
            parts.append((source, range_of(source, backbones[part].input_range)))
        except BackboneError as error:
            problems += str(error).splitlines()
    raise_all(BackboneError, problems)
    return join_sources(name, parts)


def open_backbone(
    backbones: Mapping[str, BackboneConfig],
    source: Source,
    options: LoadOptions,
    known: Mapping[str, Any] | None = None,
) -> Backbone:
    """Loads a backbone.

    Args:
        backbones: those of the config, by name.
        source: what find_source found.
        options: grid, threads and cache, those of a joined backbone for all its parts.
        known: backbone.json of a run that has begun, which keeps its engines.
    """
    size = backbones[source.name].image_size
    if not source.parts:
        return _load(backbones[source.name], source, size, options, known)
    begun = {facts["name"]: facts for facts in (known or {}).get("parts", [])}
    parts = [_load(backbones[part.name], part, size, options, begun.get(part.name)) for part in source.parts]
    return join_backbones(source, parts)


def _load(
    config: BackboneConfig, source: Source, image_size: int, options: LoadOptions, known: Mapping[str, Any] | None
) -> Backbone:
    engine = config.engine
    if engine == "auto" and known is not None and known["sha256"] == source.sha256:
        engine = known["engine"]
    return load_backbone(source, image_size, config.input_range, engine, options)


def describe(backbone: Backbone) -> dict[str, Any]:
    """The facts of backbone.json; those of a joined backbone hold its parts' under "parts"."""
    facts = {
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
    return facts | ({"parts": [describe(part) for part in backbone.parts]} if backbone.parts else {})


def look_at(backbone: Backbone, dataset: Dataset, request: "SightRequest", cache_dir: Path) -> Sight:
    """Extracts the features of a dataset; photos that cannot be read are left out or end the run.

    Raises:
        PhotoError: if a photo cannot be read and `request.on_bad_photo` is "stop".
    """
    wanted = np.zeros(len(dataset.photos), bool)
    for name in request.mask_heads:
        wanted |= dataset.heads[name].labelled
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
        features.vectors[:, kept, : 0 if backbone.source.is_embedded else backbone.num_plain],
        dict(features.maps),
        {level: _spread(features, level, positions, len(dataset.photos))[:, kept] for level in features.maps},
        backbone,
    )


def look_through(looks: "Sequence[tuple[Backbone, SightRequest]]", dataset: Dataset, cache_dir: Path) -> list[Sight]:
    """Looks at a dataset through several backbones, all of which then see the same photos.

    Args:
        looks: each backbone with what is wanted of it.
        dataset: a photo that one of them cannot read is left out of all.
        cache_dir: where features are kept.

    Raises:
        PhotoError: as look_at.
    """
    seen: list[Sight] = []
    for backbone, request in looks:
        seen.append(look_at(backbone, dataset, request, cache_dir))
        dataset = seen[-1].dataset
    if any(len(sight.dataset.photos) > len(dataset.photos) for sight in seen):
        return look_through(looks, dataset, cache_dir)  # from the cache
    return seen


@dataclass(frozen=True)
class SightRequest:
    """What is wanted of the photos.

    Attributes:
        views: 2 = the mirrored photo's vectors, too.
        mask_heads: whose labelled photos' maps are wanted.
        levels: the maps.
        map_views: 2 = the mirrored photo's maps, too.
        workers: threads.
        on_bad_photo: "skip" or "stop".
    """

    views: int
    mask_heads: tuple[str, ...]
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
