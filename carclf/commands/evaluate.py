"""evaluate: scores a trained model on a separate labelled set."""

import argparse
from pathlib import Path

from carclf.commands.exit_codes import DONE
from carclf.config import Config, read_config
from carclf.config_checks import ANNOTATIONS_ARE
from carclf.config_data import ANNOTATION_FORMATS, AnnotationConfig
from carclf.errors import ConfigError, did_you_mean


def execute(options: argparse.Namespace) -> int:
    """Does what the options say; returns the exit code."""
    config = read_config(options.config)
    from carclf.terminal import print_evaluation
    from carclf.using import evaluate_config

    annotations = [_annotation(config, *given) for given in options.annotations]
    print_evaluation(evaluate_config(config, options.model, options.photos, options.labels, annotations))
    return DONE


def _annotation(config: Config, given_format: str, path: str) -> AnnotationConfig:
    """Reads --annotations as the config reads its own."""
    heads = [name for name, head in config.heads.items() if head.kind == "segmentation" and head.masks_of is None]
    if given_format not in ANNOTATION_FORMATS:
        guess = did_you_mean(given_format, ANNOTATION_FORMATS)
        raise ConfigError(
            f'--annotations: "{given_format}" is no format.{guess} Formats: {", ".join(ANNOTATION_FORMATS)}.'
        )
    head, equals, after = path.partition("=")
    if equals and head in heads:
        path = after
    elif len(heads) == 1:
        head = heads[0]
    else:
        known = f"Segmentation heads of the config: {', '.join(heads) or 'none'}."
        raise ConfigError(f"--annotations {given_format}: {path}: for which head? Write HEAD=PATH. {known}")
    place = Path(path).absolute()
    wanted = ANNOTATIONS_ARE.get(given_format, "file or folder")
    if not {"folder": place.is_dir, "file": place.is_file}.get(wanted, place.exists)():
        raise ConfigError(f"--annotations {given_format}: {place}: no such {wanted}.")
    return AnnotationConfig(format=given_format, path=place, head=head)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this command."""
    parser.add_argument("--photos", type=Path, required=True, help="folder of photos that took no part in training")
    parser.add_argument("--labels", type=Path, required=True, help="their label table")
    parser.add_argument("--model", help="which of the config's models is judged; default: the first")
    parser.add_argument(
        "--annotations",
        nargs=2,
        action="append",
        default=[],
        metavar=("FORMAT", "PATH"),
        help=f"masks for the segmentation head: {', '.join(ANNOTATION_FORMATS)}; and the file or folder; of several "
        "heads HEAD=PATH",
    )
    parser.set_defaults(command=execute)
