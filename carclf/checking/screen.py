"""What a person at a terminal sees of a check."""

from itertools import groupby
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from carclf.checking.survey import Survey
from carclf.errors import counted, listed

_MOST_TEXTS = 5  # findings of one kind that are written out
_STYLES = {"unsound": "bold red", "warning": "yellow", "note": "cyan"}
_PIPED_WIDTH = 120  # columns that no terminal limits
_NO_CONTROLS = dict.fromkeys([*range(32), *range(127, 160)], "\N{REPLACEMENT CHARACTER}")  # file names can hold them


def print_survey(survey: Survey, written: list[Path]) -> None:
    """Prints what was found, the worst first, and where the files are."""
    console = Console()
    if not console.is_terminal:
        console.width = _PIPED_WIDTH
    table = Table(title=f"Check of {escape(str(survey.folder))}", show_lines=True)
    table.add_column("", no_wrap=True)
    table.add_column("what", overflow="fold")
    table.add_column("found, and what to do", overflow="fold")
    for (severity, kind), group in groupby(survey.findings, lambda each: (each.severity, each.kind)):
        findings = list(group)
        texts = [_line(finding.text, finding.photos) for finding in findings[:_MOST_TEXTS]]
        if len(findings) > _MOST_TEXTS:
            texts.append(f"… and {len(findings) - _MOST_TEXTS} more in check.json")
        table.add_row(f"[{_STYLES[severity]}]{severity}[/]", kind, "\n".join(texts))
    if survey.findings:
        console.print(table)
    for line in _summary(survey):
        console.print(line, highlight=False, soft_wrap=True)
    for path in written:
        console.print(str(path), highlight=False, soft_wrap=True, markup=False)


def _line(text: str, photos: tuple[str, ...]) -> str:
    unnamed = [photo for photo in photos if photo not in text]
    return escape((f"{text} ({listed(unnamed, 4)})" if unnamed else text).translate(_NO_CONTROLS))


def _summary(survey: Survey) -> list[str]:
    readable = sum(not file.problem for file in survey.files)
    lines = [f"{counted(len(survey.files), 'photo')}, {readable:,} readable."]
    if survey.kin is not None:
        kin = survey.kin
        lines.append(
            f"{counted(kin.groups, 'group')}, {kin.shared} of more than one photo; "
            f"{counted(kin.exact, 'exact duplicate')}, {counted(kin.near, 'near-duplicate pair')} "
            f"({kin.mirrored} mirrored). {escape(survey.by)}"
        )
    if survey.folds:
        shares = ", ".join(f"{fold.photos:,}" for fold in survey.folds)
        lines.append(f"{len(survey.folds)} folds of {shares} photos.")
    for head, issues in survey.suspects.items():
        lines.append(f"{escape(head)}: {counted(len(issues), 'label')} that the last run doubts.")
    unsound = sum(finding.severity == "unsound" for finding in survey.findings)
    said = (
        "Sound."
        if survey.is_sound
        else f"[bold red]Not sound: {counted(unsound, 'finding')} to mend before training.[/]"
    )
    return [*lines, f"{said} {survey.seconds:.1f} s."]
