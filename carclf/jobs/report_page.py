"""report.html: the page that one can mail; it needs nothing else, no network, and its only script is its own."""

import base64
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from carclf.errors import counted
from carclf.files import write_whole
from carclf.jobs.journal import read_lines
from carclf.jobs.tables import Counts
from carclf.jobs.thumbnails import Thumbnails
from carclf.showing import CANNOT_SAY, Told, address, damaged_percent, tell, template_environment

MOST_ERRORS = 50  # photos that could not be answered, on the page; errors.csv names all
_TEMPLATE, _SCRIPT = "jobs/report.html", "jobs/report.js"


@dataclass(frozen=True)
class Card:
    """A photo on the page.

    Attributes:
        name: as it was given.
        picture: address of its thumbnail; "" if there is none.
        masks: (place of the head among those that draw masks, address of the layer).
        told: what every head says.
        damaged: per cent of the photo; −1 if nobody says.
        groups: for each filter, the place of the photo's answer among its choices.
    """

    name: str
    picture: str
    masks: tuple[tuple[int, str], ...]
    told: tuple[Told, ...]
    damaged: float
    groups: tuple[int, ...]


@dataclass(frozen=True)
class Filter:
    """What photos can be chosen by: a head with one label a photo.

    Attributes:
        head: its name.
        choices: its labels, and that it cannot say.
    """

    head: str
    choices: tuple[str, ...]


@dataclass(frozen=True)
class Report:
    """What the page is made of.

    Attributes:
        job: the tree of job.json.
        answers: answers.jsonl.
        errors: errors.jsonl.
        counts: of all photos of the job.
        thumbnails: of the first photos.
    """

    job: Mapping[str, Any]
    answers: Path
    errors: Path
    counts: Counts
    thumbnails: Thumbnails

    @property
    def shown(self) -> Iterator[dict[str, Any]]:
        """The answers that are on the page."""
        return (fields for _, fields in islice(read_lines(self.answers), self.job["report_photos"]))


def write_report(report: Report, to: Path) -> None:
    """Writes the page, card by card; whole or not at all.

    Raises:
        RunDirError: if it cannot be written.
    """

    def write(path: Path) -> None:
        with path.open("w", encoding="utf-8", errors="backslashreplace") as file:
            file.writelines(_generate(report))

    write_whole(to, write)


def _generate(report: Report) -> Iterator[str]:
    environment = template_environment()
    environment.filters["counted"] = counted
    source, _, _ = environment.loader.get_source(environment, _SCRIPT)  # type: ignore[union-attr]
    filters = list(_filters(report.job))
    return environment.get_template(_TEMPLATE).generate(
        job=report.job,
        counts=report.counts,
        filters=filters,
        mask_heads=[name for name, head in report.job["heads"].items() if head["kind"] == "segmentation"],
        cards=(_card(fields, filters, report.thumbnails) for fields in report.shown),
        num_shown=min(report.counts.photos, report.job["report_photos"]),
        errors=[said for _, said in islice(read_lines(report.errors), MOST_ERRORS)],
        num_errors=sum(1 for _ in read_lines(report.errors)),
        script=source,
        script_hash=base64.b64encode(hashlib.sha256(source.encode()).digest()).decode(),
        cannot_say=CANNOT_SAY,
    )


def _filters(job: Mapping[str, Any]) -> Iterator[Filter]:
    for name, head in job["heads"].items():
        if head["kind"] == "categorical":
            yield Filter(name, (*head["classes"], CANNOT_SAY))


def _card(fields: Mapping[str, Any], filters: list[Filter], thumbnails: Thumbnails) -> Card:
    told = tuple(tell(fields["heads"]))
    words = {each.head: each.words for each in told}
    thumbnail = thumbnails.of(fields["photo"])
    has_picture = thumbnail.photo.exists()
    layers = [path for path in thumbnail.masks.values() if has_picture and path.exists()]
    return Card(
        fields["photo"],
        address(thumbnail.photo.read_bytes(), "jpeg") if has_picture else "",
        tuple((place, address(path.read_bytes(), "png")) for place, path in enumerate(layers)),
        told,
        damaged_percent(fields["heads"]),
        tuple(each.choices.index(words[each.head]) for each in filters),
    )
