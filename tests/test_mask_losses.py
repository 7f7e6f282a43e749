from collections.abc import Callable
from typing import Any, get_args

import keras
import numpy as np
import pytest
import tensorflow as tf

from carclf.config_masks import Loss
from carclf.labels import IGNORED_PIXEL
from carclf.masks.losses import LOSS_NAMES, curve_counts, mask_loss

WEIGHTS = {1: (4.0,), 3: (4.0, 0.5, 2.0)}
Reference = Callable[[np.ndarray, np.ndarray, np.ndarray], float]


def make_batch(num_classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits and targets of four photos: soft edges, an empty photo, cells that are ignored wholly or in part."""
    random = np.random.default_rng(seed)
    masks = np.zeros((4, 40, 56), np.uint8)
    for photo, mask in enumerate(masks):
        for class_id in range(1, num_classes + 1) if photo else ():
            top, left = random.integers(0, 24), random.integers(0, 36)
            mask[top : top + 15, left : left + 19] = class_id
        mask[:13, : 9 * photo] = IGNORED_PIXEL
    pixels = np.stack([*(masks == class_id for class_id in range(1, num_classes + 1)), masks != IGNORED_PIXEL], axis=-1)
    targets = pixels.reshape(4, 8, 5, 8, 7, -1).mean(axis=(2, 4))
    targets[..., :-1] /= np.maximum(targets[..., -1:], 1e-9)
    logits = random.normal(-0.5, 2.0, (4, 8, 8, num_classes))
    return logits.astype(np.float32), targets.astype(np.float16).astype(np.float32)  # rounded as MaskTargets are


def hard_batch(num_classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits and targets with whole cells, and the same as one-hot with the background last; all cells judged."""
    random = np.random.default_rng(1)
    ids = random.integers(0, num_classes + 1, (3, 6, 6))
    one_hot = np.eye(num_classes + 1, dtype=np.float32)[ids - 1]  # id 0 is last
    targets = np.concatenate([one_hot[..., :-1], np.ones_like(one_hot[..., :1])], axis=-1)
    return random.normal(0, 2, (3, 6, 6, num_classes)).astype(np.float32), targets, one_hot


def evaluated(name: str, logits: np.ndarray, targets: np.ndarray, weights: Any = None) -> float:
    return float(mask_loss(name, weights)(tf.constant(logits), tf.constant(targets)).numpy())


def gradient(name: str, logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    given = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(given)
        loss = mask_loss(name)(given, tf.constant(targets))
    return np.asarray(tape.gradient(loss, given).numpy())


# The formulas, cell by cell in float64.


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(np.append(logits.astype(np.float64), 0.0))
    return np.asarray(powers / powers.sum())


def pixel_mean(logits: np.ndarray, targets: np.ndarray, weights: np.ndarray, focus: float) -> float:
    total = judged = 0.0
    for cell in np.ndindex(*logits.shape[:3]):
        p, share = softmax(logits[cell]), float(targets[cell][-1])
        y = np.append(targets[cell][:-1], 1 - targets[cell][:-1].astype(np.float64).sum())
        for k, weight in enumerate([*weights, 1.0]):
            total -= share * weight * y[k] * (1 - p[k]) ** focus * np.log(p[k])
        judged += share
    return total / judged


def region_mean(logits: np.ndarray, targets: np.ndarray, weights: np.ndarray, jaccard: bool) -> float:
    costs, counted = [], []
    for c, weight in enumerate(weights):
        both = answered = true = 0.0
        for cell in np.ndindex(*logits.shape[:3]):
            p, y, share = softmax(logits[cell])[c], float(targets[cell][c]), float(targets[cell][-1])
            both, answered, true = both + share * p * y, answered + share * p, true + share * y
        if true > 0:
            score = (both + 1) / (answered + true - both + 1) if jaccard else (2 * both + 1) / (answered + true + 1)
            costs.append(weight * (1 - score))
            counted.append(weight)
    return sum(costs) / sum(counted) if counted else 0.0


REFERENCES: dict[str, Reference] = {
    "categorical_crossentropy": lambda z, t, w: pixel_mean(z, t, w, focus=0),
    "focal": lambda z, t, w: pixel_mean(z, t, w, focus=2),
    "dice": lambda z, t, w: region_mean(z, t, w, jaccard=False),
    "jaccard": lambda z, t, w: region_mean(z, t, w, jaccard=True),
    "crossentropy_dice": lambda z, t, w: pixel_mean(z, t, w, focus=0) + region_mean(z, t, w, jaccard=False),
}


def one_formula(logits: Any, targets: Any) -> Any:
    """The loss and counts as they were when crossentropy_dice was the only loss, operation by operation."""
    truth, judged = targets[..., :-1], targets[..., -1:]
    everything = tf.concat([logits, tf.zeros_like(logits[..., :1])], axis=-1)
    background = tf.maximum(1.0 - tf.reduce_sum(truth, axis=-1, keepdims=True), 0.0)
    distribution = tf.concat([truth, background], axis=-1)
    log_probability = tf.nn.log_softmax(everything)
    entropy = -tf.reduce_sum(distribution * log_probability * judged) / tf.maximum(tf.reduce_sum(judged), 1.0)
    probability = tf.exp(log_probability[..., :-1]) * judged
    covered = truth * judged
    sizes = tf.reduce_sum(covered, axis=(0, 1, 2))
    overlap = tf.reduce_sum(probability * truth, axis=(0, 1, 2))
    soft = 1.0 - (2.0 * overlap + 1.0) / (tf.reduce_sum(probability, axis=(0, 1, 2)) + sizes + 1.0)
    shown = tf.cast(sizes > 0, tf.float32)
    loss = entropy + tf.reduce_sum(soft * shown) / tf.maximum(tf.reduce_sum(shown), 1.0)
    decided = tf.cast(probability > 0.5 * judged, tf.float32)
    hits = tf.reduce_sum(decided * covered, axis=(0, 1, 2))
    marked = tf.reduce_sum(decided * judged, axis=(0, 1, 2))
    return tf.concat([tf.fill([1, 3], loss), tf.stack([hits, marked - hits, sizes - hits], axis=1)], axis=0)


def test_the_config_offers_every_loss() -> None:
    assert set(LOSS_NAMES) == set(get_args(Loss)) == set(REFERENCES)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("num_classes", [1, 3])
@pytest.mark.parametrize("name", LOSS_NAMES)
def test_a_loss_is_its_formula(name: str, num_classes: int, weighted: bool) -> None:
    logits, targets = make_batch(num_classes)
    shares, judged = targets[..., :-1], targets[..., -1]
    assert np.any((shares > 0) & (shares < 1)), "no soft share"
    assert {0.0, 1.0} < set(judged.ravel()), "no cell that is ignored in part"
    weights = WEIGHTS[num_classes] if weighted else None
    expected = REFERENCES[name](logits, targets, np.array(weights or (1.0,) * num_classes))
    assert evaluated(name, logits, targets, weights) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", ["dice", "jaccard"])
def test_classes_that_a_batch_does_not_show_count_in_no_mean(name: str) -> None:
    logits, targets = make_batch(3)
    small = (0.25, 0.5, 0.125)  # of the classes shown, less than 1 in all
    targets[..., 1] = 0
    expected = REFERENCES[name](logits, targets, np.array(small))
    assert evaluated(name, logits, targets, small) == pytest.approx(expected, rel=1e-5)
    targets[..., :-1] = 0
    assert evaluated(name, logits, targets, small) == 0
    assert not gradient(name, logits, targets).any()


@pytest.mark.parametrize("num_classes", [1, 3])
def test_crossentropy_dice_is_the_first_loss_bit_for_bit(num_classes: int) -> None:
    logits, targets = (tf.constant(array) for array in make_batch(num_classes, seed=5))

    @tf.function  # as in training: what the graph's optimiser does is part of it
    def both(logits: Any, targets: Any) -> Any:
        found = []
        for loss in (mask_loss("crossentropy_dice"), lambda *given: one_formula(*given)[0, 0]):
            with tf.GradientTape() as tape:
                tape.watch(logits)
                value = loss(logits, targets)
            found.append((value, tape.gradient(value, logits)))
        return found

    (loss, slope), (first_loss, first_slope) = both(logits, targets)
    assert loss.numpy().tobytes() == first_loss.numpy().tobytes()
    assert slope.numpy().tobytes() == first_slope.numpy().tobytes()
    eager = mask_loss("crossentropy_dice")(logits, targets), one_formula(logits, targets)
    assert eager[0].numpy().tobytes() == eager[1][0, 0].numpy().tobytes()
    assert curve_counts(logits, targets).numpy().tobytes() == eager[1][1:].numpy().tobytes()


@pytest.mark.parametrize("name", LOSS_NAMES)
def test_ignored_cells_change_no_bit(name: str) -> None:
    logits, targets = make_batch(3)
    ignored = targets[..., -1] == 0
    other_logits, other_targets = logits.copy(), targets.copy()
    other_logits[ignored] = 37.0
    other_targets[ignored, :-1] = (0.0, 1.0, 0.0)
    assert evaluated(name, other_logits, other_targets) == evaluated(name, logits, targets)
    slopes = gradient(name, logits, targets), gradient(name, other_logits, other_targets)
    assert not slopes[0][ignored].any()
    np.testing.assert_array_equal(*slopes)
    np.testing.assert_array_equal(curve_counts(other_logits, other_targets), curve_counts(logits, targets))


@pytest.mark.parametrize("name", LOSS_NAMES)
def test_a_batch_with_nothing_judged_costs_nothing(name: str) -> None:
    logits, targets = make_batch(3)
    targets[..., -1] = 0
    assert evaluated(name, logits, targets, WEIGHTS[3]) == 0
    assert not gradient(name, logits, targets).any()


@pytest.mark.parametrize("name", LOSS_NAMES)
def test_the_gradient_raises_the_true_class(name: str) -> None:
    logits, targets, _ = hard_batch(3)
    slopes, truth = gradient(name, logits, targets), targets[..., :-1] == 1
    assert np.all(slopes[truth] < 0)
    if name in ("categorical_crossentropy", "crossentropy_dice", "focal"):
        assert np.all(slopes[~truth.any(axis=-1)] > 0)  # cells of the background
    before = evaluated(name, logits, targets)
    assert evaluated(name, logits - 0.01 * slopes / np.abs(slopes).max(), targets) < before


@pytest.mark.parametrize("extreme", [0.0, 60.0, -60.0, 1e4])
@pytest.mark.parametrize("name", LOSS_NAMES)
def test_loss_and_gradient_are_finite_for_any_logits(name: str, extreme: float) -> None:
    logits, targets = make_batch(3)
    logits = np.full_like(logits, extreme)
    logits[..., 1] *= -1
    assert np.isfinite(evaluated(name, logits, targets, WEIGHTS[3]))
    assert np.isfinite(gradient(name, logits, targets)).all()


@pytest.mark.parametrize("name", LOSS_NAMES)
def test_a_perfect_answer_costs_nothing_and_the_opposite_much(name: str) -> None:
    _, targets, one_hot = hard_batch(3)
    sure = 30.0 * (one_hot[..., :-1] - one_hot[..., -1:])
    assert evaluated(name, sure, targets) < 1e-6
    assert evaluated(name, -sure, targets) > 0.5


@pytest.mark.parametrize("weights", [None, WEIGHTS[3]])
def test_losses_that_keras_has(weights: tuple[float, ...] | None) -> None:
    logits, targets, one_hot = hard_batch(3)
    everything = np.concatenate([logits, np.zeros_like(logits[..., :1])], axis=-1)
    alpha = [*(weights or (1.0, 1.0, 1.0)), 1.0]
    of_cells = (one_hot * np.array(alpha, np.float32)).sum(axis=-1)
    entropy = keras.losses.CategoricalCrossentropy(from_logits=True)(one_hot, everything, of_cells)
    assert evaluated("categorical_crossentropy", logits, targets, weights) == pytest.approx(float(entropy), rel=1e-5)
    focal = keras.losses.CategoricalFocalCrossentropy(alpha=alpha, gamma=2.0, from_logits=True)(one_hot, everything)
    assert evaluated("focal", logits, targets, weights) == pytest.approx(float(focal), rel=1e-5)


def test_curve_counts_are_cells_above_one_half() -> None:
    logits = np.array([2.0, 2.0, -2.0, 0.0, -2.0, 5.0], np.float32).reshape(1, 1, 6, 1)
    targets = np.array([[1, 1], [0.25, 1], [1, 0.5], [1, 1], [0, 1], [1, 0]], np.float32).reshape(1, 1, 6, 2)
    np.testing.assert_array_equal(curve_counts(logits, targets), [[1.25, 0.75, 1.5]])


@pytest.mark.parametrize("name", LOSS_NAMES)
def test_weights_that_do_not_fit_the_classes(name: str) -> None:
    logits, targets = make_batch(3)
    with pytest.raises(ValueError, match="1 class weights for 3 classes"):
        evaluated(name, logits, targets, (2.0,))


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf")])
def test_weights_that_are_none(weight: float) -> None:
    with pytest.raises(ValueError, match="finite numbers above 0"):
        mask_loss("dice", (1.0, weight))


def test_an_unknown_loss() -> None:
    with pytest.raises(ValueError, match=r'no loss "dise"; known are .*jaccard'):
        mask_loss("dise")
