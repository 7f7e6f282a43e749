import csv
import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import carclf.demo.write as write_module
from carclf.config import read_config
from carclf.config_data import DatasetConfig
from carclf.demo import KINDS, LOCATIONS, SEVERITIES, DemoPhoto, draw_photo, write_demo
from carclf.demo.bodies import DEMO_BODIES, PRETRAIN_BODIES
from carclf.demo.camera import make_camera
from carclf.demo.damage import GRADES, grade_severity, plan_damages
from carclf.demo.scene import DEMO_PLACES, PRETRAIN_PLACES
from carclf.errors import RunDirError
from carclf.label_table import read_label_table
from carclf.labels import make_targets, read_label_file

SIZE = 96


@pytest.fixture(scope="module")
def photos() -> list[DemoPhoto]:
    return [draw_photo(5, index, SIZE) for index in range(160)]


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_photo_has_the_promised_shapes_and_values(photos: list[DemoPhoto]) -> None:
    for photo in photos:
        assert photo.image.shape == (SIZE, SIZE, 3)
        assert photo.mask.shape == (SIZE, SIZE)
        assert photo.image.dtype == photo.mask.dtype == np.uint8
        assert set(np.unique(photo.mask)) <= {0, 1}
        assert photo.image.std() > 10  # neither black nor washed out


def test_labels_agree_with_each_other_and_with_the_mask(photos: list[DemoPhoto]) -> None:
    for photo in photos:
        whole = photo.severity == "whole"
        assert whole == (photo.location == ()) == (photo.damagetype == ())
        assert set(photo.location) <= set(LOCATIONS)
        assert set(photo.damagetype) <= set(KINDS)
        if whole:
            assert not photo.mask.any()


def test_almost_every_damaged_photo_shows_its_mask(photos: list[DemoPhoto]) -> None:
    shown = [photo.mask.any() for photo in photos if photo.severity != "whole"]
    assert np.mean(shown) > 0.95


def test_every_class_is_common_enough_to_be_learned(photos: list[DemoPhoto]) -> None:
    severities = Counter(photo.severity for photo in photos)
    assert min(severities[name] for name in SEVERITIES) >= 0.12 * len(photos)
    assert max(severities.values()) <= 0.5 * len(photos)
    for names, column in ((LOCATIONS, "location"), (KINDS, "damagetype")):
        counts = Counter(name for photo in photos for name in getattr(photo, column))
        assert min(counts[name] for name in names) >= 0.08 * len(photos), counts


def test_worse_damage_covers_more_of_the_photo(photos: list[DemoPhoto]) -> None:
    area = {name: np.mean([p.mask.mean() for p in photos if p.severity == name]) for name in SEVERITIES}
    assert area["whole"] == 0 < area["minor"] < area["moderate"] < area["severe"]


def test_mean_color_does_not_tell_the_severity(photos: list[DemoPhoto]) -> None:
    # a set that one number solves would be no test of anything
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold, cross_val_score

    colors = np.array([photo.image.mean((0, 1)) / 255 for photo in photos])
    severity = np.array([photo.severity for photo in photos])
    groups = np.array([photo.group for photo in photos])
    scores = cross_val_score(LogisticRegression(), colors, severity, groups=groups, cv=GroupKFold(4))
    assert scores.mean() < 0.5


def test_some_cars_are_photographed_more_than_once_and_keep_body_and_place(photos: list[DemoPhoto]) -> None:
    by_car: dict[str, list[DemoPhoto]] = {}
    for photo in photos:
        by_car.setdefault(photo.group, []).append(photo)
    sizes = [len(shots) for shots in by_car.values()]
    assert max(sizes) > 1
    assert np.mean([size == 1 for size in sizes]) > 0.4
    for shots in by_car.values():
        assert len({(shot.body, shot.place) for shot in shots}) == 1
        assert len({shot.image.tobytes() for shot in shots}) == len(shots)


