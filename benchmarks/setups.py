"""Compares set-ups of the classification heads on the real photos, all of them listed; inner validation names one.

    python benchmarks/setups.py    about 8 minutes on 2 cores

The inner log loss is that of photos of the training parts, by inner heads that never saw them: it may choose. The other
columns are out of fold and choose nothing.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks.car_damage import MODEL, configured, make_backbone  # noqa: E402


@dataclass(frozen=True)
class Setup:
    """What is tried."""

    image_size: int
    grid: tuple[int, int] | None
    views: int

    @property
    def name(self) -> str:
        """As the table says it."""
        cells = f"{self.grid[0]} × {self.grid[1]} cells" if self.grid else "vector alone"
        return f"{self.image_size} px, {cells}, {self.views} view{'s' if self.views > 1 else ''}"


SETUPS = (
    Setup(224, None, 2),
    Setup(224, (2, 3), 2),
    Setup(320, None, 2),
    Setup(320, (2, 3), 1),
    Setup(320, (2, 3), 2),
    Setup(320, (2, 3), 4),
    Setup(320, (2, 3), 6),
)
COLUMNS = (
    ("severity", "accuracy"),
    ("severity", "accuracy_damaged"),
    ("severity", "calibration_error"),
    ("location", "macro_f1"),
    ("location", "mean_ap"),
    ("damage_type", "macro_f1"),
    ("damage_type", "mean_ap"),
)


def run_setup(setup: Setup) -> dict[str, Any]:
    """Cross-validates one set-up; returns the tree of results.json."""
    from carclf.app import run_config

    config = configured(setup.image_size, masks=False)
    backbone = config.backbones[MODEL].model_copy(update={"grid": setup.grid})
    training = config.training.model_copy(update={"views": setup.views})
    folder = config.results.parent / f"setup_{setup.image_size}_{'grid' if setup.grid else 'vector'}_{setup.views}"
    changed = {"backbones": {MODEL: backbone}, "training": training, "results": folder, "images": folder / "images"}
    return run_config(config.model_copy(update=changed))[MODEL]


def inner_log_loss(tree: dict[str, Any]) -> float:
    """Mean over heads of the mean over folds of the inner log loss."""
    heads = tree["heads"].values()
    per_head = [fmean(choice["inner_log_loss"] for choice in head["choices"]) for head in heads]
    return fmean(per_head)


def main() -> None:
    make_backbone()
    print("| set-up | inner log loss |" + "".join(f" {head} {metric} |" for head, metric in COLUMNS))
    print("|---|" + "---|" * (len(COLUMNS) + 1))
    losses = {}
    for setup in SETUPS:
        tree = run_setup(setup)
        losses[setup.name] = inner_log_loss(tree)
        scores = [tree["heads"][head]["metrics"][metric]["mean"] for head, metric in COLUMNS]
        print(
            f"| {setup.name} | {losses[setup.name]:.4f} |" + "".join(f" {score:.3f} |" for score in scores), flush=True
        )
    print(f"\nInner validation names: {min(losses, key=lambda name: losses[name])}")


if __name__ == "__main__":
    main()
