"""A model as OpenVINO's model.xml and model.bin."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carclf.engines import convert_to_openvino, import_openvino
from carclf.export.precisions import BF16, EXACT
from carclf.export.runtime import Images, Run
from carclf.export.whole_graph import WholeGraph

FILE = "model.xml"
_HINTS = {EXACT: "f32", BF16: "bf16"}
"""precision -> INFERENCE_PRECISION_HINT; without a hint OpenVINO takes bf16 where the chip has it"""
_NOTE = ["carclf", "precision"]  # where model.xml says it


def write_openvino(graph: WholeGraph, folder: Path, precision: str) -> None:
    """Writes model.xml and model.bin."""
    model = convert_to_openvino(graph.function)
    model.set_rt_info(precision, _NOTE)
    import_openvino().save_model(model, folder / FILE, compress_to_fp16=precision != EXACT)


def open_openvino(folder: Path, threads: int) -> Run:
    """Opens model.xml in OpenVINO, on the CPU, in the precision that it was written for."""
    core = import_openvino().Core()
    model = core.read_model(folder / FILE)
    settings = {
        "INFERENCE_PRECISION_HINT": _HINTS[model.get_rt_info(_NOTE).astype(str)],
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,
    }
    program = core.compile_model(model, "CPU", settings)
    names = [str(port.get_any_name()) for port in program.outputs]

    def run(images: Images) -> dict[str, NDArray[Any]]:
        answers = program({name: np.ascontiguousarray(image) for name, image in images.items()})
        return {name: np.array(answers[place]) for place, name in enumerate(names)}

    return run
