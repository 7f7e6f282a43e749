"""A small drawn set and a config that runs on it in seconds: for the tests of the whole program, and kill_test.py."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from carclf.demo import write_demo

REPO = Path(__file__).resolve().parents[1]
EMBEDDED = REPO / "keras" / "models" / "embedded"
MODEL = "small"


def draw_set(folder: Path, count: int, seed: int, size: int = 96) -> Path:
    """Draws photos, labels and masks into a folder."""
    write_demo(folder, count, seed, size)
    return folder


def write_config(folder: Path, photos: Path, **changes: Any) -> Path:
    """Writes config.json for a drawn set: the embedded backbone at 64 px, two folds, tiny mask decoders.

    Args:
        folder: for the config, the results and the pictures.
        photos: a folder of draw_set.
        changes: sections that take the place of these.
    """
    folder.mkdir(parents=True, exist_ok=True)
    label = {name: str(photos / "labels" / f"{name}.txt") for name in ("severity", "damage_type", "damage_mask")}
    config: dict[str, Any] = {
        "dataset": {
            "photos": str(photos / "photos"),
            "labels": str(photos / "labels.csv"),
            "annotations": [{"format": "masks", "path": str(photos / "masks")}],
        },
        "backbones": {MODEL: {"local": str(EMBEDDED), "image_size": 64}},
        "models": [MODEL],
        "heads": {
            "severity": {
                "kind": "categorical",
                "labels": label["severity"],
                "column": "damage",
                "none_label": "whole",
            },
            "damage_type": {"kind": "multi_label", "labels": label["damage_type"], "column": "damagetype"},
            "damage_mask": {
                "kind": "segmentation",
                "labels": label["damage_mask"],
                "empty_where": {"column": "damage", "value": "whole"},
            },
        },
        "cross_validation": {"folds": 2, "group_similarity": 0.98},  # at 64 px all cars are alike
        "training": {"l2": [0.0005, 0.005], "inner_folds": 2},
        "mask_training": {"epochs": 2, "least_steps": 0, "channels": 8, "levels": ["P4"], "views": 1},
        "results": "results",
        "images": "images",
    }
    path = folder / "config.json"
    path.write_text(json.dumps(config | changes, indent=2))
    return path


def call_main(*arguments: str | Path, stdin: str = "", **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs python main.py in a process of its own."""
    words = [sys.executable, str(REPO / "main.py"), *map(str, arguments)]
    return subprocess.run(words, input=stdin, capture_output=True, text=True, timeout=300, check=False, **options)


def start_main(*arguments: str | Path) -> subprocess.Popen[bytes]:
    """Starts python main.py, all by itself, so that it can be killed with all that it starts."""
    return subprocess.Popen(
        [sys.executable, str(REPO / "main.py"), *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def without_durations(results: Path) -> bytes:
    """The bytes of results.json but for how long it took."""
    tree = json.loads(results.read_text(encoding="utf-8"))
    tree.pop("duration_s")
    return json.dumps(tree, ensure_ascii=False).encode()
