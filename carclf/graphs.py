"""Turns any image-feature SavedModel into one frozen graph: photo -> vector and feature maps P2 … P5.

Nothing is known about the model but its graph: no names of layers, no endpoints. Pn is the last activation
whose sides are about 2^n times smaller than the photo's, on the way to the vector.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from carclf.errors import BackboneError

LEVELS = ("P2", "P3", "P4", "P5")
_ACTIVATIONS = frozenset({"Relu", "Relu6", "LeakyRelu", "Elu", "Selu", "Softplus", "Tanh"})


@dataclass(frozen=True)
class FrozenGraph:
    """A backbone of one photo at a time: what comes out depends neither on its neighbours nor on the batch.

    Attributes:
        function: TensorFlow function: float32 (1, S, S, 3) in the backbone's range -> {"vector": (1, D),
            "P2": …}.
        num_features: D, the cells of the grid included.
        map_shapes: level -> (height, width, channels).
        first_normalisation: images -> (what the first batch normalisation gets (1, h, w, c), the mean (c,)
            and the variance (c,) that it was trained to expect); None where the graph has none that says so.
    """

    function: Any
    num_features: int
    map_shapes: dict[str, tuple[int, int, int]]
    first_normalisation: Any


def freeze_savedmodel(folder: Path, image_size: int, grid: tuple[int, int] | None = None) -> FrozenGraph:
    """Freezes a SavedModel at one image size and prunes it to the vector and the maps.

    Args:
        folder: the SavedModel; loading one runs its code, so it must be trusted.
        image_size: pixels on each side.
        grid: (rows, columns) of the cells of the deepest map whose means are appended to the vector, divided by
            the root of their number so that all cells together weigh as much as the vector; None = the vector alone.

    Raises:
        BackboneError: if it cannot be loaded, is no image-feature model, or lacks a level that is asked for.
    """
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    try:
        loaded = tf.saved_model.load(str(folder))
    except Exception as error:  # TensorFlow raises many kinds on damaged files
        raise BackboneError(f"{folder}: cannot be loaded as a SavedModel ({_first_line(error)}).") from error
    frozen = convert_variables_to_constants_v2(_concrete_function(loaded, folder, image_size))
    vector = _vector_tensor(frozen, folder)
    maps = _map_tensors(vector, image_size)
    if grid and not maps:
        raise BackboneError(f'{folder}: has no feature map to lay a grid over. Set "grid" to null.')
    pruned = frozen.prune(frozen.inputs, [vector, *maps.values()])

    photo = tf.TensorSpec((1, image_size, image_size, 3), tf.float32, name="images")

    @tf.function(input_signature=[photo], autograph=False)  # type: ignore[untyped-decorator]
    def function(images: Any) -> dict[str, Any]:
        vector, *levels = pruned(images)
        named = dict(zip(maps, levels, strict=True))
        if vector.shape.rank == 4:  # (1, h, w, D): no vector of its own
            vector = tf.reduce_mean(vector, axis=(1, 2))
        cells = _cells(levels[-1], grid) if grid else []
        return {"vector": tf.concat([vector, *cells], axis=1), **named}

    statistics = _first_normalisation(vector)
    shapes = function.get_concrete_function().structured_outputs
    return FrozenGraph(
        function=function,
        num_features=int(shapes["vector"].shape[1]),
        map_shapes={level: _sides(shapes[level]) for level in maps},
        first_normalisation=None if statistics is None else frozen.prune(frozen.inputs, list(statistics)),
    )


def _cells(feature_map: Any, grid: tuple[int, int]) -> list[Any]:
    """Means of a map's cells, row by row, each (1, c); a map smaller than the grid lends pixels to several cells."""
    import tensorflow as tf

    weight = 1 / (grid[0] * grid[1]) ** 0.5
    rows, columns = (
        [(size * cell // cells, max(-(-size * (cell + 1) // cells), 1)) for cell in range(cells)]
        for size, cells in zip(feature_map.shape[1:3], grid, strict=True)
    )
    return [
        tf.reduce_mean(feature_map[:, top:bottom, left:right], axis=(1, 2)) * weight
        for top, bottom in rows
        for left, right in columns
    ]


def _concrete_function(loaded: Any, folder: Path, image_size: int) -> Any:
    """Finds a way to call the model on one photo: as a function with or without `training`, else by a signature."""
    import tensorflow as tf

    photo = tf.TensorSpec((1, image_size, image_size, 3), tf.float32, name="images")
    failures = []
    for how, call in _ways_to_call(loaded):
        try:
            return tf.function(call, autograph=False).get_concrete_function(photo)
        except Exception as error:  # which kind depends on how the model was saved
            failures.append(f"{how}: {_first_line(error)}")
    expected = _expected_input(loaded)
    if expected is not None and not expected.shape.is_compatible_with(photo.shape):
        sides = expected.shape.as_list() if expected.shape.rank is not None else []
        hint = f" Set image_size to {sides[1]}." if len(sides) == 4 and sides[1] and sides[1] == sides[2] else ""
        raise BackboneError(
            f"{folder}: takes images of shape {expected.shape}, not {photo.shape} (image_size {image_size}).{hint}"
        )
    raise BackboneError(
        f"{folder}: cannot be called on float32 photos of shape {photo.shape}. "
        f"Tried: {'; '.join(failures) or 'nothing'}. "
        "An image-feature SavedModel with a callable or a signature of one input was expected."
    )


def _ways_to_call(loaded: Any) -> list[tuple[str, Callable[[Any], Any]]]:
    ways: list[tuple[str, Callable[[Any], Any]]] = []
    if callable(loaded):
        ways.append(("module(images, training=False)", lambda images: loaded(images, training=False)))
        ways.append(("module(images)", lambda images: loaded(images)))
    signatures = dict(getattr(loaded, "signatures", {}))
    for name in sorted(signatures, key=lambda name: (name != "serving_default", name)):
        signature = signatures[name]
        inputs = list(signature.structured_input_signature[1])
        if len(inputs) == 1:
            # bound now, not when called
            ways.append((f'signature "{name}"', lambda images, s=signature, i=inputs[0]: s(**{i: images})))  # type: ignore[misc]
    return ways


def _expected_input(loaded: Any) -> Any:
    """Returns the TensorSpec of the first signature's only input, or None."""
    for signature in dict(getattr(loaded, "signatures", {})).values():
        inputs = list(signature.structured_input_signature[1].values())
        if len(inputs) == 1:
            return inputs[0]
    return None


def _vector_tensor(frozen: Any, folder: Path) -> Any:
    """Picks the vector among the outputs: of rank 2 the one computed first (features come before class scores)."""
    outputs = [tensor for tensor in frozen.outputs if tensor.dtype.is_floating and tensor.shape.rank in (2, 4)]
    for rank in (2, 4):
        ranked = [tensor for tensor in outputs if tensor.shape.rank == rank and tensor.shape[-1] is not None]
        if ranked:
            return min(ranked, key=lambda tensor: (len(_ancestors(tensor.op)), -tensor.shape[-1]))
    shapes = ", ".join(str(tensor.shape) for tensor in frozen.outputs) or "nothing"
    raise BackboneError(f"{folder}: gives {shapes}; a vector of shape (batch, features) was expected.")


def _map_tensors(vector: Any, image_size: int) -> dict[str, Any]:
    """Returns level -> the last activation of that stride before the vector; of any operation where none is known."""
    activations: dict[str, Any] = {}
    others: dict[str, Any] = {}
    computed: set[Any] = set()  # from the photo: kernels have four axes, too
    for operation in _ancestors(vector.op):
        if operation.type != "Placeholder" and not any(tensor.op in computed for tensor in operation.inputs):
            continue
        computed.add(operation)
        for tensor in operation.outputs:
            level = _level(tensor, image_size)
            if level in LEVELS:
                others[level] = tensor
                if _is_activation(operation):
                    activations[level] = tensor
    return {level: activations.get(level, others[level]) for level in LEVELS if level in others}


def _level(tensor: Any, image_size: int) -> str:
    """Returns "P3" for a float32 map about 8 times smaller than the photo on both sides; "" for anything else."""
    shape = tensor.shape
    if not tensor.dtype.is_floating or shape.rank != 4 or None in (shape[1], shape[2], shape[3]):
        return ""
    strides = {round(math.log2(image_size / side)) for side in (shape[1], shape[2]) if side}
    return f"P{strides.pop()}" if len(strides) == 1 else ""


def _sides(tensor: Any) -> tuple[int, int, int]:
    height, width, channels = tensor.shape[1:]
    return int(height), int(width), int(channels)


def _first_normalisation(vector: Any) -> tuple[Any, Any, Any] | None:
    """Returns (input, mean, variance) of the first batch normalisation: a single operation, or spelled out."""
    for operation in _ancestors(vector.op):
        if operation.type.startswith("FusedBatchNorm"):
            images, _, _, mean, variance = operation.inputs
            return (images, mean, variance) if mean.shape.num_elements() else None
        if operation.type == "Rsqrt" and operation.inputs[0].op.type in ("Add", "AddV2"):
            return _spelled_out_normalisation(operation)
    return None


def _spelled_out_normalisation(rsqrt: Any) -> tuple[Any, Any, Any] | None:
    """Reads x * inverse + (offset - mean * inverse), where inverse = rsqrt(variance + epsilon) * scale."""
    variances = [tensor for tensor in rsqrt.inputs[0].op.inputs if tensor.shape.rank == 1]
    inverse = rsqrt.outputs[0]
    scaled = [operation.outputs[0] for operation in inverse.consumers() if operation.type == "Mul"]
    if len(scaled) == 1 and scaled[0].shape.rank == 1:
        inverse = scaled[0]
    factors = [
        tensor
        for operation in inverse.consumers()
        if operation.type == "Mul"
        for tensor in operation.inputs
        if tensor is not inverse
    ]
    images = [tensor for tensor in factors if tensor.shape.rank == 4]
    means = [tensor for tensor in factors if tensor.shape.rank == 1]
    if len(variances) == len(images) == len(means) == 1:
        return images[0], means[0], variances[0]
    return None


def _is_activation(operation: Any) -> bool:
    if operation.type in _ACTIVATIONS:
        return True
    if operation.type != "Mul":
        return False
    first, second = (tensor.op for tensor in operation.inputs)
    return _is_sigmoid_of(first, second) or _is_sigmoid_of(second, first)  # x * sigmoid(x): swish


def _is_sigmoid_of(operation: Any, source: Any) -> bool:
    if operation.type != "Sigmoid":
        return False
    gate = operation.inputs[0].op
    return gate == source or (gate.type == "Mul" and source in [tensor.op for tensor in gate.inputs])  # times beta


def _ancestors(operation: Any) -> list[Any]:
    """Returns an operation and all that it needs, in the order of computation."""
    found = {operation}
    waiting = [operation]
    while waiting:
        for tensor in waiting.pop().inputs:
            if tensor.op not in found:
                found.add(tensor.op)
                waiting.append(tensor.op)
    return [candidate for candidate in operation.graph.get_operations() if candidate in found]


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
