"""Finds a backbone's SavedModel: the local folder, then the TF-Hub handle, then, if allowed, the embedded one."""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from carclf.downloads import FACTS_FILE, DownloadError, fetch_handle, is_savedmodel, sha256_of_folder
from carclf.errors import BackboneError

LOG = logging.getLogger(__name__)
MODELS_DIR = Path(__file__).resolve().parent.parent / "keras" / "models"
EMBEDDED_DIR = MODELS_DIR / "embedded"
EMBEDDED = "embedded"
"""The source of a backbone that the small shipped one stands in for."""


@dataclass(frozen=True)
class Source:
    """Where a backbone was found.

    Attributes:
        name: the backbone's name in the config.
        source: "local", "hub" or "embedded"; "joined" for several.
        where: the folder or the handle, for people; of a joined one, those of its parts.
        folder: the SavedModel.
        sha256: of all its files, names included; of a joined one, of its parts' hashes and input ranges.
        seen_drawn_cars: whether it, or a part of it, was trained on cars drawn by this project.
        input_range: the range that it was built for, if its side file says so.
        parts: the sources of a joined one, () for all others.
    """

    name: str
    source: str
    where: str
    folder: Path
    sha256: str
    seen_drawn_cars: bool
    input_range: tuple[float, float] | None = None
    parts: tuple["Source", ...] = ()

    @property
    def is_embedded(self) -> bool:
        """Whether the small shipped backbone stands in for it, or for a part of it."""
        return self.source == EMBEDDED or any(part.is_embedded for part in self.parts)


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
    if local is not None and _exists(local):
        return _found(name, "local", str(local), local, sha256)
    if local is not None:
        tried.append(f"{local} does not exist")
    if handle is not None:
        try:
            folder = fetch_handle(handle, models_dir)
            return _found(name, "hub", handle, folder, sha256)
        except DownloadError as error:
            tried.append(str(error).rstrip("."))
    if embedded_fallback:
        LOG.warning(
            "backbone %s was not found (%s): the small embedded one stands in; it has seen drawn cars only.",
            name,
            "; ".join(tried) or "neither local nor handle is set",
        )
        return _found(name, EMBEDDED, str(EMBEDDED_DIR), EMBEDDED_DIR, None)
    raise BackboneError(
        f"backbone {name}: not found: {'; '.join(tried) or 'neither local nor handle is set'}. "
        f"Put a SavedModel at backbones.{name}.local (python main.py backbone makes one), connect to the internet, "
        'or set "embedded_fallback": true.'
    )


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


def _exists(local: Path) -> bool:
    try:
        return local.exists()
    except OSError as error:
        raise BackboneError(f"{local}: cannot be looked at ({error.strerror or error}).") from error


def _found(name: str, source: str, where: str, folder: Path, expected: str | None) -> Source:
    try:
        sha256 = sha256_of_folder(folder) if is_savedmodel(folder) else None
    except OSError as error:
        raise BackboneError(
            f"backbone {name}: {error.filename}: cannot be read ({error.strerror or error})."
        ) from error
    if sha256 is None:
        raise BackboneError(
            f"backbone {name}: {folder} is not a whole SavedModel folder "
            "(saved_model.pb and variables/ were expected). "
            "Make one with python main.py backbone, or delete it to have the handle downloaded."
        )
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
