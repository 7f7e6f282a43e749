"""How long the fit of a network goes on, in which steps, and which of its weights count."""

from typing import Any

import numpy as np
import pytest

from carclf.config_masks import MaskTrainingConfig
from carclf.masks import training
from carclf.masks.fit import HELD_OUT, INNER, TRAIN, fit_mask_head
from carclf.masks.optimizing import Course, Follower, Stepper
from carclf.masks.training import Fitted, Job, train_network
from tests.mask_photos import (
    PATIENT,
    QUICK,
    REDUCED,
    SEED,
    SPLIT,
    TEST_ROWS,
    TRAIN_ROWS,
    Photos,
    assert_same_bytes,
    changed,
    differ,
    losses_of,
    make_photos,
    scrambled,
    scrambled_inside,
)


@pytest.fixture(scope="module")
def photos() -> Photos:
    return make_photos()


@pytest.fixture(scope="module")
def patient(photos: Photos) -> tuple[Fitted, list[dict[str, np.ndarray]]]:
    """A fit whose judge has other photos' masks, so that learning soon makes its loss worse; every epoch's weights."""
    seen: list[dict[str, np.ndarray]] = []
    data, rows = scrambled(photos[0], TEST_ROWS), {"judge": TEST_ROWS}
    job = Job("m", TRAIN_ROWS, rows, 1, judge="judge", show=lambda _, decoder: seen.append(decoder.to_arrays()))
    return train_network(data, job, changed(PATIENT, epochs=30)), seen


def test_patience_ends_a_fit_and_keeps_the_best_epochs_weights(
    patient: tuple[Fitted, list[dict[str, np.ndarray]]],
) -> None:
    fitted, seen = patient
    losses = losses_of(fitted.curves, "judge")
    best = int(np.argmin(losses)) + 1
    assert len(losses) == best + 2 < 30
    assert fitted.course == Course(best, (1.0,) * best)
    assert_same_bytes(fitted.decoder.to_arrays(), seen[best - 1])
    assert differ(seen[best - 1], seen[-1])


def test_without_patience_the_last_weights_count_however_bad(photos: Photos) -> None:
    seen: list[dict[str, np.ndarray]] = []
    data, settings = scrambled(photos[0], TEST_ROWS), changed(REDUCED, epochs=3)
    job = Job("m", TRAIN_ROWS, {"judge": TEST_ROWS}, 1, judge="judge", show=lambda _, d: seen.append(d.to_arrays()))
    fitted = train_network(data, job, settings)
    losses = losses_of(fitted.curves, "judge")
    assert fitted.course.epochs == len(losses) == 3 > int(np.argmin(losses)) + 1
    assert_same_bytes(fitted.decoder.to_arrays(), seen[-1])


@pytest.fixture
def rates(monkeypatch: pytest.MonkeyPatch) -> list[list[float]]:
    """The step size of every step, a list for every fit."""
    every: list[list[float]] = []

    class Noted(Stepper):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            every.append([])

        def step(self, maps: dict[str, Any], targets: Any) -> Any:
            every[-1].append(float(self.optimizer.learning_rate))
            return super().step(maps, targets)

    monkeypatch.setattr(training, "Stepper", Noted)
    return every


def expected_factors(losses: list[float], settings: MaskTrainingConfig) -> list[float]:
    """Waits after the best epoch, or the last fall of the step size, as the published project does."""
    factors, factor, best, waited = [], 1.0, float("inf"), 0
    for loss in losses:
        factors.append(factor)
        waited = 0 if loss < best else waited + 1
        best = min(best, loss)
        if waited == settings.reducer_patience:
            factor, waited = factor * settings.reducer_factor, 0
    return factors


def test_the_reducer_halves_the_step_size_and_the_second_fit_repeats_the_course(
    photos: Photos, rates: list[list[float]]
) -> None:
    fit = fit_mask_head(scrambled_inside(photos[0]), SPLIT, REDUCED, SEED)
    factors = expected_factors(losses_of(fit.history, INNER), REDUCED)
    assert factors[-1] < 0.5 < factors[1]
    assert fit.course == Course(REDUCED.epochs, tuple(factors))
    assert len(rates) == 2
    for given in rates:
        steps = len(given) // REDUCED.epochs
        assert len(given) == steps * REDUCED.epochs
        np.testing.assert_allclose(given, np.repeat(factors, steps) * REDUCED.learning_rate, rtol=1e-6)


def test_patience_decides_how_long_the_second_fit_goes_on(photos: Photos, rates: list[list[float]]) -> None:
    settings = changed(PATIENT, learning_rate_reducer=True, reducer_patience=1, epochs=30)
    fit = fit_mask_head(scrambled_inside(photos[0]), SPLIT, settings, SEED)
    inner = losses_of(fit.history, INNER)
    best = int(np.argmin(inner)) + 1
    factors = expected_factors(inner, settings)
    assert len(inner) == best + 2 < 30
    assert fit.course == Course(best, tuple(factors[:best]))
    assert len(losses_of(fit.history, TRAIN)) == len(losses_of(fit.history, HELD_OUT)) == best
    steps = len(rates[1]) // best
    np.testing.assert_allclose(rates[1], np.repeat(factors[:best], steps) * settings.learning_rate, rtol=1e-6)


def test_a_small_training_part_is_passed_over_until_there_are_enough_steps(photos: Photos) -> None:
    settings = changed(QUICK, epochs=2, least_steps=20)
    fit = fit_mask_head(photos[0], SPLIT, settings, SEED)
    last = max(point.epoch for point in fit.history if point.split == TRAIN)
    shown = photos[0].targets.has_class()[TRAIN_ROWS].any(axis=1)
    num_empty = min(int((~shown).sum()), round(settings.empty_share * int(shown.sum())))
    steps = -(-(int(shown.sum()) + num_empty) // settings.batch_size)
    assert (last - 1) * steps < 20 <= last * steps


def test_a_follower_and_a_course_say_the_same() -> None:
    """What is repeated is what was followed: the factor of an epoch is known before the epoch."""
    follower, losses = Follower(REDUCED), [3.0, 2.0, 2.5, 2.4, 1.0, 1.5]
    factors = []
    for epoch, loss in enumerate(losses, 1):
        factors.append(follower.factor)
        follower.see(epoch, loss)
    assert factors == expected_factors(losses, REDUCED)
