"""Finds a backbone's SavedModel: the local folder, then the TF-Hub handle, then, if allowed, the embedded one.

What is downloaded is hashed once; the hash is kept in a side file and checked from then on.
"""

import hashlib
import json
import logging
import os
import shutil
import threading
import urllib.error
import urllib.request
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from carclf.errors import BackboneError

LOG = logging.getLogger(__name__)
FACTS_FILE = "carclf.json"
_CACHE_VARIABLE = "TFHUB_CACHE_DIR"
MODELS_DIR = Path(__file__).resolve().parent.parent / "keras" / "models"
EMBEDDED_DIR = MODELS_DIR / "embedded"
OFF_LINE_SECONDS = 4.0
"""How long a server may take to answer before we call ourselves off line; together with the rest under 5 s."""


@dataclass(frozen=True)
class Source:
    """Where a backbone was found.

    Attributes:
        name: the backbone's name in the config.
        source: "local", "hub" or "embedded".
        where: the folder or the handle, for people.
        folder: the SavedModel.
        sha256: of all its files, names included.
        seen_drawn_cars: whether it was trained on cars drawn by this project.
        input_range: the range that it was built for, if its side file says so.
    """

    name: str
    source: str
    where: str
    folder: Path
    sha256: str
    seen_drawn_cars: bool
    input_range: tuple[float, float] | None = None


def find_backbone(
    name: str,
    local: Path | None = None,
    handle: str | None = None,
    sha256: str | None = None,
    embedded_fallback: bool = False,
    models_dir: Path = MODELS_DIR,
) -> Source:
    """Looks for a backbone at its local folder, then at its handle, then, if allowed, takes the embedded one.

    Args:
        name: the backbone's name in the config, for messages.
        local: a SavedModel folder; if it is missing the search goes on, if it is broken it is an error.
        handle: a TF-Hub handle; downloaded once into models_dir.
        sha256: what the files must hash to, if known.
        embedded_fallback: whether the small backbone that comes with the project may stand in.
        models_dir: where downloads are kept.

    Raises:
        BackboneError: says everything that was tried and how to mend it.
    """
    tried = []
    if local is not None and local.exists():
        return _found(name, "local", str(local), local, sha256)
    if local is not None:
        tried.append(f"{local} does not exist")
    if handle is not None:
        try:
            folder = fetch_handle(handle, models_dir)
            return _found(name, "hub", handle, folder, sha256)
        except DownloadError as error:
            tried.append(str(error))
    if embedded_fallback:
        LOG.warning(
            "backbone %s was not found (%s): the small embedded one stands in; it has seen drawn cars only.",
            name,
            "; ".join(tried) or "neither local nor handle is set",
        )
        return _found(name, "embedded", str(EMBEDDED_DIR), EMBEDDED_DIR, None)
    raise BackboneError(
        f"backbone {name}: not found: {'; '.join(tried) or 'neither local nor handle is set'}. "
        f"Put a SavedModel at backbones.{name}.local (python main.py backbone makes one), connect to the internet, "
        'or set "embedded_fallback": true.'
    )


class DownloadError(BackboneError):
    """A handle that could not be downloaded."""


class OffLineError(DownloadError):
    """No answer from the server within OFF_LINE_SECONDS."""


def check_on_line(url: str, otherwise: str) -> None:
    """Asks a server for a sign of life; any answer counts, even a refusal.

    Raises:
        OffLineError: if there is none within OFF_LINE_SECONDS.
    """
    failures: list[str] = ["no answer"]

    def ask() -> None:
        try:
            request = urllib.request.Request(url, method="HEAD")
            with urllib.request.urlopen(request, timeout=OFF_LINE_SECONDS):
                failures.clear()
        except urllib.error.HTTPError:
            failures.clear()
        except (OSError, ValueError) as error:
            failures[0] = str(getattr(error, "reason", error))

    # looking up a name takes no time limit of its own, so the wait is limited from outside
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(OFF_LINE_SECONDS)
    if failures:
        raise OffLineError(f"{url} cannot be reached: off line ({failures[0]}). {otherwise}".rstrip())


def fetch_handle(handle: str, models_dir: Path) -> Path:
    """Returns the folder of a TF-Hub handle, downloaded if it is not there whole already.

    Raises:
        DownloadError: if it must be downloaded and cannot be.
        BackboneError: if it is not what was downloaded the first time.
    """
    folder = models_dir / hashlib.sha1(handle.encode()).hexdigest()  # tensorflow-hub's own name for its cache
    side_file = models_dir / f"{folder.name}.sha256.json"
    known = _read_side_file(side_file)
    if folder.exists() and _is_verified(folder, known):
        if known is None:
            _write_side_file(side_file, handle, sha256_of_folder(folder))
        return folder
    if folder.exists():
        LOG.warning("%s: the cached copy of %s is damaged; it is downloaded again.", folder, handle)
    check_on_line(handle, "")
    _remove_cached(folder)
    _download(handle, models_dir)
    if not is_savedmodel(folder):
        raise BackboneError(f"{handle}: what was downloaded is not a SavedModel (no saved_model.pb in {folder}).")
    received = sha256_of_folder(folder)
    if known is not None and received != known:
        _remove_cached(folder)
        raise BackboneError(
            f"{handle}: the download has sha256 {received}, but {known} was recorded in {side_file}. If the publisher "
            "has really changed the model, delete that file and run again."
        )
    _write_side_file(side_file, handle, received)
    return folder


