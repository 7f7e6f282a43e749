"""What a person at a terminal sees: the closing table, answers as tables; a pipe gets JSON lines."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from carclf.results import summary_rows


def print_summary(trees: Mapping[str, Mapping[str, Any]], results: Path, images: Path) -> None:
    """Prints the closing table of the main job and where its files are."""
    table = Table(title="Out of fold: photos that the scored head never saw")
    for column, justify in (
        ("model", "left"),
        ("head", "left"),
        ("metric", "left"),
        ("mean (95 % interval)", "right"),
        ("trivial baseline", "right"),
    ):
        table.add_column(column, justify="right" if justify == "right" else "left")
    for row in summary_rows(trees):
        table.add_row(*row)
    console = Console()
    console.print(table)
    for model, tree in trees.items():
        seen = " This backbone has seen drawn cars." if tree["backbone"]["seen_drawn_cars"] else ""
        console.print(
            f"{results / model / 'results.txt'}; pictures in {images}.{seen}", highlight=False, soft_wrap=True
        )
