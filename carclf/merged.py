"""A trained model as one graph: a photo in, the answers of all heads out.

The backbone, the views, the k heads and the k mask networks in a single TensorFlow function, which OpenVINO runs
(engines.py) and which is exported. It computes what Predictor.look and the heads compute, to rounding.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from carclf.backbone import Backbone
from carclf.graphs import freeze_savedmodel
from carclf.heads import FittedHead, Head, has_sides
from carclf.mask_heads import MaskHead
from carclf.masks.spec import PIXELS
from carclf.pixels import NO_BACKBONE
from carclf.predict import Predictor
from carclf.views import LIGHT, is_mirrored, middle_weights

_TO_FLOAT16 = 2.0**13 + 1
"""Splits a float32 so that its upper part has the 11 bits of a float16 (Dekker, 1971)."""
Seen = tuple[Any, dict[str, Any]]
"""What a backbone sees: (vector (1, D), level -> map (1, h, w, c))."""


@dataclass(frozen=True)
class MergedGraph:
    """The heads that look at photos of one size.

    Attributes:
        image_size: S, pixels on each side.
        heads: their names.
        function: TensorFlow function: float32 (1, S, S, 3) in [0, 1] -> head -> float32: probabilities (1, C) of a
            classification head, or the grid (1, H, W, K) of a segmentation head (see masks.answers.make_grids).
    """

    image_size: int
    heads: tuple[str, ...]
    function: Any


def merge_model(predictor: Predictor) -> list[MergedGraph]:
    """Merges a trained model: a graph for its backbone, and one for each size of mask networks from pixels."""
    return [merge_heads(predictor, backbone) for backbone in predictor.backbones]


def merge_heads(predictor: Predictor, backbone: Backbone) -> MergedGraph:
    """Merges one of a model's backbones and the heads that look through it."""
    names = predictor.heads_of(backbone)
    heads = {name: predictor.heads[name] for name in names if name in predictor.heads}
    mask_heads = {name: predictor.mask_heads[name] for name in names if name in predictor.mask_heads}
    look, views = _make_looking(backbone), predictor.views
    map_views = max((head.looking.views for head in mask_heads.values()), default=0)

    def answer(images: Any) -> dict[str, Any]:
        seen = [look(_view(images, view)) for view in range(max(views if heads else 0, map_views))]
        vectors, maps = [vector for vector, _ in seen[:views]], [levels for _, levels in seen[:map_views]]
        answers = {name: _answer_labels(head, vectors) for name, head in heads.items()}
        return answers | {name: _answer_mask(head, maps) for name, head in mask_heads.items()}

    return MergedGraph(backbone.image_size, tuple(names), _freeze(answer, backbone.image_size))


def _freeze(answer: Callable[[Any], dict[str, Any]], size: int) -> Any:
    """Makes all weights constants: converters and SavedModels know no variables of somebody else."""
    photo = tf.TensorSpec((1, size, size, 3), tf.float32, name="images")
    live = tf.function(answer, autograph=False).get_concrete_function(photo)
    frozen = convert_variables_to_constants_v2(live)
    names = sorted(live.structured_outputs)  # the order in which TensorFlow flattens a dictionary

    @tf.function(input_signature=[photo], autograph=False)  # type: ignore[untyped-decorator]
    def function(images: Any) -> dict[str, Any]:
        return dict(zip(names, frozen(images), strict=True))

    return function


def _make_looking(backbone: Backbone) -> Callable[[Any], Seen]:
    """What runs a backbone, or all parts of a joined one, inside a graph."""
    if backbone.source.source == NO_BACKBONE:
        return lambda images: (tf.zeros((1, 0)), {PIXELS: images})
    parts = backbone.parts or (backbone,)
    graphs = [freeze_savedmodel(part.source.folder, part.image_size, part.grid).function for part in parts]

    def look(images: Any) -> Seen:
        seen = []
        for part, graph in zip(parts, graphs, strict=True):
            low, high = part.input_range
            outputs = dict(graph(images * (high - low) + low))
            seen.append((outputs.pop("vector"), outputs))
        vectors = [vector[:, : part.num_plain] for part, (vector, _) in zip(parts, seen, strict=True)]
        vectors += [vector[:, part.num_plain :] for part, (vector, _) in zip(parts, seen, strict=True)]
        levels = {level: tf.concat([outputs[level] for _, outputs in seen], axis=3) for level in backbone.map_shapes}
        return tf.concat(vectors, axis=1), levels

    return look


