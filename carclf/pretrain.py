"""Trains the backbone that the project ships, on cars it draws itself: bodies and places not in the demo set.

One network answers several questions at once (severity, location, kinds of damage, from where the car is seen,
which pixels are damage), so that its vector and its maps know something of each. Afterwards the answers are
thrown away.
"""

import hashlib
import logging
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from carclf.architectures import check_replaceable, make_network, write_savedmodel
from carclf.demo import KINDS, LOCATIONS, SEVERITIES, draw_photo
from carclf.demo.bodies import PRETRAIN_BODIES
from carclf.demo.scene import PRETRAIN_PLACES

Array = np.ndarray[Any, np.dtype[Any]]

LOG = logging.getLogger(__name__)
COMMAND = "python main.py backbone --train-embedded --to keras/models/embedded"
SECTORS = 8  # directions from which a car can be seen
MASK_STRIDE = 8  # pixels of the photo to one of the mask that is learned
STRIDES = (8, 16, 32)  # of the maps that learn it


@dataclass(frozen=True)
class Recipe:
    """How the embedded backbone is made. The same recipe on the same machine gives the same bytes."""

    seed: int = 77  # of drawings, first weights and order
    photos: int = 8000
    alpha: float = 0.375  # width of the MobileNet: with 0.4 and more it is over 3 MB
    stages: tuple[tuple[int, int], ...] = ((128, 11), (192, 3))  # (pixels, epochs): small is fast
    batch_size: int = 32
    learning_rate: float = 0.003
    weight_decay: float = 0.0002
    average: float = 0.995  # decay of the moving average of the weights, which is what is kept

    @property
    def image_size(self) -> int:
        """Pixels on either side at which the photos are drawn."""
        return max(size for size, _ in self.stages)


@dataclass(frozen=True)
class TrainingSet:
    """Drawn photos and what is to be learned of each."""

    images: Array  # uint8 (n, size, size, 3)
    masks: Array  # uint8 (n, size / MASK_STRIDE, size / MASK_STRIDE): share of damaged pixels, 255 = all
    severity: Array  # int64 (n,)
    location: Array  # float32 (n, 3)
    damagetype: Array  # float32 (n, 5)
    sector: Array  # int64 (n,): 0 = from the front, then over the car's left


def train_embedded(to: Path, recipe: Recipe | None = None, workers: int = 2) -> None:
    """Draws cars, trains a small MobileNet on them and saves it as an image-feature SavedModel.

    TensorFlow is set to deterministic operations for the rest of the process, and Keras forgets its names.

    Args:
        to: the folder of the SavedModel; an older one that was written here is replaced.
        recipe: how; by default that of the backbone that is shipped.
        workers: processes that draw; they change no byte.

    Raises:
        BackboneError: if the folder cannot be written, or holds anything else.
    """
    check_replaceable(to)  # before an hour of training
    import keras
    import tensorflow as tf

    recipe = recipe or Recipe()
    tf.config.experimental.enable_op_determinism()
    keras.backend.clear_session()  # else a second call would go on with the first one's random numbers
    keras.utils.set_random_seed(recipe.seed)
    data = draw_training_set(recipe, workers)
    network = make_network("MobileNet", recipe.alpha)
    _fit(network, data, recipe)
    write_savedmodel(network, to, make_facts(network, recipe))


def make_facts(network: Any, recipe: Recipe) -> dict[str, Any]:
    """Says in the side file how the backbone was made and what its weights hash to."""
    digest = hashlib.sha256()
    for weight in network.weights:
        digest.update(np.ascontiguousarray(weight.numpy()).tobytes())
    return {
        "seen_drawn_cars": True,
        "trained_by": COMMAND,
        "architecture": "MobileNet",
        **asdict(recipe),
        "bodies": [body.name for body in PRETRAIN_BODIES],
        "places": [place.name for place in PRETRAIN_PLACES],
        "weights_sha256": digest.hexdigest(),
    }


