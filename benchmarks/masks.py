"""Measures the architectures of masks.json on the real photos of ../shared/data/car_damage.

    python benchmarks/masks.py scores              masks.json: the main job, and one table of its scores; about an hour
    python benchmarks/masks.py speed               seconds an epoch, photos a second, memory; after scores
    python benchmarks/masks.py scores --config benchmarks/masks_best.json      three backbones joined; after scores
    python benchmarks/masks.py scores --config benchmarks/masks_types.json     dent, scratch, glass
    python benchmarks/masks.py hitl                eight classes, the 36 photos of ../shared/data/hitl_masks

Speed is of one architecture after the other, each in a process of its own; of whole photos from their files, and of
drawn photos of 1,536 pixels' height looked at whole and in tiles of 512 pixels that overlap by 64.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks.car_damage import SHARED, measured  # noqa: E402
from benchmarks.imported import COLORS, HITL  # noqa: E402
from carclf.architectures import build_savedmodel  # noqa: E402
from carclf.config import Config, read_config  # noqa: E402
from carclf.report_text import aligned, score  # noqa: E402

CONFIG = ROOT / "benchmarks" / "masks.json"
BACKBONES = {
    "mobilenet_075": ("MobileNet", 0.75, "mobilenet_v1_0.75_224_notop.weights.h5"),
    "mobilenet_100": ("MobileNet", 1.0, "mobilenet_v1_1.0_224_notop.weights.h5"),
    "mobilenet_v2": ("MobileNetV2", 1.0, "mobilenet_v2_1.0_224_notop.weights.h5"),
}
HITL_DIR = ROOT / "results" / "hitl"
FLEXUNET = {
    "architecture": {"name": "flexunet", "image_size": 128, "num_layers": 6, "base_filters": 8},
    "mask_training": {
        "learning_rate": 0.0003,
        "batch_size": 4,
        "epochs": 60,
        "patience": None,
        "precision": "bfloat16",
    },
}
METRICS = ("dice_damaged", "iou_damaged", "boundary_f1", "dice_per_photo", "false_alarm", "ap50", "ap", "region_recall",
           "region_precision", "produced_rate", "dice_coef_multiclass", "categorical_crossentropy")  # fmt: skip
EPOCHS = (1, 3)  # their difference is timed: the first one traces the graph
SMALL_PHOTOS, LARGE_PHOTOS, LARGE_SIZE = 100, 4, 1536
TILE, OVERLAP = 512, 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="+", choices=("scores", "speed", "hitl"))
    parser.add_argument("--config", type=Path, default=CONFIG)
    parser.add_argument("--head", help="speed: only this one, in this process")
    options = parser.parse_args()
    for name, (architecture, alpha, weights) in BACKBONES.items():
        if not (folder := ROOT / "keras" / "models" / name).exists():
            build_savedmodel(architecture, alpha, str(SHARED / "models" / weights), folder)
    config = read_config(options.config)
    if "scores" in options.parts:
        print_scores(config)
    if "speed" in options.parts and options.head:
        print_speed(config, options.head)
    elif "speed" in options.parts:
        for name, head in config.heads.items():
            if head.kind == "segmentation":
                words = [sys.executable, __file__, "speed", "--config", str(options.config), "--head", name]
                subprocess.run(words, check=True)

    if "hitl" in options.parts:
        print_scores(import_hitl())


def import_hitl() -> Config:
    """The 36 photos with colour masks, imported as a user does, for two architectures."""
    path = HITL_DIR / "config.json"
    if not path.exists():
        source = ("--format", "masks", HITL, "--head", "fpn", "--color", *COLORS)
        words = [*map(str, source), "--to", str(HITL_DIR), "--config", str(CONFIG)]
        subprocess.run([sys.executable, "main.py", "import", *words], cwd=ROOT, check=True)
    config = json.loads(path.read_text())
    config["heads"]["flexunet"] = {"kind": "segmentation", "masks_of": "fpn"} | FLEXUNET
    path.write_text(json.dumps(config, indent=2) + "\n")
    return read_config(path)


def print_scores(config: Config) -> None:
    from carclf.app import run_config

    with measured() as taken:
        trees = run_config(config)
    print(f"main job: {taken.seconds:.0f} s, {taken.anonymous_gb:.2f} GB anonymous memory at most\n")
    heads = {name: head for tree in trees.values() for name, head in tree["heads"].items()}
    seconds = {name: tree["duration_s"].get(name) for tree in trees.values() for name in tree["heads"]}
    rows = [["metric", *heads]]
    rows.append(["photos judged", *(str(head["photos"]) for head in heads.values())])
    for metric in METRICS:
        rows.append([metric, *(score(head["metrics"][metric]["mean"]) for head in heads.values())])
        if metric in ("dice_damaged", "ap50"):
            ends = [head["metrics"][metric]["interval"] for head in heads.values()]
            rows.append(["  95 % interval", *(f"{score(low)} to {score(high)}" for low, high in ends)])
            rows.append(["  trivial", *(score(head["metrics"][metric]["baseline"]) for head in heads.values())])
    for metric in ("dice_coef_multiclass", "categorical_crossentropy"):
        rows.append([f"{metric} of nothing", *(score(head["nothing"][metric]) for head in heads.values())])
    rows.append(["seconds", *(f"{value:.0f}" for value in seconds.values())])
    print(aligned(rows), flush=True)
    for name, head in heads.items():
        for label, row in head["labels"].items():
            told = ", ".join(f"{key} {score(row[key])}" for key in ("f1", "boundary_f1", "ap50", "found", "produced"))
            print(f"  {name} {label}: {row['n']} photos, {row['regions']} regions, {told}")


def print_speed(config: Config, name: str) -> None:
    epoch, memory = time_epoch(config, name)
    small = sorted((SHARED / "data/car_damage/photos").iterdir())[:SMALL_PHOTOS]
    large = draw_large(config.results / "large")
    whole, slow, tiled = (
        time_photos(config, name, photos, tile) for photos, tile in ((small, None), (large, None), (large, TILE))
    )
    print(
        f"{name:<20} epoch {epoch:6.1f} s, {memory:.2f} GB   small photos {whole:6.1f}/s   "
        f"large photos: whole {slow:5.1f}/s, tiled {tiled:5.2f}/s ({slow / tiled:.0f} × slower)",
        flush=True,
    )


def time_epoch(config: Config, name: str) -> tuple[float, float]:
    """Seconds of an epoch, watching the inner validation part and the held-out fold included; gigabytes of memory."""
    seconds = {}
    with measured() as taken:
        for epochs in EPOCHS:
            alone = only(config, name, epochs)
            shutil.rmtree(alone.results, ignore_errors=True)
            alone.results.mkdir(parents=True)
            (alone.results / "cache").symlink_to(config.results / "cache")
            seconds[epochs] = fit_seconds(alone, name)
    first, last = EPOCHS
    return (seconds[last] - seconds[first]) / (last - first), taken.anonymous_gb


def only(config: Config, name: str, epochs: int) -> Config:
    """The config with one head, one fold and a fixed number of epochs."""
    head = config.heads[name]
    owner = config.heads[head.masks_of or name]
    training = head.mask.training.model_copy(
        update={"epochs": epochs, "least_steps": 0, "patience": None, "refit": False}
    )
    changed = {"mask_training": training, "masks_of": None, "empty_where": owner.empty_where, "folds": 1}
    dataset: Any = config.dataset
    annotations = [each.model_copy(update={"head": name}) for each in dataset.annotations]
    return config.model_copy(
        update={
            "dataset": dataset.model_copy(update={"annotations": tuple(annotations)}),
            "heads": {name: head.model_copy(update=changed)},
            "results": config.results / "speed",
            "images": config.images / "speed",
        }
    )


def fit_seconds(config: Config, name: str) -> float:
    from carclf.app import run_config
    from carclf.rundir import RunDir

    run_config(config)
    run = next(
        run for run in map(RunDir, (config.results / each for each in config.runs)) if run.has(f"{name}/fold0.npz")
    )
    return run.seconds()[f"{name}/fold0"]


def time_photos(config: Config, name: str, photos: list[Path], tile: int | None) -> float:
    """Photos a second, from their files, of one head alone."""
    from carclf.merged_runs import with_runs
    from carclf.using import open_predictor

    predictor = open_predictor(config)
    head = predictor.mask_heads[name]
    looking = replace(head.looking, tile=tile, overlap=OVERLAP)
    backbone = None if config.heads[name].from_pixels else predictor.backbone
    asked = replace(predictor, backbone=backbone, heads={}, mask_heads={name: replace(head, looking=looking)})
    alone = with_runs(asked, config.results / "cache")
    list(alone.predict(photos[:4]))  # graphs are traced
    started = time.perf_counter()
    answered: list[Any] = list(alone.predict(photos))
    return len(answered) / (time.perf_counter() - started)


def draw_large(folder: Path) -> list[Path]:
    from carclf.demo import write_demo

    write_demo(folder, 20, 1, LARGE_SIZE)
    return sorted((folder / "photos").iterdir())[:LARGE_PHOTOS]


if __name__ == "__main__":
    main()
