"""What a person at a terminal sees: the closing table, answers as a table; a pipe gets JSON lines."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console
from rich.table import Table

from carclf.asking import list_photos, prompt_for_photos
from carclf.errors import CarclfError, PhotoError
from carclf.predict import Predictor
from carclf.report_text import results_text
from carclf.results import summary_rows
from carclf.saying import Answer

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


class Output(Protocol):
    """Something that is written of every answer."""

    def write(self, answer: Answer) -> None:
        """Writes it."""


def print_answers(answers: Iterable[Answer | PhotoError], outputs: Sequence[Output] = ()) -> int:
    """Prints one answer per photo, as it comes; errors go to stderr. Returns the exit code."""
    readable = sys.stdout.isatty()
    code = ALL_ANSWERED
    for answer in answers:
        if isinstance(answer, PhotoError):
            print(answer, file=sys.stderr)
            code = SOME_NOT
            continue
        print(_readable(answer) if readable else _json_line(answer.fields), flush=True)
        try:
            for output in outputs:
                output.write(answer)
        except PhotoError as error:  # the file changed since it was answered
            print(error, file=sys.stderr)
            code = SOME_NOT
    return code


def answer_prompts(predictor: Predictor, outputs: Sequence[Output] = ()) -> int:
    """Asks for one photo after the other and answers each at once, whatever was wrong with one before."""
    for path in prompt_for_photos():
        try:
            print_answers(predictor.predict(list_photos([path])), outputs)
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
    """The answer of a head, or why there is none, and what stands behind it."""
    unsaid = f"cannot say: {head['reason']}" if "reason" in head else None
    if head["kind"] == "segmentation":
        shares = [f"{label} {share:.1f} %" for label, share in head["percent"].items()]
        regions = [f"{each['class']} {100 * each['probability']:.0f} %" for each in head["regions"]]
        left_out = [f"{head['regions_left_out']} less sure"] if head["regions_left_out"] else []
        told = f"; regions: {', '.join(regions + left_out)}" if regions or left_out else ""
        return unsaid or f"{head['damaged_percent']:.1f} % of the photo", f"{', '.join(shares)}{told}"
    said = head["label"] if head["kind"] == "categorical" else ", ".join(head["labels"] or ()) or "none"
    ranked = sorted(head["probabilities"].items(), key=lambda item: -item[1])
    return unsaid or said, ", ".join(f"{label} {100 * probability:.0f} %" for label, probability in ranked)
