"""Heads with a hidden layer, of all folds: penalty and number of steps from the inner folds, early stopping."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from carclf.errors import TrainingError
from carclf.fitting import Curves, Desk, Fitted, Settings
from carclf.mlp import Inputs, Networks, make_inputs, original_layers
from carclf.scores import Array


@dataclass
class _Chosen:
    """What one fold has chosen so far: the pass over the photos with the best inner log loss, and its head then."""

    l2: float = 0.0
    loss: float = np.inf
    steps: int = 0
    waited: int = 0
    inner_logits: Array = field(default_factory=lambda: np.zeros(0, np.float32))
    logits: Array = field(default_factory=lambda: np.zeros(0, np.float32))
    weights: list[Array] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)


def fit_mlp_heads(desk: Desk, settings: Settings) -> Fitted:
    """Fits the k heads; an epoch of their curves is a pass over all photos.

    The heads of the folds are trained beside the inner ones. After each pass every fold looks at its own inner log
    loss and keeps its head of the best one; a fold whose loss has not fallen for `patience` passes is done. Penalties
    are tried from the strongest to the first that is worse for the fold.

    Raises:
        TrainingError: if a training part has no labelled photo or a loss is not finite.
    """
    trained = np.concatenate([desk.inner_training, desk.training])
    inputs = make_inputs(desk.rows, desk.question.kind, desk.targets, desk.shares(trained))
    best = [_Chosen() for _ in desk.folds]
    better = np.ones(len(best), bool)
    for strength in sorted(settings.l2, reverse=True):
        with threadpool_limits(1, "blas"):  # many small products: threads that wait for each other made them 4 × slower
            found = _train(desk, inputs, strength, settings)
        better &= [new.loss < old.loss for new, old in zip(found, best, strict=True)]
        best = [new if won else old for new, old, won in zip(found, best, better, strict=True)]
        if not better.any():
            break
    weights = [np.stack(each) for each in zip(*(chosen.weights for chosen in best), strict=True)]
    outer = np.arange(len(desk.parts), len(trained))
    return Fitted(
        [chosen.inner_logits for chosen in best],
        np.stack([chosen.logits for chosen in best], axis=1),
        original_layers(inputs, outer, weights),
        [{"l2": chosen.l2, "steps": chosen.steps} for chosen in best],
        [row for chosen in best for row in chosen.history],
    )


def _train(desk: Desk, inputs: Inputs, strength: float, settings: Settings) -> list[_Chosen]:
    """Trains all fits with one strength of the penalty until every fold is done."""
    networks = Networks(inputs, settings.hidden_units, strength, settings.learning_rate, settings.seed)
    folds = [_Chosen(strength) for _ in desk.folds]
    for epoch, batches in enumerate(_passes(desk, settings), start=1):
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # a loss that is not finite is told below
            for index in batches:
                networks.step(index)
            _look(desk, networks, epoch, settings, folds)
        if all(chosen.waited >= settings.patience for chosen in folds):
            break
    return folds


def _passes(desk: Desk, settings: Settings) -> Iterator[list[Array]]:
    """Yields for each pass over the photos the rows of its batches, max_steps of them in all.

    Photos that nobody labelled stay in, without weight: not one bit of a fold may depend on who labelled the others.
    """
    generator, count, left = np.random.default_rng(settings.seed), len(desk.columns), settings.max_steps
    views = np.arange(desk.per_photo)[:, None] * count
    while left:
        cuts = np.array_split(generator.permutation(count), -(-count // settings.batch_size))[:left]
        yield [(views + photos).ravel() for photos in cuts]
        left -= len(cuts)


def _look(desk: Desk, networks: Networks, epoch: int, settings: Settings, folds: list[_Chosen]) -> None:
    """One check: every fold that is not done looks at its inner log loss."""
    logits = desk.merge(networks.logits())  # (n, num_fits, num_classes)
    inner, outer = logits[:, : len(desk.parts)], logits[:, len(desk.parts) :]
    picked, losses = desk.pick_inner(inner)
    curves = Curves(desk)
    curves.observe(epoch, outer, picked)
    for number, chosen in enumerate(folds):
        if chosen.waited >= settings.patience:
            continue
        rows = [row for row in curves.rows if row["fold"] == number]
        if not np.isfinite([losses[number], rows[0]["loss"]]).all():
            raise TrainingError(
                f"{desk.question.name}, fold {number}, epoch {epoch}: the loss became NaN. "
                f"Lower training.learning_rate (now {settings.learning_rate:g})."
            )
        chosen.history += rows
        chosen.waited += 1
        if losses[number] < chosen.loss:
            chosen.loss, chosen.steps, chosen.waited = float(losses[number]), networks.steps, 0
            chosen.inner_logits, chosen.logits = picked[number], outer[:, number]
            place = len(desk.parts) + number
            chosen.weights = [each[place].copy() for each in networks.weights]
