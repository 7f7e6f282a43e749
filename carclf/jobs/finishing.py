"""What follows from the journals of a job when all photos are answered: tables, COCO json, contact sheets, the page."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from carclf.jobs.coco import RegionFiles
from carclf.jobs.contact_sheet import write_sheets
from carclf.jobs.journal import read_line_at, read_lines, rewrite
from carclf.jobs.ledger import Ledger
from carclf.jobs.report_page import Report, write_report
from carclf.jobs.request import (
    ANSWERS,
    ANSWERS_TABLE,
    ERRORS,
    ERRORS_TABLE,
    REGIONS,
    REPORT,
    JobRequest,
)
from carclf.jobs.tables import Counts, write_answers, write_errors
from carclf.jobs.thumbnails import Thumbnails


@dataclass(frozen=True)
class Finished:
    """What a job has come to.

    Attributes:
        counts: of the answers in its folder.
        num_errors: photos in its folder that could not be answered.
        files: what was written, for people.
    """

    counts: Counts
    num_errors: int
    files: tuple[Path, ...]


def take_stock(folder: Path, ledger: Ledger) -> None:
    """Finds out what earlier runs have answered.

    Raises:
        RunDirError: if a journal is damaged.
    """
    for journal in (ERRORS, ANSWERS):  # in this order: what was answered in the end is no error any more
        for where, said in read_lines(folder / journal):
            ledger.note(journal, said["photo"], where, said.get("photo_sha256", ""))


def finish_job(request: JobRequest, job: Mapping[str, Any], ledger: Ledger, thumbnails: Thumbnails) -> Finished:
    """Writes everything that follows from the journals.

    Args:
        request: what is asked for.
        job: the tree of job.json.
        ledger: which lines hold.
        thumbnails: of the first photos.

    Raises:
        RunDirError: if a file cannot be written.
    """
    folder = request.folder
    for journal in (ANSWERS, ERRORS):
        _tidy(folder / journal, ledger)
    counts = write_answers(folder / ANSWERS, folder / ANSWERS_TABLE, job["heads"])
    num_errors = write_errors(folder / ERRORS, folder / ERRORS_TABLE)
    files = [folder / ANSWERS, folder / ANSWERS_TABLE, *([folder / ERRORS_TABLE] if num_errors else [])]
    if REGIONS in request.outputs:
        regions = RegionFiles(folder / ANSWERS, ledger, request.given)
        for head, facts in job["heads"].items():
            if facts["kind"] == "segmentation":
                regions.write(request.outputs[REGIONS] / f"{head}.json", head, facts["classes"])
        ledger.keep()
    if request.report_photos:
        report = Report(job, folder / ANSWERS, folder / ERRORS, counts, thumbnails)
        write_report(report, folder / REPORT)
        files += [folder / REPORT, *write_sheets(report.shown, thumbnails, folder)]
    return Finished(counts, num_errors, (*files, *request.outputs.values()))


def _tidy(journal: Path, ledger: Ledger) -> None:
    """Deletes the lines that no longer hold; a photo that was answered anew keeps its place."""
    if ledger.is_tidy(journal.name):
        return

    def lines() -> Iterator[bytes]:
        with journal.open("rb") as file:
            for where, said in read_lines(journal):
                place = ledger.place(journal.name, said["photo"])
                if place is not None and place.first == where:
                    yield read_line_at(file, place.newest)

    rewrite(journal, lines)
