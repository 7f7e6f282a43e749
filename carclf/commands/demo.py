"""demo: draws a labelled set of cars."""

import argparse
import logging
from pathlib import Path

from carclf.commands.exit_codes import DONE

LOG = logging.getLogger(__name__)


def execute(options: argparse.Namespace) -> int:
    """Does what the options say; returns the exit code."""
    from carclf.demo import write_demo

    write_demo(options.to, options.count, options.seed, options.size)
    LOG.info(
        "%d drawn photos in %s. Next: python main.py --config %s", options.count, options.to, options.to / "config.json"
    )
    return DONE


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this command."""
    parser.add_argument("--count", type=int, default=300, help="number of photos")
    parser.add_argument("--to", type=Path, required=True, help="folder to write")
    parser.add_argument("--seed", type=int, default=2026, help="the same seed draws the same photos")
    parser.add_argument("--size", type=int, default=256, help="pixels on each side")
    parser.set_defaults(command=execute)
