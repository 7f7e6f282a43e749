"""An exported model, run in its own runtime, says what predict says; it is there as a whole or not at all."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from carclf.cli import main
from carclf.config import Config
from carclf.errors import RunDirError
from carclf.export import formats, job
from carclf.export.formats import FORMATS, ExportError, Format
from carclf.export.job import ExportRequest, export_model
from carclf.export.whole_graph import WholeGraph, input_name, join_graphs
from carclf.images import read_photo
from carclf.merged import MergedGraph, merge_model
from carclf.predict import Predictor
from carclf.saying import Answer

CLOSE = 1e-4
PHOTOS = 4


@pytest.fixture(scope="module")
def photos(drawn_set: Path) -> list[Path]:
    return sorted((drawn_set / "photos").iterdir())[:PHOTOS]


@pytest.fixture(scope="module")
def answers(predictor: Predictor, photos: list[Path]) -> list[Answer]:
    return [answer for answer in predictor.predict(photos) if isinstance(answer, Answer)]


@pytest.fixture(scope="module")
def graphs(predictor: Predictor) -> list[MergedGraph]:
    return merge_model(predictor)


@pytest.fixture(scope="module")
def written(graphs: list[MergedGraph], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Format -> folder of the model in that format."""
    whole = join_graphs(graphs)
    folders = {name: tmp_path_factory.mktemp(name) for name in FORMATS}
    for name, folder in folders.items():
        FORMATS[name].write(whole, folder, "float32")
    return folders


def check(said: dict[str, Any], answer: Answer) -> None:
    """Compares (1, …) of every head with what predict says."""
    for name in ("severity", "damage_type"):
        expected = list(answer.fields["heads"][name]["probabilities"].values())
        np.testing.assert_allclose(said[name][0], expected, rtol=0, atol=CLOSE)
    np.testing.assert_allclose(said["damage_mask"][0], answer.probabilities["damage_mask"], rtol=0, atol=CLOSE)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_says_what_predict_says(
    name: str, written: dict[str, Path], photos: list[Path], answers: list[Answer]
) -> None:
    run = FORMATS[name].open(written[name], 1)
    for photo, answer in zip(photos, answers, strict=True):
        check(run({input_name(64): read_photo(photo, 64)[None]}), answer)


def test_a_savedmodel_takes_the_bytes_of_several_photos(
    written: dict[str, Path], predictor: Predictor, photos: list[Path], tmp_path: Path
) -> None:
    serving = tf.saved_model.load(str(written["savedmodel"] / "1")).signatures["serving_default"]
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(photos[0]).convert("RGB").resize((90, 70)).save(tmp_path / "turned.jpg", exif=exif)
    asked = [tmp_path / "turned.jpg", *photos[1:]]
    said = serving(image_bytes=tf.constant([photo.read_bytes() for photo in asked]))
    assert set(said) == {*predictor.heads, *predictor.mask_heads, "photo_size"}
    assert said["photo_size"].numpy().tolist() == [[70, 90], *([96, 96] for _ in photos[1:])]
    for row, answer in enumerate(predictor.predict(asked)):
        assert isinstance(answer, Answer)
        check({name: each.numpy()[row : row + 1] for name, each in said.items()}, answer)
    with pytest.raises(tf.errors.InvalidArgumentError, match="JPEG or PNG was expected"):
        serving(image_bytes=tf.constant([photos[0].read_bytes(), b"no photo"]))


def test_a_model_knows_each_weight_once(written: dict[str, Path]) -> None:
    """Both views of a photo and both signatures look through one backbone."""
    sizes = {name: sum(path.stat().st_size for path in written[name].rglob("*") if path.is_file()) for name in FORMATS}
    assert max(sizes.values()) < 1.6 * min(sizes.values())


def small_graph(size: int, name: str) -> MergedGraph:
    photo = tf.TensorSpec((1, size, size, 3), tf.float32, name="images")
    function = tf.function(lambda images: {name: tf.reduce_mean(images, axis=(1, 2))}, input_signature=[photo])
    return MergedGraph(size, (name,), function)


@pytest.mark.parametrize("name", FORMATS)
def test_heads_that_look_at_several_sizes_are_one_model(name: str, tmp_path: Path) -> None:
    whole = join_graphs([small_graph(16, "a b"), small_graph(8, "small"), small_graph(16, "other")])
    assert whole.sizes == (8, 16)
    FORMATS[name].write(whole, tmp_path, "float32")
    small, large = (np.random.default_rng(size).random((1, size, size, 3), np.float32) for size in whole.sizes)
    said = FORMATS[name].open(tmp_path, 1)({"images_8": small, "images_16": large})
    assert set(said) == {"a b", "small", "other"}
    np.testing.assert_allclose(said["small"], small.mean(axis=(1, 2)), rtol=1e-5)
    np.testing.assert_allclose(said["other"], large.mean(axis=(1, 2)), rtol=1e-5)


def test_a_model_that_answers_otherwise_is_not_left_there(
    config: Config, predictor: Predictor, graphs: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "merge_model", lambda predictor: graphs)
    monkeypatch.setattr(job, "disagreement", lambda one, other: 0.25)
    with pytest.raises(ExportError, match=r"differ from those of predict by 2.5e-01 .* Nothing is written"):
        export_model(config, predictor, ExportRequest("openvino", "float32", tmp_path / "model"))
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_there_already_is_left_alone(
    drawn_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    words = ["export", "--config", drawn_run / "config.json", "--format", "litert", "--to", tmp_path]
    assert main([str(word) for word in words]) == 2
    assert "is there already. Name a new folder" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_folder_that_cannot_be_made_is_told(config: Config, predictor: Predictor, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunDirError, match="cannot be written"), job.whole_folder(tmp_path / "file" / "model"):
        pass


def test_the_command_writes_a_model_and_all_that_is_to_be_known_of_it(
    drawn_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("carclf.using.with_runs", lambda *_: pytest.fail("merged for nothing"))
    folder = tmp_path / "deep" / "model"
    words = ["export", "--config", drawn_run / "config.json", "--format", "openvino", "--to", folder]
    assert main([str(word) for word in words]) == 0
    assert f"{folder}: openvino, float32; 6 files" in capsys.readouterr().out
    assert [path.name for path in folder.parent.iterdir()] == ["model"]
    files = {"example.py", "labels.json", "model.bin", "model.xml", "model_card.md", "sha256.txt"}
    assert {path.name for path in folder.iterdir()} == files


def test_what_a_format_lacks_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ExportError, match=r"onnx has float32\. Formats with int8: litert\."):
        formats.choose_format("onnx", "int8")
    monkeypatch.setattr(formats, "find_spec", lambda name: None)
    assert formats.choose_format("savedmodel", "float32").name == "savedmodel"
    with pytest.raises(ExportError, match=r"needs tf2onnx and onnxruntime, not installed here\. .*pip install -r"):
        formats.choose_format("onnx", "float32")


def test_a_converter_that_fails_is_an_error_of_one_line(tmp_path: Path) -> None:
    def fail(graph: WholeGraph, folder: Path, precision: str) -> None:
        raise RuntimeError("no such operation: Curl\nat line 7")

    broken = Format("curled", (), ("float32",), lambda: (fail, FORMATS["onnx"].open))
    with pytest.raises(ExportError, match=r"cannot be written as curled \(no such operation: Curl\)\. Try another"):
        broken.write(join_graphs([small_graph(8, "small")]), tmp_path, "float32")
