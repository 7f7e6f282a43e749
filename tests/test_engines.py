import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from carclf.engines import EngineError, Run, convert_to_openvino, import_openvino, open_openvino, open_tensorflow
from carclf.errors import BackboneError
from carclf.graphs import FrozenGraph, freeze_savedmodel
from carclf.probes import disagreement, probe_images, wrong_range
from tests.tiny_backbone import TINY_CHANNELS, TINY_FEATURES, make_tiny_network, write_tiny_backbone

SIZE = 64
REPO = Path(__file__).resolve().parents[1]

# Keras 3.15 and NumPy 2.4
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def savedmodel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_backbone(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def graph(savedmodel: Path) -> FrozenGraph:
    return freeze_savedmodel(savedmodel, SIZE, grid=(1, 2))


@pytest.fixture(scope="module")
def opened(graph: FrozenGraph) -> dict[str, Callable[[int], Run]]:
    model = convert_to_openvino(graph.function)
    return {
        "openvino": lambda threads: open_openvino(model, threads),
        "tensorflow": lambda threads: open_tensorflow(graph, threads),
    }


def test_maps_are_the_last_activations_of_their_strides(graph: FrozenGraph) -> None:
    assert graph.map_shapes == {
        level: (SIZE >> n, SIZE >> n, channels) for n, (level, channels) in enumerate(TINY_CHANNELS.items(), 2)
    }
    assert graph.num_features == TINY_FEATURES + 2 * TINY_CHANNELS["P5"]


def test_both_engines_agree_with_keras(opened: dict[str, Callable[[int], Run]]) -> None:
    import keras

    images = np.random.default_rng(0).random((5, SIZE, SIZE, 3), dtype=np.float32)
    network = make_tiny_network()
    expected: dict[str, Any] = {"vector": network(images, training=False).numpy()}
    activations = [layer.output for layer in network.layers if isinstance(layer, keras.layers.ReLU)]
    maps = keras.Model(network.input, activations)(images, training=False)
    expected |= {level: values.numpy() for level, values in zip(TINY_CHANNELS, maps, strict=True)}
    left, right = (half.mean(axis=(1, 2)) / np.sqrt(2.0) for half in np.split(expected["P5"], 2, axis=2))
    expected["vector"] = np.concatenate([expected["vector"], left, right], axis=1)
    for open_engine in opened.values():
        outputs = open_engine(2)(images, True)
        assert set(outputs) == set(expected)
        assert disagreement(outputs, expected) < 1e-5


@pytest.mark.parametrize("engine", ["openvino", "tensorflow"])
def test_batch_threads_and_maps_change_no_bit(opened: dict[str, Callable[[int], Run]], engine: str) -> None:
    images = np.random.default_rng(1).random((32, SIZE, SIZE, 3), dtype=np.float32)
    one_thread, two_threads = opened[engine](1), opened[engine](2)
    together = one_thread(images, True)
    alone = [two_threads(images[i : i + 1], True) for i in range(32)]
    for name, values in together.items():
        np.testing.assert_array_equal(values, np.concatenate([outputs[name] for outputs in alone]))
    np.testing.assert_array_equal(two_threads(images, False)["vector"], together["vector"])


def save(tmp_path: Path, call: Callable[..., Any], shape: tuple[int | None, ...], signatures_only: bool) -> Path:
    import tensorflow as tf

    module = tf.train.Checkpoint()
    function = tf.function(call, input_signature=[tf.TensorSpec(shape, tf.float32)])
    if not signatures_only:
        module.__call__ = function
    module.weights = list(function.get_concrete_function().graph.variables)
    tf.saved_model.save(module, str(tmp_path), signatures={"serving_default": function})
    return tmp_path


@pytest.mark.parametrize("signatures_only", [True, False])
@pytest.mark.parametrize("shape", [(None, None, None, 3), (None, SIZE, SIZE, 3), (1, SIZE, SIZE, 3)])
def test_models_without_training_and_of_fixed_size(
    tmp_path: Path, signatures_only: bool, shape: tuple[int | None, ...]
) -> None:
    network = make_tiny_network()
    folder = save(tmp_path, lambda images: network(images, training=False), shape, signatures_only)
    frozen = freeze_savedmodel(folder, SIZE)
    images = np.random.default_rng(2).random((1, SIZE, SIZE, 3), dtype=np.float32)
    outputs = open_tensorflow(frozen, 1)(images, True)
    np.testing.assert_allclose(outputs["vector"], network(images, training=False).numpy(), rtol=1e-4, atol=1e-6)
    assert list(frozen.map_shapes) == list(TINY_CHANNELS)


def test_the_vector_is_found_beside_class_scores_or_made_from_the_last_map(tmp_path: Path) -> None:
    import keras
    import tensorflow as tf

    network = make_tiny_network()
    scores = keras.layers.Dense(100)

    def with_scores(images: Any) -> dict[str, Any]:
        vector = network(images, training=False)
        return {"a": scores(vector), "z": vector}

    frozen = freeze_savedmodel(save(tmp_path / "scores", with_scores, (None, SIZE, SIZE, 3), True), SIZE)
    assert frozen.num_features == TINY_FEATURES
    trunk = keras.Model(network.input, network.layers[-2].output)
    folder = save(tmp_path / "trunk", lambda images: trunk(images, training=False), (None, SIZE, SIZE, 3), True)
    images = tf.random.stateless_uniform((1, SIZE, SIZE, 3), (1, 2))
    outputs = open_tensorflow(freeze_savedmodel(folder, SIZE), 1)(images.numpy(), False)
    np.testing.assert_allclose(outputs["vector"], network(images, training=False).numpy(), rtol=1e-4, atol=1e-6)


def test_models_that_do_not_fit_are_told(tmp_path: Path, savedmodel: Path) -> None:
    import tensorflow as tf

    network = make_tiny_network()
    fixed = save(tmp_path / "fixed", lambda images: network(images), (None, 96, 96, 3), True)
    with pytest.raises(BackboneError, match=r"takes images of shape \(None, 96, 96, 3\).* Set image_size to 96\."):
        freeze_savedmodel(fixed, SIZE)
    text = save(tmp_path / "flat", lambda images: tf.reduce_sum(images), (None, None, None, 3), True)
    with pytest.raises(BackboneError, match=r"gives \(\); a vector of shape \(batch, features\) was expected"):
        freeze_savedmodel(text, SIZE)
    vectors = save(tmp_path / "vectors", lambda vectors: vectors * 2.0, (None, 7), False)
    with pytest.raises(BackboneError, match=r"takes images of shape \(None, 7\)"):
        freeze_savedmodel(vectors, SIZE)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "saved_model.pb").write_bytes(b"junk")
    with pytest.raises(BackboneError, match="cannot be loaded as a SavedModel"):
        freeze_savedmodel(tmp_path / "broken", SIZE)
    pooled = save(tmp_path / "pooled", lambda images: tf.reduce_mean(images, (1, 2)), (None, None, None, 3), True)
    with pytest.raises(BackboneError, match="has no feature map to lay a grid over"):
        freeze_savedmodel(pooled, SIZE, (2, 2))


