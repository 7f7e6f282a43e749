"""What lies beside an exported model says what carclf says, without carclf."""

import base64
import hashlib
import importlib.util
import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from carclf.export import example
from carclf.export.beside import SUMS, make_photo, write_beside, write_sums
from carclf.export.whole_graph import WholeGraph, join_graphs
from carclf.images import decode_photo, read_head
from carclf.merged import merge_model
from carclf.predict import Predictor
from carclf.saying import Answer, say_labels

SIDE = 32
CLOSE = 1e-4


@pytest.fixture(scope="module")
def graph(predictor: Predictor) -> WholeGraph:
    return join_graphs(merge_model(predictor))


@pytest.fixture(scope="module")
def folder(predictor: Predictor, graph: WholeGraph, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("beside")
    write_beside(folder, predictor, graph, "onnx", "float32")
    return folder


@pytest.fixture(scope="module")
def labels(folder: Path) -> dict[str, Any]:
    tree: dict[str, Any] = json.loads((folder / "labels.json").read_text())
    return tree


def run_of(graph: WholeGraph) -> example.Run:
    return lambda images: {name: each.numpy() for name, each in graph.function(*images.values()).items()}


def test_labels_name_everything_that_decides(labels: dict[str, Any], predictor: Predictor) -> None:
    assert list(labels["heads"]) == ["severity", "damage_type", "damage_mask"]
    severity, kinds, mask = labels["heads"].values()
    assert severity["classes"] == list(predictor.heads["severity"].label_set.names)
    assert severity["thresholds"] is None
    assert kinds["thresholds"] == predictor.heads["damage_type"].threshold.tolist()
    assert mask["thresholds"] == predictor.mask_heads["damage_mask"].thresholds.tolist()
    assert mask["colors"] == {"damage": [226, 60, 50]}
    assert mask["regions"]["min_probability"] == predictor.mask_heads["damage_mask"].min_probability
    assert mask["regions"]["split_depth"] == predictor.mask_heads["damage_mask"].decider.regions.split_depth
    assert labels["model_sha256"] == predictor.model_sha256
    assert labels["inputs"][0] | {"values": ""} == {
        "name": "images_64",
        "dtype": "float32",
        "shape": [1, 64, 64, 3],
        "values": "",
    }


def test_the_example_says_what_predict_says(
    labels: dict[str, Any], graph: WholeGraph, predictor: Predictor, drawn_set: Path
) -> None:
    photos = sorted((drawn_set / "photos").iterdir())[:4]
    for photo, answer in zip(photos, predictor.predict(photos), strict=True):
        assert isinstance(answer, Answer)
        said, masks = example.ask(run_of(graph), labels, photo)
        assert_same(said, answer.fields)
        assert (masks["damage_mask"] != answer.masks["damage_mask"]).mean() < 1e-3


def assert_same(said: Any, expected: Any) -> None:
    """The same tree, numbers nearly; of what predict says, regions are not there."""
    if isinstance(expected, dict):
        told = {key: value for key, value in expected.items() if not key.startswith("regions")}
        assert list(said) == list(told)
        for key, value in told.items():
            assert_same(said[key], value)
    elif isinstance(expected, float):
        assert said == pytest.approx(expected, abs=CLOSE if expected <= 1 else 0.1)
    else:
        assert said == expected


def test_an_unsure_answer_is_none(labels: dict[str, Any]) -> None:
    head = labels["heads"]["severity"] | {"min_probability": 0.6}
    said = example.say_labels(np.array([0.1, 0.5, 0.3, 0.1], np.float32), head)
    assert said["label"] is None
    assert said["confidence"] == 0.5
    assert said["reason"] == "its confidence 0.50 is below min_probability 0.60"


@pytest.mark.parametrize("least", [0.6, 0.501, 0.5000004, 1.0])
def test_the_example_gives_the_reasons_of_predict(predictor: Predictor, labels: dict[str, Any], least: float) -> None:
    probabilities = np.array([0.1, 0.5, 0.3, 0.1], np.float32)
    head = replace(predictor.heads["severity"], least_confidence=least)
    expected = say_labels(head, probabilities)["reason"]
    tree = labels["heads"]["severity"] | {"min_probability": least}
    assert example.say_labels(probabilities, tree)["reason"] == expected


def test_the_example_goes_on_after_a_photo_that_it_cannot_read_and_writes_over_no_mask(
    folder: Path,
    labels: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    photos = [tmp_path / name for name in ("a.jpg", "empty.jpg", "A.png", "deep/a.jpg")]
    (tmp_path / "deep").mkdir()
    for photo in photos:
        drawn((40, 30)).save(photo)
    photos[1].write_bytes(b"")
    grid = np.zeros((1, 4, 4, 1), np.float32)
    said = {name: np.full((1, len(head["classes"])), 0.25) for name, head in labels["heads"].items()}
    opened = lambda *_: lambda images: said | {"damage_mask": grid}  # noqa: E731
    monkeypatch.setattr(example, "RUNTIMES", {"onnx": opened})
    monkeypatch.setattr(example, "__file__", str(folder / "example.py"))
    monkeypatch.setattr(sys, "argv", ["example.py", *map(str, photos)])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="2"):
        example.main()
    told = capsys.readouterr()
    assert [json.loads(line)["photo"] for line in told.out.splitlines()] == [str(photos[place]) for place in (0, 2, 3)]
    assert told.err.startswith(f"{photos[1]}: cannot be read (")
    written = {path.name for path in tmp_path.glob("*_damage_mask*.png")}
    assert written == {"a_damage_mask.png", "A_damage_mask_2.png", "a_damage_mask_3.png"}


def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


def drawn(size: tuple[int, int], mode: str = "RGB") -> Image.Image:
    random = np.random.default_rng(3)
    small = Image.fromarray(random.integers(0, 256, (12, 17, 3), dtype=np.uint8))
    image = small.resize(size, Image.Resampling.BICUBIC)
    if mode in ("RGBA", "LA"):
        image.putalpha(Image.fromarray(random.integers(0, 256, size[::-1], dtype=np.uint8)))
    if mode == "I;16":
        return Image.fromarray((np.asarray(image.convert("L")).astype(np.uint16) * 257) // 3)
    return image.convert(mode)


def turned(orientation: int) -> dict[str, Any]:
    exif = Image.Exif()
    exif[example.ORIENTATION] = orientation
    return {"exif": exif}


PHOTOS = {
    **{f"JPEG turned {each}": encode(drawn((71, 45)), "JPEG", **turned(each)) for each in range(1, 9)},
    "large JPEG": encode(drawn((613, 401)), "JPEG"),
    "large JPEG, turned": encode(drawn((613, 277)), "JPEG", **turned(6)),
    "grey JPEG": encode(drawn((71, 45), "L"), "JPEG"),
    "CMYK JPEG": encode(drawn((71, 45), "CMYK"), "JPEG"),
    "orientation 9": encode(drawn((71, 45)), "JPEG", **turned(9)),
    "PNG": encode(drawn((20, 13)), "PNG"),
    "PNG with alpha": encode(drawn((20, 13), "RGBA"), "PNG"),
    "grey PNG with alpha": encode(drawn((20, 13), "LA"), "PNG"),
    "indexed PNG, transparent": encode(drawn((20, 13), "P"), "PNG", transparency=3),
    "PNG of 16 bits": encode(drawn((20, 13), "I;16"), "PNG"),
    "PNG of one bit": encode(drawn((20, 13), "1"), "PNG"),
    "turned TIFF": encode(drawn((71, 45)), "TIFF", **turned(6)),
    "WebP": encode(drawn((71, 45)), "WEBP"),
}


@pytest.mark.parametrize("kind", PHOTOS)
def test_the_example_reads_photos_as_carclf_does(kind: str) -> None:
    np.testing.assert_allclose(example.read_photo(PHOTOS[kind], SIDE), decode_photo(PHOTOS[kind], SIDE), atol=1e-7)
    frame = read_head(PHOTOS[kind], kind)[1]
    assert example.photo_size(PHOTOS[kind]) == (frame.width, frame.height)


def test_the_example_needs_nothing_of_carclf(folder: Path) -> None:
    spec = importlib.util.spec_from_file_location("example", folder / "example.py")
    assert spec is not None
    code = (
        "import sys; sys.path.insert(0, '.'); import example; "
        "print(*[name for name in sys.modules if name.startswith(('carclf', 'tensorflow', 'openvino', 'onnx'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_masks_come_in_the_colours_of_their_classes(labels: dict[str, Any], tmp_path: Path) -> None:
    mask = np.array([[0, 1], [1, 0]], np.uint8)
    example.write_mask(tmp_path / "mask.png", mask, labels["heads"]["damage_mask"])
    with Image.open(tmp_path / "mask.png") as image:
        np.testing.assert_array_equal(np.asarray(image), mask)
        assert image.convert("RGB").getpixel((1, 0)) == (226, 60, 50)


def test_the_request_holds_a_photo_of_a_drawn_car(predictor: Predictor, graph: WholeGraph, tmp_path: Path) -> None:
    write_beside(tmp_path, predictor, graph, "savedmodel", "float32")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["example_request.json", "labels.json"]
    request = json.loads((tmp_path / "example_request.json").read_text())
    (instance,) = request["instances"]
    photo = base64.b64decode(instance["image_bytes"]["b64"])
    assert photo == make_photo()
    assert decode_photo(photo, SIDE).std() > 0.05
    labels = json.loads((tmp_path / "labels.json").read_text())
    assert [(each["signature"], each["shape"]) for each in labels["inputs"]] == [
        ("serving_default", [None]),
        ("pixels", [None, 64, 64, 3]),
    ]


def test_an_answer_that_is_never_told_says_so(predictor: Predictor, graph: WholeGraph, tmp_path: Path) -> None:
    head = replace(predictor.heads["severity"], least_confidence=0.75)
    write_beside(tmp_path, replace(predictor, heads=predictor.heads | {"severity": head}), graph, "litert", "int8")
    tree = json.loads((tmp_path / "labels.json").read_text())
    assert tree["heads"]["severity"]["min_probability"] == 0.75
    assert (tree["format"], tree["precision"]) == ("litert", "int8")


def test_sums_are_those_of_all_other_files(tmp_path: Path) -> None:
    (tmp_path / "1" / "variables").mkdir(parents=True)
    (tmp_path / "1" / "variables" / "data").write_bytes(b"weights")
    (tmp_path / "labels.json").write_bytes(b"{}")
    write_sums(tmp_path)
    write_sums(tmp_path)  # its own sum is not among them
    lines = (tmp_path / SUMS).read_text().splitlines()
    names = ["1/variables/data", "labels.json"]
    assert lines == [f"{hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()}  {name}" for name in names]


def test_the_same_model_gives_the_same_bytes(
    folder: Path, predictor: Predictor, graph: WholeGraph, tmp_path: Path
) -> None:
    write_beside(tmp_path, predictor, graph, "onnx", "float32")
    assert all((tmp_path / path.name).read_bytes() == path.read_bytes() for path in folder.iterdir())
