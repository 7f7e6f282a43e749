"""check.html: one page that needs nothing else, no network and no script."""

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from carclf.checking.findings import SEVERITIES, Finding
from carclf.checking.survey import Survey
from carclf.checking.thumbnails import make_thumbnail
from carclf.checking.tree import make_tree
from carclf.errors import counted
from carclf.mask_sources import MaskSource

MOST_SHOWN = 60  # findings of one kind on the page; check.json names all
MOST_SUSPECTS = 30  # labels of one head and kind


@dataclass(frozen=True)
class Shown:
    """A photo on the page: its name, what is said of it, its picture (an address, "" if it cannot be shown)."""

    name: str
    note: str
    picture: str


class _Pictures:
    """The thumbnails of a page, each made once, by several threads."""

    def __init__(self, survey: Survey, threads: ThreadPoolExecutor) -> None:
        self._paths = {file.name: file.path for file in survey.files if not file.problem}
        self._labels, self._threads = survey.labels, threads
        photos = survey.labels.table.photos if survey.labels.table else ()
        self._rows = {name: row for row, name in enumerate(photos)}
        self._made: dict[tuple[str, str], str] = {}

    def show(self, names: Iterable[str], notes: Mapping[str, str], head: str = "") -> list[Shown]:
        """The photos, with the masks of a segmentation head."""
        names = list(names)
        new = [name for name in names if (name, head) not in self._made]
        made = self._threads.map(lambda name: self._make(name, head), new)
        self._made |= {(name, head): picture for name, picture in zip(new, made, strict=True)}
        return [Shown(name, notes.get(name, ""), self._made[name, head]) for name in names]

    def _make(self, name: str, head: str) -> str:
        path = self._paths.get(name)
        return make_thumbnail(path, self._mask(name, head)) if path else ""

    def _mask(self, name: str, head: str) -> MaskSource | None:
        data, row = self._labels.heads.get(head), self._rows.get(name)
        return data.masks[row] if data is not None and data.masks and row is not None else None


def make_page(survey: Survey, thumbnails: int, workers: int | None) -> str:
    """Returns the page.

    Args:
        survey: what was found.
        thumbnails: photos shown with a finding at most.
        workers: threads; None = one per core.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("carclf.checking", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["counted"] = counted
    with ThreadPoolExecutor(workers) as threads:
        pictures = _Pictures(survey, threads)
        sections = [
            {"severity": severity, "kinds": _kinds(survey, severity, pictures, thumbnails)} for severity in SEVERITIES
        ]
        suspects = _suspects(survey, pictures)
    return environment.get_template("page.html").render(
        tree=make_tree(survey),
        sections=sections,
        suspects=suspects,
        heads=_heads(survey),
        fold_rows=_fold_rows(survey),
        most_shown=MOST_SHOWN,
        most_suspects=MOST_SUSPECTS,
    )


def _kinds(survey: Survey, severity: str, pictures: _Pictures, thumbnails: int) -> list[dict[str, Any]]:
    """The findings of one severity by kind, the first of each with pictures."""
    mine = [finding for finding in survey.findings if finding.severity == severity]
    kinds = []
    for kind, group in groupby(mine, lambda finding: finding.kind):
        findings = list(group)
        shown = [(finding, _show(finding, pictures, thumbnails)) for finding in findings[:MOST_SHOWN]]
        kinds.append({"kind": kind, "findings": shown, "more": len(findings) - len(shown)})
    return kinds


def _show(finding: Finding, pictures: _Pictures, thumbnails: int) -> list[Shown]:
    if finding.kind == "no photo":
        return [Shown(name, "", "") for name in finding.photos[:thumbnails]]
    return pictures.show(finding.photos[:thumbnails], finding.notes, finding.head)


def _suspects(survey: Survey, pictures: _Pictures) -> list[dict[str, Any]]:
    """A list per head and kind: that a rare label is there surprises a head more than that it is not."""
    shown = []
    for head, issues in survey.suspects.items():
        for kind in dict.fromkeys(issue.kind for issue in issues):
            found = [issue for issue in issues if issue.kind == kind]
            photos = [pictures.show([issue.photo], {}, head)[0] for issue in found[:MOST_SUSPECTS]]
            pairs = list(zip(found, photos, strict=False))
            shown.append({"head": head, "kind": kind, "issues": pairs, "count": len(found)})
    return shown


def _heads(survey: Survey) -> list[dict[str, Any]]:
    """The classes of each head with the share of the most frequent one, for bars."""
    heads = []
    for head, group in groupby(survey.classes, lambda each: each.head):
        classes = list(group)
        most = max((each.photos for each in classes), default=0)
        rows = [(each, round(100 * each.photos / most) if most else 0) for each in classes]
        heads.append({"name": head, "kind": survey.labels.heads[head].kind, "classes": rows})
    return heads


def _fold_rows(survey: Survey) -> list[dict[str, Any]]:
    """A row per label: its photos in each fold."""
    if not survey.folds:
        return []
    rows: list[dict[str, Any]] = [
        {"head": "", "label": "photos", "counts": [fold.photos for fold in survey.folds]},
        {"head": "", "label": "groups", "counts": [fold.groups for fold in survey.folds]},
    ]
    for head, labels in survey.folds[0].labels.items():
        rows += [
            {"head": head, "label": label, "counts": [fold.labels[head][label] for fold in survey.folds]}
            for label in labels
        ]
    return rows
