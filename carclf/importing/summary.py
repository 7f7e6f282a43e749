"""What came of an import, in words."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from carclf.errors import counted, listed

_MOST = 8  # reasons and conflicts that are shown; the csv files have all
_TELLING = 50  # characters of a reason, without names and numbers, that tell it from others
_REGION = re.compile(r" region \d+$")


@dataclass
class Summary:
    """Counts of one import.

    Attributes:
        format: of the annotations.
        source: where they are.
        to: the folder.
        records: photos that the annotations speak of.
        made: photos that are new in the folder.
        there: photos that were in the folder before.
        twins: photos with the same content as an earlier one of this import.
        masks: head -> (new masks, masks that were there already).
        labels: head -> (cells filled, cells that said the same already).
        classes: head -> its classes.
        remarks: those of the heads of labels that are none: columns kept as they are.
        skipped: (record, reason).
        conflicts: (photo, head, was, came, from).
        outside: regions wholly outside their photo, and the first records that have one.
        not_mentioned: photos of the source that no record speaks of.
    """

    format: str
    source: str
    to: str
    records: int = 0
    made: int = 0
    there: int = 0
    twins: int = 0
    masks: dict[str, list[int]] = field(default_factory=dict)
    labels: dict[str, list[int]] = field(default_factory=dict)
    classes: dict[str, Sequence[str]] = field(default_factory=dict)
    remarks: frozenset[str] = frozenset()
    skipped: list[list[str]] = field(default_factory=list)
    conflicts: list[list[str]] = field(default_factory=list)
    outside: int = 0
    outside_at: list[str] = field(default_factory=list)
    not_mentioned: int = 0

    @property
    def used(self) -> int:
        """Records of which something was made."""
        return self.made + self.there + self.twins

    @property
    def says_something(self) -> bool:
        """Whether any record brought a label or a mask, be it one that was there or is in conflict."""
        return bool(self.masks or self.labels or self.conflicts)

    @property
    def num_skipped(self) -> int:
        """Records that were left out; one may have several problems."""
        return len({_REGION.sub("", place) for place, _ in self.skipped})


def summary_text(summary: Summary) -> str:
    """Returns the lines that are shown when an import is done."""
    photos = f"{counted(summary.made, 'photo')} made"
    if summary.there:
        photos += f", {summary.there} there already (same content)"
    if summary.twins:
        photos += f", {summary.twins} of the same content as another one of them, whose row they share"
    lines = [
        f"{summary.format} {summary.source} -> {summary.to}",
        f"  {counted(summary.records, 'record')} read: {photos}, {summary.num_skipped} skipped",
    ]
    for what, heads in (("mask", summary.masks), ("label", summary.labels)):
        for head, (new, same) in heads.items():
            also = f", {same} there already" if same else ""
            classes = summary.classes.get(head)
            known = f"; {counted(len(classes), 'class', 'classes')}: {listed(classes, 10)}" if classes else ""
            if head in summary.remarks:
                known = f"; no head, as they look like remarks: --kind {head}=categorical makes it one"
            lines.append(f"  {head}: {counted(new, what)} made{also}{known}")
    if summary.outside:
        regions = counted(summary.outside, "region")
        lines.append(f"  {regions} wholly outside the photo: {listed(summary.outside_at, 3)}")
    if summary.not_mentioned:
        lines.append(f"  {counted(summary.not_mentioned, 'photo')} of the source not mentioned and left there")
    lines += [f"  {line}" for line in skipped_lines(summary.skipped)]
    lines += _conflict_lines(summary.conflicts)
    return "\n".join(lines)


def skipped_lines(skipped: Sequence[Sequence[str]], where: str = " in skipped.csv") -> list[str]:
    """Groups what was skipped by its reason, whatever names and numbers stand in it.

    Args:
        skipped: (record, reason).
        where: all the reasons are.
    """
    groups: dict[str, list[Sequence[str]]] = {}
    for entry in skipped:
        reason = re.sub(r'"[^"]*"|\S*[/\\.]\S*\w|\d+', "…", entry[1])
        groups.setdefault(reason[:_TELLING], []).append(entry)
    ranked = sorted(groups.values(), key=len, reverse=True)
    lines = [f"skipped {len(group)} ×: {group[0][1]} ({listed([each[0] for each in group], 2)})" for group in ranked]
    if len(lines) > _MOST:
        lines = [*lines[:_MOST], f"skipped: {len(lines) - _MOST} more reasons{where}."]
    return lines


def _conflict_lines(conflicts: Sequence[Sequence[str]]) -> list[str]:
    if not conflicts:
        return []
    lines = [f"  {counted(len(conflicts), 'conflict')} with what was there, which stays (all in conflicts.csv):"]
    lines += [
        f"    {photo}, {head}: there {was}, came {came} ({place})"
        for photo, head, was, came, place in conflicts[:_MOST]
    ]
    return lines