def _view(images: Any, view: int) -> Any:
    """views.make_view in a graph."""
    kind = view // 2
    if kind == 1:
        weights = tf.constant(middle_weights(images.shape[1]))
        images = tf.einsum("ij,bjwc->biwc", weights, images)
        images = tf.clip_by_value(tf.einsum("ij,bhjc->bhic", weights, images), 0.0, 1.0)
    elif kind == 2:
        images = images**LIGHT
    return tf.reverse(images, axis=[2]) if is_mirrored(view) else images


def _answer_labels(head: Head, vectors: list[Any]) -> Any:
    """Head.probabilities in a graph: vectors of the views, (1, D) each, to (1, C)."""
    rows = vectors if has_sides(head.label_set) else [tf.add_n(vectors) / len(vectors)]
    back = list(head.label_set.mirror)
    logits = [_logits(head, row) for row in rows]
    upright = [tf.gather(each, back, axis=1) if is_mirrored(view) else each for view, each in enumerate(logits)]
    mean = tf.add_n(upright) / len(upright)
    return tf.nn.softmax(mean) if head.kind == "categorical" else tf.sigmoid(mean)


def _logits(head: Head, row: Any) -> Any:
    """The mean of the k heads' temperature-scaled logits: (1, D) to (1, C)."""
    if isinstance(head, FittedHead):
        kernel, bias = head.merged()
        return row @ tf.constant(kernel) + tf.constant(bias)
    folds = []
    for fold, temperature in enumerate(head.temperatures):
        arrays = (head.hidden_kernels, head.hidden_biases, head.kernels, head.biases)
        hidden_kernel, hidden_bias, kernel, bias = (tf.constant(array[fold], tf.float32) for array in arrays)
        hidden = tf.nn.relu(row @ hidden_kernel + hidden_bias)
        folds.append((hidden @ kernel + bias) / np.float32(temperature))
    return tf.add_n(folds) / len(folds)


def _answer_mask(head: MaskHead, maps: list[dict[str, Any]]) -> Any:
    """MaskHead.answer in a graph: level -> map of each view, to the grid (1, H, W, K)."""
    outputs = []
    for view, levels in enumerate(maps[: head.looking.views]):
        rounded = {level: _as_float16(levels[level]) for level in head.looking.levels}
        for decoder in head.decoders:
            answer = decoder.model({level: rounded[level] for level in decoder.spec.map_shapes}, training=False)
            answer = tf.cast(answer, tf.float32)
            outputs.append(_turn_back(answer, decoder.spec) if is_mirrored(view) else answer)
    mean = tf.add_n(outputs) / len(outputs)
    classes = len(head.label_set.names)
    logits = tf.pad(mean[..., :classes], ((0, 0), (0, 0), (0, 0), (0, 1)))  # the background's logit is 0
    probabilities = tf.nn.softmax(logits)[..., :classes]
    others = mean[..., classes:]
    return tf.concat([probabilities, others], axis=3) if others.shape[-1] else probabilities


def _turn_back(outputs: Any, spec: Any) -> Any:
    """NetworkSpec.turn_back in a graph."""
    turned = tf.reverse(outputs, axis=[2])
    if spec.mirror_index != tuple(range(spec.num_outputs)):
        turned = tf.gather(turned, list(spec.mirror_index), axis=3)
    return turned * tf.constant(spec.mirror_signs, tf.float32) if min(spec.mirror_signs) < 0 else turned


def _as_float16(values: Any) -> Any:
    """Rounds to the precision of cached maps, in arithmetic that no converter takes for a change of type."""
    stretched = values * _TO_FLOAT16
    return stretched - (stretched - values)
