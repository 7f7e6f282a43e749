"""Fills what README.md repeats from the code, between its marks: the module list and the table of config keys.

`python -m tools.write_readme` writes it; with --check it only says whether there is something to write.
"""

import re
import sys
from pathlib import Path

import carclf
from carclf.config import list_keys

README = Path(__file__).resolve().parents[1] / "README.md"


def module_list() -> str:
    """The module list of carclf/__init__.py as a block of text."""
    lines = re.findall(r"^    (\S.*)$", carclf.__doc__ or "", flags=re.MULTILINE)
    return "\n".join(["```text", "carclf/", *(f"  {line}" for line in lines), "```"])


def config_table() -> str:
    """Every key of the config with its default and its reason, as a table."""
    rows = [f"| `{key}` | {f'`{default}`' if default else ''} | {text} |" for key, default, text in list_keys()]
    return "\n".join(["| key | default | what it is and why |", "|---|---|---|", *rows])


def fill(text: str) -> str:
    """Replaces what stands between `<!-- name -->` and `<!-- end of name -->`.

    Raises:
        ValueError: if a pair of marks is missing.
    """
    for name, content in (("module list", module_list()), ("config keys", config_table())):
        before, mark, rest = text.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition(f"<!-- end of {name} -->")
        if not (mark and end):
            raise ValueError(f"README.md has no marks for the {name}")
        text = f"{before}{mark}{content}\n{end}{after}"
    return text


def main(arguments: list[str]) -> int:
    """Returns the exit code: 1 if --check finds README.md behind the code."""
    written = README.read_text(encoding="utf-8")
    filled = fill(written)
    if arguments == ["--check"]:
        return int(filled != written)
    README.write_text(filled, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
