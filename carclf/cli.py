"""The command line: arguments, logging, errors in one line, exit codes. The config is read before anything heavy."""

import argparse
import logging
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from carclf.arguments import parse_arguments
from carclf.config import ANNOTATION_FORMATS, AnnotationConfig, Config, read_config
from carclf.errors import CarclfError, ConfigError, PhotoError, did_you_mean, raise_all

DONE, WRONG_INPUT, STOPPED = 0, 2, 130  # Python itself exits with 1 after a bug; 130 is a shell's for Ctrl-C
LOG = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns 0 (done) or 2 (the input is wrong). A bug is raised, and Python exits with 1."""
    debug = False
    try:
        options = parse_arguments(sys.argv[1:] if arguments is None else arguments, COMMANDS)
        debug = options.debug
        if arguments is None and not debug:
            _hush_native_libraries()
        _set_up_logging(options.quiet, debug)
        run: Callable[[argparse.Namespace], int] = options.command
        return run(options)
    except CarclfError as error:
        if debug:
            traceback.print_exc()
        else:
            print(error, file=sys.stderr)
        return WRONG_INPUT
    except KeyboardInterrupt:
        print("Stopped. Run the same command again to go on where it was.", file=sys.stderr)
        return STOPPED
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # whoever read our answers has enough of them
        return DONE


def _set_up_logging(quiet: bool, debug: bool) -> None:
    """Messages go to stderr; TensorFlow's own noise is switched off before it is imported."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    root = logging.getLogger("carclf")
    root.setLevel(logging.DEBUG if debug else logging.WARNING if quiet else logging.INFO)
    root.handlers, root.propagate = [handler], False
    if not debug:
        logging.getLogger("tensorflow").setLevel(logging.ERROR)


def _hush_native_libraries() -> None:
    """TensorFlow's C++ parts print to file 2 whatever one sets: it goes nowhere, Python's stderr stays."""
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1, errors="backslashreplace")
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)


# -- commands


def _run(options: argparse.Namespace) -> int:
    config = read_config(options.config)
    from carclf.app import run_config
    from carclf.terminal import print_summary

    trees = run_config(config)
    if not options.quiet:
        print_summary(trees, config.results, config.images)
    return DONE


def _add_nothing(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(command=_run)


def _predict(options: argparse.Namespace) -> int:
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


def _add_predict(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("photos", nargs="*", type=Path, help="photos or folders of photos")
    parser.add_argument("--model", help="which of the config's models answers; default: the first")
    parser.add_argument("--overlays", type=Path, metavar="DIR", help="write each photo with its mask drawn over it")
    parser.add_argument("--prompt", action="store_true", help="ask for one image path after the other")
    parser.set_defaults(command=_predict)


def _evaluate(options: argparse.Namespace) -> int:
    config = read_config(options.config)
    from carclf.terminal import print_evaluation
    from carclf.using import evaluate_config

    annotations = [_annotation(config, *given) for given in options.annotations]
    print_evaluation(evaluate_config(config, options.model, options.photos, options.labels, annotations))
    return DONE


def _annotation(config: Config, given_format: str, path: str) -> AnnotationConfig:
    """Reads --annotations as the config reads its own."""
    heads = [name for name, head in config.heads.items() if head.kind == "segmentation"]
    if given_format not in ANNOTATION_FORMATS:
        guess = did_you_mean(given_format, ANNOTATION_FORMATS)
        raise ConfigError(
            f'--annotations: "{given_format}" is no format.{guess} Formats: {", ".join(ANNOTATION_FORMATS)}.'
        )
    if len(heads) != 1:
        raise ConfigError(f"--annotations: needs one segmentation head, the config has {', '.join(heads) or 'none'}.")
    place = Path(path).absolute()
    if not (place.is_dir() if given_format == "masks" else place.is_file()):
        wanted = "folder" if given_format == "masks" else "file"
        raise ConfigError(f"--annotations {given_format}: {place}: no such {wanted}.")
    return AnnotationConfig(format=given_format, path=place, head=heads[0])


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--photos", type=Path, required=True, help="folder of photos that took no part in training")
    parser.add_argument("--labels", type=Path, required=True, help="their label table")
    parser.add_argument("--model", help="which of the config's models is judged; default: the first")
    parser.add_argument(
        "--annotations",
        nargs=2,
        action="append",
        default=[],
        metavar=("FORMAT", "PATH"),
        help="masks for the segmentation head: via or masks, and the file or folder",
    )
    parser.set_defaults(command=_evaluate)


def _backbone(options: argparse.Namespace) -> int:
    if options.train_embedded:
        from carclf.pretrain import train_embedded

        train_embedded(options.to)
        return DONE
    from carclf.architectures import build_savedmodel

    build_savedmodel(options.architecture, options.alpha, options.weights, options.to)
    return DONE


def _add_backbone(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--architecture", default="MobileNet", help="MobileNet, MobileNetV2 or ResNet50V2")
    parser.add_argument("--alpha", type=float, default=1.0, help="width of a MobileNet; default 1.0")
    parser.add_argument("--weights", default="imagenet", help='a weights file of keras.applications, or "imagenet"')
    parser.add_argument("--to", type=Path, required=True, help="folder of the SavedModel")
    parser.add_argument("--train-embedded", action="store_true", help="train the shipped backbone again")
    parser.set_defaults(command=_backbone)


def _demo(options: argparse.Namespace) -> int:
    from carclf.demo import write_demo

    write_demo(options.to, options.count, options.seed, options.size)
    LOG.info(
        "%d drawn photos in %s. Next: python main.py --config %s", options.count, options.to, options.to / "config.json"
    )
    return DONE


def _add_demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--count", type=int, default=300, help="number of photos")
    parser.add_argument("--to", type=Path, required=True, help="folder to write")
    parser.add_argument("--seed", type=int, default=2026, help="the same seed draws the same photos")
    parser.add_argument("--size", type=int, default=256, help="pixels on each side")
    parser.set_defaults(command=_demo)


COMMANDS: dict[str, tuple[str, Callable[[argparse.ArgumentParser], None]]] = {
    "run": ("train and judge the models of the config (the main job)", _add_nothing),
    "predict": ("classify photos with a trained model", _add_predict),
    "evaluate": ("score a trained model on a separate labelled set", _add_evaluate),
    "backbone": ("make a backbone SavedModel from keras.applications", _add_backbone),
    "demo": ("draw a labelled set of damaged and whole cars", _add_demo),
}
