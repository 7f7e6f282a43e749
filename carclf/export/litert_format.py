"""A model as LiteRT's model.tflite, for phones and small computers."""

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from carclf.export.precisions import EXACT
from carclf.export.runtime import Images, Run
from carclf.export.whole_graph import WholeGraph

FILE = "model.tflite"


def write_litert(graph: WholeGraph, folder: Path, precision: str) -> None:
    """Writes model.tflite, whose one signature has inputs and outputs of the graph's names."""
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_concrete_functions([graph.function.get_concrete_function()], tf.Module())
    if precision != EXACT:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    (folder / FILE).write_bytes(converter.convert())


def open_litert(folder: Path, threads: int) -> Run:
    """Opens model.tflite in LiteRT, on the CPU."""
    from ai_edge_litert.interpreter import Interpreter

    signature = Interpreter(model_path=str(folder / FILE), num_threads=threads).get_signature_runner()

    def run(images: Images) -> dict[str, NDArray[Any]]:
        return dict(signature(**images))

    return run
