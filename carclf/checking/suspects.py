"""Labels that a run takes for wrong, as far as they still stand in the table."""

from collections.abc import Mapping, Sequence

import numpy as np

from carclf.errors import CarclfError
from carclf.head_data import HeadData
from carclf.label_errors import LabelIssue, find_label_issues
from carclf.labels import NOT_LABELLED
from carclf.rundir import RunDir


def find_suspects(run: RunDir, heads: Mapping[str, HeadData], photos: Sequence[str]) -> dict[str, list[LabelIssue]]:
    """Lists the labels that are most likely wrong, the surest first; nothing where nothing was trained yet.

    Args:
        run: its directory; there or not.
        heads: head -> its labels as they are now.
        photos: their names.
    """
    rows = {name: row for row, name in enumerate(photos)}
    found: dict[str, list[LabelIssue]] = {}
    for name, head in heads.items():
        if not run.has(f"{name}/predictions.csv"):
            continue
        try:
            issues = find_label_issues(run, {name: head.kind})[name]
        except CarclfError:
            continue  # a run that was not finished, or of other heads: `run` will say so
        found[name] = [issue for issue in issues if issue.photo in rows and _still_stands(issue, head, rows)]
    return found


def _still_stands(issue: LabelIssue, head: HeadData, rows: Mapping[str, int]) -> bool:
    """Whether the label is the one that the run was trained with; of masks, whether there is still something or not."""
    if head.kind == "segmentation":
        return bool(head.targets[rows[issue.photo]] == bool(issue.given))
    target, names = head.targets[rows[issue.photo]], head.label_set.names
    if head.kind == "categorical":
        return bool(target != NOT_LABELLED) and (names[int(target)],) == issue.given
    return tuple(names[place] for place in np.flatnonzero(target == 1)) == issue.given
