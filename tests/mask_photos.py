"""Small photos whose maps, or pixels, tell where their two classes are: for the tests of everything that fits masks."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from carclf.annotations.instances import find_components
from carclf.config_masks import FlexUNetArchitecture, MaskTrainingConfig
from carclf.labels import IGNORED_PIXEL
from carclf.masks.fit import MaskSplit, split_inside
from carclf.masks.map_reader import MapReader
from carclf.masks.sampling import MaskData
from carclf.masks.spec import PIXELS, NetworkSpec, mirror_back
from carclf.masks.targets import MaskTargets, Truth, TruthLoader, make_mask_targets
from carclf.masks.training import CurvePoint
from carclf.scores import Array

SHAPES = {"P3": (8, 8, 6), "P4": (4, 4, 6), "P5": (2, 2, 6)}
NAMES, MIRROR = ("left", "right"), (1, 0)  # "left" becomes "right"
SPEC = NetworkSpec("fpn", SHAPES, 2, MIRROR, {"channels": 8})
QUICK = MaskTrainingConfig(epochs=12, least_steps=0, batch_size=8, learning_rate=0.01, channels=8, dropout=0.1)
TRAIN_ROWS, TEST_ROWS = np.arange(40), np.arange(40, 56)
SPLIT, SEED = MaskSplit("damage_mask", 1, TRAIN_ROWS, TEST_ROWS), 3
PATIENT = QUICK.model_copy(update={"epochs": 10, "patience": 2, "learning_rate_decay": "none", "learning_rate": 0.02})
REDUCED = QUICK.model_copy(
    update={"epochs": 10, "learning_rate_reducer": True, "reducer_patience": 1, "learning_rate": 0.03}
)
Photos = tuple[MaskData, list[np.ndarray]]
"""And their masks at their own size."""

SIDE = 16  # pixels of the photos that are looked at themselves
FLEXIBLE = FlexUNetArchitecture(
    name="flexunet", image_size=SIDE, base_filters=6, base_kernels=(3, 3), num_layers=3
).model_dump(mode="json", exclude={"name", "image_size", "num_classes"})
FROM_PIXELS = NetworkSpec("flexunet", {PIXELS: (SIDE, SIDE, 3)}, 2, MIRROR, FLEXIBLE)


def draw_masks(num_photos: int, random: np.random.Generator) -> list[np.ndarray]:
    """A rectangle of one class in each; every fourth one is empty, some have a band that nobody judged."""
    masks = []
    for index in range(num_photos):
        mask = np.zeros((24, 40), np.uint8)
        if index % 4:
            top, left = random.integers(0, 12), random.integers(0, 20)
            mask[top : top + 12, left : left + 20] = 1 + index % 2
        if index % 8 == 1:
            mask[:4] = IGNORED_PIXEL
        masks.append(mask)
    return masks


def make_photos(num_photos: int = 56, seed: int = 0) -> Photos:
    """Photos whose maps tell, with noise, where their two classes are."""
    random = np.random.default_rng(seed)
    masks = draw_masks(num_photos, random)
    targets = make_mask_targets(loaders(masks), SPEC)
    maps: dict[str, Any] = {}
    for level, (height, width, channels) in SHAPES.items():
        seen = targets.shares.astype(np.float32).reshape(num_photos, height, 8 // height, width, -1, 3).mean((2, 4))
        both = np.stack([seen, mirror_back(seen, (*MIRROR, 2))])
        noise = random.normal(0, 0.2, (2, num_photos, height, width, channels))
        noise[..., :2] += both[..., :2]
        maps[level] = noise.astype(np.float16).reshape(-1, height, width, channels)
    rows = np.arange(2 * num_photos).reshape(2, -1)
    reader = MapReader(maps, dict.fromkeys(SHAPES, rows))
    return MaskData(reader, targets, np.arange(num_photos) // 2, SPEC, NAMES), masks


def make_pixel_photos(num_photos: int = 56, seed: int = 0, noise: float = 0.1) -> Photos:
    """Photos whose pixels tell, with noise, where their two classes are: red is "left", green "right"; one view."""
    random = np.random.default_rng(seed)
    masks = draw_masks(num_photos, random)
    targets = make_mask_targets(loaders(masks), FROM_PIXELS)
    images = np.full((num_photos, SIDE, SIDE, 3), 0.5) + noise * random.normal(size=(num_photos, SIDE, SIDE, 3))
    images[..., :2] = 0.2 + 0.6 * targets.shares[..., :2] + noise * random.normal(size=images[..., :2].shape)
    reader = MapReader({PIXELS: images.clip(0, 1).astype(np.float16)}, {PIXELS: np.arange(num_photos)[None]})
    return MaskData(reader, targets, np.arange(num_photos) // 2, FROM_PIXELS, NAMES), masks


def truth_of(mask: np.ndarray) -> Truth:
    return Truth(mask.copy(), find_components(mask))


def loaders(masks: Sequence[np.ndarray]) -> list[TruthLoader]:
    return [lambda mask=mask: truth_of(mask) for mask in masks]  # type: ignore[misc]


def with_shares(data: MaskData, shares: np.ndarray) -> MaskData:
    return replace(data, targets=MaskTargets(shares, data.targets.pixels))


def scrambled(data: MaskData, rows: Array) -> MaskData:
    """Gives photos the masks of others, upside down."""
    shares = data.targets.shares.copy()
    shares[rows] = np.random.default_rng(0).permutation(shares[rows])[:, ::-1]
    assert not np.array_equal(shares[rows], data.targets.shares[rows])
    return with_shares(data, shares)


def inner_rows(data: MaskData, share: float = QUICK.validation_share) -> Array:
    """The inner validation part of SPLIT with SEED."""
    seed = int(np.random.SeedSequence([SEED, SPLIT.fold]).generate_state(3)[2])
    return split_inside(data, SPLIT, share, seed)[1]


def scrambled_inside(data: MaskData) -> MaskData:
    """Gives the inner validation part the masks of other photos, so that its loss goes up and down."""
    return scrambled(data, inner_rows(data))


def pooled_dice(counts: Array) -> float:
    """The mean over classes of the Dice score pooled over photos, of pixel counts int64 (n, C, 3)."""
    hits, extra, missed = counts.sum(axis=0).T
    return float(np.mean(2 * hits / (2 * hits + extra + missed)))


def losses_of(points: Sequence[CurvePoint], split: str) -> list[float]:
    return [point.loss for point in sorted(points, key=lambda point: point.epoch) if point.split == split]


def changed(settings: MaskTrainingConfig, **keys: Any) -> MaskTrainingConfig:
    return settings.model_copy(update=keys)


def random_maps(num_photos: int, seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {level: random.normal(size=(1, num_photos, *shape)) for level, shape in SHAPES.items()}


def assert_same_bytes(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    assert one.keys() == other.keys()
    assert all(one[key].tobytes() == other[key].tobytes() for key in one)


def differ(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return any(one[key].tobytes() != other[key].tobytes() for key in one)
