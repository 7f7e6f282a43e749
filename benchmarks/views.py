"""What test-time views bring: heads fitted with 2 views of a photo, answering with 1, 2, 4 and 6.

    python benchmarks/views.py          about 6 minutes on 2 cores
    python benchmarks/views.py scores   or one of the two: scores, speed

Out of fold: every photo is answered by the head that never saw it, with the temperature and the thresholds that this
head chose for the 2 views it was fitted with. Differences are paired over the same photos in the same folds. Beside
them: heads fitted, calibrated and answering with as many views.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks.car_damage import MODEL, configured, make_backbone  # noqa: E402
from carclf.calibration import decide  # noqa: E402
from carclf.config import Config  # noqa: E402
from carclf.heads import Head  # noqa: E402
from carclf.metrics import Predictions  # noqa: E402
from carclf.scores import Array  # noqa: E402

SIZE, FITTED, ASKED = 320, 2, (1, 2, 4, 6)
PHOTOS, ROUNDS = 640, 3  # for the speed; the best round counts
SHOWN = {
    "severity": ("accuracy", "accuracy_damaged", "log_loss", "calibration_error"),
    "location": ("macro_f1", "mean_ap", "log_loss"),
    "damage_type": ("macro_f1", "mean_ap", "log_loss"),
}
OF_A_FOLD = ("kernels", "biases", "temperatures", "thresholds", "hidden_kernels", "hidden_biases")


def fitted_with(views: int) -> Config:
    """The benchmark's config, heads fitted with so many views; all share one cache of features."""
    config = configured(SIZE, masks=False)
    folder, name = config.results.parent / "views", model_of(views)
    changed: dict[str, Any] = {
        "training": config.training.model_copy(update={"views": views}),
        "backbones": {name: config.backbones[MODEL]},
        "models": (name,),
        "results": folder,
        "images": folder / "images",
    }
    return config.model_copy(update=changed)


def model_of(views: int) -> str:
    """What the model with so many views is called."""
    return f"{MODEL}_{views}_views"


def head_of(head: Head, fold: int) -> Head:
    """The head of one fold alone."""
    changed: Any = {name: getattr(head, name)[fold : fold + 1] for name in OF_A_FOLD if hasattr(head, name)}
    return replace(head, **changed)


def look(config: Config) -> tuple[Array, dict[str, int]]:
    """The vectors of all photos in all views, float32 (views, n, D), and photo -> its place among them."""
    from carclf.app import CACHE, backbone_options, num_workers, read_dataset
    from carclf.rundir import RunDir
    from carclf.sight import BACKBONE, SightRequest, find_source, look_at, open_backbone

    name = config.models[0]
    source = find_source(config.backbones, name, False)
    known = RunDir(config.results / name).read_json(BACKBONE)
    backbone = open_backbone(config.backbones, source, backbone_options(config, name), known)
    request = SightRequest(max(ASKED), (), (), 1, num_workers(config), "skip")
    sight = look_at(backbone, read_dataset(config), request, config.results / CACHE)
    return sight.vectors, {photo.name: place for place, photo in enumerate(sight.dataset.photos)}


def answer(record: Predictions, head: Head, vectors: Array) -> Predictions:
    """What the folds' heads say of the photos of a record; vectors: float32 (views, n, D), of the record's photos."""
    probabilities, decisions = np.zeros_like(record.probabilities), np.zeros_like(record.decisions)
    for fold in np.unique(record.folds):
        rows, own = record.folds == fold, head_of(head, int(fold))
        probabilities[rows] = own.probabilities(vectors[:, rows])
        decisions[rows] = decide(probabilities[rows], record.kind, own.threshold)
    return replace(record, probabilities=probabilities, decisions=decisions)


def records_of(name: str, config: Config, seen: tuple[Array, dict[str, int]]) -> dict[str, Predictions]:
    """What is said of the photos with every number of views, as fitted first."""
    from carclf.records import read_head, read_predictions
    from carclf.rundir import RunDir

    run, (vectors, places) = RunDir(config.results / config.models[0]), seen
    record, head = read_predictions(run, name, config.heads[name].kind), read_head(run, name)
    mine = vectors[:, [places[photo] for photo in record.photos]]
    records = {f"{views} views": answer(record, head, mine[:views]) for views in ASKED}
    as_fitted = records[f"{FITTED} views"]
    np.testing.assert_allclose(as_fitted.probabilities, record.probabilities, atol=1e-5)  # or nothing here is true
    return {f"{FITTED} views": as_fitted, **records}


def print_scores(configs: dict[int, Config]) -> None:
    from carclf.app import run_config

    trees = {views: run_config(config)[model_of(views)]["heads"] for views, config in configs.items()}
    config = configs[FITTED]
    seen = look(config)
    print(f"| head | metric | fitted with {FITTED}, answering with " + " | ".join(map(str, ASKED)) + " |", end="")
    print("".join(f" fitted and answering with {views} |" for views in ASKED))
    print("|---" * (2 + 2 * len(ASKED)) + "|")
    for name, metrics in SHOWN.items():
        records = records_of(name, config, seen)
        for row in rows_of(records, metrics, config.heads[name].none_label, config.cross_validation.seed):
            own = [f"{trees[views][name]['metrics'][row[0]]['mean']:.3f}" for views in ASKED]
            print(f"| {name} | {' | '.join([*row, *own])} |", flush=True)


def rows_of(
    records: dict[str, Predictions], metrics: tuple[str, ...], none_label: str | None, seed: int
) -> Iterator[list[str]]:
    """A row per metric: its mean with every number of views; differences to as fitted with their 95 % intervals."""
    from carclf.compare import compare_models

    tree = compare_models(records, none_label, seed)
    pairs = {pair["second"]: pair["metrics"] for pair in tree["pairs"] if pair["first"] == f"{FITTED} views"}
    for metric in metrics:
        row = [metric]
        for name in (f"{views} views" for views in ASKED):
            cell = f"{tree['means'][name][metric]:.3f}"
            if name in pairs:
                found = pairs[name][metric]
                high, low = (-bound for bound in found["interval"])
                cell += f" ({-found['difference']:+.3f}; {low:+.3f} to {high:+.3f})"
            row.append(cell)
        yield row


def print_speed(config: Config) -> None:
    from carclf.app import run_config
    from carclf.config_data import DatasetConfig
    from carclf.using import open_predictor

    run_config(config)
    assert isinstance(config.dataset, DatasetConfig)
    photos = sorted(config.dataset.photos.iterdir())[:PHOTOS]
    predictors = {views: open_predictor(config, views=views) for views in ASKED}
    seconds, busy = dict.fromkeys(ASKED, float("inf")), dict.fromkeys(ASKED, float("inf"))
    for _ in range(ROUNDS):
        for views, predictor in predictors.items():  # in turn, so that other work on the machine meets all of them
            started, of_process = time.perf_counter(), time.process_time()
            count = sum(1 for _ in predictor.predict(photos))
            seconds[views] = min(seconds[views], (time.perf_counter() - started) / count)
            busy[views] = min(busy[views], (time.process_time() - of_process) / count)
    print("| views | photos a second | ms of a core a photo |\n|---|---|---|")
    for views, each in seconds.items():
        print(f"| {views} | {1 / each:.1f} | {1000 * busy[views]:.1f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=("scores", "speed"), default=["scores", "speed"])
    parts = parser.parse_args().parts
    make_backbone()
    configs = {views: fitted_with(views) for views in ASKED}
    if "scores" in parts:
        print_scores(configs)
    if "speed" in parts:
        print_speed(configs[FITTED])


if __name__ == "__main__":
    main()
