"""Classifying is what was scored: the same pixels, features and heads, whatever way a photo comes in."""

import json
import shutil
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from carclf import predict
from carclf.asking import list_photos
from carclf.backbone import Backbone
from carclf.cli import main
from carclf.config import read_config
from carclf.dataset import make_dataset
from carclf.errors import ConfigError, PhotoError, RunDirError
from carclf.mask_outputs import OVERLAYS, MaskWriter
from carclf.photo_source import PhotoSource
from carclf.predict import Predictor
from carclf.saying import Answer
from carclf.sight import SightRequest, look_at
from carclf.terminal import print_answers
from carclf.using import open_predictor
from tests.drawn_set import MODEL


@pytest.fixture(scope="module")
def photos(drawn_set: Path) -> list[Path]:
    return sorted((drawn_set / "photos").iterdir())[:18]


def answers(predictor: Predictor, paths: list[Path]) -> list[Answer]:
    given = list(predictor.predict(paths))
    assert all(isinstance(answer, Answer) for answer in given)
    return [answer for answer in given if isinstance(answer, Answer)]


def probabilities(answer: Answer) -> Any:
    heads = answer.fields["heads"].values()
    return np.concatenate([list(head["probabilities"].values()) for head in heads if "probabilities" in head])


def test_a_photo_from_disk_gets_what_evaluation_saw(
    predictor: Predictor, photos: list[Path], drawn_run: Path, drawn_set: Path, tmp_path: Path
) -> None:
    config = read_config(drawn_run / "config.json")
    dataset = make_dataset(drawn_set / "photos", drawn_set / "labels.csv", {"severity": config.heads["severity"]})
    request = SightRequest(2, (), (), 1, 1, "stop")
    assert isinstance(predictor.backbone, Backbone)
    sight = look_at(predictor.backbone, dataset, request, drawn_run / "results" / "cache")  # the cache
    cached = {name: head.probabilities(sight.vectors) for name, head in predictor.heads.items()}
    rows = {photo.name: row for row, photo in enumerate(dataset.photos)}
    fresh = look_at(predictor.backbone, dataset, request, tmp_path)
    np.testing.assert_allclose(fresh.vectors, sight.vectors, rtol=0, atol=1e-5)
    for photo, answer in zip(photos, answers(predictor, photos), strict=True):
        expected = np.concatenate([each[rows[photo.name]] for each in cached.values()])
        np.testing.assert_allclose(probabilities(answer), expected, rtol=0, atol=1e-5)