def is_savedmodel(folder: Path) -> bool:
    """Tells whether a folder has the files without which a SavedModel cannot be loaded."""
    has_graph = (folder / "saved_model.pb").is_file() or (folder / "saved_model.pbtxt").is_file()
    variables = folder / "variables"
    return has_graph and (not variables.is_dir() or not any(variables.iterdir()) or _whole(variables))


def sha256_of_folder(folder: Path) -> str:
    """Returns one SHA-256 over the names and bytes of all files of a SavedModel, its side file excepted."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        relative = path.relative_to(folder).as_posix()
        if relative != FACTS_FILE and not path.name.startswith("."):
            data = path.read_bytes()
            digest.update(f"{relative}\n{len(data)}\n".encode())
            digest.update(data)
    return digest.hexdigest()


def read_facts(folder: Path) -> dict[str, Any]:
    """Reads what the side file of a SavedModel tells about it; {} where there is none.

    Raises:
        BackboneError: if the side file is damaged.
    """
    path = folder / FACTS_FILE
    if not path.is_file():
        return {}
    try:
        facts = json.loads(path.read_text())
    except ValueError as error:
        raise BackboneError(f"{path}: is not valid JSON ({error}). Mend or delete it.") from error
    if not isinstance(facts, dict):
        raise BackboneError(f"{path}: an object was expected, not {type(facts).__name__}. Mend or delete it.")
    return facts


def _found(name: str, source: str, where: str, folder: Path, expected: str | None) -> Source:
    if not is_savedmodel(folder):
        raise BackboneError(
            f"backbone {name}: {folder} is not a whole SavedModel folder "
            "(saved_model.pb and variables/ were expected). "
            "Make one with python main.py backbone, or delete it to have the handle downloaded."
        )
    sha256 = sha256_of_folder(folder)
    if expected is not None and sha256 != expected.lower():
        raise BackboneError(
            f"backbone {name}: {where} has sha256 {sha256}, but the config expects {expected}. Restore the model, or "
            f"correct backbones.{name}.sha256."
        )
    facts = read_facts(folder)
    return Source(
        name,
        source,
        where,
        folder,
        sha256,
        seen_drawn_cars=bool(facts.get("seen_drawn_cars", False)),
        input_range=_read_range(facts, folder),
    )


def _read_range(facts: dict[str, Any], folder: Path) -> tuple[float, float] | None:
    if "input_range" not in facts:
        return None
    try:
        low, high = (float(value) for value in facts["input_range"])
    except (TypeError, ValueError) as error:
        raise BackboneError(
            f"{folder / FACTS_FILE}: input_range must be two numbers, not {facts['input_range']!r}."
        ) from error
    return low, high


def _whole(variables: Path) -> bool:
    """Tells whether the index and as many data shards as their names promise are there."""
    shards = sorted(variables.glob("variables.data-*-of-*"))
    return (variables / "variables.index").is_file() and bool(shards) and len(shards) == int(shards[0].name[-5:])


def _download(handle: str, models_dir: Path) -> None:
    previous = os.environ.get(_CACHE_VARIABLE)
    try:
        models_dir.mkdir(parents=True, exist_ok=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pkg_resources, on every import of tensorflow_hub 0.16
            import tensorflow_hub

            os.environ[_CACHE_VARIABLE] = str(models_dir)  # its default lies under /tmp, where parts get cleaned away
            tensorflow_hub.resolve(handle)
    except Exception as error:  # network, tar and file errors of many kinds
        raise DownloadError(f"{handle}: the download to {models_dir} failed ({error}).") from error
    finally:
        if previous is None:
            os.environ.pop(_CACHE_VARIABLE, None)
        else:
            os.environ[_CACHE_VARIABLE] = previous


def _remove_cached(folder: Path) -> None:
    """Deletes a cached copy with the files that tensorflow-hub keeps beside it."""
    for path in [folder, *folder.parent.glob(f"{folder.name}.*.tmp")]:
        shutil.rmtree(path, ignore_errors=True)
    for suffix in (".descriptor.txt", ".lock"):
        folder.with_name(folder.name + suffix).unlink(missing_ok=True)


def _is_verified(folder: Path, known: str | None) -> bool:
    """Tells whether a cached copy has its recorded hash or, where none is recorded, can be read to the end."""
    if not is_savedmodel(folder):
        return False
    if known is not None:
        return sha256_of_folder(folder) == known
    if not (folder / "variables" / "variables.index").is_file():
        return True
    import tensorflow as tf

    try:  # reading a checkpoint checks its own sums
        reader = tf.train.load_checkpoint(str(folder / "variables" / "variables"))
        for name in reader.get_variable_to_shape_map():
            reader.get_tensor(name)
    except Exception:  # TensorFlow raises many kinds; all of them mean damaged
        return False
    return True


def _write_side_file(path: Path, handle: str, sha256: str) -> None:
    try:
        path.write_text(json.dumps({"handle": handle, "sha256": sha256}, indent=1) + "\n")
    except OSError as error:
        raise BackboneError(f"{path}: cannot be written ({error.strerror or error}).") from error


def _read_side_file(path: Path) -> str | None:
    try:
        return str(json.loads(path.read_text())["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return None  # missing or damaged: the copy counts as not verified
