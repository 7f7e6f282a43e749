"""import: brings photos labelled in any tool into a folder, with a config that runs."""

import argparse
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from carclf.arguments import DEFAULT_CONFIG
from carclf.commands.exit_codes import DONE
from carclf.config_data import ANNOTATION_FORMATS, COLOR_TOLERANCE
from carclf.errors import CarclfError

if TYPE_CHECKING:
    from carclf.importing.options import ImportOptions

FORMATS = (*ANNOTATION_FORMATS, "folders", "table")  # the last two hold labels of whole photos: no masks for a config
LOG = logging.getLogger(__name__)


def execute(options: argparse.Namespace) -> int:
    """Does what the options say; returns the exit code."""
    from carclf.importing.summary import summary_text
    from carclf.importing.whole import import_set

    asked = read_options(options)
    summary = import_set(asked, progress=None if LOG.isEnabledFor(logging.INFO) else False)
    if not options.quiet:
        print(summary_text(summary))
        if summary.says_something:
            print(f"Next: python main.py --config {asked.to / 'config.json'}")
    if not summary.says_something:
        raise CarclfError(
            f"{asked.source}: no label and no mask came of it, photos alone. Look at --map; where photos without a "
            "region are known to show nothing, say --empty."
        )
    if asked.strict and (summary.skipped or summary.conflicts):
        raise CarclfError(
            f"--strict: {summary.num_skipped} records were skipped and {len(summary.conflicts)} are in conflict; "
            "what is usable was imported. Correct them and import again."
        )
    if options.quiet and (summary.skipped or summary.conflicts):
        LOG.warning("%s", summary_text(summary))
    return DONE


def read_options(options: argparse.Namespace) -> "ImportOptions":
    """Reads the words of the command line.

    Raises:
        ImportOptionError: if one cannot be understood.
    """
    from carclf.importing.options import (
        ImportOptionError,
        ImportOptions,
        check_head,
        read_colors,
        read_derived,
        read_kinds,
        read_map,
        read_pairs,
    )

    if options.head is not None:
        check_head("--head", options.head)
    if not 0 <= options.tolerance <= 255:
        raise ImportOptionError(f"--tolerance {options.tolerance}: a number from 0 to 255 was expected.")
    source = _take_source(options)
    is_default = options.config == Path(DEFAULT_CONFIG)
    return ImportOptions(
        format=options.format,
        source=source,
        to=options.to,
        head=options.head,
        map=read_map(options.map),
        photos=tuple(options.photos),
        labels=options.labels,
        columns=read_pairs("--column", options.column),
        kinds=read_kinds(options.kind),
        colors=read_colors(options.color),
        tolerance=options.tolerance,
        attribute=options.attribute,
        empty=options.empty,
        copy=options.copy,
        strict=options.strict,
        derive=read_derived(options.derive),
        config=None if is_default and not options.config.exists() else options.config,
    )


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this command."""
    add = parser.add_argument
    add("source", type=Path, nargs="?", metavar="SOURCE", help="the annotation file or folder")
    add("--format", default="auto", metavar="NAME", help=f"{', '.join(FORMATS)}; default: recognised")
    add("--to", type=Path, required=True, metavar="DIR", help="folder to import into; several imports are merged there")
    add("--head", metavar="NAME", help="head that the masks are for (default: damage_mask), or the folders' names")
    _add_list(
        add, "--map", "OLD=NEW", "class here; OLD= leaves it out, OLD=ignore neither trains nor judges its pixels"
    )
    add("--photos", type=Path, action="append", default=[], metavar="FOLDER", help="where to look for photos first")
    add("--labels", type=Path, metavar="FILE", help="label file whose line i names class id i of masks, and its color")
    _add_list(add, "--column", "HEAD=COLUMN", "label tables: the column of a head; photo=COLUMN: of the photos' names")
    _add_list(add, "--kind", "HEAD=KIND", "categorical or multi_label, where the labels do not show it")
    _add_list(add, "--color", "R,G,B=CLASS", "a color of colour masks")
    how_far = f"how far off a color may be, of 255; default: {COLOR_TOLERANCE}"
    add("--tolerance", type=int, default=COLOR_TOLERANCE, metavar="N", help=how_far)
    add("--attribute", metavar="A", help="VIA: the attribute that holds the class")
    _add_list(add, "--derive", "HEAD=RULE", "classes:MASK_HEAD, share:MASK_HEAD:0,1,5 or touched:MASK_HEAD:OTHER")
    add("--empty", action="store_true", help="photos without a region are known to show nothing")
    add("--copy", action="store_true", help="copy the photos; default: linked where the disk can")
    add("--strict", action="store_true", help="exit with 2 if anything was skipped or is in conflict")
    parser.set_defaults(command=execute)


def _add_list(add: Callable[..., object], name: str, shape: str, text: str) -> None:
    add(name, action="extend", nargs="+", default=[], metavar=shape, help=text)


def _take_source(options: argparse.Namespace) -> Path:
    """The source; behind an option that takes several words it was taken for one of them."""
    from carclf.importing.options import ImportOptionError

    if options.source is not None:
        return Path(options.source)
    for words in (options.map, options.column, options.kind, options.color, options.derive):
        if words and "=" not in words[-1]:
            return Path(words.pop())
    raise ImportOptionError("import: which annotations? Name a file or folder: python main.py import SOURCE …")
