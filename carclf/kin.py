"""Photos that show one thing, found outside a run: for commands that look at the data alone."""

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from carclf.app import CACHE, backbone_options, num_workers
from carclf.config import Config
from carclf.dataset import Dataset, Photo, drop_photos
from carclf.errors import BackboneError, PhotoError
from carclf.features import extract_features
from carclf.groups import HASH_PHOTO_SIZE, Groups, hash_image, make_groups
from carclf.images import read_photo
from carclf.scores import Array
from carclf.sight import find_source, open_backbone

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Kin:
    """Which photos of a dataset belong together.

    Attributes:
        dataset: the photos that could be read; the others are among its skipped ones.
        groups: of these photos, as a run would make them.
        by: one sentence: what the photos were recognised by.
    """

    dataset: Dataset
    groups: Groups
    by: str


def find_kin(config: Config, dataset: Dataset) -> Kin:
    """Groups photos by their bytes, the group column, dHash and, as a run would, by the first model's vectors.

    Without its backbone, or with the embedded one, to which all cars look alike, the vectors are left out. They are
    kept in the cache of the results, where a run finds them.

    Raises:
        PhotoError: if no photo can be read.
    """
    workers = num_workers(config)
    with ThreadPoolExecutor(workers) as threads:
        hashes = list(threads.map(_hash_photo, dataset.photos))
    bad = [(position, str(found)) for position, found in enumerate(hashes) if isinstance(found, PhotoError)]
    readable = drop_photos(dataset, bad)
    dhashes = np.array([found for found in hashes if not isinstance(found, PhotoError)], np.uint64).reshape(-1, 2)
    vectors, by = _vectors(config, readable)
    groups = make_groups(
        [photo.sha256 for photo in readable.photos],
        [photo.table_group for photo in readable.photos],
        dhashes,
        vectors,
        config.cross_validation.group_similarity,
    )
    return Kin(readable, groups, by)


def _hash_photo(photo: Photo) -> tuple[int, int] | PhotoError:
    try:
        return hash_image(read_photo(photo.path, HASH_PHOTO_SIZE))
    except PhotoError as problem:
        return problem


def _vectors(config: Config, dataset: Dataset) -> tuple[Array, str]:
    """The vectors that groups are made by, float32 (views, n, num_features), and a sentence about them."""
    common = "same bytes, the group column and likeness of the pictures (dHash)"
    none = np.zeros((1, len(dataset.photos), 1), np.float32)
    if not config.models:
        return none, f"By {common}, as a run without a backbone does."
    model = config.models[0]
    try:
        source = find_source(config.backbones, model, embedded_fallback=False)
        backbone = open_backbone(config.backbones, source, backbone_options(config, model))
    except BackboneError as problem:
        if config.embedded_fallback:
            return none, f"By {common}, as a run on the embedded backbone does; {model} is not at hand."
        LOG.warning("Photos are compared without the vectors of %s. %s", model, " ".join(str(problem).splitlines()))
        return none, f"By {common}; a run also goes by the vectors of {model}, which could not be used."
    views = min(config.training.views, 2)
    found = extract_features(backbone, dataset.photos, views, config.results / CACHE, workers=num_workers(config))
    return found.vectors[:, :, : backbone.num_plain], f"By {common} and by the vectors of {model}, as a run does."