def test_one_photo_or_a_batch_and_any_number_of_workers_make_no_difference(
    predictor: Predictor, photos: list[Path], drawn_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = answers(predictor, photos)
    alone = [answers(predictor, [photo])[0] for photo in photos[:3]]
    monkeypatch.setattr(predict, "BATCH", 5)
    in_fives = answers(Predictor(**{**predictor.__dict__, "workers": 3}), photos)
    for one, other in [*zip(alone, together[:3], strict=True), *zip(in_fives, together, strict=True)]:
        assert one.path == other.path
        np.testing.assert_allclose(probabilities(one), probabilities(other), rtol=0, atol=1e-5)
        share = [answer.fields["heads"]["damage_mask"]["damaged_percent"] for answer in (one, other)]
        assert share[0] == pytest.approx(share[1], abs=0.05)


def test_the_answer_is_that_of_design(predictor: Predictor, photos: list[Path], drawn_run: Path) -> None:
    fields = answers(predictor, photos[:1])[0].fields
    assert list(fields) == ["photo", "photo_sha256", "model", "model_sha256", "heads"]
    assert (fields["photo"], fields["model"]) == (str(photos[0]), MODEL)
    assert [len(fields[key]) for key in ("photo_sha256", "model_sha256")] == [64, 64]
    severity, kind, mask = (fields["heads"][name] for name in ("severity", "damage_type", "damage_mask"))
    assert list(severity) == ["kind", "label", "confidence", "probabilities"]
    assert severity["label"] == max(severity["probabilities"], key=severity["probabilities"].get)
    assert severity["confidence"] == severity["probabilities"][severity["label"]]
    assert sum(severity["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert list(kind) == ["kind", "labels", "confidence", "probabilities"]
    assert set(kind["labels"]) <= set(kind["probabilities"])
    assert list(mask) == ["kind", "damaged_percent", "confidence", "percent", "regions", "regions_left_out"]
    assert list(mask["percent"]) == ["damage"]
    again = open_predictor(read_config(drawn_run / "config.json"), MODEL)
    assert again.model_sha256 == predictor.model_sha256


def test_a_corrupt_photo_in_the_middle_is_told_and_the_rest_is_answered(
    drawn_run: Path, photos: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(photos[1].read_bytes()[:600])
    empty = tmp_path / "empty"
    empty.mkdir()
    words = [photos[0], broken, tmp_path / "ü nowhere.jpg", empty, photos[2], "/dev/null"]
    assert main(["--config", str(drawn_run / "config.json"), *map(str, words)]) == 2
    out, err = capsys.readouterr()
    assert [json.loads(line)["photo"] for line in out.splitlines()] == [str(photos[0]), str(photos[2])]
    assert [line.split(": ")[0] for line in err.splitlines()] == [str(words[place]) for place in (1, 2, 3, 5)]


def test_a_mask_has_the_size_of_the_upright_photo(predictor: Predictor, photos: list[Path], tmp_path: Path) -> None:
    with Image.open(photos[0]) as image:
        photo = image.resize((90, 60))
    turned = photo.transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held on its side: turn by 90° to the right
    photo.save(tmp_path / "upright.png")
    turned.save(tmp_path / "turned.png", exif=exif)
    upright, righted = answers(predictor, [tmp_path / "upright.png", tmp_path / "turned.png"])
    assert upright.masks["damage_mask"].shape == (60, 90)
    np.testing.assert_array_equal(righted.masks["damage_mask"], upright.masks["damage_mask"])
    np.testing.assert_allclose(probabilities(righted), probabilities(upright), atol=1e-5)


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "CMYK", "P", "1", "I;16"])
def test_photos_of_any_kind_and_size_are_answered(predictor: Predictor, mode: str, tmp_path: Path) -> None:
    grey = np.linspace(0, 255, 7 * 300, dtype=np.uint8).reshape(7, 300)
    image = Image.fromarray(grey.astype(np.uint16) * 257) if mode == "I;16" else Image.fromarray(grey).convert(mode)
    path = tmp_path / ("photo.tif" if mode == "CMYK" else "photo.png")
    image.save(path)
    assert answers(predictor, [path])[0].masks["damage_mask"].shape == (7, 300)


def test_a_very_large_photo_is_answered_and_an_absurd_one_refused(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", 1000)
    Image.new("RGB", (4000, 3000), "red").save(tmp_path / "large.jpg")
    assert answers(predictor, [tmp_path / "large.jpg"])[0].masks["damage_mask"].shape == (3000, 4000)
    monkeypatch.setattr("carclf.images.MOST_PIXELS", 11_000_000)
    refused = next(predictor.predict([tmp_path / "large.jpg"]))
    assert isinstance(refused, PhotoError)
    assert "has 4000 × 3000 pixels, more than 11 million" in str(refused)


def test_overlays_of_photos_of_one_name_are_distinct(predictor: Predictor, photos: list[Path], tmp_path: Path) -> None:
    paths = [tmp_path / "a" / "car.jpg", tmp_path / "b" / "car.jpg", tmp_path / "b" / "CAR.jpeg"]
    for path, photo in zip(paths, photos, strict=False):
        path.parent.mkdir(exist_ok=True)
        shutil.copy(photo, path)
    label_sets = {name: head.label_set for name, head in predictor.mask_heads.items()}
    overlays = MaskWriter(tmp_path / "overlays", OVERLAYS, label_sets)
    for answer in answers(predictor, [*paths, paths[0]]):
        overlays.write(answer)
    written = {path.name for path in (tmp_path / "overlays").iterdir()}
    assert written == {"car_damage_mask.png", "car-2_damage_mask.png", "CAR-3_damage_mask.png"}
    with Image.open(tmp_path / "overlays" / "car_damage_mask.png") as overlay, Image.open(paths[0]) as original:
        assert overlay.size == original.size


def test_folders_are_searched_and_every_photo_keeps_its_path(photos: list[Path], tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    for name in ("b.jpg", "deep/a.PNG", ".hidden.jpg", "notes.txt"):
        shutil.copy(photos[0], tmp_path / name)
    assert list(list_photos([tmp_path, photos[1]])) == list(
        map(PhotoSource, [tmp_path / "b.jpg", tmp_path / "deep" / "a.PNG", photos[1]])
    )
    (problem,) = list_photos([Path("a\0b")])
    assert isinstance(problem, PhotoError)


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_table(
    predictor: Predictor, photos: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    screen = Terminal()
    monkeypatch.setattr("sys.stdout", screen)
    assert print_answers(predictor.predict(photos[:1])) == 0
    lines = screen.getvalue().splitlines()
    assert lines[0] == str(photos[0])
    assert [line.split()[0] for line in lines[1:]] == ["severity", "damage_type", "damage_mask"]
    assert "% of the photo" in lines[3]


def test_the_prompt_goes_on_whatever_is_typed(
    drawn_run: Path, photos: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = [str(photos[0]), "nowhere.jpg", "a\0b", "~nobody-here/x", "x" * 5000, f"'{photos[1]}'", "", "not read"]
    monkeypatch.setattr("sys.stdin", StringIO("\n".join(typed)))
    assert main(["predict", "--prompt", "--config", str(drawn_run / "config.json")]) == 0
    out, err = capsys.readouterr()
    assert [json.loads(line)["photo"] for line in out.splitlines()] == [str(photo) for photo in photos[:2]]
    assert err.count("Image filepath: ") == 7
    assert "nowhere.jpg: no such file or folder." in err
    assert "Traceback" not in err


def test_the_prompt_answers_before_it_asks_again(
    predictor: Predictor, photos: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from carclf.terminal import answer_prompts

    asked = iter([str(photos[0]), str(photos[1])])
    answered = []

    def type_path() -> str:
        answered.append(capsys.readouterr().out.count("\n"))
        if (path := next(asked, None)) is None:
            raise EOFError
        return path

    monkeypatch.setattr("builtins.input", type_path)
    assert answer_prompts(predictor) == 0
    assert answered == [0, 1, 1]


def test_untrained_and_unknown_models_are_refused(drawn_run: Path, photos: list[Path], tmp_path: Path) -> None:
    config = json.loads((drawn_run / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(RunDirError, match=r"is not there\. Train first"):
        open_predictor(read_config(tmp_path / "config.json"))
    with pytest.raises(ConfigError, match=r'"smal" is not one of small\. Did you mean "small"\?'):
        open_predictor(read_config(drawn_run / "config.json"), "smal")
    config["backbones"][MODEL]["image_size"] = 96
    config["results"] = str(drawn_run / "results")
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(RunDirError, match="was trained with image_size 64, the config now gives 96"):
        open_predictor(read_config(tmp_path / "config.json"))
    config["backbones"][MODEL]["image_size"] = 64
    config.setdefault("training", {})["views"] = 1
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(RunDirError, match=r"was trained with training\.views 2, the config now gives 1"):
        open_predictor(read_config(tmp_path / "config.json"))
