"""The run directory: how its files are written and read. What a stage wrote stays until its inputs change.

results/<model>/  config.json  backbone.json  groups.csv  known_photos.npz  folds.csv  stages.json  results.txt
                  results.json  evaluation.txt  evaluation.json
results/<model>/<head>/  predictions.csv  history.csv  choices.json  inner.csv  heads.npz
    of segmentation, in place of heads.npz: fold<i>.npz  fold<i>_scores.npz  regions.csv  evaluation.csv
    train_losses.csv  train_metrics.csv  previews/
results/standalone/  the same, of the networks without a backbone
"""

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import pandas as pd

from carclf.errors import RunDirError, listed
from carclf.files import digest, write_json, write_text, write_whole
from carclf.scores import Array

LOG = logging.getLogger(__name__)
FLOATS = "%.9g"  # brings every float32 back to the bit
STAGES = "stages.json"


class RunDir:
    """One model's run directory."""

    def __init__(self, path: Path) -> None:
        self.path = path

    # -- stages

    def is_done(self, stage: str, inputs: Mapping[str, Any]) -> bool:
        """Whether a stage is there, made from these very inputs.

        If its inputs changed, it says so in one line and forgets the stage: while its files are written anew, old and
        new ones lie side by side, and a kill in between must not leave them taken for either.
        """
        known = self._stages().get(stage)
        if known is None:
            return False
        if known["inputs"] == _digests(inputs):
            return True
        changed = [name for name, value in _digests(inputs).items() if known["inputs"].get(name) != value]
        what = " and ".join(changed) or "its inputs"
        LOG.warning("%s, %s: %s changed since the last run; computed again.", self.path.name, stage, what)
        self.forget(stage)
        return False

    def forget(self, *stages: str) -> None:
        """Notes that some stages are not there; without names, none of them."""
        known = self._stages()
        left = {stage: facts for stage, facts in known.items() if stages and stage not in stages}
        if left != known:
            write_json(self.path / STAGES, left)

    def check_finished(self, stages: Iterable[str]) -> None:
        """Makes sure that all of these stages are there.

        Raises:
            RunDirError: names those that are not.
        """
        known = self._stages()
        if missing := [stage for stage in stages if stage not in known]:
            raise RunDirError(
                f"{self.path}: {listed(missing)} not trained, or not to the end. "
                "Train first: python main.py --config application_config.json"
            )

    def finish(self, stage: str, inputs: Mapping[str, Any], seconds: float) -> None:
        """Notes that all files of a stage are there."""
        stages = self._stages() | {stage: {"inputs": _digests(inputs), "seconds": round(seconds, 3)}}
        write_json(self.path / STAGES, stages)

    def seconds(self) -> dict[str, float]:
        """How long each stage took when it was computed."""
        return {stage: float(known["seconds"]) for stage, known in self._stages().items()}

    def _stages(self) -> dict[str, Any]:
        path = self.path / STAGES
        stages: dict[str, Any] = self.read_json(STAGES) if path.exists() else {}
        return stages

    # -- files

    def has(self, name: str) -> bool:
        """Whether a file of the run is there."""
        return (self.path / name).exists()

    def read_json(self, name: str) -> Any:
        """Reads a JSON file of the run."""
        try:
            return json.loads((self.path / name).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise _unreadable(self.path / name, error) from error

    def read_text(self, name: str) -> str:
        """Reads a text file of the run."""
        try:
            return (self.path / name).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise _unreadable(self.path / name, error) from error

    def write_json(self, name: str, tree: Any) -> None:
        """Writes a JSON file of the run."""
        write_json(self.path / name, tree)

    def write_text(self, name: str, text: str) -> None:
        """Writes a text file of the run."""
        write_text(self.path / name, text)

    def write_table(self, name: str, columns: Mapping[str, Sequence[Any] | Array]) -> None:
        """Writes a csv file; floats so that float32 comes back to the bit."""
        table = pd.DataFrame(dict(columns))
        write_whole(
            self.path / name,
            lambda file: table.to_csv(file, index=False, float_format=FLOATS, lineterminator="\n"),
        )

    def read_table(self, name: str, text_columns: Sequence[str] = ()) -> pd.DataFrame:
        """Reads a csv file; text columns keep every character, NULL and empty cells too."""
        try:
            return pd.read_csv(
                self.path / name,
                dtype=dict.fromkeys(text_columns, str),
                keep_default_na=False,
                na_values={},
            )
        except (OSError, ValueError) as error:
            raise _unreadable(self.path / name, error) from error

    def write_arrays(self, name: str, arrays: Mapping[str, Array]) -> None:
        """Writes named arrays as .npz, the same bytes for the same arrays."""

        def write(file: Path) -> None:
            with file.open("wb") as stream:
                np.savez(stream, allow_pickle=False, **arrays)

        write_whole(self.path / name, write)

    def read_arrays(self, name: str) -> dict[str, Array]:
        """Reads named arrays."""
        try:
            with (self.path / name).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                return dict(arrays)
        except (OSError, ValueError, EOFError, BadZipFile) as error:
            raise _unreadable(self.path / name, error) from error


def _digests(inputs: Mapping[str, Any]) -> dict[str, str]:
    return {name: digest(value)[:16] for name, value in inputs.items()}


def _unreadable(path: Path, error: Exception) -> RunDirError:
    if isinstance(error, FileNotFoundError):
        return RunDirError(f"{path} is not there. Train first: python main.py --config application_config.json")
    return RunDirError(f"{path}: cannot be read ({error}). Delete {path.parent} and run again.")