def test_a_photo_drawn_alone_has_the_same_bytes(photos: list[DemoPhoto]) -> None:
    for index in (97, 3):
        again = draw_photo(5, index, SIZE)
        assert again.image.tobytes() == photos[index].image.tobytes()
        assert again.mask.tobytes() == photos[index].mask.tobytes()
    assert draw_photo(6, 3, SIZE).image.tobytes() != photos[3].image.tobytes()


@pytest.mark.parametrize("size", [32, 61, 300])
def test_any_size_can_be_drawn(size: int) -> None:
    photo = draw_photo(1, 2, size)
    assert photo.image.shape == (size, size, 3)
    assert photo.mask.shape == (size, size)


def test_labels_and_mask_hardly_depend_on_the_size() -> None:
    for index in range(12):
        small, large = draw_photo(9, index, 128), draw_photo(9, index, 256)
        assert small.severity == large.severity
        assert abs(float(small.mask.mean()) - float(large.mask.mean())) < 0.02


def test_pretraining_shares_no_body_and_no_place_with_the_demo() -> None:
    assert not {body.name for body in DEMO_BODIES} & {body.name for body in PRETRAIN_BODIES}
    assert not {place.name for place in DEMO_PLACES} & {place.name for place in PRETRAIN_PLACES}
    for style, bodies, places in (
        ("demo", DEMO_BODIES, DEMO_PLACES),
        ("pretrain", PRETRAIN_BODIES, PRETRAIN_PLACES),
    ):
        drawn = [draw_photo(3, index, 32, style) for index in range(40)]  # type: ignore[arg-type]
        assert {photo.body for photo in drawn} <= {body.name for body in bodies}
        assert {photo.place for photo in drawn} <= {place.name for place in places}


def test_planned_damages_have_the_severity_that_was_asked_for() -> None:
    rng = np.random.default_rng(0)
    for severity in ("minor", "moderate", "severe"):
        low, high = GRADES[severity]
        sums = [sum(d.grade for d in plan_damages(severity, DEMO_BODIES[0], rng)) for _ in range(200)]
        assert np.mean([low <= grade < high for grade in sums]) > 0.97


def test_severity_is_noisy_at_its_borders_only() -> None:
    rng = np.random.default_rng(0)
    assert grade_severity(0.0, rng) == "whole"
    assert {grade_severity(0.5, rng) for _ in range(300)} == {"minor"}
    assert {grade_severity(1.0, rng) for _ in range(300)} == {"minor", "moderate"}
    assert {grade_severity(3.0, rng) for _ in range(300)} == {"severe"}


def test_camera_sees_its_target_in_the_middle_and_cuts_what_is_behind_it() -> None:
    camera = make_camera(np.array([5.0, 0.0, 1.0]), np.array([0.0, 0.0, 1.0]), 0.0, 100)
    np.testing.assert_allclose(camera.project(np.array([0.0, 0.0, 1.0])), [50, 50])
    assert camera.horizon() == pytest.approx(50)
    behind = np.array([(9.0, -1, 0), (9.0, 1, 0), (8.0, 0, 1)])
    assert len(camera.project_polygon(behind)) == 0
    across = np.array([(0.0, -1, 0), (0.0, 1, 0), (8.0, 0, 0)])
    assert len(camera.project_polygon(across)) == 4


def test_written_set_is_read_by_the_projects_own_readers(tmp_path: Path) -> None:
    write_demo(tmp_path / "set", 24, 3, 64)
    config = read_config(tmp_path / "set" / "config.json")
    assert isinstance(config.dataset, DatasetConfig)
    table = read_label_table(config.dataset.labels)
    assert table.groups is not None
    for name in ("severity", "location", "damage_type"):
        head = config.heads[name]
        assert head.kind != "segmentation"
        targets = make_targets(table, head.column, head.kind, read_label_file(head.labels), head.none_label)
        assert targets.min() >= 0  # every photo is labelled
    for index, name in enumerate(table.photos):
        drawn = draw_photo(3, index, 64)
        with Image.open(tmp_path / "set" / "photos" / name) as photo:
            assert photo.size == (64, 64)
        with Image.open(tmp_path / "set" / "masks" / f"{Path(name).stem}.png") as mask:
            assert mask.mode == "P"
            np.testing.assert_array_equal(np.asarray(mask), drawn.mask)


