"""answers.csv, a row per photo, and errors.csv: both follow from the journals, so that they say the same."""

import csv
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from carclf.files import write_whole
from carclf.jobs.journal import read_lines
from carclf.labels import NULL
from carclf.saying import ANSWER_KEYS
from carclf.showing import CANNOT_SAY, NONE

SEPARATOR = ";"  # between several labels in a cell, as in label tables
_ERROR_COLUMNS = ("name", "reason")


@dataclass
class Counts:
    """How often what was answered.

    Attributes:
        photos: that were answered.
        labels: classification head -> label -> photos; CANNOT_SAY and NONE among them.
        left_open: photos of which some head left its answer to people.
    """

    photos: int = 0
    labels: dict[str, Counter[str]] = field(default_factory=dict)
    left_open: int = 0

    def add(self, heads: Mapping[str, Mapping[str, Any]]) -> None:
        """Counts one answer."""
        self.photos += 1
        answers = {name: head[ANSWER_KEYS[head["kind"]]] for name, head in heads.items()}
        self.left_open += None in answers.values()
        for name, head in heads.items():
            if head["kind"] == "segmentation":
                told: Sequence[str] = [CANNOT_SAY] if answers[name] is None else []
            else:
                told = _told(answers[name])
            self.labels.setdefault(name, Counter()).update(told)


def write_answers(journal: Path, to: Path, heads: Mapping[str, Any]) -> Counts:
    """Writes answers.csv, whole or not at all.

    Args:
        journal: answers.jsonl.
        to: where it goes.
        heads: those of job.json: head -> kind and classes.
    """
    counts = Counts()

    def rows() -> Iterator[list[str]]:
        yield ["photo", "photo_sha256", *(column for name, head in heads.items() for column in _columns(name, head))]
        for _, fields in read_lines(journal):
            counts.add(fields["heads"])
            cells = [fields["photo"], fields["photo_sha256"]]
            yield [*cells, *(cell for name, head in heads.items() for cell in _cells(fields["heads"][name], head))]

    _write(to, rows)
    return counts


def write_errors(journal: Path, to: Path) -> int:
    """Writes errors.csv: name and reason of every photo that could not be answered; returns how many there are."""
    count = 0

    def rows() -> Iterator[Sequence[str]]:
        nonlocal count
        yield _ERROR_COLUMNS
        for _, said in read_lines(journal):
            count += 1
            yield said["photo"], said["reason"]

    _write(to, rows)
    return count


def _write(to: Path, rows: Callable[[], Iterable[Sequence[str]]]) -> None:
    def write(path: Path) -> None:
        with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(rows())

    write_whole(to, write)


def _columns(name: str, head: Mapping[str, Any]) -> list[str]:
    """The columns of a head; `_cells` fills them."""
    about = [name, f"{name}_probability", f"{name}_reason"]
    if head["kind"] == "segmentation":
        shares = [f"{name}_percent_{label}" for label in head["classes"]]
        return [f"{name}_percent", *about[1:], *shares, f"{name}_regions", f"{name}_regions_left_out"]
    return [*about, *(f"{name}_p_{label}" for label in head["classes"])]


def _cells(answer: Mapping[str, Any], head: Mapping[str, Any]) -> list[str]:
    """What a head says; an empty cell where it cannot say, NULL where there is none of its labels."""
    told = answer[ANSWER_KEYS[head["kind"]]]
    about = [str(answer["confidence"]), answer.get("reason", "")]
    if head["kind"] == "segmentation":
        shares = [str(answer["percent"][label]) for label in head["classes"]]
        regions = SEPARATOR.join(_region(each) for each in answer["regions"])
        return ["" if told is None else str(told), *about, *shares, regions, str(answer["regions_left_out"])]
    label = "" if told is None else SEPARATOR.join([told] if isinstance(told, str) else told) or NULL
    return [label, *about, *(str(answer["probabilities"][each]) for each in head["classes"])]


def _region(region: Mapping[str, Any]) -> str:
    """`dent 0.97 [12 30 100 80]`: class, probability, box."""
    return f"{region['class']} {region['probability']} [{' '.join(map(str, region['box']))}]"


def _told(answer: Any) -> list[str]:
    """The labels of an answer, or what stands in their place."""
    if answer is None:
        return [CANNOT_SAY]
    return [answer] if isinstance(answer, str) else list(answer) or [NONE]
