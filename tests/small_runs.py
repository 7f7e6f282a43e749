"""Photos of noise, labels and made-up features: a whole run without a backbone."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import carclf.app
import carclf.sight
from carclf.config import Config, read_config
from carclf.dataset import Dataset, HeadData, Photo
from carclf.pixels import open_pixels
from carclf.scores import Array
from carclf.sight import Sight
from tests.small_questions import make_label_set, make_vectors

NUM_PHOTOS = 60
FACTS: dict[str, Any] = {
    "source": "local",
    "where": "nowhere",
    "sha256": "ab" * 32,
    "seen_drawn_cars": False,
    "image_size": 32,
    "input_range": [0, 1],
    "engine": "tensorflow",
    "engine_version": "2",
    "precision": "float32",
    "grid": None,
}


def write_photos(folder: Path, num_photos: int = NUM_PHOTOS) -> list[Path]:
    """Noise of 9 x 8 pixels, each photo other noise."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    paths = [folder / f"{row:03d}.png" for row in range(num_photos)]
    for path in paths:
        Image.fromarray(random.integers(0, 256, (8, 9, 3), dtype=np.uint8)).save(path)
    return paths


def make_dataset(folder: Path, table_groups: Mapping[int, str] | None = None) -> Dataset:
    """Photos with a categorical and a multi-label head; every seventh photo is not labelled for the latter."""
    paths = write_photos(folder / "photos")
    photos = tuple(
        Photo(path.name, path, hashlib.sha256(path.read_bytes()).hexdigest(), (table_groups or {}).get(row))
        for row, path in enumerate(paths)
    )
    random = np.random.default_rng(1)
    kinds = (random.random((NUM_PHOTOS, 2)) < 0.4).astype(np.int8)
    kinds[::7] = -1
    severity, kind = make_label_set(("minor", "severe", "whole")), make_label_set(("dent", "glass"))
    heads = {
        "severity": HeadData("categorical", severity, "whole", random.integers(0, 3, NUM_PHOTOS)),
        "type": HeadData("multi_label", kind, None, kinds),
    }
    return Dataset(photos, heads)


def write_config(folder: Path, **changes: Any) -> Path:
    """A config with two models and two heads, its photos and its labels."""
    dataset = make_dataset(folder)
    names = dataset.heads["severity"].label_set.names
    lines = ["name,severity,type"]
    for photo, severity, kinds in zip(
        dataset.photos, dataset.heads["severity"].targets, dataset.heads["type"].targets, strict=True
    ):
        on = [name for name, value in zip(("dent", "glass"), kinds, strict=True) if value == 1]
        cell = "" if kinds[0] < 0 else ";".join(on) or "NULL"
        lines.append(f"{photo.name},{names[severity]},{cell}")
    (folder / "labels.csv").write_text("\n".join(lines))
    (folder / "severity.txt").write_text("\n".join(names))
    (folder / "type.txt").write_text("dent\nglass\n")
    config: dict[str, Any] = {
        "dataset": {"photos": "photos", "labels": "labels.csv"},
        "backbones": {"first": {"local": "none", "image_size": 32}, "second": {"local": "none", "image_size": 32}},
        "models": ["first", "second"],
        "heads": {
            "severity": {"kind": "categorical", "labels": "severity.txt", "none_label": "whole"},
            "type": {"kind": "multi_label", "labels": "type.txt"},
        },
        "cross_validation": {"folds": 3, "group_similarity": 0.99},
        "training": {"l2": [1e-2, 1e-1], "inner_folds": 2, "max_steps": 50},
        "workers": 1,
    }
    path = folder / "config.json"
    path.write_text(json.dumps(config | changes))
    return path


def load_config(path: Path, **changes: Any) -> Config:
    """Reads a config after changing some keys of its file."""
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return read_config(path)


def features_of(model: str, dataset: Dataset) -> Array:
    """Features that know the severity; the second model's are fewer and worse."""
    count, noise = {"first": (12, 1.0), "second": (9, 2.0)}[model]
    vectors = noise * make_vectors(len(dataset.photos), count, views=2)
    vectors[:, :, :3] += 1.2 * np.eye(3, dtype=np.float32)[dataset.heads["severity"].targets]
    return vectors


def without_backbones(monkeypatch: pytest.MonkeyPatch, facts: Mapping[str, Any] = FACTS) -> None:
    """Puts made-up features in the place of backbones, and draws no pictures."""

    def look_at(model: str, dataset: Dataset, *_: Any) -> Sight:
        vectors = features_of(model, dataset)
        key, network = f"{model} {facts['sha256']}", open_pixels(facts["image_size"])  # which nobody looks through
        return Sight(dataset, {"name": model, **facts}, key, vectors, vectors, {}, {}, network)

    monkeypatch.setattr(carclf.app, "find_source", lambda config, model, fallback: model)
    monkeypatch.setattr(carclf.app, "open_backbone", lambda config, source, options, known: source)
    monkeypatch.setattr(carclf.app, "describe", lambda model: {"name": model, **facts})
    monkeypatch.setattr(carclf.sight, "look_at", look_at)
    monkeypatch.setattr(carclf.app, "_draw", lambda *_: None)
