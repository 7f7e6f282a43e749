"""A model as ONNX."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carclf.export.runtime import Images, Run
from carclf.export.whole_graph import WholeGraph

FILE = "model.onnx"
_OPSET = 18  # what runtimes from 2023 on can run; tf2onnx 1.17 writes no later one


def write_onnx(graph: WholeGraph, folder: Path, precision: str) -> None:
    """Writes model.onnx, with inputs and outputs of the graph's names."""
    import tf2onnx

    signature = list(graph.function.input_signature)
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    model, _ = tf2onnx.convert.from_function(graph.function, input_signature=signature, opset=_OPSET)
    (folder / FILE).write_bytes(model.SerializeToString())


def open_onnx(folder: Path, threads: int) -> Run:
    """Opens model.onnx in ONNX Runtime, on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(folder / FILE, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def run(images: Images) -> dict[str, NDArray[Any]]:
        answers = session.run(names, {name: np.ascontiguousarray(image) for name, image in images.items()})
        return dict(zip(names, answers, strict=True))

    return run
