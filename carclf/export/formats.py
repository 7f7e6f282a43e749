"""The formats by name: what each needs, which precisions it has, what writes it and what runs it."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from carclf.errors import CarclfError
from carclf.export.precisions import BF16, EXACT, INT8

if TYPE_CHECKING:
    from carclf.export.runtime import Run
    from carclf.export.whole_graph import WholeGraph

REQUIREMENTS = "requirements-export.txt"
Write = Callable[["WholeGraph", Path, str], None]
Open = Callable[[Path, int], "Run"]


class ExportError(CarclfError):
    """A model that cannot be exported as it was asked."""


@dataclass(frozen=True)
class Format:
    """What a model can be exported to.

    Attributes:
        name: on the command line.
        packages: modules that must be importable: what converts, and the format's own runtime.
        precisions: EXACT first.
        load: imports what is heavy, and returns what writes and what opens such a model.
    """

    name: str
    packages: tuple[str, ...]
    precisions: tuple[str, ...]
    load: Callable[[], tuple[Write, Open]]

    def write(self, graph: "WholeGraph", folder: Path, precision: str) -> None:
        """Writes the files of the model itself into a folder that is there.

        Raises:
            ExportError: if the format cannot hold it.
        """
        write, _ = self.load()
        try:
            write(graph, folder, precision)
        except CarclfError:
            raise
        except Exception as error:  # converters raise many kinds
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ExportError(
                f"The model cannot be written as {self.name} ({reason}). Try another --format."
            ) from error

    def open(self, folder: Path, threads: int) -> "Run":
        """Opens what `write` has written in its own runtime, which takes so many threads if it can be told."""
        return self.load()[1](folder, threads)


def choose_format(name: str, precision: str) -> Format:
    """Finds a format, and makes sure that it can be written and run here.

    Raises:
        ExportError: if it has no such precision, or something is not installed.
    """
    chosen = FORMATS[name]
    if precision not in chosen.precisions:
        having = [each.name for each in FORMATS.values() if precision in each.precisions]
        raise ExportError(
            f"--precision {precision}: {name} has {', '.join(chosen.precisions)}. "
            f"Formats with {precision}: {', '.join(having)}."
        )
    missing = [package.replace("_", "-") for package in chosen.packages if find_spec(package) is None]
    if missing:
        raise ExportError(
            f"--format {name}: needs {' and '.join(missing)}, not installed here. "
            f"Install what is missing: pip install -r {REQUIREMENTS}"
        )
    return chosen


def _load_savedmodel() -> tuple[Write, Open]:
    from carclf.export.savedmodel import open_savedmodel, write_savedmodel

    return write_savedmodel, open_savedmodel


def _load_onnx() -> tuple[Write, Open]:
    from carclf.export.onnx_format import open_onnx, write_onnx

    return write_onnx, open_onnx


def _load_openvino() -> tuple[Write, Open]:
    from carclf.export.openvino_format import open_openvino, write_openvino

    return write_openvino, open_openvino


def _load_litert() -> tuple[Write, Open]:
    from carclf.export.litert_format import open_litert, write_litert

    return write_litert, open_litert


FORMATS = {
    each.name: each
    for each in (
        Format("savedmodel", (), (EXACT,), _load_savedmodel),
        Format("onnx", ("tf2onnx", "onnxruntime"), (EXACT,), _load_onnx),
        Format("openvino", ("openvino",), (EXACT, BF16), _load_openvino),
        Format("litert", ("ai_edge_litert",), (EXACT, INT8), _load_litert),
    )
}
PRECISIONS = tuple(dict.fromkeys(precision for each in FORMATS.values() for precision in each.precisions))
