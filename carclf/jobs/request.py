"""What a job is asked for, and job.json, which keeps it: a folder holds the answers of one model, asked in one way."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from carclf import __version__
from carclf.errors import RunDirError, did_you_mean, listed
from carclf.files import write_json

if TYPE_CHECKING:
    from carclf.predict import Predictor

JOB = "job.json"
ANSWERS, ANSWERS_TABLE = "answers.jsonl", "answers.csv"
ERRORS, ERRORS_TABLE = "errors.jsonl", "errors.csv"
REPORT, SHEET = "report.html", "contact_sheet.png"
LEDGER = ".job.sqlite"
THUMBNAILS = "thumbnails"
REPORT_PHOTOS = 300  # a page of about 10 MB, which mail takes
PICTURES = {  # what is written of masks on request: word of the command line -> kind of mask_outputs
    "overlays": "overlays",
    "masks": "indexed",
    "color-masks": "colors",
    "probabilities": "probabilities",
}
REGIONS = "regions"
OUTPUTS = (*PICTURES, REGIONS)
_SUM_DIGITS, _MOST_LETTERS = 13, 120  # of a sum and of any other value in an error
_MEND = "Give another folder, or delete this one."


@dataclass(frozen=True)
class JobRequest:
    """What is asked for.

    Attributes:
        folder: where everything goes.
        given: photos, folders and patterns, as words of the command line.
        outputs: one of OUTPUTS -> its folder.
        report_photos: photos on the page and the contact sheets at most, the first ones; 0 = neither of them.
    """

    folder: Path
    given: tuple[Path, ...]
    outputs: Mapping[str, Path]
    report_photos: int = REPORT_PHOTOS

    @property
    def own_folders(self) -> list[Path]:
        """Folders whose pictures are none that are asked about."""
        return [self.folder, *self.outputs.values()]


def read_outputs(words: str) -> list[str]:
    """Reads a list of outputs: "overlays,masks".

    Raises:
        ValueError: if there is no such output.
    """
    asked = [word.strip() for word in words.split(",") if word.strip()]
    for word in asked:
        if word not in OUTPUTS:
            raise ValueError(f'"{word}" is none of {", ".join(OUTPUTS)}.{did_you_mean(word, OUTPUTS)}')
    return asked


def describe_job(request: JobRequest, predictor: "Predictor", trained_views: int) -> dict[str, Any]:
    """The tree of job.json: everything that decides on what is written.

    Args:
        request: what is asked for.
        predictor: answers.
        trained_views: how many views the classification heads were fitted with.
    """
    heads: dict[str, Any] = {
        name: {"kind": head.kind, "classes": list(head.label_set.names)} for name, head in predictor.heads.items()
    }
    for name, mask_head in predictor.mask_heads.items():
        heads[name] = {"kind": "segmentation", "classes": list(mask_head.label_set.names)}
    return {
        "carclf_version": __version__,
        "model": predictor.model,
        "model_sha256": predictor.model_sha256,
        "views": predictor.views,
        "trained_views": trained_views,
        "outputs": {word: _place(folder, request.folder) for word, folder in request.outputs.items()},
        "report_photos": request.report_photos,
        "min_probability": {
            name: head.least_confidence for name, head in {**predictor.heads, **predictor.mask_heads}.items()
        },
        "heads": heads,
    }


def check_job(folder: Path, job: Mapping[str, Any]) -> None:
    """Makes sure that the folder is free, or holds an unfinished or finished job that asks for the same.

    Raises:
        RunDirError: says what differs.
    """
    path = folder / JOB
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        _check_free(folder)
        return
    except (OSError, ValueError) as error:
        raise RunDirError(f"{path}: cannot be read ({error}). {_MEND}") from error
    if not isinstance(known, dict):
        raise RunDirError(f"{path}: an object of JSON was expected. {_MEND}")
    told = [
        f"{key} {_short(key, known.get(key))}, now {_short(key, job[key])}" for key in job if known.get(key) != job[key]
    ]
    if told:
        raise RunDirError(f"{folder}: holds a job that was asked otherwise: {listed(told)}. {_MEND}")


def begin_job(folder: Path, job: Mapping[str, Any]) -> None:
    """Writes job.json, unless it is there; see check_job."""
    check_job(folder, job)
    if not (folder / JOB).exists():
        write_json(folder / JOB, job)


def _check_free(folder: Path) -> None:
    """A folder that somebody else fills is not ours to write into."""
    own = (ANSWERS, ANSWERS_TABLE, ERRORS, ERRORS_TABLE, REPORT, SHEET, THUMBNAILS)
    taken = [name for name in own if (folder / name).exists()]
    if taken:
        raise RunDirError(f"{folder}: has {listed(taken)}, but no {JOB}: no job has written that. {_MEND}")


def _place(folder: Path, job: Path) -> str:
    """Where an output goes: seen from the job's folder, if it lies in it."""
    there, here = os.path.abspath(folder), os.path.abspath(job)
    return os.path.relpath(there, here) if there.startswith(here + os.sep) else there


def _short(key: str, value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    most = _SUM_DIGITS if key.endswith("sha256") else _MOST_LETTERS
    return text if len(text) <= most else f"{text[: most - 1]}…"
