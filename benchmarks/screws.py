"""What splitting after augmenting hides: the flexible U-Net on drawn screws with five defects, split in two ways.

    python benchmarks/screws.py            about 10 minutes on 2 cores; what is done already is not done again

The published project mirrored and turned its photos first and split them then: copies of one screw trained and judged.
Here the same copies, network and folds' sizes are split so (leaking), and with the screw in the `group` column
(grouped). What each way promises, out of fold, stands beside what its network does on screws that it has never seen
(new screws that look much like a training photo are left out, as in every evaluation). One of three folds is fitted.

Nothing is switched off for the leaking way: a run recognises mirrored photos, and photos turned by very few degrees, as
one screw, but not those turned by 8. Only the column tells it of them.
"""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402

from benchmarks.car_damage import CONFIG, make_backbone  # noqa: E402
from carclf.config import Config, read_config  # noqa: E402
from carclf.config_checks import STANDALONE  # noqa: E402
from carclf.config_data import AnnotationConfig  # noqa: E402
from carclf.mask_scores import nothing_scores  # noqa: E402
from carclf.rundir import RunDir  # noqa: E402
from carclf.splits import FOLDS  # noqa: E402
from tests.drawn_screws import DEFECTS, draw_screws  # noqa: E402
from tests.screw_copies import augment_before_splitting, origin_of  # noqa: E402

DIR = ROOT / "results" / "screws"
HEAD = "defect"
SCREWS, NEW_SCREWS = 36, 72  # a sixth of them good
SEED, NEW_SEED = 1, 2
FOLDS_MADE = 3
EPOCHS = 80
TURNS = (0, 8, 16, 24, 336, 344, 352)  # degrees: as a screw may lie, and more than a run recognises
ARCHITECTURE = {
    "name": "flexunet",
    "image_size": 96,
    "base_filters": 8,
    "base_kernels": [3, 3],
    "num_layers": 4,
    "dropout_rate": 0.03,
    "normalization": True,  # without it such a network still answers nothing after 400 steps
}
TRAINING = {
    "class_weights": dict.fromkeys(DEFECTS, 20.0),  # a defect is 0.3 % of its photo
    "learning_rate": 0.002,  # not 7e-5: 1,500 steps must do
    "batch_size": 8,
    "learning_rate_reducer": False,
    "patience": None,
    "epochs": EPOCHS,
    "augment": False,
}


@dataclass(frozen=True)
class Way:
    """One way to split and to augment."""

    name: str
    grouped: bool

    @property
    def folder(self) -> Path:
        """Photos, masks, config and results."""
        return DIR / self.name


WAYS = (
    Way("leaking", grouped=False),
    Way("grouped", grouped=True),
)


def import_category(category: Path, to: Path) -> None:
    """Imports one category, as a user does."""
    words = ("--format", "mvtec", category, "--to", to, "--head", HEAD, "--config", CONFIG, "--strict", "--quiet")
    subprocess.run([sys.executable, "main.py", "import", *map(str, words)], cwd=ROOT, check=True)


def write_groups(folder: Path) -> None:
    """Gives the label table its `group` column: the screw that each photo shows."""
    path = folder / "labels.csv"
    with open(path, newline="", encoding="utf-8") as file:
        names = [line["name"] for line in csv.DictReader(file)]
    with open(path, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("name", "group"))
        table.writerows((name, origin_of(name)) for name in names)


def write_config(way: Way) -> Config:
    """Asks for the flexible U-Net, nothing else."""
    path = way.folder / "config.json"
    config = json.loads(path.read_text())
    config["heads"][HEAD] |= {"architecture": ARCHITECTURE, "mask_training": TRAINING, "folds": 1}
    config["cross_validation"] |= {"folds": FOLDS_MADE}
    path.write_text(json.dumps(config, indent=2) + "\n")
    return read_config(path)


def prepare(way: Way, copies: Path) -> Config:
    """Imports the photos of one way and configures its run."""
    import_category(copies, way.folder)
    if way.grouped:
        write_groups(way.folder)
    return write_config(way)


def leaking_share(config: Config) -> float:
    """Share of the photos that are judged by a network which was trained on a copy of them."""
    table = RunDir(config.results / STANDALONE).read_table(FOLDS, ("photo",))
    folds: dict[str, set[int]] = {}
    for photo, fold in zip(table["photo"], table["fold"], strict=True):
        folds.setdefault(origin_of(photo), set()).add(int(fold))
    return fmean(len(folds[origin_of(photo)]) > 1 for photo in table["photo"])


def score_nothing(folder: Path) -> float:
    """The mean dice_coef_multiclass of the answer that no screw has a defect."""
    masks = sorted((folder / "masks" / HEAD).rglob("*.png"))
    return fmean(nothing_scores(np.array(Image.open(path))).dice_coef_multiclass for path in masks)


def evaluate(config: Config, new: Path) -> dict[str, Any]:
    """Scores the networks of a run on screws of another seed; returns the results of the head."""
    from carclf.using import evaluate_config

    masks = AnnotationConfig(format="masks", path=new / "masks" / HEAD, head=HEAD)
    tree = evaluate_config(config, None, new / "photos", new / "labels.csv", (masks,))
    return dict(tree["heads"][HEAD])


def print_line(name: str, what: str, head: Mapping[str, Any]) -> None:
    """One line of the table."""
    metrics = head["metrics"]
    dice = [head["labels"][defect]["f1"] for defect in DEFECTS]
    figures = [*dice, *(metrics[each]["pooled"] for each in ("dice", "region_recall", "dice_coef_multiclass"))]
    print(f"| {name} | {what} | " + " | ".join(f"{figure:.3f}" for figure in figures) + " |", flush=True)


def main() -> None:
    from carclf.app import run_config

    make_backbone()
    category = draw_screws(DIR / "category" / "screw", SCREWS, SEED)
    copies = augment_before_splitting(category, DIR / "copies" / "screw", TURNS, mirrored=(False,))
    new = DIR / "new"
    import_category(draw_screws(DIR / "new_category" / "screw", NEW_SCREWS, NEW_SEED), new)
    configs = {way.name: prepare(way, copies) for way in WAYS}
    trees = {name: run_config(config)[STANDALONE] for name, config in configs.items()}
    for name, config in configs.items():
        print(f"{name}: {leaking_share(config):.1%} of the photos were judged by a network that saw a copy of them")
    print("\n| split | judged on |" + "".join(f" {defect} |" for defect in DEFECTS), end="")
    print(" Dice, all | regions found | dice_coef_multiclass |")
    print("|---|---|" + "---|" * (len(DEFECTS) + 3))
    for name, tree in trees.items():
        print_line(name, "out of fold", tree["heads"][HEAD])
        seen_by_none = evaluate(configs[name], new)
        print_line(name, f"{seen_by_none['photos']} new screws", seen_by_none)
    zeros = " | ".join(["0.000"] * (len(DEFECTS) + 2))
    print(f"| predicting nothing | new screws | {zeros} | {score_nothing(new):.3f} |")


if __name__ == "__main__":
    main()
