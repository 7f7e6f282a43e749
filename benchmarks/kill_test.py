"""Kills the main job with kill -9 at random moments, resumes it, and compares with a run that was left alone.

    python benchmarks/kill_test.py [--kills 20] [--seed 1]

Prints a line for each kill and a summary; exits with 1 if a byte differs, durations aside.
"""

import argparse
import random
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.drawn_set import MODEL, call_main, draw_set, write_config
from tests.killing import differences, kill_at_random

MOST_WRITES, LONGEST = 30, 4.0  # a whole run writes about 60 files, and no two of them 4 seconds apart
FRESH = 0.25  # share of the kills before which everything is deleted


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--kills", type=int, default=20)
    options.add_argument("--seed", type=int, default=1)
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="kill-test-") as scratch:
        return kill_and_compare(Path(scratch), given.kills, random.Random(given.seed))


def kill_and_compare(scratch: Path, kills: int, moments: random.Random) -> int:
    photos = draw_set(scratch / "set", count=48, seed=7)
    reference, config = write_config(scratch / "reference", photos), write_config(scratch / "killed", photos)
    finish(reference)
    killed, too_late = 0, 0
    while killed < kills:
        if moments.random() < FRESH:
            shutil.rmtree(scratch / "killed" / "results", ignore_errors=True)  # the cache, too
        kill = kill_at_random(config, MOST_WRITES, LONGEST, moments)
        killed, too_late = killed + (not kill.came_too_late), too_late + kill.came_too_late
        what = "the run had ended" if kill.came_too_late else "killed"
        after = f"{kill.writes:2} files written, {kill.seconds_later:.2f} s later"
        print(f"{killed:2}: {after}: {what}; last seen: {kill.last}", flush=True)
    finish(config)
    different = differences(scratch / "killed" / "results" / MODEL, scratch / "reference" / "results" / MODEL)
    different += differences(scratch / "killed" / "images", scratch / "reference" / "images")
    print(f"{killed} runs killed, {too_late} had ended before their kill; then one was left to end.")
    print("\n".join(different) or "Every file is the same to the byte as after a run left alone, durations aside.")
    return int(bool(different))


def finish(config: Path) -> None:
    done = call_main("--config", config, "--quiet")
    if done.returncode:
        raise SystemExit(f"{config}: ended with {done.returncode}: {done.stderr}")


if __name__ == "__main__":
    sys.exit(main())
