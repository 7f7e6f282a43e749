"""Measures the main job on the real photos of ../shared/data/car_damage: scores, seconds, memory.

    python benchmarks/car_damage.py            everything: about 20 minutes on 2 cores
    python benchmarks/car_damage.py cold warm  some of it: cold, warm, masks, naive, check, prepare

The backbone is made from the weights in ../shared/models on the first run. Imports are not in the times, except in
those of check and prepare, which are whole commands.
"""

import argparse
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from carclf.architectures import build_savedmodel  # noqa: E402
from carclf.config import Config, read_config  # noqa: E402

SHARED = Path(os.environ.get("CARCLF_SHARED", ROOT.parent / "shared"))
CONFIG = ROOT / "benchmarks" / "car_damage.json"
MODEL = "mobilenet_075"
WEIGHTS = "mobilenet_v1_0.75_224_notop.weights.h5"
NAIVE_EPOCHS_RUN, NAIVE_EPOCHS, NAIVE_BATCH = 2, 30, 8
PARTS = ("cold", "warm", "masks", "naive", "check", "prepare")


@dataclass
class Measured:
    """What one part took."""

    seconds: float = 0.0
    anonymous_gb: float = 0.0


@contextmanager
def measured() -> Iterator[Measured]:
    """Times a block and watches the process' anonymous memory."""
    result, stop = Measured(), threading.Event()

    def watch() -> None:
        while not stop.wait(0.05):
            result.anonymous_gb = max(result.anonymous_gb, _anonymous_gb())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    started = time.perf_counter()
    try:
        yield result
    finally:
        result.seconds = time.perf_counter() - started
        stop.set()
        watcher.join()


def _anonymous_gb() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1e6
    return 0.0


def configured(image_size: int, masks: bool) -> Config:
    """The benchmark's config at an image size, with or without its segmentation head."""
    config = read_config(CONFIG)
    heads = {name: head for name, head in config.heads.items() if masks or head.kind != "segmentation"}
    backbone = config.backbones[MODEL].model_copy(update={"image_size": image_size})
    dataset: Any = _moved(config.dataset)
    if not masks:
        dataset = dataset.model_copy(update={"annotations": ()})
    name = f"{image_size}{'_masks' if masks else ''}"
    return config.model_copy(
        update={
            "heads": heads,
            "dataset": dataset,
            "backbones": {MODEL: backbone},
            "results": config.results / name,
            "images": config.images / name,
        }
    )


def _moved(dataset: Any) -> Any:
    """The dataset in SHARED, wherever that is."""
    data = SHARED / "data" / "car_damage"
    annotations = tuple(each.model_copy(update={"path": data / each.path.name}) for each in dataset.annotations)
    return dataset.model_copy(
        update={"photos": data / "photos", "labels": data / "labels.csv", "annotations": annotations}
    )


def run_timed(what: str, config: Config) -> tuple[Measured, dict[str, Any]]:
    """Runs the main job and prints what it took."""
    from carclf.app import run_config

    with measured() as taken:
        trees = run_config(config)
    print(f"{what:<58} {taken.seconds:8.1f} s   {taken.anonymous_gb:.2f} GB anonymous memory at most", flush=True)
    return taken, trees[MODEL]


def measure_cold(seconds: dict[str, float]) -> None:
    for size in (224, 320):
        config = configured(size, masks=False)
        shutil.rmtree(config.results, ignore_errors=True)
        taken, tree = run_timed(f"cold, 3 classification heads, 5 folds, {size} px", config)
        seconds[f"cold {size}"] = taken.seconds
        print_scores(tree)


def measure_warm(seconds: dict[str, float]) -> None:
    for size in (224, 320):
        config = configured(size, masks=False)
        if not (config.results / "cache").exists():
            run_timed(f"(filling the cache, {size} px)", config)
        shutil.rmtree(config.results / MODEL, ignore_errors=True)
        run_timed(f"warm, features cached, all else computed again, {size} px", config)
        run_timed(f"nothing changed, {size} px", config)


def measure_masks(seconds: dict[str, float]) -> None:
    config = configured(320, masks=True)
    shutil.rmtree(config.results, ignore_errors=True)
    _, tree = run_timed("cold, with damage_mask, 320 px", config)
    print_scores(tree)


