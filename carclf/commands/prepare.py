"""prepare: writes train, valid and test folders of images and masks for other tools."""

import argparse
import logging
from pathlib import Path

from carclf.commands.exit_codes import DONE
from carclf.config import read_config
from carclf.preparing.options import PrepareOptions, check_options

LOG = logging.getLogger(__name__)


def execute(options: argparse.Namespace) -> int:
    """Does what the options say; returns the exit code."""
    config = read_config(options.config)
    seed = config.cross_validation.seed if options.seed is None else options.seed
    wanted = PrepareOptions(options.head, options.valid, options.test, options.copies, options.size, seed)
    check_options(wanted)
    from carclf.preparing.whole import prepare

    tree = prepare(config, wanted, options.to)
    for split, counts in tree["counts"].items():
        copies = f", and {counts['copies']} copies" if counts["copies"] else ""
        LOG.info("%s: photos %d, groups %d%s.", split, counts["photos"], counts["groups"], copies)
    without = tree["left_out"]["without_mask"]
    if without:
        LOG.info('left out, as nobody drew their mask for head "%s": %d.', tree["settings"]["head"], without)
    LOG.info("%s: statistics.png is the picture of the counts, samples.png shows copies.", options.to)
    return DONE


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this command."""
    parser.add_argument("--to", type=Path, required=True, metavar="DIR", help="folder to write: new, empty, or earlier")
    parser.add_argument("--head", help="segmentation head whose masks are written; default: the only one")
    usual = PrepareOptions()
    parser.add_argument("--valid", type=float, default=usual.valid, help="share of the photos to validate; 0 = none")
    parser.add_argument("--test", type=float, default=usual.test, help="share of the photos for the test; 0 = none")
    parser.add_argument("--copies", type=int, default=usual.copies, help="augmented copies of each training photo")
    parser.add_argument("--size", type=int, metavar="N", help="resize to N × N pixels; default: as large as the photo")
    parser.add_argument("--seed", type=int, help="the same seed, the same files; default: that of the config")
    parser.set_defaults(command=execute)
