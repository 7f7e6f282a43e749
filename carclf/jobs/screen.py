"""What a person at a terminal sees of a job: how far it is, which photos fail, and the counts at its end."""

import logging
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from carclf.asking import STDIN, list_photos
from carclf.jobs.request import ERRORS_TABLE, JobRequest
from carclf.jobs.tables import Counts
from carclf.showing import CANNOT_SAY, NONE

LOG = logging.getLogger(__name__)
_PACKAGE = "carclf"  # whose messages must not tear the bar
_MOST_FAILED = 10  # photos that are named when they fail; errors.csv names all
_PIPED_WIDTH = 120  # columns of a table that no terminal limits


class Progress:
    """The bar, and what is told of failing photos."""

    def __init__(self, bar: "tqdm[Any]") -> None:
        self._bar, self._failed = bar, 0

    def advance(self) -> None:
        """A photo more is done."""
        self._bar.update()

    def fail(self, name: str, reason: str) -> None:
        """A photo more is done: it failed. The first ones are named."""
        self._bar.update()
        self._failed += 1
        if self._failed <= _MOST_FAILED:
            LOG.warning("%s: %s", name, reason)
        elif self._failed == _MOST_FAILED + 1:
            LOG.warning("Further photos that fail are named in %s alone.", ERRORS_TABLE)


@contextmanager
def show_progress(request: JobRequest) -> Iterator[Progress]:
    """Shows a bar with rate and time left, on a terminal and unless --quiet; photos are counted while it runs."""
    hidden = None if LOG.isEnabledFor(logging.INFO) else True  # None: hidden unless on a terminal
    with (
        tqdm(unit="photo", disable=hidden, dynamic_ncols=True) as bar,
        logging_redirect_tqdm([logging.getLogger(_PACKAGE)], tqdm_class=tqdm),
    ):
        if not bar.disable and STDIN not in request.given:
            threading.Thread(target=_count, args=(bar, request), daemon=True).start()
        yield Progress(bar)


def _count(bar: "tqdm[Any]", request: JobRequest) -> None:
    """Tells the bar how many photos there are; folders are walked through once more for it."""
    bar.total = sum(1 for _ in list_photos(request.given, request.own_folders))


def print_job(counts: Counts, num_errors: int, files: Iterable[Path], heads: Mapping[str, Any]) -> None:
    """Prints the closing table: what was answered how often in the folder, what failed, and where the files are."""
    table = Table(title="What the folder holds")
    for column in ("", "answer"):
        table.add_column(column, overflow="fold")
    table.add_column("photos", justify="right", no_wrap=True)
    table.add_row("answered", "", f"{counts.photos:,}")
    table.add_row("could not be read", "", f"{num_errors:,}", end_section=True)
    for name, head in heads.items():
        rows = _rows(counts, name, head)
        for place, (label, count) in enumerate(rows, 1):
            table.add_row(escape(name), escape(label), f"{count:,}", end_section=place == len(rows))
    table.add_row("left to people", "by some head", f"{counts.left_open:,}")
    console = Console()
    if not console.is_terminal:
        console.width = _PIPED_WIDTH
    console.print(table)
    for path in files:
        console.print(str(path), highlight=False, soft_wrap=True, markup=False)


def _rows(counts: Counts, name: str, head: Mapping[str, Any]) -> list[tuple[str, int]]:
    """The labels of a head and how often they were answered; what stands in their place only where it does."""
    found: Mapping[str, int] = counts.labels.get(name, {})
    labels = [] if head["kind"] == "segmentation" else head["classes"]
    rows = [(label, found.get(label, 0)) for label in labels]
    return rows + [(label, found[label]) for label in (NONE, CANNOT_SAY) if label in found and label not in labels]
