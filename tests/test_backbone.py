import json
import logging
import sys
from pathlib import Path

import numpy as np
import pytest

from carclf import engines, networks
from carclf.backbone import Backbone, LoadOptions, load_backbone
from carclf.downloads import FACTS_FILE
from carclf.engines import EngineError, import_openvino
from carclf.errors import BackboneError
from carclf.hub import Source, find_backbone
from carclf.probes import probe_images
from tests.tiny_backbone import TINY_CHANNELS, TINY_FEATURES, write_tiny_backbone

SIZE = 64

# Keras 3.15 and NumPy 2.4
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    return find_backbone("tiny", write_tiny_backbone(tmp_path_factory.mktemp("models") / "tiny"))


@pytest.fixture(scope="module")
def backbone(source: Source) -> Backbone:
    return load_backbone(source, SIZE)


def test_facts(backbone: Backbone, source: Source) -> None:
    assert (backbone.engine, backbone.precision, backbone.num_features) == ("openvino", "f32", TINY_FEATURES)
    assert (backbone.source, backbone.image_size, backbone.input_range) == (source, SIZE, (0.0, 1.0))
    assert source.seen_drawn_cars
    assert source.input_range == (0.0, 1.0)
    assert list(backbone.map_shapes) == list(TINY_CHANNELS)
    assert backbone.range_warning == ""


def test_extract_gives_vectors_and_maps(backbone: Backbone) -> None:
    images = probe_images(SIZE)
    vectors, maps = backbone.extract(images, maps=True)
    assert vectors.shape == (4, TINY_FEATURES)
    assert vectors.dtype == np.float32
    assert {level: values.shape[1:] for level, values in maps.items()} == backbone.map_shapes
    np.testing.assert_allclose(vectors, maps["P5"].mean(axis=(1, 2)), rtol=1e-4, atol=1e-6)
    again, none = backbone.extract(images[2:3], maps=False)
    np.testing.assert_array_equal(again[0], vectors[2])
    assert none == {}
    empty, empty_maps = backbone.extract(images[:0], maps=True)
    assert empty.shape == (0, TINY_FEATURES)
    assert empty_maps["P3"].shape == (0, 8, 8, TINY_CHANNELS["P3"])


def test_engines_agree_to_1e_4(backbone: Backbone, source: Source) -> None:
    tensorflow = load_backbone(source, SIZE, engine="tensorflow")
    assert tensorflow.engine == "tensorflow"
    vectors, maps = backbone.extract(probe_images(SIZE), True)
    expected_vectors, expected_maps = tensorflow.extract(probe_images(SIZE), True)
    for level, expected in {"vector": expected_vectors, **expected_maps}.items():
        values = {"vector": vectors, **maps}[level]
        assert np.abs(values - expected).max() <= 1e-4 * np.abs(expected).max()


def test_image_size_may_be_another(source: Source) -> None:
    assert load_backbone(source, 96, engine="tensorflow").map_shapes["P3"] == (12, 12, TINY_CHANNELS["P3"])


def test_input_range_is_applied(source: Source, tmp_path: Path, backbone: Backbone) -> None:
    told = Source("tiny", "local", "here", source.folder, source.sha256, False, input_range=None)
    stretched = load_backbone(told, SIZE, (0.25, 0.75), "tensorflow")
    images = probe_images(SIZE)
    np.testing.assert_allclose(
        stretched.extract(images, False)[0], backbone.extract(images * 0.5 + 0.25, False)[0], rtol=1e-4, atol=1e-6
    )


def test_the_embedded_backbone_keeps_its_own_range(source: Source) -> None:
    embedded = Source("m", "embedded", "here", source.folder, source.sha256, True, input_range=(0.0, 1.0))
    assert load_backbone(embedded, SIZE, (-1.0, 1.0), "tensorflow").input_range == (0.0, 1.0)


