"""What all ways to fit heads share: a question's rows and targets, its inner folds, its curves, what comes out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from carclf.errors import TrainingError
from carclf.folds import Fold
from carclf.heads import Question, Views, merge_views
from carclf.linear import row_losses
from carclf.scores import Array, ratio
from carclf.views import is_mirrored

INNER_SPLIT = "inner_validation"


@dataclass(frozen=True)
class Settings:
    """How heads are fitted; see TrainingConfig. A linear head needs the first two only."""

    l2: tuple[float, ...]
    max_steps: int
    hidden_units: int = 0
    batch_size: int = 256
    learning_rate: float = 0.001
    patience: int = 10
    seed: int = 42


@dataclass(frozen=True)
class Fitted:
    """The k heads of one question.

    Attributes:
        inner_logits: for each fold float32 (n, num_classes), of its training photos by inner heads that never saw them.
        logits: float32 (n, k, num_classes), of all photos by the heads of all folds.
        layers: the heads' arrays by name, k first, for the features as they come; see `heads.make_head`.
        choices: what each fold chose on its inner folds.
        history: rows of fold, epoch, split, loss, metric (accuracy).
    """

    inner_logits: list[Array]
    logits: Array
    layers: dict[str, Array]
    choices: list[dict[str, Any]]
    history: list[dict[str, Any]]


class Desk:
    """One question's rows and targets, and the training parts that its heads are fitted on.

    Attributes:
        question: the head.
        rows: the feature vectors.
        per_photo: rows of a photo; row = view * n + photo.
        targets: float32 (per_photo * n, num_classes).
        columns: float32 (n, num_classes), of the photos as they are.
        folds: the k splits.
        inner: for each fold int64 (n,): the inner fold of its training photos, -1 for its test photos.
        parts: (fold, part) of every inner fit, which trains on the fold's other inner folds.
    """

    def __init__(self, question: Question, views: Views, folds: Sequence[Fold], inner: Sequence[Array]) -> None:
        self.question, self.folds, self.inner = question, folds, inner
        self.rows, self.per_photo = views.rows(question.has_sides)
        self.columns = question.columns()
        mirrored = question.mirrored_columns()
        self.targets = np.concatenate(
            [mirrored if is_mirrored(view) else self.columns for view in range(self.per_photo)]
        )
        self.parts = [(fold, part) for fold, given in enumerate(inner) for part in range(int(given.max()) + 1)]

    @property
    def inner_training(self) -> Array:
        """Bool (num_parts, n): the labelled photos that each inner fit trains on."""
        trained = [(self.inner[fold] >= 0) & (self.inner[fold] != part) for fold, part in self.parts]
        return np.stack(trained) & self.question.labelled

    @property
    def training(self) -> Array:
        """Bool (k, n): the labelled photos of each fold's training part."""
        return self._members([fold.train for fold in self.folds])

    @property
    def held_out(self) -> Array:
        """Bool (k, n): the labelled photos that each fold judges."""
        return self._members([fold.test for fold in self.folds])

    def _members(self, indices: Sequence[Array]) -> Array:
        count = len(self.question.labelled)
        return np.stack([np.isin(np.arange(count), index) for index in indices]) & self.question.labelled

    def shares(self, trained: Array) -> Array:
        """Photos that fits train on, bool (num_fits, n) -> each row's share, float32 (num_fits, num_rows).

        Raises:
            TrainingError: if a fit has none.
        """
        if not trained.any(axis=1).all():
            raise TrainingError(
                f"{self.question.name}: the training part of a fold, or of a fold inside it, has no photo labelled for "
                f"this head ({self.question.labelled.sum()} in all). Label more photos or use fewer folds."
            )
        members = np.tile(trained, (1, self.per_photo)).astype(np.float64)
        shares: Array = members / members.sum(axis=1, keepdims=True)
        return shares.astype(np.float32)

    def merge(self, logits: Array) -> Array:
        """Rows' logits (num_rows, num_fits, num_classes) -> photos' (n, num_fits, num_classes)."""
        return merge_views(logits.reshape(self.per_photo, -1, *logits.shape[1:]), self.question.label_set)

    def pick_inner(self, logits: Array) -> tuple[list[Array], Array]:
        """Picks for each fold, from logits (n, num_parts, num_classes), those of the inner head that never saw a photo.

        Returns:
            for each fold float32 (n, num_classes), zeros for its test photos; float64 (k,), the mean log loss.
        """
        picked = [np.zeros_like(self.columns) for _ in self.inner]
        for position, (fold, part) in enumerate(self.parts):
            own = self.inner[fold] == part
            picked[fold][own] = logits[own, position]
        losses = []
        for own_logits, given in zip(picked, self.inner, strict=True):
            judged = (given >= 0) & self.question.labelled
            losses.append(row_losses(own_logits[judged], self.columns[judged], self.question.kind).mean())
        return picked, np.array(losses, np.float64)


class Curves:
    """Loss and accuracy of the training, the held-out and the inner held-out photos of each fold, for looking at."""

    def __init__(self, desk: Desk) -> None:
        self.columns, self.kind = desk.columns[:, None], desk.question.kind
        self.members = {"train": desk.training.T, "validation": desk.held_out.T, INNER_SPLIT: desk.training.T}
        self.rows: list[dict[str, Any]] = []

    def observe(self, epoch: int, logits: Array | None, inner_logits: Sequence[Array] = ()) -> None:
        """Notes one epoch.

        Args:
            epoch: from 1.
            logits: float32 (n, k, num_classes), by the folds' heads; None = these are not looked at.
            inner_logits: for each fold float32 (n, num_classes), by its inner heads.
        """
        seen = {} if logits is None else {"train": logits, "validation": logits}
        if len(inner_logits):
            seen[INNER_SPLIT] = np.stack(inner_logits, axis=1)
        for split, given in seen.items():
            members = self.members[split]
            values = (row_losses(given, self.columns, self.kind), self._right(given))  # (n, k) each
            loss, metric = (ratio((value * members).sum(axis=0), members.sum(axis=0)) for value in values)
            self.rows += [
                {"fold": fold, "epoch": epoch, "split": split, "loss": float(loss[fold]), "metric": float(metric[fold])}
                for fold in range(members.shape[1])
            ]

    def _right(self, logits: Array) -> Array:
        """Share of a photo's answers that are right, (n, k)."""
        if self.kind == "categorical":
            return np.asarray(logits.argmax(axis=2) == self.columns.argmax(axis=2))
        return np.asarray(((logits > 0) == (self.columns > 0)).mean(axis=2))
