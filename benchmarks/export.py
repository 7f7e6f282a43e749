"""Measures every exported format beside `predict`: size, photos a second, largest difference, loss of score.

    python benchmarks/export.py           three classification heads at 224 px, every format and precision
    python benchmarks/export.py loss      and what each shorter precision costs in score, out of fold

The model is trained on ../shared/data/car_damage first (half a minute), unless it is there. All are given the same
photos, decoded already: what is timed is the network and the heads. The figures are the best of three rounds, which
take turns, so that a busy minute slows all of them. Ratios are to `predict` in as many threads. TensorFlow has one
number of threads for a whole process, so the SavedModel takes all cores in either column.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks.car_damage import SHARED, configured, make_backbone  # noqa: E402
from carclf.config import Config  # noqa: E402
from carclf.export.precisions import EXACT  # noqa: E402
from carclf.images import read_photo  # noqa: E402
from carclf.predict import Predictor  # noqa: E402

IMAGE_SIZE = 224
PHOTOS, ROUNDS = 160, 3
THREADS = (1, 2)
Ask = Callable[[Any], dict[str, Any]]
"""float32 (n, S, S, 3) in [0, 1] -> head -> float32 (n, C)"""


@dataclass(frozen=True)
class Rival:
    """One way to answer.

    Attributes:
        name: as the table says it.
        megabytes: of its files.
        asks: threads -> what answers.
    """

    name: str
    megabytes: float
    asks: dict[int, Ask]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", choices=("speed", "loss"), default="speed")
    with_loss = parser.parse_args().part == "loss"
    from carclf.app import run_config
    from carclf.using import open_predictor

    make_backbone()
    config = configured(IMAGE_SIZE, masks=False)
    run_config(config)
    predictor = open_predictor(config)
    with tempfile.TemporaryDirectory(prefix="carclf-") as scratch:
        print_speed([open_predict(config, predictor), *open_exports(Path(scratch), predictor)], read_photos())
    if with_loss:
        print_losses(config, predictor)


def read_photos() -> Any:
    """The first photos of the set, float32 (n, S, S, 3)."""
    paths = sorted((SHARED / "data" / "car_damage" / "photos").iterdir())[:PHOTOS]
    return np.stack([read_photo(path, IMAGE_SIZE) for path in paths])


def open_predict(config: Config, predictor: Predictor) -> Rival:
    """What all others are compared with; its files are the SavedModel of the backbone and the heads."""
    from carclf.merged_runs import with_runs

    asks: dict[int, Ask] = {}
    for threads in THREADS:
        opened = with_runs(replace(predictor, workers=threads), config.results / "cache")
        asks[threads] = partial(opened.answer, opened.backbones[0])
    heads = [config.results / predictor.model / name / "heads.npz" for name in predictor.heads]
    backbone = [path for path in predictor.backbones[0].source.folder.rglob("*") if path.is_file()]
    return Rival("predict", _megabytes([*heads, *backbone]), asks)


def open_exports(scratch: Path, predictor: Predictor) -> list[Rival]:
    """Writes and opens every format in every precision that it has."""
    from carclf.export.formats import FORMATS
    from carclf.export.whole_graph import input_name, join_graphs
    from carclf.merged import merge_model

    graph = join_graphs(merge_model(predictor))
    rivals = []
    for name, each in FORMATS.items():
        for precision in each.precisions:
            folder = scratch / f"{name}-{precision}"
            folder.mkdir()
            each.write(graph, folder, precision)
            asks: dict[int, Ask] = {n: partial(ask_each, each.open(folder, n), input_name(IMAGE_SIZE)) for n in THREADS}
            files = [path for path in folder.rglob("*") if path.is_file()]
            rivals.append(Rival(name if precision == EXACT else f"{name}, {precision}", _megabytes(files), asks))
    return rivals


def ask_each(run: Callable[[dict[str, Any]], dict[str, Any]], name: str, images: Any) -> dict[str, Any]:
    """Asks an exported model about photo after photo."""
    rows = [run({name: images[place : place + 1]}) for place in range(len(images))]
    return {head: np.concatenate([row[head] for row in rows]) for head in rows[0]}


def print_speed(rivals: Sequence[Rival], images: Any) -> None:
    """Prints a line for each: megabytes, photos a second in 1 and 2 threads, largest difference from predict."""
    answers = {rival.name: rival.asks[THREADS[0]](images) for rival in rivals}  # the first run traces and compiles
    seconds: dict[tuple[str, int], float] = {}
    for threads in THREADS:
        for rival in rivals:
            rival.asks[threads](images[:2])
        for _ in range(ROUNDS):
            for rival in rivals:
                started = time.perf_counter()
                rival.asks[threads](images)
                taken = time.perf_counter() - started
                seconds[rival.name, threads] = min(taken, seconds.get((rival.name, threads), taken))
    heads = len(next(iter(answers.values())))
    print(f"\n{heads} heads at {IMAGE_SIZE} px, {len(images)} photos; photos a second, and the ratio to predict\n")
    columns = [f"{threads} thread{'s' if threads > 1 else ''}" for threads in THREADS]
    print(f"| format | MB | {' | '.join(columns)} | largest difference |")
    print("|---|---|" + "---|" * (len(THREADS) + 1))
    reference = rivals[0]
    for rival in rivals:
        speeds = [len(images) / seconds[rival.name, threads] for threads in THREADS]
        base = [len(images) / seconds[reference.name, threads] for threads in THREADS]
        cells = [f"{speed:.1f} ({speed / first:.2f} ×)" for speed, first in zip(speeds, base, strict=True)]
        far = max(float(np.abs(answers[rival.name][name] - each).max()) for name, each in answers["predict"].items())
        print(f"| {rival.name} | {rival.megabytes:.1f} | {' | '.join(cells)} | {far:.1e} |", flush=True)


def print_losses(config: Config, predictor: Predictor) -> None:
    """Prints what each shorter precision costs in score."""
    from carclf.export.formats import FORMATS
    from carclf.export.precision import loss_text, measure_loss

    for name, each in FORMATS.items():
        for precision in (every for every in each.precisions if every != EXACT):
            print(f"\n{loss_text(measure_loss(config, predictor, name, precision))}", flush=True)


def _megabytes(files: Sequence[Path]) -> float:
    return sum(path.stat().st_size for path in files) / 1e6


if __name__ == "__main__":
    main()
