"""Opens a trained run: its backbone as it was in training, its k heads, its k mask networks."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from carclf.backbone import Backbone
from carclf.config_heads import HeadConfig
from carclf.errors import RunDirError
from carclf.files import digest
from carclf.heads import Head
from carclf.labels import read_label_file
from carclf.mask_fold import fold_file, make_looking, read_decoder, region_settings
from carclf.mask_heads import MaskHead
from carclf.masks.answers import Decider
from carclf.records import read_head
from carclf.rundir import RunDir
from carclf.scores import Array
from carclf.selective import ALWAYS
from carclf.sight import BACKBONE, describe
from carclf.sureness import mean_least_confidence

AS_TRAINED = ("sha256", "image_size", "input_range", "grid")
MASK_AS_TRAINED = (
    "architecture",
    "tile",
    "overlap",
    "mask_training.views",
    "mask_training.levels",
    "regions.split",  # min_probability only says which regions are told
    "regions.split_depth",
    "regions.min_area",
)
"""Of a segmentation head: with other values it would answer otherwise than it was judged."""


def check_backbone(run: RunDir, backbone: Backbone) -> None:
    """Makes sure that photos are seen as they were in training.

    Raises:
        RunDirError: names what differs.
    """
    known, now = run.read_json(BACKBONE), describe(backbone)
    for key in AS_TRAINED:
        given = list(now[key]) if isinstance(now[key], tuple) else now[key]
        _compare(run, key, known[key], given)


def check_config(run: RunDir, config: Mapping[str, Any], heads: Mapping[str, HeadConfig]) -> None:
    """Makes sure that photos are looked at as in training, by the same networks, and regions told apart as then.

    Args:
        run: the trained run.
        config: the whole config as it is now, as JSON values.
        heads: those of the run.

    Raises:
        RunDirError: names what differs.
    """
    known = run.read_json("config.json")
    _compare(run, "training.views", known["training"]["views"], config["training"]["views"])
    for name, head in heads.items():
        before, now = known["heads"].get(name), config["heads"][name]
        if before is None or head.kind != "segmentation" or before["kind"] != head.kind:
            continue  # what was not trained is told elsewhere
        for place in MASK_AS_TRAINED:
            _compare(run, f"heads.{name}.{place}", _value_at(before, place), _value_at(now, place))


def _value_at(head: Mapping[str, Any], place: str) -> Any:
    """What stands at "regions.split"; None where it is missing, as in a run of an earlier version."""
    value: Any = head
    for key in place.split("."):
        value = (value or {}).get(key)
    return value


def _compare(run: RunDir, key: str, known: object, now: object) -> None:
    if known != now:
        raise RunDirError(
            f"{run.path}: was trained with {key} {known}, the config now gives {now}. "
            f"Set it back, or train again: python main.py --config …"
        )


def read_heads(run: RunDir, heads: Mapping[str, HeadConfig]) -> dict[str, Head]:
    """Reads the classification heads among `heads`."""
    return {
        name: replace(read_head(run, name), least_confidence=mean_least_confidence(run, name, head.sureness))
        for name, head in heads.items()
        if head.kind != "segmentation"
    }


def read_mask_heads(
    run: RunDir, heads: Mapping[str, HeadConfig], backbones: Mapping[str, Backbone]
) -> dict[str, MaskHead]:
    """Reads the segmentation heads among `heads`; backbones: head -> what it looks through."""
    return {
        name: read_mask_head(run, name, head, backbones[name])
        for name, head in heads.items()
        if head.kind == "segmentation"
    }


def read_mask_head(run: RunDir, name: str, head: HeadConfig, backbone: Backbone) -> MaskHead:
    """Reads the k networks of a segmentation head.

    Raises:
        RunDirError: if they were trained for other classes.
    """
    label_set = read_label_file(head.labels)
    decoders, thresholds = [], []
    for fold in range(len(run.read_json(f"{name}/choices.json"))):
        arrays = run.read_arrays(fold_file(name, fold))
        names = tuple(str(each) for each in arrays["class_names"])
        if names != label_set.names:
            raise RunDirError(
                f"{run.path / name}: was trained for {', '.join(names)}; {label_set.path} has "
                f"{', '.join(label_set.names)}. Put the label file back, or train again."
            )
        decoders.append(read_decoder(arrays))
        thresholds.append(arrays["thresholds"])
    decider = Decider(np.mean(thresholds, axis=0), region_settings(head.mask))
    looking = make_looking(head.mask, backbone)
    least = mean_least_confidence(run, name, head.sureness)
    return MaskHead(label_set, tuple(decoders), decider, looking, head.mask.regions.min_probability, least)


def model_digest(backbone: Backbone | None, heads: Mapping[str, Head], mask_heads: Mapping[str, MaskHead]) -> str:
    """SHA-256 over everything that decides an answer; `backbone`: None if all heads look at pixels."""
    facts = describe(backbone) if backbone is not None else {}
    parts: list[object] = [[facts.get(key) for key in (*AS_TRAINED, "engine", "engine_version")]]
    for name, head in heads.items():
        parts.append([name, head.label_set.names, head.label_set.mirror])
        parts += [[which, _hex(array)] for which, array in head.arrays().items()]
    for name, mask_head in mask_heads.items():
        looking, decider = mask_head.looking, mask_head.decider
        parts.append([name, mask_head.label_set.names, looking.views, looking.tile, looking.overlap])
        parts.append([_hex(decider.thresholds), vars(decider.regions), mask_head.min_probability])
        for decoder in mask_head.decoders:  # one after the other, as each may be of half a gigabyte
            parts += [_hex(array) for array in decoder.to_arrays().values()]
    least = {name: head.least_confidence for name, head in {**heads, **mask_heads}.items()}
    parts += [[name, "least confidence", value] for name, value in least.items() if value > ALWAYS]
    return digest(parts)


def _hex(array: Array) -> str:
    return digest(np.asarray(array).tobytes().hex())
