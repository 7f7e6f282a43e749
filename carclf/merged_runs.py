"""Lets OpenVINO answer all heads in one go: the merged graph converted, checked against the heads, kept on disk."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from carclf.backbone import Backbone
from carclf.engines import EngineError, convert_to_openvino, import_openvino, open_outputs
from carclf.files import digest
from carclf.kept_networks import read_kept, write_kept
from carclf.networks import AGREEMENT
from carclf.pixels import NO_BACKBONE
from carclf.predict import Predictor, RunHeads
from carclf.probes import disagreement, probe_images
from carclf.scores import Array

LOG = logging.getLogger(__name__)
_ENGINES = ("openvino", NO_BACKBONE)  # where a backbone runs in TensorFlow, so do its heads
_FORMAT = 1  # of the merged networks kept on disk


def with_runs(predictor: Predictor, cache_dir: Path | None) -> Predictor:
    """Lets each backbone of a model answer with all of its heads in one go, where OpenVINO runs it.

    A merged network that cannot be converted, or that differs from the heads on drawn pictures, is told in one line,
    and backbone and heads go on one after the other.

    Args:
        predictor: as it was opened; any earlier runs are replaced.
        cache_dir: where converted networks are kept; None = nowhere.
    """
    plain = replace(predictor, runs={})
    runs: dict[int, RunHeads] = {}
    for backbone in plain.backbones:
        if not set(backbone.engine.split(" + ")) <= set(_ENGINES):
            continue
        try:
            runs[id(backbone)] = _open_run(plain, backbone, cache_dir)
        except EngineError as error:
            LOG.warning("%s: its heads run one after the other, because %s", plain.model, error)
    return replace(plain, runs=runs)


def _open_run(predictor: Predictor, backbone: Backbone, cache_dir: Path | None) -> RunHeads:
    names = predictor.heads_of(backbone)
    kept = None if cache_dir is None else cache_dir / f"network-{_key(predictor, backbone)}"
    if kept is not None and (found := read_kept(kept)) is not None:
        return _make_run(found[1], names, predictor.workers)
    from carclf.merged import merge_heads  # which takes TensorFlow

    model = convert_to_openvino(merge_heads(predictor, backbone).function)
    run = _make_run(model, names, predictor.workers)
    _check_agreement(predictor, backbone, run)
    if kept is not None:
        write_kept(kept, model, {"heads": names})
    return run


def _make_run(model: Any, names: Sequence[str], threads: int) -> RunHeads:
    ask = open_outputs(model, threads)

    def run(images: Array, heads: Sequence[str] | None) -> dict[str, Array]:
        return ask(images, names if heads is None else heads)

    return run


def _check_agreement(predictor: Predictor, backbone: Backbone, run: RunHeads) -> None:
    images = probe_images(backbone.image_size)
    difference = disagreement(run(images, None), predictor.answer_one_by_one(backbone, images))
    if not difference <= AGREEMENT:  # NaN disagrees, too
        raise EngineError(
            f"OpenVINO and the heads one by one differ by {difference:.1e} of the largest value (at most "
            f"{AGREEMENT:g} is expected)."
        )


def _key(predictor: Predictor, backbone: Backbone) -> str:
    looks = {name: head.looking.views for name, head in predictor.mask_heads.items()}
    facts = [_FORMAT, predictor.model_sha256, predictor.views, looks, predictor.heads_of(backbone)]
    return digest([*facts, backbone.image_size, str(import_openvino().__version__)])[:16]
