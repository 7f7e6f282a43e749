"""run: trains and judges the models of the config (the main job)."""

import argparse

from carclf.commands.exit_codes import DONE
from carclf.config import read_config


def execute(options: argparse.Namespace) -> int:
    """Does what the options say; returns the exit code."""
    config = read_config(options.config)
    from carclf.app import run_config
    from carclf.terminal import print_summary

    trees = run_config(config)
    if not options.quiet:
        print_summary(trees, config.results, config.images)
    return DONE


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this command."""
    parser.set_defaults(command=execute)
