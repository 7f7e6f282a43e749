"""predict: classifies photos with a trained model, onto the screen or into a folder."""

import argparse
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from carclf.arguments import ArgumentError
from carclf.commands.exit_codes import DONE, WRONG_INPUT
from carclf.config import Config, read_config
from carclf.errors import ConfigError, PhotoError, raise_all
from carclf.jobs.request import OUTPUTS, PICTURES, REGIONS, REPORT_PHOTOS, JobRequest, read_outputs

if TYPE_CHECKING:
    from carclf.predict import Predictor

LOG = logging.getLogger(__name__)
HELP = {
    "overlays": "write each photo with its mask drawn over it",
    "masks": "write masks as indexed PNGs (class ids), which import reads",
    "color-masks": "write masks in the colours of the label file, which import reads",
    "probabilities": "write a grey picture of the probability of each class",
    "regions": "write the regions of all photos as COCO json, which CVAT, Label Studio and import read",
}
TO = (
    "answer into a folder: answers.jsonl, answers.csv, errors.csv, report.html, contact_sheet.png; the same command "
    "goes on where it was killed, and answers what is new or changed"
)
VIEWS = (
    "how many views of a photo the classification heads look at: 1, 2 (and mirrored), 4 (and its middle enlarged), "
    "6 (and in brighter light); default: as in training"
)


def execute(options: argparse.Namespace) -> int:
    """Does what the options say; returns the exit code."""
    config: Config = read_config(options.config)
    outputs = _read_folders(options)
    _check_photos(options)
    _check_outputs(options, outputs, config)
    from carclf.using import open_predictor

    predictor = open_predictor(config, options.model, options.views)
    if options.to is None:
        return _print_answers(options, outputs, predictor)
    from carclf.jobs.job import Job

    request = JobRequest(options.to, tuple(options.photos), outputs, options.report_photos)
    failed = Job(predictor, request, config.training.views).run(options.quiet)
    return WRONG_INPUT if failed else DONE


def _print_answers(options: argparse.Namespace, outputs: dict[str, Path], predictor: "Predictor") -> int:
    """Prints answers as they come; returns the exit code."""
    from carclf.asking import list_photos
    from carclf.mask_outputs import MaskWriter
    from carclf.regions_out import RegionWriter
    from carclf.terminal import Output, answer_prompts, print_answers

    label_sets = {name: head.label_set for name, head in predictor.mask_heads.items()}
    writers: list[Output] = [
        MaskWriter(outputs[word], kind, label_sets) for word, kind in PICTURES.items() if word in outputs
    ]
    regions = RegionWriter(outputs[REGIONS], label_sets, options.photos) if REGIONS in outputs else None
    writers += [regions] if regions else []
    if options.prompt:
        code = answer_prompts(predictor, writers)
    else:
        code = print_answers(predictor.predict(list_photos(options.photos)), writers)
    if regions:
        regions.finish()
    return code


def _read_folders(options: argparse.Namespace) -> dict[str, Path]:
    """The outputs that are asked for: word -> folder."""
    given = {word: folder for word in OUTPUTS if (folder := getattr(options, word.replace("-", "_")))}
    if options.outputs and options.to is None:
        raise ArgumentError(f"--with {','.join(options.outputs)}: names folders in that of --to. Add --to DIR.")
    return {word: options.to / word for word in options.outputs} | given


def _check_outputs(options: argparse.Namespace, outputs: dict[str, Path], config: Config) -> None:
    """Tells what is wrong with the folders before a model is loaded."""
    if outputs and not any(head.kind == "segmentation" for head in config.heads.values()):
        which = ", ".join(f"--{word}" for word in outputs)
        raise ConfigError(f"{which}: the config has no segmentation head, so there are no masks to write.")
    if options.to is not None and options.to.exists() and not options.to.is_dir():
        raise ConfigError(f"--to {options.to}: is a file. Give a folder, which need not be there yet.")
    taken: dict[str, str] = {}  # folder -> option
    for word, folder in [*([("to", options.to)] if options.to else []), *outputs.items()]:
        first = taken.setdefault(os.path.abspath(folder), word)
        if first != word:
            both = f"--{first} and --{word}"
            raise ConfigError(f"{both}: both write into {folder}. Give each a folder of its own.")


def _check_photos(options: argparse.Namespace) -> None:
    """Tells what can be told before a model is loaded."""
    from carclf.asking import names_something

    photos: list[Path] = options.photos
    if options.prompt and (photos or options.to):
        what = photos[0] if photos else f"--to {options.to}"
        raise PhotoError(f"{what}: --prompt asks for the photos. Name photos, or ask for the prompt.")
    if not options.prompt and not photos:
        raise PhotoError("predict: no photo was given. Name photos or folders, or ask for a prompt with --prompt.")
    missing = [photo for photo in photos if not names_something(photo)]
    if photos and len(missing) == len(photos):
        raise_all(PhotoError, [f"{photo}: no such file or folder." for photo in missing])
    raise_all(PhotoError, list(_own_photos(photos, options.to)))


def _own_photos(photos: list[Path], to: Path | None) -> Iterator[str]:
    """Photos that a job would ask itself about."""
    for photo in photos if to else ():
        if Path(os.path.abspath(photo)).is_relative_to(os.path.abspath(to or "")):
            yield f"{photo}: lies in {to}, where the answers go. Give --to another folder."


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this command."""
    photos = 'photos, folders of photos, patterns such as "claims/**/*.jpg"; - reads paths from the standard input'
    parser.add_argument("photos", nargs="*", type=Path, help=photos)
    parser.add_argument("--model", help="which of the config's models answers; default: the first")
    parser.add_argument("--to", type=Path, metavar="DIR", help=TO)
    words = f"with --to: write these into folders in it, too: {', '.join(OUTPUTS)}; joined by commas"
    parser.add_argument("--with", type=_outputs, default=[], metavar="NAMES", dest="outputs", help=words)
    shown = f"with --to: photos on the page and the contact sheets; 0 = neither; default: {REPORT_PHOTOS}"
    parser.add_argument("--report-photos", type=_count, default=REPORT_PHOTOS, metavar="N", help=shown)
    for word, text in HELP.items():
        parser.add_argument(f"--{word}", type=Path, metavar="DIR", help=text)
    parser.add_argument("--views", type=int, choices=range(1, 7), metavar="N", help=VIEWS)
    parser.add_argument("--prompt", action="store_true", help="ask for one image path after the other")
    parser.set_defaults(command=execute)


def _outputs(words: str) -> list[str]:
    try:
        return read_outputs(words)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _count(word: str) -> int:
    if not word.isdecimal():
        raise argparse.ArgumentTypeError(f'"{word}" is no number of photos')
    return int(word)
