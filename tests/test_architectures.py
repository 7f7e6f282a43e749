import os
from pathlib import Path

import numpy as np
import pytest

from carclf import architectures, downloads
from carclf.architectures import build_savedmodel, make_network, write_savedmodel
from carclf.backbone import LoadOptions, load_backbone
from carclf.errors import BackboneError
from carclf.graphs import freeze_savedmodel
from carclf.hub import find_backbone, read_facts
from carclf.pretrain import train_embedded
from tests.tiny_backbone import make_tiny_network

# Keras 3.15 and NumPy 2.4
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.mark.parametrize(
    ("architecture", "alpha", "channels"),
    [("MobileNet", 0.25, (32, 64, 128, 256)), ("MobileNetV2", 0.35, (48, 96, 192, 1280))],
)
def test_built_models_keep_tf_hubs_conventions(
    tmp_path: Path, architecture: str, alpha: float, channels: tuple[int, ...]
) -> None:
    import tensorflow as tf

    weights = tmp_path / "random.weights.h5"
    network = make_network(architecture, alpha)
    network.layers[-1].save_weights(str(weights))
    build_savedmodel(architecture, alpha, weights, tmp_path / "model")
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    images = np.random.default_rng(0).random((2, 64, 96, 3), dtype=np.float32)
    expected = network(images, training=False).numpy()
    np.testing.assert_allclose(loaded(images, training=False).numpy(), expected, rtol=1e-4, atol=1e-6)
    (served,) = loaded.signatures["serving_default"](tf.constant(images)).values()
    np.testing.assert_allclose(served.numpy(), expected, rtol=1e-4, atol=1e-6)
    assert len(loaded.trainable_variables) == len(network.trainable_weights)
    assert len(loaded.variables) == len(network.weights)
    assert read_facts(tmp_path / "model")["input_range"] == [0, 1]
    graph = freeze_savedmodel(tmp_path / "model", 64)
    assert {level: shape[2] for level, shape in graph.map_shapes.items()} == dict(
        zip(("P2", "P3", "P4", "P5"), channels, strict=True)
    )


def test_resnet50v2_with_random_weights(tmp_path: Path) -> None:
    build_savedmodel("ResNet50V2", 1.0, None, tmp_path / "resnet")
    source = find_backbone("resnet50v2", tmp_path / "resnet")
    backbone = load_backbone(source, 64, engine="tensorflow", options=LoadOptions(threads=2))
    vectors, _ = backbone.extract(np.random.default_rng(1).random((1, 64, 64, 3), dtype=np.float32), maps=False)
    assert vectors.shape == (1, 2048)
    assert backbone.map_shapes == {"P2": (16, 16, 64), "P3": (8, 8, 128), "P4": (4, 4, 256), "P5": (2, 2, 2048)}


def test_what_cannot_be_built_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BackboneError, match=r'"MobilNet" is not a known architecture\. Did you mean "MobileNet"\?'):
        build_savedmodel("MobilNet", 1.0, None, tmp_path / "new")
    with pytest.raises(BackboneError, match="ResNet50V2 has one width only"):
        build_savedmodel("ResNet50V2", 0.5, None, tmp_path / "new")
    for alpha in (0.0, 0.01, float("inf"), float("nan")):
        with pytest.raises(BackboneError, match=r"alpha must be from 0\.05 to 4, not"):
            build_savedmodel("MobileNet", alpha, None, tmp_path / "new")
    with pytest.raises(BackboneError, match=r"imagenet weights of the widths 0\.25, 0\.5, 0\.75, 1; alpha must be one"):
        build_savedmodel("MobileNet", 0.3, "imagenet", tmp_path / "new")
    with pytest.raises(BackboneError, match="no such weights file"):
        build_savedmodel("MobileNet", 0.25, tmp_path / "none.h5", tmp_path / "new")
    make_network("MobileNet", 0.25).layers[-1].save_weights(str(tmp_path / "narrow.weights.h5"))
    with pytest.raises(BackboneError, match=r"does not fit MobileNet, alpha 0\.5 without its top"):
        build_savedmodel("MobileNet", 0.5, tmp_path / "narrow.weights.h5", tmp_path / "new")
    with pytest.raises(BackboneError, match="exists already"):
        build_savedmodel("MobileNet", 0.25, None, tmp_path)
    monkeypatch.setattr("carclf.architectures._IMAGENET_HOST", "http://127.0.0.1:9")
    monkeypatch.setattr(downloads, "OFF_LINE_SECONDS", 0.5)
    with pytest.raises(BackboneError, match=r"off line .* Give --weights FILE where there is no internet"):
        build_savedmodel("MobileNet", 1.0, "imagenet", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_savedmodel_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    to = tmp_path / "models" / "tiny"
    write_savedmodel(make_tiny_network(), to, {"round": 1})
    write_savedmodel(make_tiny_network(), to, {"round": 2})
    assert read_facts(to)["round"] == 2
    assert os.listdir(to.parent) == ["tiny"]
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BackboneError, match="cannot be written"):
        write_savedmodel(make_tiny_network(), tmp_path / "file" / "tiny", {})


def test_a_failed_download_of_weights_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import keras

    def make(weights: str | None, **options: object) -> object:
        if weights == "imagenet":
            raise Exception("URL fetch failure: 503")  # as Keras does
        return keras.Sequential()

    monkeypatch.setattr(keras.applications, "MobileNet", make)
    monkeypatch.setattr(architectures, "check_on_line", lambda url, otherwise: None)
    with pytest.raises(BackboneError, match=r"not be downloaded \(URL fetch failure: 503\)\. Give --weights FILE"):
        build_savedmodel("MobileNet", 1.0, "imagenet", tmp_path / "new")


def test_training_replaces_no_folder_that_was_not_made_here(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("all of it")
    with pytest.raises(BackboneError, match="exists already and is no SavedModel made here"):
        train_embedded(tmp_path)
    with pytest.raises(BackboneError, match="exists already and is no SavedModel made here"):
        write_savedmodel(make_tiny_network(), tmp_path / "thesis.txt", {})
    assert (tmp_path / "thesis.txt").read_text() == "all of it"
    (tmp_path / "empty").mkdir()
    write_savedmodel(make_tiny_network(), tmp_path / "empty", {})
    assert (tmp_path / "empty" / "saved_model.pb").exists()
