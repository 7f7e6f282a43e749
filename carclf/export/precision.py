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

from carclf.app import read_dataset
from carclf.calibration import decide
from carclf.compare import compare_models, comparison_text
from carclf.config import Config
from carclf.config_checks import STANDALONE
from carclf.dataset import Dataset
from carclf.errors import PhotoError
from carclf.export.formats import FORMATS
from carclf.export.mask_counting import MaskCounter, join_counted, make_counters
from carclf.export.precisions import EXACT
from carclf.export.whole_graph import input_name, join_graphs
from carclf.heads import Head, make_head
from carclf.mask_metrics import MaskCounts
from carclf.merged import merge_model
from carclf.metrics import Predictions, Record
from carclf.predict import Predictor, decode
from carclf.results import read_record
from carclf.rundir import RunDir
from carclf.scores import Array
from carclf.splits import FOLDS, KNOWN

LOG = logging.getLogger(__name__)
_TOGETHER = 32  # photos decoded at once; never changes a result
_SMALLEST = 1e-7  # of a float32 below 1; a probability of 0 has no logit


@dataclass(frozen=True)
class _Asked:
    """A photo of the run.

    Attributes:
        path: the file.
        folds: head -> the fold that judges it there.
    """

    path: Path
    folds: dict[str, int]


@dataclass(frozen=True)
class _Rounded:
    """What is measured.

    Attributes:
        predictor: the trained model, without the heads that are not measured.
        format_name: one of FORMATS.
        precision: one of that format's.
        counters: segmentation head -> what counts in its masks.
    """

    predictor: Predictor
    format_name: str
    precision: str
    counters: Mapping[str, MaskCounter]


def measure_loss(config: Config, predictor: Predictor, format_name: str, precision: str) -> dict[str, Any]:
    """Scores the heads of a model as they are in an export, beside what they scored in training.

    Args:
        config: that the model was trained with; its photos are read again.
        predictor: the trained model.
        format_name: one of FORMATS.
        precision: one of that format's.

    Returns:
        {`format`, `precision`, `photos`: n, `heads`: {head: what compare_models says of "float32" and the precision;
        of a classification head also `largest_change`: of a probability, and `answers_changed`: share of the photos
        whose answer is another one}, `not_measured`: [segmentation heads that look at tiles, as no export does]}

    Raises:
        PhotoError: if a photo cannot be read any more, or is another one than in training.
    """
    in_tiles = [name for name, head in predictor.mask_heads.items() if head.looking.tile is not None]
    mask_heads = {name: head for name, head in predictor.mask_heads.items() if name not in in_tiles}
    measured = replace(predictor, mask_heads=mask_heads, runs={})
    runs = {name: _run_of(config, measured, name) for name in (*measured.heads, *mask_heads)}
    before = {name: read_record(run, name, config.heads[name].kind) for name, run in runs.items()}
    dataset = read_dataset(config)
    asked = _list_photos(list(runs.values()), dataset, before)
    tree: dict[str, Any] = {"format": format_name, "precision": precision, "photos": len(asked), "heads": {}}
    tree["not_measured"] = in_tiles
    counters = make_counters(runs, mask_heads, dataset)
    answers = _answer(_Rounded(measured, format_name, precision, counters), asked)
    for name, record in before.items():
        given = [answers[name][photo] for photo in record.photos]
        if isinstance(record, MaskCounts):
            after: Record = join_counted(record, given)
        else:
            after = _answered(record, measured.heads[name], given)
            tree["heads"][name] = _changes(record, after)
        pair = {EXACT: record, precision: after}
        compared = compare_models(pair, config.heads[name].none_label, config.cross_validation.seed)
        tree["heads"][name] = tree["heads"].get(name, {}) | compared
    return tree


def loss_text(tree: Mapping[str, Any]) -> str:
    """What measure_loss has found, in words and tables."""
    lines = [f"{tree['precision']} in {tree['format']}, out of fold, {tree['photos']} photos"]
    for name, head in tree["heads"].items():
        if "answers_changed" in head:
            share, most = head["answers_changed"], head["largest_change"]
            lines.append(
                f"{name}: {share:.2%} of the photos get another answer; a probability changes by {most:.4f} at most"
            )
    if tree["not_measured"]:
        lines.append(f"not measured: {', '.join(tree['not_measured'])} (looked at in tiles)")
    text = "\n".join(lines) + "\n"
    return f"{text}\n{comparison_text(tree['heads'])}" if tree["heads"] else text


