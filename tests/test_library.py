"""carclf.load: the same answers as the command line, whatever a photo comes as; errors that say what to do."""

import io
import json
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import carclf
from carclf.cli import main
from carclf.errors import BackboneError, CarclfError, ConfigError, LabelError, PhotoError, RunDirError
from carclf.library import Model, Result
from carclf.mask_images import read_mask
from carclf.photo_bytes import Photo, make_source
from tests.drawn_set import MODEL

HEAD = "damage_mask"


@pytest.fixture(scope="module")
def model(drawn_run: Path) -> Model:
    return carclf.load(drawn_run / "results" / MODEL)


@pytest.fixture(scope="module")
def photo(drawn_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photo as PNG, wider than high, so that nothing is lost and turning shows."""
    path = tmp_path_factory.mktemp("photo") / "car <i>.png"
    with Image.open(sorted((drawn_set / "photos").iterdir())[3]) as image:
        image.resize((120, 80)).save(path)
    return path


def heads(result: Result) -> Any:
    return result.fields["heads"]


def test_importing_the_package_takes_nothing_heavy() -> None:
    code = "import carclf, sys; print(*{'tensorflow', 'numpy', 'PIL', 'openvino'} & set(sys.modules)); carclf.load"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_it_answers_as_the_command_line_does(
    model: Model,
    drawn_run: Path,
    photo: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--config", str(drawn_run / "config.json"), str(photo), "--masks", str(tmp_path / "masks")]) == 0
    printed = json.loads(capsys.readouterr().out)
    monkeypatch.chdir(photo.parent)
    result = model(str(photo))
    assert result.fields == printed
    assert model(photo.name).fields == printed | {"photo": photo.name}
    np.testing.assert_array_equal(result.mask(), read_mask(tmp_path / "masks" / HEAD / f"{photo.stem}.png"))
    severity, kind, mask = (result[name] for name in ("severity", "damage_type", HEAD))
    assert severity.label == printed["heads"]["severity"]["label"]
    assert kind.labels == printed["heads"]["damage_type"]["labels"]
    assert mask.damaged_percent == printed["heads"][HEAD]["damaged_percent"]
    assert (mask.percent, mask.regions) == (printed["heads"][HEAD]["percent"], printed["heads"][HEAD]["regions"])
    assert max(severity.probabilities, key=severity.probabilities.__getitem__) == severity.label
    assert (model.name, list(model.heads)) == (MODEL, list(printed["heads"]))


def test_arrays_images_and_bytes_get_the_pixels_of_files(model: Model, photo: Path, tmp_path: Path) -> None:
    expected = model(photo)
    with Image.open(photo) as image:
        pixels = np.asarray(image)
        given: list[Photo] = [pixels, image, photo.read_bytes(), pixels[::1, ::-1][:, ::-1], image.convert("RGBA")]
        for each in given:
            assert heads(model(each)) == heads(expected)
        grey = image.convert("L")
        turned = image.transpose(Image.Transpose.ROTATE_90)
    grey.save(tmp_path / "grey.png")
    assert heads(model(np.asarray(grey))) == heads(model(tmp_path / "grey.png"))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held on its side
    turned.save(tmp_path / "turned.png", exif=exif)
    with Image.open(tmp_path / "turned.png") as lying:
        assert heads(model(lying)) == heads(expected)
        assert model(lying, name="mine").photo == "mine"
        assert model(lying).photo == str(tmp_path / "turned.png")


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "CMYK", "YCbCr", "HSV", "I;16"]
)
def test_pil_images_of_any_kind_are_what_their_files_are(mode: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    if mode == "I;16":
        image = Image.fromarray(rng.integers(0, 65536, (9, 7), dtype=np.uint16))
    else:
        between = {"La": "LA", "RGBa": "RGBA", "PA": "P"}.get(mode)
        image = Image.fromarray(rng.integers(0, 256, (9, 7, 4), dtype=np.uint8))
        image = image.convert("RGB" if mode in ("HSV", "1", "P", "PA") else "RGBA")
        image = (image.convert(between) if between else image).convert(mode)
    file = "photo.tif" if mode in ("CMYK", "YCbCr") else "photo.png"
    kept = {"La": "LA", "RGBa": "RGBA", "PA": "RGBA", "HSV": "RGB"}
    (image.convert(kept[mode]) if mode in kept else image).save(tmp_path / file)
    np.testing.assert_array_equal(make_source(image).read_full(), make_source(tmp_path / file).read_full())


def test_what_shines_through_and_what_was_compressed_stay_as_they_are(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    image = Image.fromarray(rng.integers(0, 256, (40, 30, 3), dtype=np.uint8))
    image.quantize(8).save(tmp_path / "some.gif", transparency=3)
    image.save(tmp_path / "lossy.tif", compression="jpeg")
    for name in ("some.gif", "lossy.tif"):
        with Image.open(tmp_path / name) as opened:
            np.testing.assert_array_equal(make_source(opened).read_full(), make_source(tmp_path / name).read_full())


def test_what_is_no_photo_is_told(model: Model, photo: Path, tmp_path: Path) -> None:
    pixels = np.zeros((8, 9, 3), np.uint8)
    for wrong, message in [
        (pixels / 255, r"array 8 × 9 × 3: holds float64, whose range is unknown\. Give uint8"),
        (pixels.astype(int), r"holds int64\. Give uint8, 0 to 255\."),
        (pixels[None], r"\(height, width\), \(height, width, 3\) or .* one photo at a time"),
        (pixels[:0], "one photo at a time"),
        (3, "a path, bytes, an array or a PIL image was expected, not int"),
        (b"", "photo: is empty"),
        (str(tmp_path / "nowhere.jpg"), "no such file"),
        ("a\0b", "cannot be read"),
        (Image.new("I", (4, 4)), "holds int32, whose range is unknown"),
    ]:
        with pytest.raises(PhotoError, match=message):
            model(wrong)  # type: ignore[arg-type]
    (tmp_path / "cut.png").write_bytes(photo.read_bytes()[:2000])
    with Image.open(tmp_path / "cut.png") as cut, pytest.raises(PhotoError, match="may be cut off"):
        model(cut)


def test_many_photos_stream_and_errors_stand_in_their_place(model: Model, photo: Path) -> None:
    taken: list[int] = []

    def endless() -> Any:
        while True:
            taken.append(len(taken))
            yield photo if len(taken) % 2 else 3.5

    for single in (str(photo), np.zeros((8, 9, 3), np.uint8)):
        with pytest.raises(PhotoError, match="predict takes several photos, not one"):
            next(model.predict(single))
    answers = model.predict(endless())
    first = [next(answers) for _ in range(40)]
    assert [isinstance(each, Result) for each in first] == [True, False] * 20
    assert len(taken) < 200
    with ThreadPoolExecutor(4) as threads:
        assert all(each.fields == model(photo).fields for each in threads.map(model, [photo] * 8))


def test_a_notebook_sees_bars_and_the_mask_and_runs_nothing(model: Model, photo: Path, tmp_path: Path) -> None:
    result = model(photo)
    page = result._repr_html_()
    assert page.count("data:image/") == 2
    assert "<i>" not in page
    assert "car &lt;i&gt;.png" in page
    assert not re.search(r"<script|https?:|url\(| on\w+=", page)
    assert repr(result).startswith(f"<Result of {photo}: severity: ")
    assert "severity (minor, moderate, severe, whole)" in repr(model)
    assert result.overlay().size == (120, 80)
    assert (np.asarray(result.overlay()) != np.asarray(Image.open(photo))).any() == result.mask().any()
    gone = tmp_path / "gone.png"
    shutil.copy(photo, gone)
    result = model(gone)
    gone.write_bytes(b"another")
    with pytest.raises(PhotoError, match=r"was changed since it was answered\. Ask again"):
        result.overlay()
    assert "data:image/" not in result._repr_html_()
    in_memory = io.BytesIO()
    Image.open(photo).save(in_memory, "PNG")
    assert model(in_memory.getvalue()).overlay().size == (120, 80)


def test_wrong_heads_are_told(model: Model, photo: Path) -> None:
    result = model(photo)
    with pytest.raises(CarclfError, match=r'"severety" is none of .*Did you mean "severity"\?'):
        result["severety"]
    with pytest.raises(CarclfError, match=r"a head of the kind multi_label has no label\. It has labels, "):
        _ = result["damage_type"].label
    with pytest.raises(CarclfError, match='"severity" is none of damage_mask'):
        result.mask("severity")


def test_a_run_is_found_from_anywhere_and_what_is_none_is_told(
    drawn_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(drawn_run / "results")
    assert carclf.load(MODEL).name == MODEL
    for views in (0, 7):
        with pytest.raises(ConfigError, match=f"views {views}: a photo has 1 to 6 views"):
            carclf.load(MODEL, views=views)
    with pytest.raises(RunDirError, match=rf'smal: no such folder\. Did you mean "{MODEL}"\? Trained there: {MODEL}\.'):
        carclf.load("smal")
    with pytest.raises(RunDirError, match=r"results: is a folder of trained models\. Name one of them: .*small"):
        carclf.load(".")
    with pytest.raises(RunDirError, match=r"cache: holds no trained model: config\.json is missing\. Train first"):
        carclf.load("cache")
    with pytest.raises(RunDirError, match=r"is the folder of no model of the config\. Trained models lie in .*small"):
        carclf.load(drawn_run)


def test_a_moved_project_is_mended_by_its_config(drawn_run: Path, tmp_path: Path) -> None:
    shutil.copytree(drawn_run / "results" / MODEL, tmp_path / "moved" / MODEL)
    shutil.copytree(drawn_run / "results" / "cache", tmp_path / "moved" / "cache")
    kept = tmp_path / "moved" / MODEL / "config.json"
    config = kept.read_text()
    for part, kind in (("local", BackboneError), ("labels", LabelError)):
        kept.write_text(re.sub(rf'("{part}": "/)', r"\1not/there/any/more/", config))
        with pytest.raises(kind, match=r'was moved since the training, give its config: load\(".*small", config='):
            carclf.load(tmp_path / "moved" / MODEL)
    mended = carclf.load(tmp_path / "moved" / MODEL, config=drawn_run / "config.json")
    assert mended.sha256 == carclf.load(drawn_run / "results" / MODEL).sha256
