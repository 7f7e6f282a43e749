"""What a check finds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from carclf.errors import CarclfError

Severity = Literal["unsound", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)  # the worst first


@dataclass(frozen=True)
class Finding:
    """One thing that a person should know about the data.

    Attributes:
        kind: in few words, the same for findings of one sort.
        severity: unsound = a run would stop, or learn or judge by something wrong; warning = possible, but poor;
            note = good to know.
        text: what was found and what to do.
        head: the head that it concerns; "" = all of them, or none.
        photos: names of the photos that it concerns, each once.
        notes: photo -> what is to be said of it alone.
    """

    kind: str
    severity: Severity
    text: str
    head: str = ""
    photos: tuple[str, ...] = ()
    notes: Mapping[str, str] = field(default_factory=dict)

    def to_tree(self) -> dict[str, Any]:
        """The finding in check.json."""
        return {
            "kind": self.kind,
            "severity": self.severity,
            "text": self.text,
            "head": self.head or None,
            "photos": list(self.photos),
            "notes": dict(self.notes),
        }


def from_error(kind: str, error: CarclfError, head: str = "", severity: Severity = "unsound") -> list[Finding]:
    """Makes a finding of each line of a user's error."""
    return [Finding(kind, severity, line, head) for line in str(error).splitlines()]


def by_severity(findings: Sequence[Finding]) -> list[Finding]:
    """The findings, the worst first, those of one kind together; otherwise in the order in which they were found."""
    first: dict[str, int] = {}
    for place, finding in enumerate(findings):
        first.setdefault(finding.kind, place)
    return sorted(findings, key=lambda each: (SEVERITIES.index(each.severity), first[each.kind]))
