"""Imports four sets of labels into one folder and runs the main job on it: heads with different labelled photos.

    python benchmarks/imported.py          about 20 minutes on 2 cores

From ../shared/data: the label table of car_damage, its coarse polygons (damage_mask) and its polygons of three classes
(type_mask), and the colour masks of hitl_masks (defect_mask, eight classes, 36 photos). Two heads follow from masks.
The backbone is that of car_damage.json.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.car_damage import CONFIG, MODEL, SHARED, make_backbone, print_scores, run_timed  # noqa: E402
from carclf.config import read_config  # noqa: E402

DIR = ROOT / "results" / "imported"
CARS, HITL = SHARED / "data" / "car_damage", SHARED / "data" / "hitl_masks"
TABLE = ("severity=damage", "location=location", "damage_type=damagetype")
DERIVED = ("types_drawn=classes:type_mask", "extent=share:damage_mask:0,5,20")
COLORS = (
    "19,164,201=Missing_part",
    "166,255,71=Broken_part",
    "180,45,56=Scratch",
    "225,150,96=Cracked",
    "144,60,89=Dent",
    "167,116,27=Flaking",
    "255,0,255=Paint_chip",
    "115,194,206=Corrosion",
)
IMPORTS: tuple[tuple[object, ...], ...] = (
    ("--format", "table", CARS / "labels.csv", "--column", *TABLE),
    ("--format", "via", CARS / "via_damage.json", "--head", "damage_mask"),
    ("--format", "via", CARS / "via_damage_types.json", "--head", "type_mask", "--derive", *DERIVED),
    ("--format", "masks", HITL, "--head", "defect_mask", "--color", *COLORS),
)
WHOLE_HAS_NO_MASK = {"column": "severity", "value": "whole"}


def import_all() -> None:
    for words in IMPORTS:
        started = time.perf_counter()
        command = [sys.executable, "main.py", "import", *map(str, words), "--to", str(DIR), "--config", str(CONFIG)]
        subprocess.run(command, cwd=ROOT, check=True)
        print(f"  {time.perf_counter() - started:.1f} s\n", flush=True)


def say_that_whole_cars_have_no_mask() -> None:
    """What no annotation says: photos of whole cars are known to show no damage."""
    path = DIR / "config.json"
    config = json.loads(path.read_text())
    for head in ("damage_mask", "type_mask"):
        config["heads"][head]["empty_where"] = WHOLE_HAS_NO_MASK
    path.write_text(json.dumps(config, indent=2) + "\n")


def main() -> None:
    make_backbone()
    import_all()
    say_that_whole_cars_have_no_mask()
    config = read_config(DIR / "config.json")
    _, tree = run_timed(f"main job, {len(config.heads)} heads, {MODEL}", config)
    print_scores(tree)


if __name__ == "__main__":
    main()
