"""What was found -> the tree of check.json."""

from collections import Counter
from dataclasses import asdict
from typing import Any

from carclf import __version__
from carclf.checking.findings import SEVERITIES
from carclf.checking.survey import Survey


def make_tree(survey: Survey) -> dict[str, Any]:
    """Returns lists, dictionaries, texts and numbers that json can write."""
    severities = Counter(finding.severity for finding in survey.findings)
    return {
        "carclf_version": __version__,
        "sound": survey.is_sound,
        "counts": {severity: severities[severity] for severity in SEVERITIES},
        "photos": _photos(survey),
        "findings": [finding.to_tree() for finding in survey.findings],
        "classes": [asdict(each) for each in survey.classes],
        "groups": _groups(survey),
        "folds": [asdict(each) for each in survey.folds],
        "suspected_labels": {
            head: [asdict(issue) | {"sentence": issue.sentence} for issue in issues]
            for head, issues in survey.suspects.items()
        },
        "seconds": round(survey.seconds, 1),
    }


def _photos(survey: Survey) -> dict[str, Any]:
    heads = survey.labels.heads
    return {
        "folder": str(survey.folder),
        "files": len(survey.files),
        "readable": sum(not file.problem for file in survey.files),
        "in_table": len(survey.labels.table.photos) if survey.labels.table else 0,
        "labelled": {name: int(head.labelled.sum()) for name, head in heads.items()},
    }


def _groups(survey: Survey) -> dict[str, Any] | None:
    if survey.kin is None or survey.groups is None:
        return None
    names = survey.grouped
    pairs = [
        {
            "first": names[pair.first],
            "second": names[pair.second],
            "similarity": pair.similarity,
            "reason": pair.reason,
        }
        for pair in survey.groups.pairs
    ]
    return {"recognised": survey.by, **asdict(survey.kin), "pairs": pairs}
