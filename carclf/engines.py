"""Runs a frozen backbone: OpenVINO or TensorFlow, always float32, one photo after another on each thread.

A photo alone in the network gives the same bits whatever the batch, its neighbours or the number of threads.
"""

import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
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
_TELEMETRY = "openvino_telemetry"  # sends what is imported and converted to its maker, and writes ~/intel


class EngineError(BackboneError):
    """One engine cannot run this network; another may."""


def open_tensorflow(graph: FrozenGraph, threads: int) -> Run:
    """Returns what runs the frozen graph in TensorFlow."""
    import tensorflow as tf

    concrete = graph.function.get_concrete_function()
    names = ["vector", *graph.map_shapes]
    only_vector = tf.function(lambda images: {"vector": concrete(images)["vector"]})

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


def convert_to_openvino(graph: FrozenGraph) -> Any:
    """Converts a frozen graph to an OpenVINO model of one photo, whose outputs carry our names.

    Raises:
        EngineError: if OpenVINO is missing or cannot convert it.
    """
    openvino = import_openvino()
    try:
        import tensorflow as tf

        module = tf.Module()
        module.serve = graph.function
        with tempfile.TemporaryDirectory() as scratch:  # a pruned function converts only by way of a SavedModel
            tf.saved_model.save(module, scratch, signatures={"serving_default": graph.function})
            model = openvino.convert_model(scratch)
    except Exception as error:  # the converter raises many kinds
        raise openvino_error("convert", error) from error
    return model


def openvino_error(verb: str, error: Exception) -> EngineError:
    """The error of a network that OpenVINO cannot convert, read or compile."""
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return EngineError(f"OpenVINO cannot {verb} it ({reason}). Set engine to tensorflow.")


def open_openvino(model: Any, threads: int) -> Run:
    """Returns what runs a converted model, each thread on its own photo; it is compiled at the first run."""
    openvino = import_openvino()
    core = openvino.Core()
    settings = {
        "INFERENCE_PRECISION_HINT": PRECISION,  # it would take bfloat16 by itself where the chip has it
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": threads,
        "ENABLE_CPU_PINNING": False,
    }
    compiled: dict[bool, Any] = {}

    def queue_for(maps: bool) -> Any:
        if maps not in compiled:  # maps as outputs cost time, so the vector has a model of its own
            try:
                chosen = model if maps else openvino.Model([model.output("vector")], model.get_parameters(), "vector")
                program = core.compile_model(chosen, "CPU", settings)
            except RuntimeError as error:
                raise openvino_error("compile", error) from error
            compiled[maps] = (
                openvino.AsyncInferQueue(program, threads),
                [_name(port) for port in program.outputs],
            )
        return compiled[maps]

    def run(images: Array, maps: bool) -> Outputs:
        queue, names = queue_for(maps)
        rows: list[list[Array]] = [[] for _ in images]

        def keep(request: Any, index: int) -> None:
            rows[index] = [np.array(request.get_output_tensor(i).data[0]) for i in range(len(names))]

        queue.set_callback(keep)
        for index in range(len(images)):
            queue.start_async([np.ascontiguousarray(images[index : index + 1])], index)
        queue.wait_all()
        return {name: np.stack(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}

    return run


def _name(port: Any) -> str:
    return str(port.get_any_name())
