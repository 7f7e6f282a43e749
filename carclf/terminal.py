"""What a person at a terminal sees: the closing table, answers as a table; a pipe gets JSON lines."""

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from carclf.errors import PhotoError
from carclf.images import read_full_photo, write_png
from carclf.plots import paint_mask
from carclf.predict import Answer, Predictor
from carclf.report_text import results_text
from carclf.results import summary_rows

ALL_ANSWERED, SOME_NOT = 0, 2
PIPED_WIDTH = 120  # columns of a table that no terminal limits


def print_summary(trees: Mapping[str, Mapping[str, Any]], results: Path, images: Path) -> None:
    """Prints the closing table of the main job and where its files are."""
    table = Table(title="Out of fold: every photo is scored by a head that never saw it")
    for column in ("model", "head", "metric"):
        table.add_column(column, no_wrap=True)
    for column in ("mean", "95 % interval", "trivial"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in summary_rows(trees):
        table.add_row(*row)
    console = Console()
    if not console.is_terminal:
        console.width = PIPED_WIDTH
    console.print(table)
    for model, tree in trees.items():
        seen = " Its backbone has seen drawn cars." if tree["backbone"]["seen_drawn_cars"] else ""
        console.print(f"{results / model / 'results.txt'}{seen}", highlight=False, soft_wrap=True)
    console.print(f"Pictures in {images}", highlight=False, soft_wrap=True)


def print_evaluation(tree: Mapping[str, Any]) -> None:
    """Prints evaluation.txt."""
    print(results_text(dict(tree)), end="")


def print_answers(predictor: Predictor, photos: Iterable[Path], overlays: Path | None) -> int:
    """Prints one answer per photo, as it comes; errors go to stderr. Returns the exit code."""
    readable = sys.stdout.isatty()
    code = ALL_ANSWERED
    for answer in predictor.predict(photos):
        if isinstance(answer, PhotoError):
            print(answer, file=sys.stderr)
            code = SOME_NOT
            continue
        print(_readable(answer) if readable else json.dumps(answer.fields, ensure_ascii=False), flush=True)
        if overlays is not None:
            _write_overlays(answer, overlays)
    return code


def _readable(answer: Answer) -> str:
    """One photo's answer for people: a line per head."""
    lines = [str(answer.path)]
    for name, head in answer.fields["heads"].items():
        if head["kind"] == "segmentation":
            parts = [f"{label} {share:.1f} %" for label, share in head["percent"].items()]
            said = f"{head['damaged_percent']:.1f} % of the photo"
        else:
            said = head["label"] if head["kind"] == "categorical" else ", ".join(head["labels"]) or "none"
            ranked = sorted(head["probabilities"].items(), key=lambda item: -item[1])
            parts = [f"{label} {100 * probability:.0f} %" for label, probability in ranked]
        lines.append(f"  {name:<14} {said:<24} {', '.join(parts)}")
    return "\n".join(lines)


def _write_overlays(answer: Answer, folder: Path) -> None:
    """Writes the photo with each head's mask drawn over it: <photo>_<head>.png."""
    if not answer.masks:
        return
    photo = read_full_photo(answer.path)
    for name, mask in answer.masks.items():
        write_png(folder / f"{answer.path.stem}_{name}.png", paint_mask(photo, mask))
