"""check: looks at photos, labels and masks before a run, and says what is wrong with them."""

import argparse
from pathlib import Path

from carclf.commands.exit_codes import DONE, WRONG_INPUT
from carclf.config import read_config


def execute(options: argparse.Namespace) -> int:
    """Does what the options say; returns the exit code."""
    config = read_config(options.config)
    from carclf.checking.page import make_page
    from carclf.checking.screen import print_survey
    from carclf.checking.survey import survey_data
    from carclf.checking.tree import make_tree
    from carclf.files import write_json, write_text

    folder: Path = options.to or config.results / "check"
    survey = survey_data(config)
    written = [folder / "check.json"]
    write_json(written[0], make_tree(survey))
    if not options.no_html:
        written.append(folder / "check.html")
        write_text(written[1], make_page(survey, config.check.thumbnails, config.workers))
    if not options.quiet:
        print_survey(survey, written)
    return DONE if survey.is_sound else WRONG_INPUT


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this command."""
    parser.add_argument("--to", type=Path, help="folder of check.json and check.html; default: check in the results")
    parser.add_argument("--no-html", action="store_true", help="no page, check.json alone")
    parser.set_defaults(command=execute)
