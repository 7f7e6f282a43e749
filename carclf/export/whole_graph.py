"""All heads of a model in one graph, whatever the sizes of photo that they look at: what every format holds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from carclf.merged import MergedGraph


@dataclass(frozen=True)
class WholeGraph:
    """One graph: photos in, the answers of all heads out.

    Attributes:
        sizes: pixels on each side of the photos that it takes, ascending, each once.
        outputs: names of what it gives: the heads.
        function: TensorFlow function of one argument for each size, float32 (1, S, S, 3) in [0, 1], called
            input_name(S) -> output -> float32 (1, …).
    """

    sizes: tuple[int, ...]
    outputs: tuple[str, ...]
    function: Any


def input_name(size: int) -> str:
    """What the input for photos of size × size pixels is called in every format."""
    return f"images_{size}"


def join_graphs(graphs: Sequence[MergedGraph]) -> WholeGraph:
    """Joins the graphs of a model; two that look at photos of one size share an input."""
    sizes = tuple(sorted({graph.image_size for graph in graphs}))
    photos = [tf.TensorSpec((1, size, size, 3), tf.float32, name=input_name(size)) for size in sizes]

    @tf.function(input_signature=photos, autograph=False)  # type: ignore[untyped-decorator]
    def function(*images: Any) -> dict[str, Any]:
        seen = dict(zip(sizes, images, strict=True))
        answers: dict[str, Any] = {}
        for graph in graphs:
            answers |= graph.function(seen[graph.image_size])
        return answers

    return WholeGraph(sizes, tuple(name for graph in graphs for name in graph.heads), _share_weights(function))


def _share_weights(function: Any) -> Any:
    """The same function with each constant once: every view of a photo has brought its own copy of the backbone."""
    live = function.get_concrete_function()
    names = sorted(live.structured_outputs)  # the order in which TensorFlow flattens a dictionary
    frozen = convert_variables_to_constants_v2(live)
    definition = _without_copies(frozen.graph.as_graph_def())
    imported = tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(definition, name=""), [])
    pruned = imported.prune(*([tensor.name for tensor in tensors] for tensors in (frozen.inputs, frozen.outputs)))

    @tf.function(input_signature=function.input_signature, autograph=False)  # type: ignore[untyped-decorator]
    def shared(*images: Any) -> dict[str, Any]:
        return dict(zip(names, pruned(*images), strict=True))

    return shared


def _without_copies(definition: Any) -> Any:
    """A GraphDef whose nodes ask the first of equal constants."""
    first: dict[bytes, str] = {}
    stands_for: dict[str, str] = {}
    kept = tf.compat.v1.GraphDef(versions=definition.versions)
    for node in definition.node:
        same = first.setdefault(node.attr["value"].SerializeToString(), node.name) if node.op == "Const" else node.name
        stands_for[node.name] = same
        if same == node.name:
            kept.node.append(node)
    for node in kept.node:
        renamed = [_renamed(name, stands_for) for name in node.input]
        del node.input[:]
        node.input.extend(renamed)
    return kept


def _renamed(name: str, stands_for: Mapping[str, str]) -> str:
    """Another node's name in the name of an input: "^node", "node" or "node:1"."""
    mark, bare = ("^", name[1:]) if name.startswith("^") else ("", name)
    node, colon, place = bare.partition(":")
    return f"{mark}{stands_for[node]}{colon}{place}"
