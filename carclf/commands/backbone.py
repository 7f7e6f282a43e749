"""backbone: makes a backbone SavedModel."""

import argparse
from pathlib import Path

from carclf.commands.exit_codes import DONE


def execute(options: argparse.Namespace) -> int:
    """Does what the options say; returns the exit code."""
    if options.train_embedded:
        from carclf.pretrain import train_embedded

        train_embedded(options.to)
        return DONE
    from carclf.architectures import build_savedmodel

    build_savedmodel(options.architecture, options.alpha, options.weights, options.to)
    return DONE


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this command."""
    parser.add_argument("--architecture", default="MobileNet", help="MobileNet, MobileNetV2 or ResNet50V2")
    parser.add_argument("--alpha", type=float, default=1.0, help="width of a MobileNet; default 1.0")
    parser.add_argument("--weights", default="imagenet", help='a weights file of keras.applications, or "imagenet"')
    parser.add_argument("--to", type=Path, required=True, help="folder of the SavedModel")
    parser.add_argument("--train-embedded", action="store_true", help="train the shipped backbone again")
    parser.set_defaults(command=execute)
