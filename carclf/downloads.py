"""Downloads a TF-Hub handle once: its hash is kept in a side file and checked from then on."""

import functools
import hashlib
import http.client
import json
import logging
import os
import queue
import shutil
import threading
import urllib.error
import urllib.request
import warnings
from pathlib import Path
from urllib.parse import urlsplit

from carclf.errors import BackboneError, RunDirError
from carclf.files import locked, write_json

LOG = logging.getLogger(__name__)
FACTS_FILE = "carclf.json"
OFF_LINE_SECONDS = 4.0
"""How long a server may take to answer before we call ourselves off line; together with the rest under 5 s."""
_CACHE_VARIABLE = "TFHUB_CACHE_DIR"


class DownloadError(BackboneError):
    """A handle that could not be downloaded."""


class OffLineError(DownloadError):
    """No answer from the server within OFF_LINE_SECONDS."""


def check_on_line(url: str, otherwise: str) -> None:
    """Asks a server for a sign of life, once in a process; any answer counts, even a refusal.

    Raises:
        BackboneError: if that is no address of the web.
        OffLineError: if there is no answer within OFF_LINE_SECONDS.
    """
    try:
        parts = urlsplit(url)
    except ValueError:  # a bracket that is not closed
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise BackboneError(f'"{url}" is no address of the web: https://… was expected.')
    failure = _why_off_line(f"{parts.scheme}://{parts.netloc}/")
    if failure:
        raise OffLineError(f"{url} cannot be reached: off line ({failure}). {otherwise}".rstrip())


@functools.cache  # several handles of one server wait for it only once
def _why_off_line(server: str) -> str:
    """Returns why a server cannot be reached, "" if it can."""
    answers: queue.SimpleQueue[str] = queue.SimpleQueue()

    def ask() -> None:
        try:
            request = urllib.request.Request(server, method="HEAD")
            with urllib.request.urlopen(request, timeout=OFF_LINE_SECONDS):
                answers.put("")
        except urllib.error.HTTPError:
            answers.put("")
        except (OSError, ValueError, http.client.HTTPException) as error:
            answers.put(str(getattr(error, "reason", error)) or type(error).__name__)

    # looking up a name takes no time limit of its own, so the wait is limited from outside
    threading.Thread(target=ask, daemon=True).start()
    try:
        return answers.get(timeout=OFF_LINE_SECONDS)
    except queue.Empty:
        return "no answer"


def fetch_handle(handle: str, models_dir: Path) -> Path:
    """Returns the folder of a TF-Hub handle, downloaded if it is not there whole already.

    Raises:
        DownloadError: if it must be downloaded and cannot be.
        BackboneError: if it is not what was downloaded the first time, or no SavedModel.
    """
    folder = models_dir / hashlib.sha1(handle.encode()).hexdigest()  # tensorflow-hub's own name for its cache
    side_file = models_dir / f"{folder.name}.sha256.json"
    known = _read_side_file(side_file)
    if known is not None and _is_verified(folder, known):
        return folder
    try:
        with locked(models_dir):  # or one run would delete what another one is downloading
            return _fetch(handle, folder, side_file)
    except RunDirError as error:
        raise DownloadError(f"{handle}: {error}") from error


def _fetch(handle: str, folder: Path, side_file: Path) -> Path:
    known = _read_side_file(side_file)
    if not _is_verified(folder, known):
        if folder.exists():
            LOG.warning("%s: the cached copy of %s is damaged; it is downloaded again.", folder, handle)
        check_on_line(handle, "")
        _remove_cached(folder)
        _download(handle, folder.parent)
        if known is not None and (received := sha256_of_folder(folder)) != known:
            _remove_cached(folder)
            raise BackboneError(
                f"{handle}: the download has sha256 {received}, but {known} was recorded in {side_file}. If the "
                "publisher has really changed the model, delete that file and run again."
            )
        if not _is_verified(folder, known):
            raise BackboneError(f"{handle}: what was downloaded is not a SavedModel that can be loaded ({folder}).")
    if known is None:
        write_json(side_file, {"handle": handle, "sha256": sha256_of_folder(folder)})
    return folder


def is_savedmodel(folder: Path) -> bool:
    """Tells whether a folder has the files without which a SavedModel cannot be loaded."""
    has_graph = (folder / "saved_model.pb").is_file() or (folder / "saved_model.pbtxt").is_file()
    variables = folder / "variables"
    return has_graph and (not variables.is_dir() or _whole(variables))


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


def _whole(variables: Path) -> bool:
    """Tells whether the index and as many data shards as their names promise are there."""
    shards = {path.name for path in variables.glob("variables.data-*-of-*")}
    promised = {f"variables.data-{shard:05}-of-{len(shards):05}" for shard in range(len(shards))}
    return (variables / "variables.index").is_file() and bool(shards) and shards == promised


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
    """Tells whether a cached copy has its recorded hash or, where none is recorded, can be loaded."""
    if not is_savedmodel(folder):
        return False
    if known is not None:
        return sha256_of_folder(folder) == known
    import tensorflow as tf

    try:
        tf.saved_model.load(str(folder))  # reading the variables checks their own sums
    except Exception:  # TensorFlow raises many kinds; all of them mean damaged
        return False
    return True


def _read_side_file(path: Path) -> str | None:
    try:
        return str(json.loads(path.read_text())["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return None  # missing or damaged: the copy counts as not verified
