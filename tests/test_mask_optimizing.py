"""The steps of a fit: optimisers against their formulas, the step size, the running average of the weights."""

from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from carclf.config_masks import MaskTrainingConfig
from carclf.masks.goals import make_goal
from carclf.masks.losses import curve_counts, mask_loss
from carclf.masks.networks import make_network
from carclf.masks.optimizing import Follower, Stepper, falls, make_optimizer, make_schedule
from carclf.masks.panoptic import instance_loss
from carclf.masks.sampling import read_batch
from carclf.masks.spec import PIXELS, NetworkSpec
from tests.mask_photos import MIRROR, NAMES, QUICK, SHAPES, SPEC, changed, make_photos, make_pixel_photos

RATE, DECAY = 0.01, 0.1
PLAIN = MaskTrainingConfig(learning_rate=RATE, weight_decay=DECAY, learning_rate_decay="none")
XCEPTION = NetworkSpec("unet_xception", {PIXELS: (16, 16, 3)}, 2, MIRROR, {"momentum": 0.9, "filters": [4, 6]})


def slow_adam(
    start: Sequence[float], gradients: Iterable[np.ndarray], rates: Sequence[float], decay: float
) -> np.ndarray:
    """Adam (Kingma & Ba, 2015), algorithm 1; with a decay AdamW (Loshchilov & Hutter, 2019), algorithm 2."""
    weights, first, second = np.array(start), np.zeros(len(start)), np.zeros(len(start))
    for step, (gradient, rate) in enumerate(zip(gradients, rates, strict=True), 1):
        weights -= rate * decay * weights
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        weights -= rate * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-7)
    return weights


def some_gradients(steps: int = 6) -> list[np.ndarray]:
    """Small and large ones in turn, so that cutting them matters."""
    random = np.random.default_rng(0)
    return [random.normal(size=3) * (20.0 if step % 2 else 0.05) for step in range(steps)]


def descend(settings: MaskTrainingConfig) -> dict[str, np.ndarray]:
    """Applies the gradients to a kernel and a bias of three weights each."""
    optimizer = make_optimizer(settings)
    variables = [keras.Variable([1.0, -2.0, 0.5], name=name) for name in ("kernel", "bias")]
    for gradient in some_gradients():
        optimizer.apply([tf.constant(gradient, tf.float32)] * 2, variables)
    return {variable.name: np.asarray(variable.numpy()) for variable in variables}


def cut_length(gradient: np.ndarray) -> np.ndarray:
    """To a length of 1 of both variables together, which have the same gradient."""
    return np.asarray(gradient / max(1.0, float(np.sqrt(2 * (gradient**2).sum()))))


@pytest.mark.parametrize("clipvalue", [None, 0.5])
@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
def test_optimisers_are_their_formulas(optimizer: str, clipvalue: float | None) -> None:
    got = descend(changed(PLAIN, optimizer=optimizer, clipvalue=clipvalue))
    cut = [
        cut_length(gradient) if clipvalue is None else gradient.clip(-clipvalue, clipvalue)
        for gradient in some_gradients()
    ]
    for name, decay in (("kernel", DECAY if optimizer == "adamw" else 0.0), ("bias", 0.0)):
        np.testing.assert_allclose(got[name], slow_adam([1.0, -2.0, 0.5], cut, [RATE] * 6, decay), rtol=1e-4)
    uncut = slow_adam([1.0, -2.0, 0.5], some_gradients(), [RATE] * 6, 0.0)
    assert np.abs(got["bias"] - uncut).max() > 1e-3


def test_along_a_cosine_the_step_size_grows_for_half_an_epoch_and_falls_to_nothing() -> None:
    settings = changed(PLAIN, learning_rate_decay="cosine")
    rates = [RATE / 2, RATE] + [RATE * (1 + np.cos(np.pi * step / 10)) / 2 for step in range(1, 11)]
    schedule = make_schedule(settings, 4, 3)
    got = [float(schedule(step)) for step in range(12)]
    np.testing.assert_allclose(got[2:], rates[1:-1], rtol=1e-5)
    assert got[0] < got[1] < RATE
    assert got[-1] < 0.05 * RATE
    assert float(schedule(12)) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(("reduced", "decay", "along"), [(False, "cosine", True), (True, "cosine", False)])