def test_all_wrong_arguments_are_told_at_once(source: Source, backbone: Backbone) -> None:
    with pytest.raises(BackboneError) as error:
        load_backbone(source, 16, (1.0, 0.0), "openvin")
    assert len(str(error.value).splitlines()) == 3
    for part in ('engine "openvin" is not known. Did you mean "openvino"?', "two increasing numbers", "at least 32"):
        assert part in str(error.value)
    with pytest.raises(BackboneError, match=r"input_range is \[-1, 1\], but it was built for \[0, 1\]"):
        load_backbone(source, SIZE, (-1.0, 1.0))
    with pytest.raises(BackboneError, match=r"\(2, 32, 32, 3\) were given, \(batch, 64, 64, 3\) was expected"):
        backbone.extract(np.zeros((2, 32, 32, 3), np.float32), maps=False)


def test_a_converted_network_is_kept_checked_and_repaired(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    images = probe_images(SIZE)
    options = LoadOptions(cache_dir=tmp_path)
    first = load_backbone(source, SIZE, options=options).extract(images, True)

    def forbidden(*_: object) -> None:
        raise AssertionError("TensorFlow was asked again")

    with monkeypatch.context() as patched:
        patched.setattr(networks, "freeze_savedmodel", forbidden)
        kept = load_backbone(source, SIZE, options=options).extract(images, True)
    np.testing.assert_array_equal(kept[0], first[0])
    for level, values in first[1].items():
        np.testing.assert_array_equal(kept[1][level], values)
    weights = next(tmp_path.glob("network-*/network.bin"))
    weights.write_bytes(weights.read_bytes()[:-4] + b"junk")
    repaired = load_backbone(source, SIZE, options=options).extract(images, True)
    assert "is damaged; the network is converted again" in caplog.text
    np.testing.assert_array_equal(repaired[0], first[0])
    assert len(list(tmp_path.iterdir())) == 1


def test_auto_falls_back_to_tensorflow_with_one_line(
    source: Source, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as patched, caplog.at_level(logging.WARNING):
        patched.setattr(networks, "AGREEMENT", -1.0)
        assert load_backbone(source, SIZE).engine == "tensorflow"
    assert caplog.text.count("runs in TensorFlow, because OpenVINO and TensorFlow differ by") == 1
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(EngineError, match="OpenVINO is not installed"):
        load_backbone(source, SIZE, engine="openvino")


@pytest.mark.parametrize("refused", ["read_model", "compile_model"])
def test_auto_falls_back_where_openvino_cannot_read_or_compile(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, refused: str
) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("no memory\nfor this")

    options = LoadOptions(cache_dir=tmp_path)
    if refused == "read_model":
        load_backbone(source, SIZE, options=options)
    monkeypatch.setattr(import_openvino().Core, refused, refuse)
    assert load_backbone(source, SIZE, options=options).engine == "tensorflow"
    assert f"OpenVINO cannot {refused.split('_')[0]} it (no memory)" in caplog.text


def test_a_network_that_cannot_be_kept_still_runs(
    source: Source, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_bytes(b"")
    backbone = load_backbone(source, SIZE, options=LoadOptions(cache_dir=tmp_path / "file" / "cache"))
    assert backbone.engine == "openvino"
    assert "could not be kept" in caplog.text


def test_real_weights_give_the_same_in_both_engines(shared_dir: Path, tmp_path: Path) -> None:
    from carclf.architectures import build_savedmodel
    from carclf.images import find_photos, read_photo

    weights = shared_dir / "models" / "mobilenet_v2_0.35_224_notop.weights.h5"
    build_savedmodel("MobileNetV2", 0.35, weights, tmp_path / "model")
    facts = json.loads((tmp_path / "model" / FACTS_FILE).read_text())
    assert facts["weights"] == weights.name
    source = find_backbone("v2", tmp_path / "model")
    photos = find_photos(shared_dir / "data" / "car_damage" / "photos")[::300]
    images = np.stack([read_photo(path, 96) for path in photos])
    vectors = {e: load_backbone(source, 96, engine=e).extract(images, False)[0] for e in ("openvino", "tensorflow")}
    assert np.abs(vectors["openvino"] - vectors["tensorflow"]).max() < 1e-4 * np.abs(vectors["tensorflow"]).max()
    assert engines.PRECISION == "f32"
    between_photos = np.asarray(np.corrcoef(vectors["openvino"]))[~np.eye(len(images), dtype=bool)]
    assert between_photos.max() < 0.98