def measure_naive(seconds: dict[str, float]) -> None:
    """The usual loop: the frozen backbone run again for every batch of every epoch, fold and head."""
    import keras
    import numpy as np
    import pandas as pd
    import tensorflow as tf

    size = 224
    table = pd.read_csv(SHARED / "data/car_damage/labels.csv", keep_default_na=False)
    targets = pd.Categorical(table["damage"]).codes
    train = np.arange(len(table)) % 5 != 0
    paths = [str(SHARED / "data/car_damage/photos" / name) for name in table["name"][train]]

    def load(path: Any, target: Any) -> tuple[Any, Any]:
        image = tf.io.decode_jpeg(tf.io.read_file(path), channels=3)
        return tf.image.resize(image, (size, size)) / 127.5 - 1, target

    photos = tf.data.Dataset.from_tensor_slices((paths, targets[train].astype("int32")))
    batches = photos.shuffle(len(paths), seed=0).map(load, tf.data.AUTOTUNE).batch(NAIVE_BATCH).prefetch(2)
    backbone = keras.applications.MobileNet((size, size, 3), alpha=0.75, include_top=False, weights=None, pooling="avg")
    backbone.load_weights(str(SHARED / "models" / WEIGHTS))
    backbone.trainable = False
    model = keras.Sequential([backbone, keras.layers.Dense(4, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(batches.take(1), verbose=0)  # tracing is not in the times
    with measured() as taken:
        model.fit(batches, epochs=NAIVE_EPOCHS_RUN, verbose=0)
    epoch = taken.seconds / NAIVE_EPOCHS_RUN
    total = epoch * 3 * 5 * NAIVE_EPOCHS
    print(
        f"naive loop, {size} px: {epoch:.1f} s an epoch ({NAIVE_EPOCHS_RUN} really run), "
        f"× 3 heads × 5 folds × {NAIVE_EPOCHS} epochs = {total:,.0f} s (calculated)"
    )
    if f"cold {size}" in seconds:
        print(f"naive loop / cold run at {size} px: {total / seconds[f'cold {size}']:.0f} ×")


def measure_check(seconds: dict[str, float]) -> None:
    config = configured(224, masks=True)
    shutil.rmtree(config.results, ignore_errors=True)
    for what in ("nothing cached", "features cached"):
        time_command(f"check, 224 px, {what}", config, "check", "--quiet")


def measure_prepare(seconds: dict[str, float]) -> None:
    config = configured(224, masks=True)
    to = config.results / "prepared"
    time_command("check, for the features", config, "check", "--quiet", "--no-html")
    shutil.rmtree(to, ignore_errors=True)
    time_command("prepare, 3 copies, features cached", config, "prepare", "--to", str(to), "--quiet")


def time_command(what: str, config: Config, *words: str) -> None:
    """Times a command of the program, its start included."""
    config.results.mkdir(parents=True, exist_ok=True)
    path = config.results / "config.json"
    path.write_text(config.model_dump_json())
    started = time.perf_counter()
    subprocess.run([sys.executable, "main.py", *words, "--config", str(path)], cwd=ROOT, check=True)
    print(f"{what:<58} {time.perf_counter() - started:8.1f} s", flush=True)


def print_scores(tree: dict[str, Any]) -> None:
    for name, head in tree["heads"].items():
        for metric, values in head["metrics"].items():
            if values["mean"] is None:  # nothing to score: no photo without damage has false alarms
                continue
            low, high = values["interval"]
            print(
                f"  {name:<12} {metric:<22} mean {values['mean']:.3f} [{low:.3f}, {high:.3f}]  "
                f"pooled {values['pooled']:.3f}  trivial {values['baseline']:.3f}"
            )
    print(flush=True)


def make_backbone() -> None:
    """Makes the backbone from the shared weights, unless it is there."""
    backbone = ROOT / "keras" / "models" / MODEL
    if not backbone.exists():
        build_savedmodel("MobileNet", 0.75, str(SHARED / "models" / WEIGHTS), backbone)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="part", help=", ".join(PARTS))
    parts = parser.parse_args().parts or list(PARTS)
    if unknown := [part for part in parts if part not in PARTS]:
        parser.error(f"unknown: {', '.join(unknown)}. Known parts: {', '.join(PARTS)}")
    make_backbone()
    import openvino  # noqa: F401
    import tensorflow  # noqa: F401

    import carclf.app  # noqa: F401

    steps: dict[str, Callable[[dict[str, float]], None]] = {
        "cold": measure_cold,
        "warm": measure_warm,
        "masks": measure_masks,
        "naive": measure_naive,
        "check": measure_check,
        "prepare": measure_prepare,
    }
    seconds: dict[str, float] = {}
    for part in parts:
        steps[part](seconds)


if __name__ == "__main__":
    main()
