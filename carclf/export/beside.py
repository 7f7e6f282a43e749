"""What lies beside an exported model: what its answers mean, a request that can be sent or run, the files' sums."""

import base64
import hashlib
import io
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from PIL import Image

from carclf import __version__
from carclf.demo import draw_photo
from carclf.export import example
from carclf.export.savedmodel import BYTES, FROM_BYTES, FROM_PIXELS, SIZE
from carclf.export.whole_graph import WholeGraph, input_name
from carclf.files import write_json, write_text
from carclf.heads import Head
from carclf.mask_heads import MaskHead
from carclf.mask_images import mask_colors
from carclf.predict import Predictor

LABELS = example.LABELS
SUMS = "sha256.txt"
EXAMPLE = "example.py"
REQUEST = "example_request.json"
SCHEMA_VERSION = 1
TAKES_BYTES = "savedmodel"
"""The format that decodes photos itself: its example is a request to TensorFlow Serving, not a program."""

PIXELS = (
    "RGB after the EXIF orientation, transparency over white; a JPEG decoded at the smallest of the scales 1/1, 1/2, "
    "1/4, 1/8 that still covers the wanted size on both sides; resized in float32 with an antialiased triangle filter "
    "straight to that size, the aspect ratio given up; divided by the value of white"
)
DECIDE = {
    "categorical": "the class of the highest probability; its confidence is that probability",
    "multi_label": (
        "every class whose probability is at its threshold or above; the confidence is the product over all classes of "
        "the probability that a class is rightly given (its own) or rightly not (1 minus it)"
    ),
    "segmentation": (
        "the first channels of the grid are the probabilities of the classes; each is resized to the photo's size with "
        "a triangle filter and divided by its threshold; a pixel belongs to the class of the highest quotient above 1, "
        "else to the background, 0; class ids count from 1; the confidence is the mean probability of the cells of the "
        "grid that are given a class, each by that class, or, where none is, 1 minus the highest sum of a cell"
    ),
}
UNSURE = (
    "an answer whose confidence is below min_probability is none: leave the photo to people; 0: all are told, 1: none"
)
_INPUT_OF_BYTES = {
    "name": BYTES,
    "dtype": "string",
    "shape": [None],
    "values": f"the bytes of JPEG or PNG files; {SIZE} gives their width and height, held upright",
    "signature": FROM_BYTES,
}
_EXAMPLE_CAR = (3, 0)  # seed and number of the drawn photo in the request
_EXAMPLE_SIDE = 320  # pixels
_EXAMPLE_QUALITY = 90  # of its JPEG


def write_beside(folder: Path, predictor: Predictor, graph: WholeGraph, format_name: str, precision: str) -> None:
    """Writes labels.json, and an example: a request to TensorFlow Serving, or a program that needs only the runtime.

    Args:
        folder: that holds the exported model.
        predictor: the trained model.
        graph: what was exported of it.
        format_name: of the export.
        precision: of its weights or its arithmetic.
    """
    write_json(folder / LABELS, make_labels(predictor, graph, format_name, precision))
    if format_name == TAKES_BYTES:
        write_text(folder / REQUEST, make_request() + "\n")
    else:
        shutil.copyfile(example.__file__, folder / EXAMPLE)


def make_labels(predictor: Predictor, graph: WholeGraph, format_name: str, precision: str) -> dict[str, Any]:
    """The tree of labels.json: what goes in, what comes out, and how to decide on it."""
    shapes = graph.function.get_concrete_function().structured_outputs
    heads = {
        name: _labels_of(name, predictor) | {"output": name, "shape": [int(side) for side in shapes[name].shape]}
        for name in (*predictor.heads, *predictor.mask_heads)
    }
    inputs = _inputs_of_pixels(graph, None if format_name == TAKES_BYTES else 1)
    if format_name == TAKES_BYTES:
        inputs = [_INPUT_OF_BYTES, *({**each, "signature": FROM_PIXELS} for each in inputs)]
    return {
        "schema_version": SCHEMA_VERSION,
        "carclf_version": __version__,
        "model": predictor.model,
        "model_sha256": predictor.model_sha256,
        "format": format_name,
        "precision": precision,
        "inputs": inputs,
        "pixels": PIXELS,
        "unsure": UNSURE,
        "heads": heads,
    }


def _inputs_of_pixels(graph: WholeGraph, batch: int | None) -> list[dict[str, Any]]:
    """What goes in, one for each size; batch: photos at once, None = any number."""
    return [
        {"name": input_name(size), "dtype": "float32", "shape": [batch, size, size, 3], "values": "RGB in [0, 1]"}
        for size in graph.sizes
    ]


def _labels_of(name: str, predictor: Predictor) -> dict[str, Any]:
    """What the answers of one head mean."""
    if name in predictor.heads:
        return _of_labels(predictor.heads[name])
    return _of_mask(predictor.mask_heads[name])


def _of_labels(head: Head) -> dict[str, Any]:
    thresholds = head.threshold.tolist() if head.kind == "multi_label" else None
    return {
        "kind": head.kind,
        "classes": list(head.label_set.names),
        "mirror": head.label_set.mirror_names,
        "thresholds": thresholds,
        "min_probability": head.least_confidence,
        "decide": DECIDE[head.kind],
    }


def _of_mask(head: MaskHead) -> dict[str, Any]:
    names = head.label_set.names
    colors = mask_colors(head.label_set)[1 : len(names) + 1]
    return {
        "kind": "segmentation",
        "classes": list(names),
        "mirror": head.label_set.mirror_names,
        "colors": {name: list(color) for name, color in zip(names, colors, strict=True)},
        "thresholds": head.thresholds.tolist(),
        "min_probability": head.least_confidence,
        "decide": DECIDE["segmentation"],
        "input": input_name(head.looking.backbone.image_size),
        "tile": head.looking.tile,
        "overlap": head.looking.overlap,
        "regions": {**asdict(head.decider.regions), "min_probability": head.min_probability},
    }


def make_request() -> str:
    """A request to TensorFlow Serving's REST interface that asks about a drawn car."""
    photo = base64.b64encode(make_photo()).decode()
    return json.dumps({"signature_name": FROM_BYTES, "instances": [{BYTES: {"b64": photo}}]})


def make_photo() -> bytes:
    """The drawn car of the request, as the bytes of a JPEG file."""
    buffer = io.BytesIO()
    drawn = draw_photo(*_EXAMPLE_CAR, _EXAMPLE_SIDE)
    Image.fromarray(drawn.image).save(buffer, format="JPEG", quality=_EXAMPLE_QUALITY)
    return buffer.getvalue()


def write_sums(folder: Path) -> None:
    """Writes sha256.txt over all other files of the folder, as sha256sum does: check with sha256sum -c sha256.txt."""
    write_text(folder / SUMS, "".join(f"{digest}  {name}\n" for name, digest in sum_files(folder).items()))


def sum_files(folder: Path) -> Mapping[str, str]:
    """Path of every file but sha256.txt, from the folder on, with "/" -> SHA-256 of its bytes, hex; sorted."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    sums = {path.relative_to(folder).as_posix(): _sha256(path) for path in files}
    return {name: digest for name, digest in sums.items() if name != SUMS}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