def test_the_reducer_takes_the_place_of_the_cosine(reduced: bool, decay: str, along: bool) -> None:
    settings = changed(PLAIN, learning_rate_decay=decay, learning_rate_reducer=reduced)
    assert falls(settings) is along
    assert not falls(changed(settings, learning_rate_decay="none"))


# -- what the inner validation part says


def test_the_step_size_is_multiplied_after_epochs_without_a_better_loss() -> None:
    follower = Follower(changed(PLAIN, learning_rate_reducer=True, reducer_patience=2, reducer_factor=0.5))
    losses = [5.0, 4.0, 4.0, 4.5, 4.1, 4.2, 3.0, 3.0, 3.5, 3.5, 3.5]
    factors = []
    for epoch, loss in enumerate(losses, 1):
        factors.append(follower.factor)
        follower.see(epoch, loss)
        assert not follower.is_over(epoch)
    #                 best       2 waited    2 more  best       2 waited    2 more
    assert factors == [1, 1, 1, 1, 0.5, 0.5, 0.25, 0.25, 0.25, 0.125, 0.125]
    assert follower.factor == 0.0625
    assert follower.best_epoch == 7


def test_patience_ends_a_fit_so_many_epochs_after_the_best_one() -> None:
    follower = Follower(changed(PLAIN, patience=3))
    losses = [5.0, 4.0, 4.4, 3.9, 3.9, 4.0, 4.0, 1.0]
    over = []
    for epoch, loss in enumerate(losses, 1):
        assert follower.see(epoch, loss) == (epoch in (1, 2, 4, 8))
        over.append(follower.is_over(epoch))
    assert over == [False] * 6 + [True, False]
    assert follower.factor == 1.0  # without a reducer


# -- steps and averages


def make_stepper(spec: NetworkSpec, settings: MaskTrainingConfig) -> Stepper:
    model = make_network(spec, settings.dropout, 0)
    return Stepper(model, spec, settings, (4, 2), make_goal(spec, settings, NAMES))


def arrays_of(weights: Iterable[Any]) -> list[np.ndarray]:
    return [np.array(weight.numpy()) for weight in weights]


def test_the_average_runs_over_the_steps_and_forgets_the_fresh_weights() -> None:
    data = make_photos()[0]
    stepper = make_stepper(SPEC, changed(QUICK, average_decay=0.5))
    mean = arrays_of(stepper.model.trainable_variables)
    for count in range(1, 13):
        stepper.step(*read_batch(data, np.arange(8), np.zeros(8, int)))
        decay = min(0.5, count / (9 + count))
        now = arrays_of(stepper.model.trainable_variables)
        mean = [decay * old + (1 - decay) * new for old, new in zip(mean, now, strict=True)]
    twin = make_network(SPEC, 0.0, 1)
    stepper.copy_average(twin)
    for got, expected in zip(arrays_of(twin.trainable_variables), mean, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6)
    assert any((a != b).any() for a, b in zip(arrays_of(twin.trainable_variables), now, strict=True))


def test_running_statistics_are_copied_as_they_are() -> None:
    data = make_pixel_photos(16)[0]
    settings = changed(QUICK, average_decay=0.9)
    stepper, twin = make_stepper(XCEPTION, settings), make_network(XCEPTION, 0.0, 7)
    fresh = arrays_of(twin.non_trainable_weights)
    for _ in range(5):
        stepper.step(*read_batch(data, np.arange(16), np.zeros(16, int)))
    stepper.copy_average(twin)
    copied, ours = arrays_of(twin.non_trainable_weights), arrays_of(stepper.model.non_trainable_weights)
    assert len(copied) > 4
    for got, expected, before in zip(copied, ours, fresh, strict=True):
        np.testing.assert_array_equal(got, expected)
        assert (got != before).any()