def test_swish_counts_as_an_activation(tmp_path: Path) -> None:
    import keras

    images = keras.Input((SIZE, SIZE, 3))
    swished = keras.layers.Conv2D(5, 3, strides=8, padding="same", activation="silu")(images)
    linear = keras.layers.Conv2D(7, 1)(swished)
    network = keras.Model(images, keras.layers.GlobalAveragePooling2D()(linear))
    folder = save(tmp_path, lambda images: network(images), (None, SIZE, SIZE, 3), True)
    assert freeze_savedmodel(folder, SIZE).map_shapes == {"P3": (8, 8, 5)}


def test_what_openvino_cannot_convert_is_told(graph: FrozenGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("no rule for Op")

    monkeypatch.setattr(import_openvino(), "convert_model", refuse)
    with pytest.raises(EngineError, match=r"OpenVINO cannot convert it \(no rule for Op\)\. Set engine to tensorflow"):
        convert_to_openvino(graph.function)


def test_a_converted_network_names_no_folder_of_this_machine(graph: FrozenGraph, tmp_path: Path) -> None:
    import_openvino().save_model(convert_to_openvino(graph.function), tmp_path / "network.xml")
    assert tempfile.gettempdir() not in (tmp_path / "network.xml").read_text()


def test_openvino_sends_and_leaves_nothing(tmp_path: Path) -> None:
    code = """
from carclf.engines import import_openvino
import_openvino()
from openvino.tools.ovc import convert_impl, telemetry_utils, utils
for module in (convert_impl, telemetry_utils, utils):
    print(module.tm.__name__)
"""
    home = tmp_path / "home"
    home.mkdir()
    kept = {name: value for name, value in os.environ.items() if name not in ("CI", "XDG_CONFIG_HOME")}
    environment = kept | {"HOME": str(home)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPO, env=environment, capture_output=True, text=True, check=True
    )
    assert set(done.stdout.split()) == {"openvino.tools.ovc.telemetry_stub"}
    assert list(home.iterdir()) == []


def test_probe_images_look_like_photos() -> None:
    images = probe_images(96)
    assert images.dtype == np.float32
    assert 0.0 <= images.min() < 0.05 < 0.95 < images.max() <= 1.0
    assert 0.35 < images.mean() < 0.55
    np.testing.assert_array_equal(images, probe_images(96))


def trained_on(low: float, high: float, tmp_path: Path) -> FrozenGraph:
    """A network whose first normalisation holds the statistics of probe pictures in one range, as after training."""
    import keras

    network = make_tiny_network()
    first = next(layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization))
    before = keras.Model(network.input, first.input)(probe_images(SIZE) * (high - low) + low).numpy()
    first.moving_mean.assign(before.mean(axis=(0, 1, 2)))
    first.moving_variance.assign(before.var(axis=(0, 1, 2)))
    folder = save(tmp_path, lambda images: network(images, training=False), (None, SIZE, SIZE, 3), True)
    return freeze_savedmodel(folder, SIZE)


@pytest.mark.parametrize("right", [(0.0, 1.0), (-1.0, 1.0), (0.0, 255.0)])
def test_a_wrong_input_range_is_noticed(right: tuple[float, float], tmp_path: Path) -> None:
    frozen = trained_on(*right, tmp_path)
    assert wrong_range(frozen, SIZE, right) == ""
    for wrong in {(0.0, 1.0), (-1.0, 1.0), (0.0, 255.0)} - {right}:
        message = wrong_range(frozen, SIZE, wrong)
        assert message.startswith(f"input_range [{wrong[0]:g}, {wrong[1]:g}] looks wrong")
        assert message.endswith(f"Set input_range to [{right[0]:g}, {right[1]:g}].")


def test_networks_without_learnt_statistics_are_not_accused(graph: FrozenGraph) -> None:
    for input_range in ((0.0, 1.0), (0.0, 255.0)):
        assert wrong_range(graph, SIZE, input_range) == ""