def test_same_bytes_for_any_number_of_workers(tmp_path: Path) -> None:
    write_demo(tmp_path / "one", 20, 1, 48)
    write_demo(tmp_path / "two", 20, 1, 48, workers=2)
    assert _files(tmp_path / "one") == _files(tmp_path / "two")


def test_a_finished_set_is_left_alone_and_another_recipe_replaces_only_its_parts(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    write_demo(folder, 6, 1, 32)
    (folder / "results").mkdir()
    (folder / "results" / "keep.txt").write_text("mine")
    before = os.stat(folder / "photos" / "00000.jpg").st_mtime_ns
    write_demo(folder, 6, 1, 32)
    assert os.stat(folder / "photos" / "00000.jpg").st_mtime_ns == before
    write_demo(folder, 4, 2, 32)
    assert len(list((folder / "photos").iterdir())) == len(list((folder / "masks").iterdir())) == 4
    assert (folder / "results" / "keep.txt").read_text() == "mine"
    with open(folder / "labels.csv", newline="") as file:
        assert len(list(csv.DictReader(file))) == 4
    assert [entry.name for entry in tmp_path.iterdir()] == ["set"]


def test_an_exchange_that_was_cut_off_is_finished_by_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "set"
    write_demo(folder, 5, 1, 32)
    rename, calls = os.replace, []

    def stop_at_third(source: Path, target: Path) -> None:
        calls.append(target)
        if len(calls) == 3:
            raise KeyboardInterrupt
        rename(source, target)

    monkeypatch.setattr(os, "replace", stop_at_third)
    with pytest.raises(KeyboardInterrupt):
        write_demo(folder, 3, 2, 32)
    monkeypatch.undo()
    write_demo(folder, 3, 2, 32)
    write_demo(tmp_path / "fresh", 3, 2, 32)
    assert _files(folder) == _files(tmp_path / "fresh")


def test_a_run_that_was_cut_off_leaves_no_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(write_module, "_write_photo", fail)
    with pytest.raises(RunDirError, match=r"cannot be written \(No space left on device\)"):
        write_demo(tmp_path / "set", 3, 2, 32)
    assert list(tmp_path.iterdir()) == []


def test_foreign_folders_and_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_text("x")
    with pytest.raises(RunDirError, match=r"holds holiday\.jpg and is no demo set .* Give a new or empty folder"):
        write_demo(tmp_path, 3, 2, 32)
    with pytest.raises(RunDirError, match="is a file, and the demo set needs a folder"):
        write_demo(tmp_path / "holiday.jpg", 3, 2, 32)
    assert (tmp_path / "holiday.jpg").read_text() == "x"


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ((0, 1, 64), "count must be at least 1, not 0"),
        ((5, -1, 64), "seed must be at least 0, not -1"),
        ((5, 1, 31), "image_size must be at least 32, not 31"),
    ],
)
def test_numbers_out_of_range_are_refused(numbers: tuple[int, int, int], message: str, tmp_path: Path) -> None:
    with pytest.raises(RunDirError, match=message):
        write_demo(tmp_path / "set", *numbers)


def test_recipe_says_what_was_drawn(tmp_path: Path) -> None:
    write_demo(tmp_path / "set", 3, 8, 40)
    recipe = json.loads((tmp_path / "set" / "demo.json").read_text())
    assert (recipe["count"], recipe["seed"], recipe["image_size"]) == (3, 8, 40)
