"""predict: classifies photos with a trained model."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from carclf.config import Config, read_config
from carclf.errors import ConfigError, PhotoError, raise_all


def execute(options: argparse.Namespace) -> int:
    """Does what the options say; returns the exit code."""
    config: Config = read_config(options.config)
    _check_photos(options.photos, options.prompt)
    from carclf.terminal import Overlays, answer_prompts, print_answers
    from carclf.using import open_predictor

    predictor = open_predictor(config, options.model)
    if options.overlays and not predictor.mask_heads:
        raise ConfigError("--overlays: the config has no segmentation head, so there are no masks to draw.")
    overlays = Overlays(options.overlays) if options.overlays else None
    if options.prompt:
        return answer_prompts(predictor, overlays)
    from carclf.predict import list_photos

    return print_answers(predictor.predict(list_photos(options.photos)), overlays)


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
    parser.add_argument("--overlays", type=Path, metavar="DIR", help="write each photo with its mask drawn over it")
    parser.add_argument("--prompt", action="store_true", help="ask for one image path after the other")
    parser.set_defaults(command=execute)
