"""A head answers a mirrored photo with the mirrored answer, and k heads as one."""

import numpy as np
import pytest

from carclf.heads import FittedHead, Question, Views, merge_views
from carclf.labels import NOT_LABELLED
from carclf.linear import probabilities_of
from tests.small_questions import SIDES, make_label_set, make_question, make_vectors

MIRROR = (2, 1, 0)


def make_head(kind: str = "multi_label", sides: bool = True, k: int = 3) -> FittedHead:
    random = np.random.default_rng(1)
    kernels, biases = random.normal(size=(k, 16, 3)), random.normal(size=(k, 3))
    label_set = make_label_set(SIDES, MIRROR if sides else None)
    temperatures, thresholds = np.array([0.8, 1.0, 1.7])[:k], random.random((k, 3))
    return FittedHead(kind, label_set, kernels.astype(np.float32), biases.astype(np.float32), temperatures, thresholds)


@pytest.mark.parametrize("kind", ["categorical", "multi_label"])
def test_a_mirrored_photo_gets_the_mirrored_answer_to_the_bit(kind: str) -> None:
    head, vectors = make_head(kind), make_vectors(views=2)
    answers, mirrored = head.probabilities(vectors), head.probabilities(vectors[::-1])
    assert head.logits(vectors)[:, MIRROR].tobytes() == head.logits(vectors[::-1]).tobytes()
    np.testing.assert_allclose(answers[:, MIRROR], mirrored, rtol=1e-6)
    assert not np.allclose(answers, mirrored)


def test_a_head_without_sides_gives_a_photo_and_its_mirror_image_one_answer() -> None:
    head, vectors = make_head(sides=False), make_vectors(views=2)
    assert head.logits(vectors).tobytes() == head.logits(vectors[::-1]).tobytes()
    of_mean = head.logits(vectors.mean(axis=0, keepdims=True))
    np.testing.assert_allclose(head.logits(vectors), of_mean, atol=1e-5)


def test_one_view_is_enough() -> None:
    head, vectors = make_head(), make_vectors(views=1)
    expected = np.mean(
        [(vectors[0] @ head.kernels[i] + head.biases[i]) / head.temperatures[i] for i in range(3)], axis=0
    )
    np.testing.assert_allclose(head.logits(vectors), expected, atol=1e-4)


@pytest.mark.parametrize("kind", ["categorical", "multi_label"])
def test_k_heads_answer_with_the_mean_of_their_tempered_logits(kind: str) -> None:
    head, vectors = make_head(kind), make_vectors(views=2)
    each = [
        merge_views(vectors @ kernel + bias, head.label_set) / temperature
        for kernel, bias, temperature in zip(head.kernels, head.biases, head.temperatures, strict=True)
    ]
    logits = head.logits(vectors)
    np.testing.assert_allclose(logits, np.mean(each, axis=0), atol=1e-4)
    np.testing.assert_allclose(head.probabilities(vectors), probabilities_of(logits, kind), rtol=1e-6)
    assert logits.dtype == head.probabilities(vectors).dtype == np.float32
    np.testing.assert_allclose(head.threshold, head.thresholds.mean(axis=0))


def test_the_place_of_a_photo_in_the_batch_does_not_matter() -> None:
    head, vectors = make_head(), make_vectors(views=2)
    together = head.logits(vectors)
    alone = np.concatenate([head.logits(vectors[:, [row]]) for row in range(vectors.shape[1])])
    np.testing.assert_allclose(alone, together, atol=1e-5)


def test_views_are_one_row_or_two() -> None:
    vectors = make_vectors(views=2)
    views = Views(vectors)
    rows, per_photo = views.rows(has_sides=False)
    assert (per_photo, len(rows.coordinates)) == (1, 120)
    means = rows.coordinates[:, :-1] @ rows.axes.T + rows.mean
    np.testing.assert_allclose(means, vectors.mean(axis=0), atol=1e-3)
    rows, per_photo = views.rows(has_sides=True)
    assert (per_photo, len(rows.coordinates)) == (2, 240)
    both = rows.coordinates[:, :-1] @ rows.axes.T + rows.mean
    np.testing.assert_allclose(both, np.concatenate(vectors), atol=1e-3)  # row = view * n + photo
    assert views.rows(has_sides=True)[0] is rows
    assert Views(vectors[:1]).rows(has_sides=True)[1] == 1


def test_columns_and_mirrored_columns_of_a_categorical_head() -> None:
    question = Question("side", "categorical", make_label_set(SIDES, MIRROR), np.array([0, 1, NOT_LABELLED, 2]))
    assert question.labelled.tolist() == [True, True, False, True]
    assert question.has_sides
    assert question.columns().tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 0], [0, 0, 1]]
    assert question.mirrored_columns().tolist() == [[0, 0, 1], [0, 1, 0], [0, 0, 0], [1, 0, 0]]


def test_columns_and_mirrored_columns_of_a_multi_label_head() -> None:
    targets = np.array([[1, 1, 0], [-1, -1, -1], [0, 0, 0]], np.int8)
    question = Question("side", "multi_label", make_label_set(SIDES, MIRROR), targets)
    assert question.labelled.tolist() == [True, False, True]
    assert question.columns().tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 0]]
    assert question.mirrored_columns().tolist() == [[0, 1, 1], [0, 0, 0], [0, 0, 0]]


def test_a_head_without_mirrored_labels_has_no_sides() -> None:
    assert not make_question("categorical", make_vectors()).has_sides
