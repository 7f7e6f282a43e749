"""A SavedModel as a network that runs: frozen, converted, checked against TensorFlow, and kept for the next load."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from carclf.engines import (
    EngineError,
    Run,
    convert_to_openvino,
    import_openvino,
    open_openvino,
    open_tensorflow,
)
from carclf.graphs import FrozenGraph, freeze_savedmodel
from carclf.kept_networks import read_kept, write_kept
from carclf.probes import disagreement, probe_images, wrong_range

AGREEMENT = 1e-4
"""Largest difference between the engines, relative to the largest value; another order of sums stays below 2e-5."""
_FORMAT = 1  # of the converted networks kept on disk


@dataclass(frozen=True)
class NetworkRequest:
    """Everything that decides what a network computes, but the engine; trusted_range: the range needs no check."""

    folder: Path
    sha256: str
    image_size: int
    input_range: tuple[float, float]
    grid: tuple[int, int] | None
    trusted_range: bool


@dataclass(frozen=True)
class Network:
    """What is known about a network that runs.

    Attributes:
        num_features: D, the cells of the grid included.
        map_shapes: level -> (height, width, channels).
        engine_version: the version of the engine that runs it.
        range_warning: why the input range looks wrong, or "".
    """

    num_features: int
    map_shapes: dict[str, tuple[int, int, int]]
    engine_version: str
    range_warning: str


def load_tensorflow_network(request: NetworkRequest, threads: int) -> tuple[Network, Run]:
    """Freezes the SavedModel and runs it in TensorFlow.

    Raises:
        BackboneError: if it is no image-feature SavedModel.
    """
    import tensorflow as tf

    graph = freeze_savedmodel(request.folder, request.image_size, request.grid)
    return _describe(graph, request, tf.__version__), open_tensorflow(graph, threads)


def load_openvino_network(request: NetworkRequest, cache_dir: Path | None, threads: int) -> tuple[Network, Run]:
    """Runs the SavedModel in OpenVINO; converted, checked and kept in cache_dir, or taken from there.

    Raises:
        EngineError: if OpenVINO is missing, cannot convert it, or disagrees with TensorFlow.
        BackboneError: if it is no image-feature SavedModel.
    """
    version = str(import_openvino().__version__)
    kept = None if cache_dir is None else cache_dir / f"network-{_key(request, version)}"
    if kept is not None:
        if (found := read_kept(kept)) is not None:
            facts, model = found
            shapes = {level: tuple(shape) for level, shape in facts["map_shapes"].items()}
            return Network(**facts | {"map_shapes": shapes}), open_openvino(model, threads)
    graph = freeze_savedmodel(request.folder, request.image_size, request.grid)
    network = _describe(graph, request, version)
    model = convert_to_openvino(graph.function)
    run = open_openvino(model, threads)
    _check_agreement(graph, run, request)
    if kept is not None:
        write_kept(kept, model, network.__dict__)
    return network, run


def _describe(graph: FrozenGraph, request: NetworkRequest, version: str) -> Network:
    warning = "" if request.trusted_range else wrong_range(graph, request.image_size, request.input_range)
    return Network(graph.num_features, graph.map_shapes, version, warning)


def _check_agreement(graph: FrozenGraph, run: Run, request: NetworkRequest) -> None:
    low, high = request.input_range
    images = probe_images(request.image_size) * np.float32(high - low) + np.float32(low)
    difference = disagreement(run(images, True), open_tensorflow(graph, 1)(images, True))
    if not difference <= AGREEMENT:  # NaN disagrees, too
        raise EngineError(
            f"OpenVINO and TensorFlow differ by {difference:.1e} of the largest value "
            f"(at most {AGREEMENT:g} is expected). "
            "Set engine to tensorflow."
        )


def _key(request: NetworkRequest, version: str) -> str:
    facts = [_FORMAT, request.sha256, request.image_size, request.input_range, request.grid, version]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