def test_without_averaging_the_last_weights_count() -> None:
    data = make_pixel_photos(16)[0]
    stepper, twin = make_stepper(XCEPTION, changed(QUICK, average_decay=0.0)), make_network(XCEPTION, 0.0, 7)
    for _ in range(3):
        stepper.step(*read_batch(data, np.arange(16), np.zeros(16, int)))
    stepper.copy_average(twin)
    for got, expected in zip(arrays_of(twin.weights), arrays_of(stepper.model.weights), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_each_step_is_as_long_as_the_cosine_says() -> None:
    data, stepper, schedule = make_photos()[0], make_stepper(SPEC, QUICK), make_schedule(QUICK, 4, 2)
    for number in range(8):
        stepper.step(*read_batch(data, np.arange(8), np.zeros(8, int)))
        assert float(stepper.optimizer.learning_rate) == float(schedule(number))


def test_a_factor_multiplies_the_step_size_of_the_config() -> None:
    stepper = make_stepper(SPEC, changed(QUICK, learning_rate_reducer=True))
    for factor in (1.0, 0.5, 0.125):
        stepper.set_factor(factor)
        assert float(stepper.optimizer.learning_rate) == pytest.approx(QUICK.learning_rate * factor)
    stepper = make_stepper(SPEC, QUICK)  # along a cosine it falls by itself
    before = float(stepper.optimizer.learning_rate)
    stepper.set_factor(0.125)
    assert float(stepper.optimizer.learning_rate) == before


# -- what is aimed at


@pytest.mark.parametrize("name", ["crossentropy_dice", "focal", "jaccard"])
def test_the_goal_is_the_loss_of_the_config_with_weights_by_class_name(name: str) -> None:
    data = make_photos()[0]
    random = np.random.default_rng(0)
    outputs, targets = tf.constant(random.normal(size=(8, 8, 8, 2)), tf.float32), data.targets.shares[:8]
    shares = tf.constant(targets.astype(np.float32))
    for given, weights in ((None, None), ({"right": 4.0}, (1.0, 4.0)), ({"left": 2.0, "right": 0.5}, (2.0, 0.5))):
        goal = make_goal(SPEC, changed(QUICK, loss=name, class_weights=given), NAMES)
        got = goal(outputs, shares).numpy()
        np.testing.assert_allclose(got[0], [mask_loss(name, weights)(outputs, shares)] * 3, rtol=1e-6)
        np.testing.assert_array_equal(got[1:], curve_counts(outputs, shares))
    plain, weighted = (
        make_goal(SPEC, changed(QUICK, loss=name, class_weights=given), NAMES)(outputs, shares).numpy()[0, 0]
        for given in (None, {"right": 4.0})
    )
    assert abs(plain - weighted) > 1e-3


def test_a_network_that_tells_regions_apart_learns_their_middles_too() -> None:
    spec = NetworkSpec("panoptic", SHAPES, 2, MIRROR, {"channels": 8})
    random = np.random.default_rng(0)
    outputs = tf.constant(random.normal(size=(2, 8, 8, 5)), tf.float32)
    targets = tf.constant(random.random((2, 8, 8, 7)), tf.float32)
    got = make_goal(spec, QUICK, NAMES)(outputs, targets).numpy()
    masks = mask_loss(QUICK.loss)(outputs[..., :2], targets[..., :3])
    assert got[0, 0] == pytest.approx(float(masks + instance_loss(outputs[..., 2:], targets[..., 3:])), rel=1e-5)
    assert got[0, 0] > float(masks)
    assert got.shape == (3, 3)


def test_loss_equals_a_reference_and_ignores_ignored_pixels() -> None:
    random = np.random.default_rng(0)
    logits = random.normal(size=(2, 4, 4, 1)).astype(np.float32)
    targets = np.concatenate([random.random((2, 4, 4, 1)), np.ones((2, 4, 4, 1))], axis=-1).astype(np.float32)
    targets[0, :2, :, 1] = 0
    judged = targets[..., 1] > 0
    p, t = 1 / (1 + np.exp(-logits[judged, 0])), targets[judged, 0]
    entropy = -(t * np.log(p) + (1 - t) * np.log(1 - p)).mean()
    soft = 1 - (2 * (p * t).sum() + 1) / (p.sum() + t.sum() + 1)
    evaluate = make_goal(NetworkSpec("fpn", SHAPES, 1, (0,), {"channels": 8}), QUICK, ("damage",))
    sums = evaluate(tf.constant(logits), tf.constant(targets)).numpy()
    assert sums[0, 0] == pytest.approx(entropy + soft, rel=1e-4)
    hits = t[p > 0.5].sum()
    np.testing.assert_allclose(sums[1], [hits, (p > 0.5).sum() - hits, t.sum() - hits], rtol=1e-4)
    logits[0, :2] += 5
    targets[0, :2, :, 0] = 1
    np.testing.assert_array_equal(evaluate(tf.constant(logits), tf.constant(targets)).numpy(), sums)
