"""What predict writes beside its answers: as the options say, and so that it can be read back and imported again."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from carclf.cli import main
from carclf.config import read_config
from carclf.head_data import Array
from carclf.label_file import read_label_file
from carclf.mask_images import mask_colors, read_mask
from carclf.photo_source import PhotoSource
from carclf.predict import Predictor
from carclf.regions_out import RegionWriter
from carclf.rundir import RunDir
from carclf.saying import Answer
from carclf.using import open_predictor
from tests.drawn_annotations import read_ids, run_import
from tests.drawn_regions import region_pixels
from tests.drawn_set import MODEL

HEAD = "damage_mask"
SIZE = (400, 300)
OPTIONS = ("overlays", "masks", "color-masks", "probabilities", "regions")
FOUND = 70  # percent of the pixels whose probability is below the threshold: the rest is called damaged


@pytest.fixture(scope="module", autouse=True)
def heads_one_by_one() -> Iterator[None]:
    """Merging networks takes seconds; merged ones say the same to rounding (test_merged.py)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("carclf.using.with_runs", lambda predictor, cache: predictor)
        yield


@pytest.fixture(scope="module")
def photos(drawn_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of photos, one of them in a folder of its own."""
    folder = tmp_path_factory.mktemp("photos")
    for index, path in enumerate(sorted((drawn_set / "photos").iterdir())[:5]):
        to = folder / ("left" if index == 4 else "") / f"{path.stem}.png"
        to.parent.mkdir(exist_ok=True)
        with Image.open(path) as image:
            image.resize(SIZE).save(to)
    return folder


def configure(folder: Path, drawn_run: Path, least: float) -> Path:
    """Writes the drawn run's config for results that lie here, with another `min_probability`."""
    data = json.loads((drawn_run / "config.json").read_text())
    data["heads"][HEAD]["regions"] = {"min_probability": least}
    path = folder / f"config-{least}.json"
    path.write_text(json.dumps(data))
    return path


@pytest.fixture(scope="module")
def folder(drawn_run: Path, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The drawn run, hardly trained as it is, with thresholds at which its masks have shapes."""
    folder = tmp_path_factory.mktemp("outputs")
    shutil.copytree(drawn_run / "results", folder / "results")
    config = configure(folder, drawn_run, 0.0)
    answers = answered(open_predictor(read_config(config)), photos)
    threshold = np.percentile(np.stack([answer.probabilities[HEAD] for answer in answers]), FOUND)
    run = RunDir(folder / "results" / MODEL)
    for fold in (0, 1):
        file = f"{HEAD}/fold{fold}.npz"
        run.write_arrays(file, run.read_arrays(file) | {"thresholds": np.array([threshold])})
    return folder


@pytest.fixture(scope="module")
def predictor(folder: Path, drawn_run: Path) -> Predictor:
    return open_predictor(read_config(configure(folder, drawn_run, 0.0)))


@pytest.fixture(scope="module")
def answers(predictor: Predictor, photos: Path) -> dict[str, Answer]:
    """Photo, by its place in the folder -> what is said of it."""
    return {answer.path.relative_to(photos).as_posix(): answer for answer in answered(predictor, photos)}


@pytest.fixture(scope="module")
def written(
    folder: Path, drawn_run: Path, photos: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[dict[str, Any]]]:
    """Folder of what is written with all options at once, a folder each, and what is printed."""
    out = tmp_path_factory.mktemp("written")
    words = ["predict", "--config", configure(folder, drawn_run, 0.0), photos]
    words += [word for option in OPTIONS for word in (f"--{option}", out / option)]
    printed = tmp_path_factory.mktemp("printed") / "answers.jsonl"
    with pytest.MonkeyPatch.context() as patch, printed.open("w") as stream:
        patch.setattr("sys.stdout", stream)
        assert main([*map(str, words)]) == 0
    return out, [json.loads(line) for line in printed.read_text().splitlines()]


def answered(predictor: Predictor, photos: Path) -> list[Answer]:
    given = list(predictor.predict(sorted(photos.rglob("*.png"))))
    assert all(isinstance(answer, Answer) for answer in given)
    return [answer for answer in given if isinstance(answer, Answer)]


def union(answer: Answer) -> Array:
    """The pixels of all regions of a photo: bool (height, width)."""
    regions = [region_pixels(region, SIZE) for region in answer.regions[HEAD]]
    return np.any(regions, axis=0) if regions else np.zeros(SIZE[::-1], bool)


def test_the_masks_have_something_to_tell(answers: dict[str, Answer]) -> None:
    """Or the other tests would compare empty pictures."""
    shares = [float((answer.masks[HEAD] == 1).mean()) for answer in answers.values()]
    assert all(0.02 < share < 0.98 for share in shares)
    assert max(len(answer.regions[HEAD]) for answer in answers.values()) > 1


def test_each_option_writes_its_files_for_every_photo(
    written: tuple[Path, list[dict[str, Any]]], answers: dict[str, Answer]
) -> None:
    out, printed = written
    stems = sorted(Path(name).stem for name in answers)
    files = {
        option: sorted(str(path.relative_to(out / option)) for path in (out / option).rglob("*") if path.is_file())
        for option in OPTIONS
    }
    assert files["overlays"] == [f"{stem}_{HEAD}.png" for stem in stems]
    assert files["masks"] == [f"{HEAD}/{stem}.png" for stem in stems]
    assert files["color-masks"] == [*files["masks"], f"{HEAD}/class_dict.csv"]
    assert files["probabilities"] == [f"{stem}_{HEAD}_damage.png" for stem in stems]
    assert files["regions"] == [f"{HEAD}.json"]
    assert sorted(line["photo"] for line in printed) == sorted(str(answer.path) for answer in answers.values())
    for path in (path for option in OPTIONS for path in (out / option).rglob("*.png")):
        with Image.open(path) as image:
            assert image.size == SIZE


def test_indexed_and_colour_masks_are_read_back(
    written: tuple[Path, list[dict[str, Any]]], answers: dict[str, Answer], drawn_set: Path
) -> None:
    out, _ = written
    color = mask_colors(read_label_file(drawn_set / "labels" / f"{HEAD}.txt"))[1]
    assert (out / "color-masks" / HEAD / "class_dict.csv").read_text().splitlines() == [
        "name,r,g,b",
        f"damage,{','.join(map(str, color))}",
    ]
    for name, answer in answers.items():
        file = f"{HEAD}/{Path(name).stem}.png"
        np.testing.assert_array_equal(read_mask(out / "masks" / file), answer.masks[HEAD])
        with Image.open(out / "masks" / file) as image:
            shown = np.array(image.convert("RGB"))
        with Image.open(out / "color-masks" / file) as image:
            assert image.mode == "RGB"
            colored = np.array(image)
        np.testing.assert_array_equal(colored, shown)
        np.testing.assert_array_equal((colored == color).all(axis=-1), answer.masks[HEAD] == 1)
        assert (colored[answer.masks[HEAD] == 0] == 0).all()


def test_probabilities_decide_what_the_mask_shows(
    written: tuple[Path, list[dict[str, Any]]], answers: dict[str, Answer], predictor: Predictor
) -> None:
    (threshold,) = predictor.mask_heads[HEAD].thresholds
    for name, answer in answers.items():
        with Image.open(written[0] / "probabilities" / f"{Path(name).stem}_{HEAD}_damage.png") as image:
            grey = np.array(image).astype(float)
        mask = answer.masks[HEAD] == 1
        assert (grey[mask] >= 255 * threshold - 1).all()  # rounded to whole steps
        assert (grey[~mask] <= 255 * threshold + 1).all()


def test_an_overlay_shows_the_photo_where_nothing_was_found(
    written: tuple[Path, list[dict[str, Any]]], answers: dict[str, Answer], photos: Path
) -> None:
    for name, answer in answers.items():
        with (
            Image.open(written[0] / "overlays" / f"{Path(name).stem}_{HEAD}.png") as overlay,
            Image.open(photos / name) as photo,
        ):
            differs = (np.array(overlay.convert("RGB")) != np.array(photo.convert("RGB"))).any(axis=-1)
        found = np.pad(answer.masks[HEAD] > 0, 3)
        near = np.any([np.roll(found, (y, x), (0, 1)) for y in range(-3, 4) for x in range(-3, 4)], axis=0)[3:-3, 3:-3]
        assert not differs[~near].any()  # the outline may lie around the mask
        assert differs[answer.masks[HEAD] > 0].mean() > 0.5


def test_colour_masks_are_imported_as_they_were(
    written: tuple[Path, list[dict[str, Any]]], answers: dict[str, Answer], photos: Path, tmp_path: Path
) -> None:
    source = written[0] / "color-masks" / HEAD
    words = ("--format", "masks", source, "--photos", photos, "--head", HEAD, "--to", tmp_path / "set")
    assert run_import(*words) == 0
    for name, answer in answers.items():
        ids = read_ids(tmp_path / "set", HEAD, Path(name).name)
        np.testing.assert_array_equal(ids == 1, answer.masks[HEAD] == 1)


def test_regions_come_back_as_masks_through_the_import(
    written: tuple[Path, list[dict[str, Any]]], answers: dict[str, Answer], photos: Path, tmp_path: Path
) -> None:
    source = written[0] / "regions" / f"{HEAD}.json"
    tree = json.loads(source.read_text())
    assert [image["file_name"] for image in tree["images"]] == list(answers)
    assert len(tree["annotations"]) == sum(len(answer.regions[HEAD]) for answer in answers.values())
    assert run_import("--format", "coco", source, "--photos", photos, "--to", tmp_path / "set") == 0
    for name, answer in answers.items():
        expected, ids = union(answer), read_ids(tmp_path / "set", HEAD, name) == 1
        assert (expected & ids).sum() / (expected | ids).sum() >= 0.97, name
    assert "left/" in " ".join(answers)  # the folder is part of the name


def test_what_is_printed_of_regions_is_what_is_written(
    written: tuple[Path, list[dict[str, Any]]], answers: dict[str, Answer], photos: Path
) -> None:
    tree = json.loads((written[0] / "regions" / f"{HEAD}.json").read_text())
    ids = {image["file_name"]: image["id"] for image in tree["images"]}
    for line in written[1]:
        name = Path(line["photo"]).relative_to(photos).as_posix()
        told = line["heads"][HEAD]["regions"]
        drawn = [note for note in tree["annotations"] if note["image_id"] == ids[name]]
        assert [region["polygon"] for region in told] == [note["segmentation"] for note in drawn]
        assert [region["area"] for region in told] == [region.area for region in answers[name].regions[HEAD]]
        probabilities = [region["probability"] for region in told]
        assert probabilities == sorted(probabilities, reverse=True)
        np.testing.assert_allclose([note["score"] for note in drawn], probabilities, atol=1e-4)


def test_regions_below_min_probability_are_counted_and_not_written(
    folder: Path,
    drawn_run: Path,
    photos: Path,
    answers: dict[str, Answer],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    sure = sorted(region.probability for answer in answers.values() for region in answer.regions[HEAD])
    least = float(np.round((sure[0] + sure[-1]) / 2, 6))
    config = configure(folder, drawn_run, least)
    assert main(["predict", "--config", str(config), str(photos), "--regions", str(tmp_path / "regions")]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    kept = [len(line["heads"][HEAD]["regions"]) for line in lines]
    left_out = [line["heads"][HEAD]["regions_left_out"] for line in lines]
    by_path = {str(answer.path): answer for answer in answers.values()}
    expected = [[region.probability >= least for region in by_path[line["photo"]].regions[HEAD]] for line in lines]
    assert kept == [sum(each) for each in expected]
    assert left_out == [len(each) - sum(each) for each in expected]
    assert sum(kept) > 0
    assert sum(left_out) > 0
    tree = json.loads((tmp_path / "regions" / f"{HEAD}.json").read_text())
    assert (len(tree["images"]), len(tree["annotations"])) == (5, sum(kept))


def test_photos_of_one_name_keep_their_regions_apart(
    answers: dict[str, Answer], predictor: Predictor, tmp_path: Path
) -> None:
    answer = next(iter(answers.values()))
    paths = [Path("a/car.jpg"), Path("b/car.jpg"), Path("c/b/car.jpg"), Path("in/deep/car.jpg"), Path("a/car.jpg")]
    label_sets = {HEAD: predictor.mask_heads[HEAD].label_set}
    writer = RegionWriter(tmp_path, label_sets, [*paths[:3], Path("in")])
    for path in paths:
        writer.write(Answer(PhotoSource(path), {}, answer.masks, {}, answer.regions))
    writer.finish()
    names = [image["file_name"] for image in json.loads((tmp_path / f"{HEAD}.json").read_text())["images"]]
    assert names == ["car.jpg", "b/car.jpg", Path("c/b/car.jpg").absolute().as_posix(), "deep/car.jpg"]


# -- what is refused, before a model is loaded


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    assert main(["predict", *map(str, words)]) == 2
    return capsys.readouterr().err


def test_two_kinds_of_output_need_two_folders(
    folder: Path, drawn_run: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = configure(folder, drawn_run, 0.0)
    same = tmp_path / "x" / ".." / "out"
    err = refused(capsys, "--config", config, photos, "--masks", tmp_path / "out", "--color-masks", same)
    assert err == f"--masks and --color-masks: both write into {same}. Give each a folder of its own.\n"
    err = refused(capsys, "--config", config, photos, "--overlays", "out", "--regions", "out")
    assert err == "--overlays and --regions: both write into out. Give each a folder of its own.\n"


def test_a_config_without_segmentation_heads_has_no_masks_to_write(
    drawn_run: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = json.loads((drawn_run / "config.json").read_text())
    del data["heads"][HEAD]
    del data["dataset"]["annotations"]
    (tmp_path / "c.json").write_text(json.dumps(data))
    err = refused(capsys, "--config", tmp_path / "c.json", photos, "--color-masks", tmp_path, "--regions", tmp_path)
    assert err == "--color-masks, --regions: the config has no segmentation head, so there are no masks to write.\n"
