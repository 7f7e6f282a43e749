"""Opens a trained run: its backbone as it was in training, its k heads, its k mask decoders."""

from collections.abc import Mapping

import numpy as np

from carclf.backbone import Backbone
from carclf.config import Config
from carclf.errors import RunDirError
from carclf.files import digest
from carclf.heads import Head
from carclf.labels import LabelSet
from carclf.mask_judging import fold_file
from carclf.predict import MaskHead
from carclf.records import read_head
from carclf.rundir import RunDir
from carclf.scores import Array
from carclf.sight import BACKBONE, describe

AS_TRAINED = ("sha256", "image_size", "input_range", "grid")
LOOKED_AT = (("training", "views"), ("mask_training", "views"), ("mask_training", "levels"))


def check_backbone(run: RunDir, backbone: Backbone) -> None:
    """Makes sure that photos are seen as they were in training.

    Raises:
        RunDirError: names what differs.
    """
    known, now = run.read_json(BACKBONE), describe(backbone)
    for key in AS_TRAINED:
        given = list(now[key]) if isinstance(now[key], tuple) else now[key]
        if known[key] != given:
            raise RunDirError(
                f"{run.path}: was trained with {key} {known[key]}, the config now gives {given}. "
                f"Set it back, or train again: python main.py --config …"
            )


def check_config(run: RunDir, config: Config) -> None:
    """Makes sure that as many views and the same maps are looked at as in training.

    Raises:
        RunDirError: names what differs.
    """
    known, now = run.read_json("config.json"), config.model_dump(mode="json")
    for section, key in LOOKED_AT:
        if known[section][key] != now[section][key]:
            raise RunDirError(
                f"{run.path}: was trained with {section}.{key} {known[section][key]}, the config now says "
                f"{now[section][key]}. Set it back, or train again: python main.py --config …"
            )


def read_heads(run: RunDir, kinds: Mapping[str, str]) -> dict[str, Head]:
    """Reads the classification heads among name -> kind."""
    return {name: read_head(run, name) for name, kind in kinds.items() if kind != "segmentation"}


def read_mask_head(run: RunDir, name: str, label_set: LabelSet, views: int) -> MaskHead:
    """Reads the k decoders of a segmentation head.

    Raises:
        RunDirError: if they were trained for other classes.
    """
    from carclf.masks.decoder import MaskDecoder

    decoders, thresholds = [], []
    for fold in range(len(run.read_json(f"{name}/choices.json"))):
        arrays = run.read_arrays(fold_file(name, fold))
        names = tuple(str(each) for each in arrays["class_names"])
        if names != label_set.names:
            raise RunDirError(
                f"{run.path / name}: was trained for {', '.join(names)}; {label_set.path} has "
                f"{', '.join(label_set.names)}. Put the label file back, or train again."
            )
        prefix = "decoder:"
        parts = {key[len(prefix) :]: array for key, array in arrays.items() if key.startswith(prefix)}
        decoders.append(MaskDecoder.from_arrays(parts))
        thresholds.append(arrays["thresholds"])
    levels = tuple(decoders[0].spec.map_shapes)
    return MaskHead(label_set, tuple(decoders), np.mean(thresholds, axis=0), levels, views)


def model_digest(backbone: Backbone, heads: Mapping[str, Head], mask_heads: Mapping[str, MaskHead]) -> str:
    """SHA-256 over everything that decides an answer."""
    facts = describe(backbone)
    parts: list[object] = [[facts[key] for key in (*AS_TRAINED, "engine", "engine_version")]]
    for name, head in heads.items():
        parts.append([name, head.label_set.names, head.label_set.mirror])
        parts += [[which, _hex(array)] for which, array in head.arrays().items()]
    for name, mask_head in mask_heads.items():
        arrays = [array for decoder in mask_head.decoders for array in decoder.to_arrays().values()]
        parts.append([name, mask_head.label_set.names, mask_head.views, _hex(mask_head.thresholds)])
        parts += [_hex(array) for array in arrays]
    return digest(parts)


def _hex(array: Array) -> str:
    return digest(np.asarray(array).tobytes().hex())
