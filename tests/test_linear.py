"""The fits reach the optimum that scikit-learn finds, one by one or all at once."""

from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from carclf.errors import TrainingError
from carclf.linear import Problem, Rows, fit_linear, logits_of, make_rows, original_weights, probabilities_of
from carclf.scores import Array
from tests.small_questions import make_question, make_vectors

KINDS = ("categorical", "multi_label")
SHAPES = ((120, 12), (60, 90))  # D < n, D > n
L2 = (1e-3, 3e-2)
PRECISE: dict[str, Any] = {"max_steps": 5000, "tolerance": 1e-6}


def make_problem(kind: str, vectors: Array, parts: int = 3) -> tuple[Rows, Problem]:
    """Leaves every third photo out of a fit, another third each time; a strength each."""
    question = make_question(kind, vectors[None])
    shares = np.stack([np.arange(len(vectors)) % 3 != part for part in range(parts)]).astype(np.float64)
    shares /= shares.sum(axis=1, keepdims=True)
    problem = Problem(kind, question.columns(), shares.astype(np.float32), np.resize(L2, parts).astype(np.float64))
    return make_rows(vectors), problem


def reference(vectors: Array, problem: Problem, fit: int) -> Array:
    """Logits of all photos by scikit-learn's optimum of one fit: float64 (n, num_classes)."""
    part = problem.shares[fit] > 0
    strength = problem.l2[fit] * vectors[part].var(axis=0, dtype=np.float64).sum()
    rows = vectors.astype(np.float64) - vectors.mean(axis=0)  # what its solver likes; the optimum is the same
    solver = LogisticRegression(C=1 / (part.sum() * strength), tol=1e-7, max_iter=2000)
    if problem.kind == "categorical":
        return np.asarray(solver.fit(rows[part], problem.targets[part].argmax(axis=1)).decision_function(rows))
    columns = problem.targets.T
    return np.stack([solver.fit(rows[part], column[part]).decision_function(rows) for column in columns], axis=1)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_fit_is_the_optimum_of_scikit_learn(kind: str, shape: tuple[int, int]) -> None:
    vectors = make_vectors(*shape)[0]
    rows, problem = make_problem(kind, vectors)
    logits = logits_of(rows.coordinates, fit_linear(rows, problem, **PRECISE))
    for fit in range(len(problem.l2)):
        expected = reference(vectors, problem, fit)
        assert np.abs(expected).max() > 0.3
        np.testing.assert_allclose(logits[:, fit], expected, atol=2e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_the_bias_pays_nothing(kind: str) -> None:
    """Under a crushing penalty a head answers with the class frequencies of its training part."""
    rows, problem = make_problem(kind, make_vectors()[0])
    crushing = Problem(kind, problem.targets, problem.shares, np.full(3, 1e4))
    answers = probabilities_of(logits_of(rows.coordinates, fit_linear(rows, crushing, **PRECISE)), kind)
    frequencies = problem.shares @ problem.targets
    np.testing.assert_allclose(answers, np.broadcast_to(frequencies, answers.shape), atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_the_unit_of_l2_makes_the_scale_of_the_features_irrelevant(kind: str) -> None:
    vectors = make_vectors()[0]
    _, problem = make_problem(kind, vectors)
    answers = []
    for scale in (1.0, 50.0):
        rows = make_rows(vectors * np.float32(scale))
        answers.append(logits_of(rows.coordinates, fit_linear(rows, problem, **PRECISE)))
    np.testing.assert_allclose(answers[0], answers[1], atol=1e-3)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
def test_all_at_once_is_one_by_one(kind: str, shape: tuple[int, int]) -> None:
    rows, problem = make_problem(kind, make_vectors(*shape)[0])
    together = fit_linear(rows, problem, 5000, 1e-6)
    for fit in range(3):
        alone = Problem(kind, problem.targets, problem.shares[[fit]], problem.l2[[fit]])
        single = fit_linear(rows, alone, 5000, 1e-6)
        one, other = (
            probabilities_of(logits_of(rows.coordinates, weights), kind) for weights in (together[[fit]], single)
        )
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_labels_of_photos_with_weight_0_change_no_bit() -> None:
    rows, problem = make_problem("categorical", make_vectors()[0])
    targets = problem.targets.copy()
    targets[0::3] = np.roll(targets[0::3], 1, axis=1)  # those that fit 0 does not see
    other = Problem("categorical", targets, problem.shares, problem.l2)
    first, second = (fit_linear(rows, each, 300, 1e-5) for each in (problem, other))
    assert first[0].tobytes() == second[0].tobytes()
    assert not np.allclose(first[1], second[1])


def test_a_start_leads_to_the_same_optimum() -> None:
    rows, problem = make_problem("multi_label", make_vectors()[0])
    cold = fit_linear(rows, problem, **PRECISE)
    warm = fit_linear(rows, problem, start=np.full_like(cold, 0.3), **PRECISE)
    answers = [logits_of(rows.coordinates, weights) for weights in (cold, warm)]
    np.testing.assert_allclose(answers[0], answers[1], atol=1e-3)


def test_every_step_is_observed() -> None:
    rows, problem = make_problem("categorical", make_vectors()[0])
    steps: list[int] = []
    fit_linear(rows, problem, 7, 0.0, observe=lambda step, weights: steps.append(step))
    assert steps == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize("shape", SHAPES)
def test_rows_are_a_rotation(shape: tuple[int, int]) -> None:
    vectors = make_vectors(*shape)[0]
    rows = make_rows(vectors)
    np.testing.assert_allclose(rows.axes.T @ rows.axes, np.eye(rows.axes.shape[1]), atol=1e-3)
    np.testing.assert_allclose(rows.coordinates[:, :-1] @ rows.axes.T + rows.mean, vectors, atol=1e-2)
    np.testing.assert_allclose((rows.coordinates.astype(np.float64) ** 2).mean(axis=0), rows.variances, rtol=1e-3)


@pytest.mark.parametrize("shape", SHAPES)
def test_original_weights_give_the_same_logits(shape: tuple[int, int]) -> None:
    vectors = make_vectors(*shape)[0]
    rows, problem = make_problem("categorical", vectors)
    weights = fit_linear(rows, problem, 2000, 1e-6)
    kernels, biases = original_weights(rows, weights)
    assert kernels.shape == (3, shape[1], 3)
    assert kernels.dtype == biases.dtype == np.float32
    expected = logits_of(rows.coordinates, weights).transpose(1, 0, 2)
    np.testing.assert_allclose(vectors @ kernels + biases[:, None], expected, atol=1e-3)


def test_features_that_are_all_the_same_are_refused() -> None:
    with pytest.raises(TrainingError, match="features of all photos are the same"):
        make_rows(np.full((30, 8), 0.1, np.float32))


def test_a_fit_without_photos_is_refused() -> None:
    rows, problem = make_problem("categorical", make_vectors()[0])
    shares = problem.shares.copy()
    shares[1] = 0
    with pytest.raises(TrainingError, match="no photo labelled for this head"):
        fit_linear(rows, Problem("categorical", problem.targets, shares, problem.l2), 10, 1e-3)
