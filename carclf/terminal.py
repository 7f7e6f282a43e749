"""What a person at a terminal sees: the closing table, answers as a table; a pipe gets JSON lines."""

import json
import sys
from collections.abc import Iterable, Mapping
from itertools import count
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from carclf.errors import CarclfError, PhotoError
from carclf.images import read_full_photo
from carclf.mask_images import write_png
from carclf.plots import paint_mask
from carclf.predict import Answer, Predictor, list_photos, prompt_for_photos
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


class Overlays:
    """Writes each photo with its masks drawn over it, in one folder; photos of the same name get distinct files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._owners: dict[str, Path] = {}  # name of a picture, in small letters -> its photo

    def write(self, answer: Answer) -> None:
        """Writes <photo>_<head>.png for each mask; <photo>-2_<head>.png if another photo has that name.

        Raises:
            RunDirError: if a picture cannot be written.
        """
        if not answer.masks:
            return
        photo = read_full_photo(answer.path)
        for head, mask in answer.masks.items():
            write_png(self.folder / self._name(answer.path, head), paint_mask(photo, mask))

    def _name(self, photo: Path, head: str) -> str:
        for number in count(1):
            name = f"{photo.stem}{f'-{number}' if number > 1 else ''}_{head}.png"
            if self._owners.setdefault(name.lower(), photo) == photo:
                return name
        raise AssertionError("count never ends")


def print_answers(answers: Iterable[Answer | PhotoError], overlays: Overlays | None) -> int:
    """Prints one answer per photo, as it comes; errors go to stderr. Returns the exit code."""
    readable = sys.stdout.isatty()
    code = ALL_ANSWERED
    for answer in answers:
        if isinstance(answer, PhotoError):
            print(answer, file=sys.stderr)
            code = SOME_NOT
            continue
        print(_readable(answer) if readable else _json_line(answer.fields), flush=True)
        if overlays is not None:
            try:
                overlays.write(answer)
            except PhotoError as error:  # the file changed since it was answered
                print(error, file=sys.stderr)
                code = SOME_NOT
    return code


def answer_prompts(predictor: Predictor, overlays: Overlays | None) -> int:
    """Asks for one photo after the other and answers each at once, whatever was wrong with one before."""
    for path in prompt_for_photos():
        try:
            print_answers(predictor.predict(list_photos([path])), overlays)
        except CarclfError as error:
            print(error, file=sys.stderr)
    return ALL_ANSWERED


def _json_line(fields: Mapping[str, Any]) -> str:
    """One line of JSON; with escapes where the terminal's encoding or a broken file name leaves no other way."""
    line = json.dumps(fields, ensure_ascii=False)
    try:
        line.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return json.dumps(fields)
    return line


def _readable(answer: Answer) -> str:
    """One photo's answer for people: its path, then a row per head."""
    rows = [["", name, *_said(head)] for name, head in answer.fields["heads"].items()]
    widths = [max(len(row[column]) for row in rows) for column in range(3)] if rows else []
    lines = [str(answer.path).encode(errors="replace").decode()]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        lines.append("  ".join([*cells, row[3]]).rstrip())
    return "\n".join(lines)


def _said(head: Mapping[str, Any]) -> tuple[str, str]:
    """The answer of a head, and what stands behind it."""
    if head["kind"] == "segmentation":
        shares = [f"{label} {share:.1f} %" for label, share in head["percent"].items()]
        return f"{head['damaged_percent']:.1f} % of the photo", ", ".join(shares)
    said = head["label"] if head["kind"] == "categorical" else ", ".join(head["labels"]) or "none"
    ranked = sorted(head["probabilities"].items(), key=lambda item: -item[1])
    return said, ", ".join(f"{label} {100 * probability:.0f} %" for label, probability in ranked)
