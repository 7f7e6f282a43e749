"""Kills the program at random moments, lets it go on, and compares what comes out: for the tests and kill_test.py."""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from tests.drawn_set import MODEL, call_main, start_main, without_durations

PATIENCE = 600  # seconds after which a run that does not end counts as hung
NOT_COMPARED = (".lock", "config.json", "stages.json", "evaluation.json", "evaluation.txt")  # hold paths or seconds


@dataclass(frozen=True)
class Kill:
    """One kill: how many files the run had written and how much later it came; or a run that was quicker."""

    writes: int
    seconds_later: float
    came_too_late: bool
    last: str


def kill_at_random(config: Path, most_writes: int, longest: float, moments: random.Random) -> Kill:
    """Starts the main job and kills it, with kill -9, a moment after it has written so many files.

    A run that ends before is deleted, the cache aside, so that the next one has work to do.

    Args:
        config: see write_config.
        most_writes: the kill comes after 0 to this many written files ...
        longest: ... and up to this many seconds later.
        moments: decides.
    """
    folder = config.parent
    wanted, later = moments.randint(0, most_writes), moments.uniform(0, longest)
    seen, writes, last = _written(folder), 0, ""
    process = start_main("--config", config)
    hung = time.monotonic() + PATIENCE
    while writes < wanted and process.poll() is None and time.monotonic() < hung:
        time.sleep(0.01)
        now = _written(folder)
        new = [path for path, when in now.items() if seen.get(path) != when]
        seen, writes, last = now, writes + len(new), new[-1] if new else last
    try:
        process.wait(timeout=later)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return Kill(wanted, later, False, last)
    if process.returncode != 0:
        raise AssertionError(f"a resumed run ended with {process.returncode}: {call_main('--config', config).stderr}")
    shutil.rmtree(folder / "results" / MODEL)
    return Kill(wanted, later, True, last)


def _written(folder: Path) -> dict[str, int]:
    """When each file below the results and images was written."""
    found = {}
    for path in [*(folder / "results").rglob("*"), *(folder / "images").glob("*")]:
        with contextlib.suppress(FileNotFoundError):
            found[str(path.relative_to(folder))] = path.stat().st_mtime_ns
    return found


def differences(run: Path, reference: Path) -> list[str]:
    """Names the files of a run, or of its pictures, that differ from those of a run that was left alone.

    Durations aside: those of results.json, results.txt and stages.json.
    """
    theirs, ours = _compared(reference), _compared(run)
    different = [f"{name} is only in one of the runs" for name in sorted(theirs.keys() ^ ours.keys())]
    return different + [f"{name} differs" for name in theirs.keys() & ours.keys() if theirs[name] != ours[name]]


def _compared(folder: Path) -> dict[str, bytes]:
    """Every file's bytes, but for durations."""
    found = {}
    for path in folder.rglob("*"):
        if path.is_file() and path.name not in NOT_COMPARED:
            lines = path.read_bytes().splitlines(keepends=True)
            text = b"".join(line for line in lines if not line.startswith(b"duration "))
            found[str(path.relative_to(folder))] = without_durations(path) if path.name == "results.json" else text
    return found
