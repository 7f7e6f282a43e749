"""Exports a trained model into a folder: written, run in its own runtime, described; whole or not at all."""

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from carclf.config import Config
from carclf.export.beside import write_beside, write_sums
from carclf.export.card import ExportFacts, write_card
from carclf.export.formats import ExportError, Format, choose_format
from carclf.export.precision import measure_loss
from carclf.export.precisions import EXACT
from carclf.export.runtime import Run
from carclf.export.whole_graph import WholeGraph, input_name, join_graphs
from carclf.files import PARTIAL, cannot_write
from carclf.merged import merge_model
from carclf.predict import Predictor
from carclf.probes import disagreement, probe_images
from carclf.scores import Array

LOG = logging.getLogger(__name__)
PARITY = 1e-4  # largest difference from predict that float32 may show, relative to the largest value of an output


@dataclass(frozen=True)
class ExportRequest:
    """What is wanted.

    Attributes:
        format: one of formats.FORMATS.
        precision: one of that format's.
        to: the folder to write; not there yet, or empty.
    """

    format: str
    precision: str
    to: Path


def check_request(request: ExportRequest) -> Format:
    """Tells what is wrong with a request before anything heavy is done.

    Raises:
        ExportError: names it.
    """
    chosen = choose_format(request.format, request.precision)
    if request.to.exists() and not (request.to.is_dir() and not any(request.to.iterdir())):
        raise ExportError(f"--to {request.to}: is there already. Name a new folder, or remove that one.")
    return chosen


def export_model(config: Config, predictor: Predictor, request: ExportRequest) -> ExportFacts:
    """Writes the model, what lies beside it, and its card.

    Args:
        config: that it was trained with.
        predictor: the trained model.
        request: what is wanted.

    Returns:
        What is known of the files: how far their answers are from those of predict, what fewer bits cost.

    Raises:
        ExportError: if the model cannot be written like that, or answers otherwise than predict.
        RunDirError: if the folder cannot be written.
    """
    chosen = check_request(request)
    _tell_of_tiles(predictor)
    graph = join_graphs(merge_model(predictor))
    with whole_folder(request.to) as folder:
        chosen.write(graph, folder, request.precision)
        difference = measure_difference(predictor, graph, chosen.open(folder, predictor.workers))
        if request.precision == EXACT and not difference <= PARITY:  # NaN differs, too
            raise ExportError(
                f"--format {request.format}: its answers differ from those of predict by {difference:.1e} of the "
                f"largest value (at most {PARITY:g} is expected). Nothing is written. Try another --format."
            )
        loss = None if request.precision == EXACT else measure_loss(config, predictor, chosen.name, request.precision)
        facts = ExportFacts(chosen.name, request.precision, difference, loss)
        write_beside(folder, predictor, graph, chosen.name, request.precision)
        write_card(folder, config, predictor, facts)
        write_sums(folder)
    return facts


def _tell_of_tiles(predictor: Predictor) -> None:
    for name, head in predictor.mask_heads.items():
        if head.looking.tile is not None:
            LOG.warning(
                "%s: predict looks at photos of more than %d pixels in tiles, the exported model at whole photos.",
                name,
                head.looking.tile,
            )


def measure_difference(predictor: Predictor, graph: WholeGraph, run: Run) -> float:
    """Largest difference between a running export and the heads one by one, on drawn pictures.

    It is relative to the largest value of each output.
    """
    photos = {size: probe_images(size) for size in graph.sizes}
    expected: dict[str, Array] = {}
    for backbone in predictor.backbones:
        expected |= predictor.answer_one_by_one(backbone, photos[backbone.image_size])
    count = min(len(images) for images in photos.values())
    worst = 0.0
    for row in range(count):
        answers = run({input_name(size): images[row : row + 1] for size, images in photos.items()})
        worst = max(worst, disagreement(answers, {name: each[row : row + 1] for name, each in expected.items()}))
    return worst


@contextmanager
def whole_folder(to: Path) -> Iterator[Path]:
    """Gives a folder to fill, and moves it to `to` when that is done; on any failure nothing is left.

    Raises:
        RunDirError: if it cannot be written.
    """
    temporary: Path | None = None
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=to.parent, prefix=f"{PARTIAL}{to.name}-"))
        filled = temporary / to.name  # made by mkdir, so that its rights are as everybody else's
        filled.mkdir()
        yield filled
        os.replace(filled, to)
    except OSError as error:
        raise cannot_write(to, error) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
