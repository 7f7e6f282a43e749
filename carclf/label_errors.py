"""Labels that are most likely wrong, by what heads that never saw the photo believe (files of a run directory).

Classification heads: confident learning (Northcutt, Jiang & Chuang, "Confident Learning: Estimating Uncertainty in
Dataset Labels", JAIR 70, 2021), by cleanlab, from the out-of-fold probabilities after temperature. The threshold of a
class is its mean probability over the photos that are given it; a photo counts for the class whose threshold it
reaches (of several: the most probable one). Given against counted class is the confident joint; scaled to the numbers
of given labels, its off-diagonal estimates the number of wrong labels. So many are listed, class by class, where the
other class leads by most (prune by noise rate), unless the given class is the most probable one, and ranked by the
normalised margin. Where classes look alike the head's own mistakes are counted, too: the estimate is then too high. A
multi-label head is a yes-or-no question for each label. Labels are those the run was trained with.

Segmentation heads: a ranking by Dice and area, no confident learning and no estimate: see mask_issues.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from carclf import scores
from carclf.errors import RunDirError
from carclf.labels import NOT_LABELLED
from carclf.mask_metrics import MaskCounts
from carclf.metrics import Predictions
from carclf.records import read_mask_counts, read_predictions
from carclf.rundir import RunDir
from carclf.scores import Array

IssueKind = Literal["wrong class", "missing label", "extra label", "nothing found", "known empty", "mask differs"]
LEAST_DISAGREEMENT = 0.5  # masks that differ less are drawn badly rather than annotated wrongly


@dataclass(frozen=True)
class LabelIssue:
    """One label that is likely to be wrong.

    Attributes:
        head: the head's name.
        photo: the photo's name.
        given: the classes that the photo is labelled with, or that its annotation shows.
        believed: the classes by the head that never saw it; multi-label: as given, but for the one label in doubt.
        confidence: 0 to 1, how strongly the head contradicts; the lists are ordered by it. Classification:
            (1 + p(believed) - p(given)) / 2, for a multi-label head the probability of what it believes.
        kind: what is wrong.
    """

    head: str
    photo: str
    given: tuple[str, ...]
    believed: tuple[str, ...]
    confidence: float
    kind: IssueKind

    @property
    def sentence(self) -> str:
        """The issue in words: `given minor, believed severe`."""
        given, believed = ", ".join(self.given) or "nothing", ", ".join(self.believed) or "nothing"
        if self.kind == "missing label":
            return f"given {given}; missing: {', '.join(name for name in self.believed if name not in self.given)}"
        if self.kind == "extra label":
            return f"given {given}; too much: {', '.join(name for name in self.given if name not in self.believed)}"
        if self.kind == "wrong class":
            return f"given {given}, believed {believed}"
        return f"annotated {given}, found {believed}"


def find_label_issues(run: RunDir, heads: Mapping[str, str]) -> dict[str, list[LabelIssue]]:
    """Lists the labels of a finished run that are most likely wrong.

    Args:
        run: its directory.
        heads: name -> kind (categorical, multi_label, segmentation) of the heads to look at.

    Returns:
        head -> its issues, the most likely first; one photo of a multi-label head may have several.

    Raises:
        RunDirError: if a head's predictions are not there or cannot be read.
    """
    found = {}
    for name, kind in heads.items():
        record = _read(run, name, kind)
        found[name] = mask_issues(name, record) if isinstance(record, MaskCounts) else class_issues(name, record)
    return found


def _read(run: RunDir, head: str, kind: str) -> Predictions | MaskCounts:
    try:
        return read_mask_counts(run, head) if kind == "segmentation" else read_predictions(run, head, kind)
    except (KeyError, ValueError) as error:
        raise RunDirError(f"{run.path / head / 'predictions.csv'}: holds no answers of a {kind} head.") from error


def class_issues(head: str, predictions: Predictions) -> list[LabelIssue]:
    """Lists the labels of a classification head that are most likely wrong; photos not labelled are passed over."""
    predictions = _labelled(predictions)
    issues = _categorical_issues if predictions.kind == "categorical" else _multi_label_issues
    return _ranked(issues(head, predictions))


def _labelled(predictions: Predictions) -> Predictions:
    """The labelled photos by name, so that no order of rows decides between equals."""
    flat = predictions.targets if predictions.targets.ndim == 1 else predictions.targets[:, 0]
    by_name = np.argsort(np.array(predictions.photos, np.str_), kind="stable")
    return predictions.rows(by_name[flat[by_name] != NOT_LABELLED])


def _questions(predictions: Predictions) -> list[tuple[Array, Array]]:
    """What can be asked of a head: targets int64 (n,), probabilities float64 (n, classes); a label is off or on."""
    probabilities = predictions.probabilities.astype(np.float64)
    if predictions.kind == "categorical":
        return [(predictions.targets.astype(np.int64), probabilities)]
    pairs = zip(predictions.targets.T.astype(np.int64), probabilities.T, strict=True)
    return [(targets, np.stack([1 - on, on], axis=1)) for targets, on in pairs]


def _categorical_issues(head: str, predictions: Predictions) -> Iterator[LabelIssue]:
    names = predictions.class_names
    ((targets, probabilities),) = _questions(predictions)
    for row, believed in find_wrong(targets, probabilities):
        given = int(targets[row])
        confidence = _confidence(probabilities[row, believed], probabilities[row, given])
        yield LabelIssue(head, predictions.photos[row], (names[given],), (names[believed],), confidence, "wrong class")


def _multi_label_issues(head: str, predictions: Predictions) -> Iterator[LabelIssue]:
    names = predictions.class_names
    for label, (targets, probabilities) in enumerate(_questions(predictions)):
        for row, believed in find_wrong(targets, probabilities):
            given = predictions.targets[row] == 1
            corrected = np.where(np.arange(len(names)) == label, believed == 1, given)
            confidence = _confidence(probabilities[row, believed], probabilities[row, 1 - believed])
            kind: IssueKind = "missing label" if believed else "extra label"
            photo = predictions.photos[row]
            yield LabelIssue(head, photo, _named(given, names), _named(corrected, names), confidence, kind)


def find_wrong(targets: Array, probabilities: Array) -> list[tuple[int, int]]:
    """Returns the rows whose label is likely to be wrong, with the class each is believed to be.

    Args:
        targets: int64 (n,), every row labelled.
        probabilities: float64 (n, num_classes) out of fold. A class that no row is given has no threshold, so it is
            believed of none.
    """
    given, places = np.unique(targets, return_inverse=True)
    probabilities = probabilities[:, given]
    if len(given) < 2:
        return []  # what sets two classes apart cannot be learnt from one
    from cleanlab.filter import find_label_issues as find_rows  # here, as it brings scikit-learn: 1.5 s

    listed = find_rows(places, probabilities, filter_by="prune_by_noise_rate", min_examples_per_class=0, n_jobs=1)
    return [(int(row), int(given[probabilities[row].argmax()])) for row in np.flatnonzero(listed)]


def mask_issues(head: str, counts: MaskCounts) -> list[LabelIssue]:
    """Ranks the photos whose mask out of fold contradicts the annotation most: by Dice and area.

    The confidence is (1 - Dice) × the share of this head's annotated photos whose annotated part of the photo is no
    larger than what was annotated or found here: a scratch that was not found says little, and so does a speck found
    on a whole car. Dice is over all classes together; photos from LEAST_DISAGREEMENT on are listed. Kinds: "nothing
    found" (annotated, but the head finds nothing), "known empty" (it finds something where nothing is annotated),
    "mask differs" (elsewhere, or another class).
    """
    hits, false, missed = np.moveaxis(counts.counts, -1, 0)  # (n, num_classes) each
    annotated, found = hits + missed, hits + false
    pixels = np.maximum(1, counts.pixels)
    usual = np.sort((annotated.sum(axis=1) / pixels)[annotated.any(axis=1)])
    share = np.maximum(annotated.sum(axis=1), found.sum(axis=1)) / pixels
    rank = np.searchsorted(usual, share, side="right") / max(1, len(usual))  # (n,), 0 to 1
    disagreement = (1 - scores.dice(counts.counts.sum(axis=1))) * rank  # NaN: nothing annotated, nothing found
    issues = []
    for row in np.flatnonzero(disagreement >= LEAST_DISAGREEMENT):
        given, believed = _named(annotated[row] > 0, counts.class_names), _named(found[row] > 0, counts.class_names)
        kind: IssueKind = "mask differs" if given and believed else "nothing found" if given else "known empty"
        issues.append(LabelIssue(head, counts.photos[row], given, believed, float(disagreement[row]), kind))
    return _ranked(issues)


def _confidence(believed: float, given: float) -> float:
    """The normalised margin p(given) - max p(other), from 1 to -1, turned round to 0 to 1."""
    return float(np.clip((1 + believed - given) / 2, 0, 1))


def _named(on: Array, names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(names[int(place)] for place in np.flatnonzero(on))


def _ranked(issues: Iterator[LabelIssue] | list[LabelIssue]) -> list[LabelIssue]:
    """The most likely first; equals by the photo's name, then in the order of the classes."""
    return sorted(issues, key=lambda issue: (-issue.confidence, issue.photo))