def _run_of(config: Config, predictor: Predictor, head: str) -> RunDir:
    """The run that a head was trained in."""
    own = predictor.backbone is not None and head in predictor.heads_of(predictor.backbone)
    return RunDir(config.results / (predictor.model if own else STANDALONE))


def _list_photos(runs: Sequence[RunDir], dataset: Dataset, records: Mapping[str, Record]) -> dict[str, _Asked]:
    """The photos that some head was judged on, by name."""
    folds: dict[str, dict[str, int]] = {}
    for head, record in records.items():
        for photo, fold in zip(record.photos, record.folds, strict=True):
            folds.setdefault(photo, {})[head] = int(fold)
    sums: dict[str, str] = {}
    for run in runs:  # those of one config have the same photos
        names = run.read_table(FOLDS, ("photo",))["photo"].tolist()
        sums |= dict(zip(names, run.read_arrays(KNOWN)["sha256"].tolist(), strict=True))
    there = {photo.name: photo for photo in dataset.photos}
    for name in folds:
        if name not in there or there[name].sha256 != sums[name]:
            what = "is another photo than in training" if name in there else "was there in training and is gone"
            raise PhotoError(f"{name}: {what}, so no score can be measured. Train again.")
    return {name: _Asked(there[name].path, each) for name, each in folds.items()}


def _answer(rounded: _Rounded, asked: Mapping[str, _Asked]) -> dict[str, dict[str, Any]]:
    """Head -> photo -> its answer by the head of the photo's fold: float32 (C,), or what a counter says of its mask."""
    predictor = rounded.predictor
    answers: dict[str, dict[str, Any]] = {name: {} for name in (*predictor.heads, *predictor.mask_heads)}
    if not asked:
        return answers
    graph = join_graphs(merge_model(_fold_heads(predictor)))
    with tempfile.TemporaryDirectory(prefix="carclf-") as scratch:
        FORMATS[rounded.format_name].write(graph, Path(scratch), rounded.precision)
        run = FORMATS[rounded.format_name].open(Path(scratch), predictor.workers)
        hidden = None if LOG.isEnabledFor(logging.INFO) else True  # None: hidden unless on a terminal
        read = _read(list(asked.values()), graph.sizes, predictor.workers)
        bar = tqdm(asked.items(), desc=rounded.precision, unit="photo", disable=hidden)
        for (name, photo), images in zip(bar, read, strict=True):
            said = run({input_name(size): image[None] for size, image in images.items()})
            for head, fold in photo.folds.items():
                answer, counter = said[_name(fold, head)][0], rounded.counters.get(head)
                answers[head][name] = answer if counter is None else counter.count(name, fold, answer)
    return answers


def _fold_heads(predictor: Predictor) -> Predictor:
    """The model with the k heads of every question one by one, in place of what they say together."""
    heads = {
        _name(fold, name): _one_of(head, fold)
        for name, head in predictor.heads.items()
        for fold in range(len(head.temperatures))
    }
    mask_heads = {
        _name(fold, name): replace(head, decoders=(decoder,))
        for name, head in predictor.mask_heads.items()
        for fold, decoder in enumerate(head.decoders)
    }
    return replace(predictor, heads=heads, mask_heads=mask_heads)


def _one_of(head: Head, fold: int) -> Head:
    return make_head(head.kind, head.label_set, {name: array[[fold]] for name, array in head.arrays().items()})


def _name(fold: int, head: str) -> str:
    return f"fold{fold}_{head}"


def _read(photos: Sequence[_Asked], sizes: Sequence[int], workers: int) -> Iterator[dict[int, Array]]:
    """Yields size -> float32 (S, S, 3) in [0, 1], in order; decoded in threads, a few photos ahead."""
    remaining = iter(photos)
    with ThreadPoolExecutor(workers) as pool:
        while batch := list(islice(remaining, _TOGETHER)):
            decoded = pool.map(partial(decode, sizes=sizes), [photo.path for photo in batch])
            for read in decoded:
                if isinstance(read, PhotoError):
                    raise read
                yield read.images


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
