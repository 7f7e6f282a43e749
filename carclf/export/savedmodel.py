"""A model as a SavedModel that takes the bytes of photos, ready for TensorFlow Serving.

Nothing but TensorFlow's own operations is in it, and of those only what servers of some years ago know, too.
"""

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from carclf.errors import ConfigError
from carclf.export.photo_graph import read_in_graph
from carclf.export.runtime import Images, Run
from carclf.export.whole_graph import WholeGraph, input_name

VERSION = "1"  # the folder that TensorFlow Serving looks for
BYTES = "image_bytes"
"""The input of serving_default; a name that ends in _bytes comes as {"b64": …} in JSON."""
SIZE = "photo_size"
"""An output of serving_default beside the heads: width and height of the photo held upright, int32 (b, 2)."""
FROM_BYTES, FROM_PIXELS = "serving_default", "pixels"


def write_savedmodel(graph: WholeGraph, folder: Path, precision: str) -> None:
    """Writes a SavedModel with two signatures, both for any number of photos at once.

    `serving_default` takes their bytes, `pixels` what was read from them elsewhere: an input for each size.

    Args:
        graph: the model.
        folder: in which the version folder of TensorFlow Serving is made.
        precision: "float32".

    Raises:
        ConfigError: if a head is called like another output.
    """
    if SIZE in graph.outputs:
        raise ConfigError(f"heads.{SIZE}: a SavedModel says the size of a photo by that name. Rename the head.")
    shapes = graph.function.get_concrete_function().structured_outputs
    types = {name: tf.TensorSpec(shapes[name].shape[1:], tf.float32) for name in graph.outputs}

    def answer(images: Any) -> dict[str, Any]:
        answers = graph.function(*(image[None] for image in images))
        return {name: answers[name][0] for name in graph.outputs}

    def answer_bytes(data: Any) -> dict[str, Any]:
        images, size = read_in_graph(data, graph.sizes)
        return answer([images[each] for each in graph.sizes]) | {SIZE: size}

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name=BYTES)])  # type: ignore[untyped-decorator]
    def serving_default(image_bytes: Any) -> Any:
        said = types | {SIZE: tf.TensorSpec((2,), tf.int32)}
        return tf.map_fn(answer_bytes, image_bytes, fn_output_signature=said)

    @tf.function(input_signature=_photos(graph))  # type: ignore[untyped-decorator]
    def pixels(*images: Any) -> Any:
        return tf.map_fn(answer, images, fn_output_signature=types)

    module = tf.Module()
    signatures = {FROM_BYTES: serving_default, FROM_PIXELS: pixels}
    tf.saved_model.save(module, str(folder / VERSION), signatures=signatures)


def _photos(graph: WholeGraph) -> list[Any]:
    return [tf.TensorSpec((None, size, size, 3), tf.float32, name=input_name(size)) for size in graph.sizes]


def open_savedmodel(folder: Path, threads: int) -> Run:
    """Opens the signature `pixels` for one photo after another; TensorFlow has its own number of threads."""
    loaded = tf.saved_model.load(str(folder / VERSION))
    signature = loaded.signatures[FROM_PIXELS]

    def run(images: Images) -> dict[str, np.ndarray[Any, Any]]:
        answers = signature(**{name: tf.constant(image) for name, image in images.items()})
        return {name: value.numpy() for name, value in answers.items()}

    run.loaded = loaded  # type: ignore[attr-defined]  # its constants go with it
    return run
