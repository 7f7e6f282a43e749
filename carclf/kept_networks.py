"""Converted networks on disk, each a folder: whole or not there, and never taken for whole if damaged."""

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from carclf.engines import import_openvino, openvino_error

LOG = logging.getLogger(__name__)


def read_kept(kept: Path) -> tuple[dict[str, Any], Any] | None:
    """Returns the facts of a kept network and its OpenVINO model, if all of its files are whole.

    Raises:
        EngineError: if OpenVINO cannot read it.
    """
    try:
        facts: dict[str, Any] = json.loads((kept / "network.json").read_text())
        if facts.pop("sums") != _sums(kept):
            LOG.warning("%s: is damaged; the network is converted again.", kept)
            return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    try:
        return facts, import_openvino().Core().read_model(kept / "network.xml")
    except RuntimeError as error:
        raise openvino_error("read", error) from error


def write_kept(kept: Path, model: Any, facts: Mapping[str, Any]) -> None:
    """Keeps a converted network, whole or not at all; where that fails the next load converts again.

    Args:
        kept: its folder.
        model: the OpenVINO model.
        facts: what else is to be known of it, JSON values.
    """
    openvino = import_openvino()
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent, prefix=".network-") as scratch:
            half_written = Path(scratch) / "network"
            half_written.mkdir()
            openvino.save_model(model, half_written / "network.xml", compress_to_fp16=False)
            (half_written / "network.json").write_text(json.dumps({**facts, "sums": _sums(half_written)}))
            if kept.exists():
                os.replace(kept, Path(scratch) / "old")
            os.replace(half_written, kept)
    except (OSError, RuntimeError) as error:
        LOG.warning("%s: the converted network could not be kept (%s).", kept, error)


def _sums(kept: Path) -> list[str]:
    files = (kept / "network.xml", kept / "network.bin")
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]