def draw_training_set(recipe: Recipe, workers: int) -> TrainingSet:
    """Draws all photos in the style "pretrain", in several processes; the same for any number of them."""
    LOG.info("drawing %d photos of %d px", recipe.photos, recipe.image_size)
    draw = partial(_draw_example, recipe.seed, recipe.image_size)
    if workers == 1:
        rows = list(map(draw, range(recipe.photos)))
    else:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            rows = list(pool.map(draw, range(recipe.photos), chunksize=32))
    images, masks, severity, location, damagetype, sector = (np.stack(column) for column in zip(*rows, strict=True))
    return TrainingSet(images, masks, severity, location, damagetype, sector)


def _draw_example(seed: int, size: int, index: int) -> tuple[Array, ...]:
    photo = draw_photo(seed, index, size, "pretrain")
    small = Image.fromarray(photo.mask * 255).resize((size // MASK_STRIDE, size // MASK_STRIDE), Image.Resampling.BOX)
    return (
        photo.image,
        np.asarray(small),
        np.array(SEVERITIES.index(photo.severity), np.int64),
        np.array([name in photo.location for name in LOCATIONS], np.float32),
        np.array([name in photo.damagetype for name in KINDS], np.float32),
        np.array(round(photo.azimuth / 360 * SECTORS) % SECTORS, np.int64),
    )


def _fit(network: Any, data: TrainingSet, recipe: Recipe) -> None:
    """Trains the network in stages of growing photos; it ends with the averaged weights."""
    import keras
    import tensorflow as tf

    learner = _make_learner(keras, network)
    steps_per_epoch = len(data.images) // recipe.batch_size
    steps = steps_per_epoch * sum(epochs for _, epochs in recipe.stages)
    rate = keras.optimizers.schedules.CosineDecay(
        recipe.learning_rate * 0.02,
        steps,
        warmup_target=recipe.learning_rate,
        warmup_steps=min(200, steps // 10),
    )
    optimizer = keras.optimizers.AdamW(
        rate, weight_decay=recipe.weight_decay, use_ema=True, ema_momentum=recipe.average
    )
    optimizer.build(learner.trainable_variables)
    rng = np.random.default_rng(recipe.seed)
    step = _make_step(tf, learner, optimizer)
    for size, epochs in recipe.stages:
        for epoch in range(epochs):
            order = rng.permutation(len(data.images))[: steps_per_epoch * recipe.batch_size]
            losses = [step(*_make_batch(data, rows, size, rng)) for rows in order.reshape(steps_per_epoch, -1)]
            mean = ", ".join(f"{value:.3f}" for value in np.mean([np.array(loss) for loss in losses], axis=0))
            LOG.info(
                "%d px, epoch %d of %d: losses of severity, location, kind, view, mask: %s",
                size,
                epoch + 1,
                epochs,
                mean,
            )
    optimizer.finalize_variable_values(learner.trainable_variables)


def _make_learner(keras: Any, network: Any) -> Any:
    """Adds an answer to every question: from the vector, and for the mask from the maps, coarse to fine.

    Returns:
        A model from float32 photos (b, s, s, 3) to [severity (b, 4), location (b, 3), kinds (b, 5),
        sectors (b, 8), mask (b, s/8, s/8, 1)], all logits.
    """
    trunk = network.layers[-1]
    vector, *maps = keras.Model(trunk.inputs[0], [trunk.output, *_find_maps(keras, trunk)])(
        network.layers[1](network.inputs[0])
    )
    dropped = keras.layers.Dropout(0.2)(vector)
    answers = [keras.layers.Dense(n)(dropped) for n in (len(SEVERITIES), len(LOCATIONS), len(KINDS), SECTORS)]
    fine, *coarser = [keras.layers.Conv2D(32, 1)(level) for level in maps]
    joined = coarser[-1]
    for level in (*reversed(coarser[:-1]), fine):
        joined = level + keras.layers.UpSampling2D(2)(joined)
        joined = keras.layers.ReLU()(joined)
    mask = keras.layers.Conv2D(1, 3, padding="same", bias_initializer=keras.initializers.Constant(-2.5))(joined)
    return keras.Model(network.inputs, [*answers, mask])


def _find_maps(keras: Any, trunk: Any) -> list[Any]:
    """The trunk's last activation at each of STRIDES, found by running it on a small picture."""
    layers = [layer for layer in trunk.layers if len(layer.output.shape) == 4]
    side = 2 * max(STRIDES)
    outputs = keras.Model(trunk.inputs[0], [layer.output for layer in layers])(np.zeros((1, side, side, 3), np.float32))
    sides = [output.shape[1] for output in outputs]
    last = {side: layer.output for side, layer in zip(sides, layers, strict=True)}
    return [last[side // stride] for stride in STRIDES]


def _make_step(tf: Any, learner: Any, optimizer: Any) -> Any:
    """One step of training, compiled once for photos of any size; it returns the five losses (5,)."""

    def step(images: Any, severity: Any, location: Any, damagetype: Any, sector: Any, mask: Any) -> Any:
        with tf.GradientTape() as tape:
            logits = learner(images, training=True)
            losses = tf.stack([
                tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(severity, logits[0])),
                tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(location, logits[1])),
                tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(damagetype, logits[2])),
                tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(sector, logits[3])),
                _mask_loss(tf, mask, logits[4]),
            ])  # fmt: skip
            total = tf.reduce_sum(losses * [1.0, 1.5, 2.0, 0.5, 1.0])
        gradients = tape.gradient(total, learner.trainable_variables)
        gradients, _ = tf.clip_by_global_norm(gradients, 5.0)
        optimizer.apply_gradients(zip(gradients, learner.trainable_variables, strict=True))
        return losses

    specs = [
        tf.TensorSpec((None, None, None, 3), tf.float32),
        tf.TensorSpec((None,), tf.int64),
        tf.TensorSpec((None, len(LOCATIONS)), tf.float32),
        tf.TensorSpec((None, len(KINDS)), tf.float32),
        tf.TensorSpec((None,), tf.int64),
        tf.TensorSpec((None, None, None, 1), tf.float32),
    ]
    return tf.function(step, input_signature=specs, autograph=False)


def _mask_loss(tf: Any, mask: Any, logits: Any) -> Any:
    """Cross entropy and soft Dice over the whole batch."""
    probability = tf.sigmoid(logits)
    overlap = 2 * tf.reduce_sum(probability * mask) + 1
    dice = 1 - overlap / (tf.reduce_sum(probability) + tf.reduce_sum(mask) + 1)
    return 2 * tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(mask, logits)) + dice


