import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from carclf.architectures import make_network
from carclf.demo import draw_photo
from carclf.demo.bodies import DEMO_BODIES
from carclf.demo.scene import DEMO_PLACES
from carclf.pretrain import (
    MASK_STRIDE,
    SECTORS,
    STRIDES,
    Recipe,
    TrainingSet,
    _find_maps,
    _make_batch,
    _make_learner,
    draw_training_set,
)

REPO = Path(__file__).resolve().parents[1]
EMBEDDED = REPO / "keras" / "models" / "embedded"
TINY = Recipe(photos=40, alpha=0.25, stages=((32, 1), (64, 1)), batch_size=8)
FEW = replace(TINY, photos=16)
TRAIN = f"""
import sys
from pathlib import Path
import keras
from keras import layers
from carclf import pretrain

def make_network(architecture, alpha):
    first = values = keras.Input((None, None, 3))
    for stride in (4, 2, 2, 2):
        values = layers.Conv2D(6, 3, strides=stride, padding="same", activation="relu")(values)
    trunk = keras.Model(first, layers.GlobalAveragePooling2D()(layers.BatchNormalization()(values)))
    images = keras.Input((None, None, 3))
    return keras.Model(images, trunk(layers.Rescaling(2.0, offset=-1.0)(images)))

pretrain.make_network = make_network  # a MobileNet has ten times as many layers, and each is traced
for name in ("one", "two"):
    pretrain.train_embedded(Path(sys.argv[1]) / name, pretrain.{FEW!r}, workers=1)
"""


@pytest.fixture(scope="module")
def data() -> TrainingSet:
    return draw_training_set(TINY, workers=1)


@pytest.fixture(scope="module")
def facts() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((EMBEDDED / "carclf.json").read_text())
    return loaded


def test_training_set_is_what_the_photos_say(data: TrainingSet) -> None:
    size = TINY.image_size
    assert data.images.shape == (40, size, size, 3)
    assert data.masks.shape == (40, size // MASK_STRIDE, size // MASK_STRIDE)
    for index in (0, 17):
        photo = draw_photo(TINY.seed, index, size, "pretrain")
        np.testing.assert_array_equal(data.images[index], photo.image)
        assert data.damagetype[index].sum() == len(photo.damagetype)
        assert data.masks[index].mean() / 255 == pytest.approx(photo.mask.mean(), abs=0.01)
        turn = (data.sector[index] * 360 / SECTORS - photo.azimuth + 180) % 360 - 180
        assert abs(turn) <= 180 / SECTORS
    whole = data.severity == 3
    assert not data.masks[whole].any()
    assert not data.location[whole].any()


def test_training_set_is_the_same_for_any_number_of_workers(data: TrainingSet) -> None:
    again = draw_training_set(TINY, workers=2)
    for name in ("images", "masks", "severity", "location", "damagetype", "sector"):
        np.testing.assert_array_equal(getattr(again, name), getattr(data, name))


def test_batches_mirror_photo_mask_and_view_together() -> None:
    size = 64
    images = np.zeros((1, size, size, 3), np.uint8)
    images[:, :, : size // 2] = 255  # bright and damaged on the left half, seen from the car's front left
    masks = np.zeros((1, size // MASK_STRIDE, size // MASK_STRIDE), np.uint8)
    masks[:, :, : masks.shape[2] // 2] = 255
    one = np.zeros(1, np.int64)
    data = TrainingSet(images, masks, one, np.zeros((1, 3)), np.zeros((1, 5)), one + 1)
    rng, turned = np.random.default_rng(0), 0
    for _ in range(20):
        batch, _, _, _, sector, mask = _make_batch(data, np.array([0]), size, rng)
        assert batch.dtype == np.float32
        assert 0 <= batch.min() <= batch.max() <= 1
        bright_left = batch[0, :, :16].mean() > batch[0, :, -16:].mean()
        damaged_left = mask[0, :, :2].mean() > mask[0, :, -2:].mean()
        assert bright_left == damaged_left == (sector[0] == 1)
        assert sector[0] in (1, SECTORS - 1)
        turned += not bright_left
    assert 3 < turned < 17


def test_training_twice_gives_the_same_weights_and_saves_a_model_with_its_facts(tmp_path: Path) -> None:
    # in a process of its own: deterministic operations cannot be switched off again
    run = subprocess.run([sys.executable, "-c", TRAIN, str(tmp_path)], cwd=REPO, stderr=subprocess.PIPE, text=True)
    assert run.returncode == 0, run.stderr[-2000:]
    assert (tmp_path / "one" / "saved_model.pb").is_file()
    made, again = (json.loads((tmp_path / name / "carclf.json").read_text()) for name in ("one", "two"))
    assert made == again
    assert made["seen_drawn_cars"] is True
    assert made["photos"] == FEW.photos


def test_a_mobilenet_learns_masks_from_maps_that_are_so_many_times_smaller() -> None:
    import keras

    network = make_network("MobileNet", TINY.alpha)
    trunk = network.layers[-1]
    photo = np.zeros((1, 64, 128, 3), np.float32)
    maps = keras.Model(trunk.inputs[0], _find_maps(keras, trunk))(photo)
    assert [level.shape[1:3] for level in maps] == [(64 // stride, 128 // stride) for stride in STRIDES]
    shapes = [output.shape for output in _make_learner(keras, network)([photo])]
    assert shapes == [(1, 4), (1, 3), (1, 5), (1, SECTORS), (1, 64 // MASK_STRIDE, 128 // MASK_STRIDE, 1)]


def test_embedded_backbone_is_small_and_says_how_it_was_made(facts: dict[str, Any]) -> None:
    assert sum(path.stat().st_size for path in EMBEDDED.rglob("*") if path.is_file()) <= 3_000_000
    assert facts["seen_drawn_cars"] is True
    assert {name: facts[name] for name in asdict(Recipe())} == json.loads(json.dumps(asdict(Recipe())))


def test_embedded_backbone_has_seen_no_body_and_no_place_of_the_demo(facts: dict[str, Any]) -> None:
    assert not set(facts["bodies"]) & {body.name for body in DEMO_BODIES}
    assert not set(facts["places"]) & {place.name for place in DEMO_PLACES}


def test_embedded_vectors_tell_the_severity_of_cars_they_have_not_seen(facts: dict[str, Any]) -> None:
    import hashlib

    import tensorflow as tf
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    module = tf.saved_model.load(str(EMBEDDED))
    digest = hashlib.sha256()
    for variable in module.variables:
        digest.update(np.ascontiguousarray(variable.numpy()).tobytes())
    assert digest.hexdigest() == facts["weights_sha256"]
    photos = [draw_photo(12, index, 160) for index in range(160)]
    images = np.stack([photo.image for photo in photos]).astype(np.float32) / 255
    vectors = np.concatenate([module(images[i : i + 32], training=False).numpy() for i in range(0, 160, 32)])
    severity = np.array([photo.severity for photo in photos])
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
    groups = np.array([photo.group for photo in photos])
    scores = cross_val_score(model, vectors, severity, groups=groups, cv=GroupKFold(4))
    trivial = max(np.unique(severity, return_counts=True)[1]) / len(severity)
    assert trivial + 0.1 < scores.mean() < 0.98
