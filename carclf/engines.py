"""Runs a frozen backbone: OpenVINO or TensorFlow, always float32, one photo after another on each thread.

A photo alone in the network gives the same bits whatever the batch, its neighbours or the number of threads.
"""

import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carclf.errors import BackboneError
from carclf.graphs import FrozenGraph

Array = NDArray[np.float32]
Outputs = dict[str, Array]
Run = Callable[[Array, bool], Outputs]
"""(float32 images (b, S, S, 3) in the backbone's range, with maps?) -> {"vector": (b, D), "P2": (b, h, w, c), …}"""

PRECISION = "f32"
_REQUESTS_A_THREAD = 2  # so that the next photo waits when one is done
_TELEMETRY = "openvino_telemetry"  # sends what is imported and converted to its maker, and writes ~/intel


class EngineError(BackboneError):
    """One engine cannot run this network; another may."""


def open_tensorflow(graph: FrozenGraph, threads: int) -> Run:
    """Returns what runs the frozen graph in TensorFlow."""
    import tensorflow as tf

    concrete = graph.function.get_concrete_function()
    names = ["vector", *graph.map_shapes]
    only_vector = tf.function(lambda images: {"vector": concrete(images)["vector"]}, autograph=False)

    def run_one(images: Array, maps: bool) -> list[Array]:
        outputs = (concrete if maps else only_vector)(tf.constant(images))
        return [outputs[name].numpy()[0] for name in (names if maps else names[:1])]

    def run(images: Array, maps: bool) -> Outputs:
        with ThreadPoolExecutor(threads) as pool:
            rows = list(pool.map(lambda index: run_one(images[index : index + 1], maps), range(len(images))))
        return {name: np.stack(column) for name, column in zip(names, zip(*rows, strict=True), strict=False)}

    return run


def import_openvino() -> Any:
    """Imports OpenVINO without its telemetry: where that is missing, it is replaced by an empty one.

    Raises:
        EngineError: if OpenVINO is missing.
    """
    sys.modules.setdefault(_TELEMETRY, None)  # type: ignore[arg-type]  # importing it fails from now on
    try:
        import openvino
    except ImportError as error:
        raise EngineError(f"OpenVINO is not installed ({error}).") from error
    return openvino


def convert_to_openvino(function: Any) -> Any:
    """Converts a frozen TensorFlow function of one photo to an OpenVINO model, whose outputs carry the same names.

    Raises:
        EngineError: if OpenVINO is missing or cannot convert it.
    """
    openvino = import_openvino()
    try:
        import tensorflow as tf

        module = tf.Module()
        module.serve = function
        with tempfile.TemporaryDirectory() as scratch:  # a pruned function converts only by way of a SavedModel
            tf.saved_model.save(module, scratch, signatures={"serving_default": function})
            model = openvino.convert_model(scratch)
        model.set_rt_info("", ["conversion_parameters", "input_model"])  # else the scratch folder
    except Exception as error:  # the converter raises many kinds
        raise openvino_error("convert", error) from error
    return model


def openvino_error(verb: str, error: Exception) -> EngineError:
    """The error of a network that OpenVINO cannot convert, read or compile."""
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return EngineError(f"OpenVINO cannot {verb} it ({reason}). Set engine to tensorflow.")


def open_openvino(model: Any, threads: int) -> Run:
    """Returns what runs a converted backbone, each thread on its own photo; it is compiled at the first run."""
    ask = open_outputs(model, threads)
    levels = [name for name in output_names(model) if name != "vector"]

    def run(images: Array, maps: bool) -> Outputs:
        return ask(images, ["vector", *levels] if maps else ["vector"])  # maps as outputs cost time

    return run


def output_names(model: Any) -> list[str]:
    """Our names of the outputs of a converted model."""
    return [_name(port) for port in model.outputs]


def open_outputs(model: Any, threads: int) -> Callable[[Array, Sequence[str]], Outputs]:
    """Returns what runs a converted model of one photo, each thread on its own one.

    What it takes: float32 images (b, S, S, 3), and the names of the outputs that are wanted; another set of names is
    another program, compiled when it is first asked for. It may be called from several threads; one runs at a time.
    """
    core = import_openvino().Core()
    programs: dict[tuple[str, ...], Any] = {}
    turn = Lock()

    def run(images: Array, outputs: Sequence[str]) -> Outputs:
        names = tuple(outputs)
        with turn:
            if names not in programs:
                programs[names] = _compile(core, model, names, threads)
            return _run_each(programs[names], images, names)

    return run


def _compile(core: Any, model: Any, names: Sequence[str], threads: int) -> list[Any]:
    """The requests of a program that gives these outputs, in this order."""
    openvino = import_openvino()
    settings = {
        "INFERENCE_PRECISION_HINT": PRECISION,  # it would take bfloat16 by itself where the chip has it
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": threads,
        "ENABLE_CPU_PINNING": False,
    }
    try:
        chosen = openvino.Model([model.output(name) for name in names], model.get_parameters(), "chosen")
        program = core.compile_model(chosen, "CPU", settings)
        return [program.create_infer_request() for _ in range(_REQUESTS_A_THREAD * threads)]
    except RuntimeError as error:
        raise openvino_error("compile", error) from error


def _run_each(requests: Sequence[Any], images: Array, names: Sequence[str]) -> Outputs:
    """Runs photo after photo, several at a time, in turn.

    OpenVINO's own queue tells by callbacks that a photo is done. When a program is freed while such a callback ends,
    each waits for the other for ever (2026.4), so there are none here.
    """
    rows: list[list[Array]] = []

    def take(index: int) -> None:
        request = requests[index % len(requests)]
        request.wait()
        rows.append([np.array(request.get_output_tensor(i).data[0]) for i in range(len(names))])

    for index in range(len(images)):
        if index >= len(requests):
            take(index - len(requests))
        requests[index % len(requests)].start_async([np.ascontiguousarray(images[index : index + 1])])
    for index in range(max(len(images) - len(requests), 0), len(images)):
        take(index)
    return {name: np.stack(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}


def _name(port: Any) -> str:
    return str(port.get_any_name())
