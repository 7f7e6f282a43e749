"""export: writes a trained model as one file or folder that other programs run."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from carclf.commands.exit_codes import DONE
from carclf.config import read_config
from carclf.errors import counted
from carclf.export.formats import FORMATS, PRECISIONS, choose_format
from carclf.export.precisions import EXACT

if TYPE_CHECKING:
    from carclf.export.card import ExportFacts

FORMAT = (
    "savedmodel takes the bytes of photos and is ready for TensorFlow Serving; onnx, openvino and litert take pixels, "
    "and example.py beside them reads photos"
)
PRECISION = (
    f"default: {EXACT}, the answers of predict; bf16 (openvino) and int8 (litert) are smaller or faster: what they "
    "cost in score is measured on the run's photos, which takes minutes"
)


def execute(options: argparse.Namespace) -> int:
    """Does what the options say; returns the exit code."""
    config = read_config(options.config)
    choose_format(options.format, options.precision)
    from carclf.export.job import ExportRequest, check_request, export_model
    from carclf.using import load_predictor

    request = ExportRequest(options.format, options.precision, options.to)
    check_request(request)
    _print_done(options.to, export_model(config, load_predictor(config, options.model), request))
    return DONE


def _print_done(to: Path, facts: "ExportFacts") -> None:
    from carclf.export.card import CARD
    from carclf.export.precision import loss_text

    files = [path for path in to.rglob("*") if path.is_file()]
    size = f"{counted(len(files), 'file')}, {sum(path.stat().st_size for path in files) / 1e6:.1f} MB"
    print(
        f"{to}: {facts.format}, {facts.precision}; {size}. On drawn pictures its answers differ from those of predict "
        f"by {facts.difference:.0e} at most. What it is stands in {to / CARD}"
    )
    if facts.loss is not None:
        print(f"\n{loss_text(facts.loss)}", end="")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this command."""
    parser.add_argument("--format", required=True, choices=tuple(FORMATS), help=FORMAT)
    parser.add_argument("--to", type=Path, required=True, metavar="DIR", help="a new folder")
    parser.add_argument("--model", help="which of the config's models is exported; default: the first")
    parser.add_argument("--precision", choices=PRECISIONS, default=EXACT, help=PRECISION)
    parser.set_defaults(command=execute)
