"""predict: classifies photos with a trained model."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from carclf.config import Config, read_config
from carclf.errors import ConfigError, PhotoError, raise_all

KINDS = {"overlays": "overlays", "masks": "indexed", "color_masks": "colors", "probabilities": "probabilities"}
HELP = {
    "overlays": "write each photo with its mask drawn over it",
    "masks": "write masks as indexed PNGs (class ids), which import reads",
    "color_masks": "write masks in the colours of the label file, which import reads",
    "probabilities": "write a grey picture of the probability of each class",
    "regions": "write the regions of all photos as COCO json, which CVAT, Label Studio and import read",
}


def execute(options: argparse.Namespace) -> int:
    """Does what the options say; returns the exit code."""
    config: Config = read_config(options.config)
    _check_photos(options.photos, options.prompt)
    _check_outputs(options, config)
    from carclf.asking import list_photos
    from carclf.mask_outputs import MaskWriter
    from carclf.regions_out import RegionWriter
    from carclf.terminal import Output, answer_prompts, print_answers
    from carclf.using import open_predictor

    predictor = open_predictor(config, options.model)
    label_sets = {name: head.label_set for name, head in predictor.mask_heads.items()}
    outputs: list[Output] = [
        MaskWriter(folder, kind, label_sets) for option, kind in KINDS.items() if (folder := getattr(options, option))
    ]
    regions = RegionWriter(options.regions, label_sets, options.photos) if options.regions else None
    outputs += [regions] if regions else []
    if options.prompt:
        code = answer_prompts(predictor, outputs)
    else:
        code = print_answers(predictor.predict(list_photos(options.photos)), outputs)
    if regions:
        regions.finish()
    return code


def _check_outputs(options: argparse.Namespace, config: Config) -> None:
    """Tells what is wrong with the folders before a model is loaded."""
    given = {option: getattr(options, option) for option in (*KINDS, "regions") if getattr(options, option)}
    if given and not any(head.kind == "segmentation" for head in config.heads.values()):
        which = ", ".join(f"--{option.replace('_', '-')}" for option in given)
        raise ConfigError(f"{which}: the config has no segmentation head, so there are no masks to write.")
    taken: dict[str, str] = {}  # folder -> option
    for option, folder in given.items():
        first = taken.setdefault(os.path.abspath(folder), option)
        if first != option:
            both = " and ".join(f"--{each.replace('_', '-')}" for each in (first, option))
            raise ConfigError(f"{both}: both write into {folder}. Give each a folder of its own.")


def _check_photos(photos: Sequence[Path], prompt: bool) -> None:
    """Tells what can be told before a model is loaded."""
    if prompt and photos:
        raise PhotoError(f"{photos[0]}: --prompt asks for the photos. Name photos, or ask for the prompt.")
    if not prompt and not photos:
        raise PhotoError("predict: no photo was given. Name photos or folders, or ask for a prompt with --prompt.")
    missing = [photo for photo in photos if not os.path.lexists(photo)]
    if photos and len(missing) == len(photos):
        raise_all(PhotoError, [f"{photo}: no such file or folder." for photo in missing])


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this command."""
    parser.add_argument("photos", nargs="*", type=Path, help="photos or folders of photos")
    parser.add_argument("--model", help="which of the config's models answers; default: the first")
    for option, text in HELP.items():
        parser.add_argument(f"--{option.replace('_', '-')}", type=Path, metavar="DIR", help=text)
    parser.add_argument("--prompt", action="store_true", help="ask for one image path after the other")
    parser.set_defaults(command=execute)