def _make_batch(data: TrainingSet, rows: Array, size: int, rng: np.random.Generator) -> tuple[Array, ...]:
    """Takes photos, cuts a little off their edges, mirrors half of them and changes their light.

    Returns:
        Photos float32 (b, size, size, 3) in [0, 1], severity, location, kinds, sector,
        mask (b, size/8, size/8, 1).
    """
    cells = size // MASK_STRIDE
    images = np.empty((len(rows), size, size, 3), np.float32)
    masks = np.empty((len(rows), cells, cells, 1), np.float32)
    sector = data.sector[rows].copy()
    for i, row in enumerate(rows):
        left, top, right, bottom = rng.uniform(0, 0.09, 4) * [1, 1, -1, -1] + [0, 0, 1, 1]
        full, coarse = data.images.shape[1], data.masks.shape[1]
        box = np.array([left, top, right, bottom])
        image = Image.fromarray(data.images[row]).resize((size, size), Image.Resampling.BILINEAR, tuple(box * full))
        mask = Image.fromarray(data.masks[row]).resize((cells, cells), Image.Resampling.BILINEAR, tuple(box * coarse))
        turn = -1 if rng.random() < 0.5 else 1
        images[i], masks[i, ..., 0] = np.asarray(image)[:, ::turn], np.asarray(mask)[:, ::turn]
        sector[i] = sector[i] * turn % SECTORS  # left becomes right, front stays front
    gain, gamma = rng.uniform(0.8, 1.25, (2, len(rows), 1, 1, 1))
    cast = rng.normal(1, 0.05, (len(rows), 1, 1, 3))
    images = np.clip(images / 255 * gain * cast, 0, 1) ** gamma
    targets = (data.severity[rows], data.location[rows], data.damagetype[rows], sector)
    return images.astype(np.float32), *targets, masks / 255
