"""What fewer bits cost in score, measured out of fold: every photo is answered by the fold head that never saw it.

The k heads of every question are exported one by one, behind the same backbone, in the same format and precision as the
model itself. So the backbone and the heads are rounded as they are in what is handed out.
"""

import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from carclf.app import locate_dataset
from carclf.calibration import decide
from carclf.compare import compare_models, comparison_text
from carclf.config import Config
from carclf.errors import PhotoError
from carclf.export.formats import FORMATS
from carclf.export.precisions import EXACT
from carclf.export.whole_graph import input_name, join_graphs
from carclf.heads import Head, make_head
from carclf.merged import merge_heads
from carclf.metrics import Predictions
from carclf.predict import Decoded, Predictor, decode
from carclf.records import read_predictions
from carclf.rundir import RunDir
from carclf.scores import Array
from carclf.splits import FOLDS, KNOWN

LOG = logging.getLogger(__name__)
_TOGETHER = 32  # photos decoded at once; never changes a result
_SMALLEST = 1e-7  # of a float32 below 1; a probability of 0 has no logit


@dataclass(frozen=True)
class _Asked:
    """A photo of the run, and the fold that judges it."""

    path: Path
    sha256: str
    fold: int


def measure_loss(config: Config, predictor: Predictor, format_name: str, precision: str) -> dict[str, Any]:
    """Scores the classification heads of a run as they are in an export, beside what they scored in training.

    Args:
        config: that the model was trained with; its photos are read again.
        predictor: the trained model.
        format_name: one of FORMATS.
        precision: one of that format's.

    Returns:
        {`format`, `precision`, `photos`: n, `heads`: {head: {`largest_change`: of a probability, `answers_changed`:
        share of the photos whose answer is another one, and what compare_models says of "float32" and the precision}},
        `not_measured`: [segmentation heads]}

    Raises:
        PhotoError: if a photo cannot be read any more, or is another one than in training.
    """
    run = RunDir(config.results / predictor.model)
    before = {name: read_predictions(run, name, head.kind) for name, head in predictor.heads.items()}
    asked = _list_photos(run, locate_dataset(config).photos, before)
    tree: dict[str, Any] = {"format": format_name, "precision": precision, "photos": len(asked), "heads": {}}
    tree["not_measured"] = list(predictor.mask_heads)
    if not asked:
        return tree
    answers = _answer(predictor, asked, format_name, precision)
    for name, head in predictor.heads.items():
        none_label = config.heads[name].none_label
        after = _answered(before[name], head, [answers[photo][name] for photo in before[name].photos])
        compared = compare_models({EXACT: before[name], precision: after}, none_label, config.cross_validation.seed)
        tree["heads"][name] = _changes(before[name], after) | compared
    return tree


def loss_text(tree: Mapping[str, Any]) -> str:
    """What measure_loss has found, in words and tables."""
    lines = [f"{tree['precision']} in {tree['format']}, out of fold, {tree['photos']} photos"]
    for name, head in tree["heads"].items():
        share, most = head["answers_changed"], head["largest_change"]
        lines.append(
            f"{name}: {share:.2%} of the photos get another answer; a probability changes by {most:.4f} at most"
        )
    if tree["not_measured"]:
        lines.append(f"not measured: {', '.join(tree['not_measured'])} (masks)")
    text = "\n".join(lines) + "\n"
    return f"{text}\n{comparison_text(tree['heads'])}" if tree["heads"] else text


def _list_photos(run: RunDir, folder: Path, records: Mapping[str, Predictions]) -> dict[str, _Asked]:
    """The photos that some head is labelled for, by name."""
    names = run.read_table(FOLDS, ("photo",))["photo"].tolist()
    sums = dict(zip(names, run.read_arrays(KNOWN)["sha256"].tolist(), strict=True))
    folds = {photo: int(fold) for each in records.values() for photo, fold in zip(each.photos, each.folds, strict=True)}
    return {name: _Asked(folder / name, sums[name], folds[name]) for name in names if name in folds}


def _answer(
    predictor: Predictor, asked: Mapping[str, _Asked], format_name: str, precision: str
) -> dict[str, dict[str, Array]]:
    """Photo -> head -> float32 (C,), by the head of the photo's fold."""
    backbone = predictor.backbones[0]
    graph = join_graphs([merge_heads(_fold_heads(predictor), backbone)])
    answers = {}
    with tempfile.TemporaryDirectory(prefix="carclf-") as scratch:
        FORMATS[format_name].write(graph, Path(scratch), precision)
        run = FORMATS[format_name].open(Path(scratch), predictor.workers)
        hidden = None if LOG.isEnabledFor(logging.INFO) else True  # None: hidden unless on a terminal
        images = _read(list(asked.values()), backbone.image_size, predictor.workers)
        bar = tqdm(asked.items(), desc=precision, unit="photo", disable=hidden)
        for (name, photo), image in zip(bar, images, strict=True):
            said = run({input_name(backbone.image_size): image[None]})
            answers[name] = {head: said[_name(photo.fold, head)][0] for head in predictor.heads}
    return answers


def _fold_heads(predictor: Predictor) -> Predictor:
    """The model with the k heads of every question one by one, in place of what they say together."""
    heads = {
        _name(fold, name): _one_of(head, fold)
        for name, head in predictor.heads.items()
        for fold in range(len(head.temperatures))
    }
    return replace(predictor, heads=heads, mask_heads={}, runs={})


def _one_of(head: Head, fold: int) -> Head:
    return make_head(head.kind, head.label_set, {name: array[[fold]] for name, array in head.arrays().items()})


def _name(fold: int, head: str) -> str:
    return f"fold{fold}_{head}"


def _read(photos: Sequence[_Asked], image_size: int, workers: int) -> Iterator[Array]:
    """Yields float32 (S, S, 3) in [0, 1], in order; decoded in threads, a few photos ahead."""
    remaining = iter(photos)
    with ThreadPoolExecutor(workers) as pool:
        while batch := list(islice(remaining, _TOGETHER)):
            decoded = pool.map(partial(decode, sizes=[image_size]), [photo.path for photo in batch])
            for photo, read in zip(batch, decoded, strict=True):
                if isinstance(read, PhotoError):
                    raise read
                _check_same(photo, read)
                yield read.images[image_size]


def _check_same(photo: _Asked, read: Decoded) -> None:
    if read.sha256 != photo.sha256:
        raise PhotoError(f"{photo.path}: is another photo than in training, so no score can be measured. Train again.")


def _answered(before: Predictions, head: Head, probabilities: Sequence[Array]) -> Predictions:
    """The same photos with other answers; every fold decides with its own thresholds."""
    given = np.stack(probabilities).astype(np.float32)
    thresholds, temperatures = head.thresholds[before.folds], head.temperatures[before.folds][:, None]
    likely = np.clip(given.astype(np.float64), _SMALLEST, 1 - _SMALLEST)
    off = 1 - likely if head.kind == "multi_label" else 1.0
    logits = (np.log(likely / off) * temperatures).astype(np.float32)
    return replace(before, logits=logits, probabilities=given, decisions=decide(given, head.kind, thresholds))


def _changes(before: Predictions, after: Predictions) -> dict[str, float]:
    return {
        "largest_change": float(np.abs(before.probabilities - after.probabilities).max()),
        "answers_changed": float((before.decisions != after.decisions).any(axis=1).mean()),
    }
