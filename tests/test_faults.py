"""Kills, full and read-only disks, broken photos, wrong inputs: one clear error each, and nothing lost."""

import contextlib
import json
import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from carclf.cli import main
from tests.drawn_set import MODEL, call_main, write_config
from tests.killing import differences, kill_at_random

MOST_WRITES, LONGEST = 18, 1.5  # a kill comes after up to so many written files, up to so many seconds later


def test_a_run_killed_at_random_moments_ends_as_if_it_had_been_left_alone(
    drawn_run: Path, drawn_set: Path, tmp_path: Path
) -> None:
    config = write_config(tmp_path, drawn_set, workers=2)  # the run that was left alone had 1
    # the converted network is given, as converting is most of so small a run; benchmarks/kill_test.py kills that, too
    cache = next((drawn_run / "results" / "cache").glob("network-*"))
    shutil.copytree(cache, tmp_path / "results" / "cache" / cache.name)
    moments = random.Random()
    kills = [kill_at_random(config, MOST_WRITES, LONGEST, moments) for _ in range(2)]
    done = call_main("--config", config)
    assert done.returncode == 0, (kills, done.stderr)
    assert "dice_damaged" in done.stdout
    assert "\r" not in done.stderr  # no progress bar where nobody looks
    assert differences(tmp_path / "results" / MODEL, drawn_run / "results" / MODEL) == [], kills
    assert differences(tmp_path / "images", drawn_run / "images") == [], kills


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, which a test may fill or protect."""
    disk = tmp_path / "disk"
    disk.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=120m", "tmpfs", str(disk)]
    if os.geteuid() or shutil.which("mount") is None or subprocess.run(words, capture_output=True).returncode:
        pytest.skip("a disk of its own needs the right to mount")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill(disk: Path) -> None:
    with (disk / "filler").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
        while True:
            filler.write(bytes(4096))


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}


def test_a_full_and_a_read_only_disk_are_one_error_and_nothing_is_lost(
    drawn_run: Path, drawn_set: Path, small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(drawn_run / "results", small_disk / "results")
    config = small_disk.parent / "config.json"
    given = json.loads((drawn_run / "config.json").read_text()) | {"results": "disk/results"}
    config.write_text(json.dumps(given | {"training": {**given["training"], "l2": [0.02]}}))
    before = bytes_of(small_disk / "results" / MODEL)
    fill(small_disk)
    assert_one_error(main(["--config", str(config), "--quiet"]), capsys, "No space left on device")
    assert bytes_of(small_disk / "results" / MODEL) == before
    (small_disk / "filler").unlink()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert_one_error(main(["--config", str(config), "--quiet"]), capsys, "Read-only file system")
    assert bytes_of(small_disk / "results" / MODEL) == before
    config.write_text(json.dumps(given))
    photo = str(next((drawn_set / "photos").iterdir()))
    assert main(["--config", str(config), photo]) == 0  # classifying writes nothing
    assert json.loads(capsys.readouterr().out)["photo"] == photo


def assert_one_error(code: int, capsys: pytest.CaptureFixture[str], message: str) -> None:
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    lines = [line for line in err.splitlines() if message in line]
    assert len(lines) == 1, err
    assert "Traceback" not in err


# -- broken photos


@pytest.fixture
def classified(drawn_set: Path, drawn_run: Path, tmp_path: Path) -> dict[str, Any]:
    """A config without masks, with photos of its own, and the features of the drawn run: runs in a second."""
    shutil.copytree(drawn_set, tmp_path / "set")
    shutil.copytree(drawn_run / "results" / "cache", tmp_path / "results" / "cache")
    config = json.loads(write_config(tmp_path, tmp_path / "set").read_text())
    del config["heads"]["damage_mask"], config["dataset"]["annotations"]
    return dict(config)


def run_with(config: dict[str, Any], folder: Path) -> int:
    (folder / "config.json").write_text(json.dumps(config))
    return main(["--config", str(folder / "config.json")])


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    if "classified" in request.fixturenames:
        monkeypatch.setattr("carclf.app._draw", lambda *_: None)


def test_photos_that_cannot_be_read_are_named_left_out_and_counted(
    classified: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = sorted((tmp_path / "set" / "photos").iterdir())
    photos[3].write_bytes(photos[3].read_bytes()[:700])
    photos[5].write_bytes(b"")
    assert run_with(classified, tmp_path) == 0
    err = capsys.readouterr().err
    assert f"left out: {photos[3]}: cannot be decoded, it may be cut off" in err
    assert f"left out: {photos[5]}: is empty (0 bytes)." in err
    run = tmp_path / "results" / MODEL
    tree = json.loads((run / "results.json").read_text())
    assert tree["photos"] == 46
    assert {skipped["name"] for skipped in tree["skipped"]} == {photos[3].name, photos[5].name}
    assert "skipped    2 photos, used for nothing:" in (run / "results.txt").read_text()


def test_a_photo_that_cannot_be_read_stops_the_run_if_that_is_wanted(
    classified: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = min((tmp_path / "set" / "photos").iterdir())
    photo.write_bytes(b"no photo at all")
    classified["dataset"]["on_bad_photo"] = "stop"
    assert run_with(classified, tmp_path) == 2
    err = capsys.readouterr().err
    assert f"{photo}: is not a photo that can be read" in err.splitlines()[-1]
    assert "Traceback" not in err


# -- wrong inputs


def test_a_wrong_config_is_told_at_once(
    classified: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    classified["training"] = {"bacth_size": 3}
    classified["heads"]["severity"]["kind"] = "categoric"
    classified["models"] = ["smal"]
    classified["dataset"]["labels"] = "nowhere.csv"
    assert run_with(classified, tmp_path) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4
    assert all(line.startswith("config.json: ") for line in lines)
    for part in ("dataset.labels", 'Did you mean "small"?', "categorical", 'Did you mean "batch_size"?'):
        assert any(part in line for line in lines), part


def test_a_wrong_path_is_told_before_a_backbone_is_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def download(*_: object) -> None:
        raise AssertionError("a backbone was looked for")

    monkeypatch.setattr("carclf.app.find_source", download)
    assert main(["--config", str(write_config(tmp_path, tmp_path / "nowhere"))]) == 2
    assert "dataset.photos: " in capsys.readouterr().err


def test_wrong_labels_label_files_masks_and_backbones_are_told_at_once(
    drawn_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(drawn_set, tmp_path / "set")
    folder = tmp_path / "set"
    table = (folder / "labels.csv").read_text()
    (folder / "labels.csv").write_text(table.replace(",moderate,", ",modrate,").replace("00047.jpg", "00470.jpg"))
    (folder / "labels" / "damage_type.txt").write_text("dent\ndent\n")
    config = write_config(tmp_path, folder, backbones={MODEL: {"local": "no/model", "image_size": 64}})
    assert main(["--config", str(config)]) == 2
    err = capsys.readouterr().err
    lines = err.splitlines()
    assert "Traceback" not in err
    for part in (
        "backbone small: not found: ",
        'Did you mean "moderate"?',
        "damage_type.txt, line 2",
        "00470.jpg",
    ):
        assert sum(part in line for line in lines) == 1, (part, err)
    assert not (tmp_path / "results").exists()  # nothing was begun


def test_every_wrong_mask_is_told_before_anything_is_trained(
    drawn_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(drawn_set, tmp_path / "set")
    rows = [line.split(",") for line in (tmp_path / "set" / "labels.csv").read_text().splitlines()[1:]]
    damaged = [Path(row[0]).stem for row in rows if row[1] != "whole"][:2]
    for name in damaged:
        shutil.copy(tmp_path / "set" / "photos" / f"{name}.jpg", tmp_path / "set" / "masks" / f"{name}.png")
    assert main(["--config", str(write_config(tmp_path, tmp_path / "set"))]) == 2
    err = capsys.readouterr().err
    assert [f"{name}.png: colours that are no class's" in err for name in damaged] == [True, True]
    assert len(err.splitlines()) == 2
    assert not (tmp_path / "results").exists()
