import csv
import json
from pathlib import Path

import numpy as np
import pytest

from carclf.importing.merging import Merger
from tests.drawn_annotations import box, contents, draw_photo, draw_via_set, read_ids, run_import, write_via


def read_table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_same_import_again_changes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = {"a.jpg": [box("dent")], "b.jpg": [box("glass")], "c.jpg": [box()], "d.jpg": []}
    source = draw_via_set(tmp_path / "set", photos)
    words = ["--format", "via", source, "--to", tmp_path / "out"]
    assert run_import(*words) == 0
    before = contents(tmp_path / "out")
    capsys.readouterr()
    assert run_import(*words) == 0
    assert contents(tmp_path / "out") == before
    out = capsys.readouterr().out
    assert "0 photos made, 3 there already (same content), 1 skipped" in out
    assert "0 masks made, 2 there already" in out


def test_the_same_content_is_one_row_whatever_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = draw_via_set(tmp_path / "one", {"a.jpg": [box("dent")], "twin.jpg": []})
    (tmp_path / "one" / "twin.jpg").write_bytes((tmp_path / "one" / "a.jpg").read_bytes())
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "other.jpg").write_bytes((tmp_path / "one" / "a.jpg").read_bytes())
    second = write_via(tmp_path / "two" / "via.json", {"other.jpg": [box("door")]})
    run_import("--format", "via", first, "--to", tmp_path / "out")
    assert "1 of the same content as another one" in capsys.readouterr().out
    run_import("--format", "via", second, "--to", tmp_path / "out", "--head", "part_mask")
    assert (tmp_path / "out/labels.csv").read_text() == "name\na.jpg\n"
    assert [path.name for path in (tmp_path / "out/photos").iterdir()] == ["a.jpg"]
    assert read_ids(tmp_path / "out", "part_mask", "a.jpg").max() == 1
    config = json.loads((tmp_path / "out/config.json").read_text())
    assert [note["head"] for note in config["dataset"]["annotations"]] == ["damage_mask", "part_mask"]


def test_another_photo_of_the_same_name_gets_a_number(tmp_path: Path) -> None:
    for number, folder in enumerate(("one", "two", "three")):
        draw_photo(tmp_path / folder / "a.jpg", seed=number)
        source = write_via(tmp_path / folder / "via.json", {"a.jpg": [box("dent", shift=number)]})
        assert run_import("--format", "via", source, "--to", tmp_path / "out") == 0
    assert (tmp_path / "out/labels.csv").read_text() == "name\na.jpg\na-2.jpg\na-3.jpg\n"
    for number, name in enumerate(("a.jpg", "a-2.jpg", "a-3.jpg")):
        assert np.nonzero(read_ids(tmp_path / "out", "damage_mask", name))[1].min() == 4 + number


def test_a_photo_whose_row_was_deleted_is_not_taken_for_another(tmp_path: Path) -> None:
    for seed, folder in enumerate(("one", "two")):
        draw_photo(tmp_path / folder / "a.jpg", seed=seed)
        source = write_via(tmp_path / folder / "via.json", {"a.jpg": [box("dent")]})
        assert run_import("--format", "via", source, "--to", tmp_path / "out") == 0
        if folder == "one":
            (tmp_path / "out/labels.csv").write_text("name\nb.jpg\n")
    assert (tmp_path / "out/labels.csv").read_text() == "name\nb.jpg\na-2.jpg\n"
    assert (tmp_path / "out/photos/a-2.jpg").read_bytes() == (tmp_path / "two/a.jpg").read_bytes()


def test_masks_of_a_jpg_and_a_png_of_one_name_stay_apart(tmp_path: Path) -> None:
    source = draw_via_set(tmp_path / "set", {"a.jpg": [box("dent")], "a.png": [box("dent", shift=9)]})
    draw_photo(tmp_path / "set" / "a.png", seed=77)
    assert run_import("--format", "via", source, "--to", tmp_path / "out") == 0
    assert (tmp_path / "out/labels.csv").read_text() == "name\na.jpg\na-2.png\n"
    assert np.nonzero(read_ids(tmp_path / "out", "damage_mask", "a-2.png"))[1].min() == 13


def test_other_masks_of_a_head_are_conflicts_and_change_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draw_via_set(tmp_path, {"a.jpg": [box("dent")], "b.jpg": [box("dent")]}, "one.json")
    write_via(tmp_path / "two.json", {"a.jpg": [box("dent", shift=3)], "b.jpg": [box("dent")]})
    run_import("--format", "via", tmp_path / "one.json", "--to", tmp_path / "out", "--photos", tmp_path)
    before = read_ids(tmp_path / "out", "damage_mask", "a.jpg")
    words = ["--format", "via", tmp_path / "two.json", "--to", tmp_path / "out", "--photos", tmp_path]
    assert run_import(*words) == 0
    assert "1 conflict with what was there" in capsys.readouterr().out
    np.testing.assert_array_equal(read_ids(tmp_path / "out", "damage_mask", "a.jpg"), before)
    rows = read_table(tmp_path / "out" / "conflicts.csv")
    assert [(row["photo"], row["head"], row["from"]) for row in rows] == [("a.jpg", "damage_mask", "two.json: a.jpg")]
    assert rows[0]["was"] == "dent 8.33 %"
    files = contents(tmp_path / "out")
    assert run_import(*words) == 0
    assert run_import("--format", "via", tmp_path / "one.json", "--to", tmp_path / "out", "--photos", tmp_path) == 0
    assert contents(tmp_path / "out") == files
    assert run_import(*words, "--strict") == 2


def test_classes_are_appended_and_ids_stay(tmp_path: Path) -> None:
    first = draw_via_set(tmp_path / "one", {"a.jpg": [box("dent")], "b.jpg": [box("glass")]})
    second = draw_via_set(tmp_path / "two", {"c.jpg": [box("crack")], "d.jpg": [box("glass")]})
    run_import("--format", "via", first, "--to", tmp_path / "out")
    labels = tmp_path / "out" / "labels" / "damage_mask.txt"
    labels.write_text("# mine\n" + labels.read_text())
    run_import("--format", "via", second, "--to", tmp_path / "out")
    lines = labels.read_text().splitlines()
    assert [line.split(";")[0] for line in lines] == ["# mine", "dent", "glass", "crack"]
    assert len({line.split(";")[-1] for line in lines[1:]}) == 3
    assert read_ids(tmp_path / "out", "damage_mask", "c.jpg").max() == 3
    assert read_ids(tmp_path / "out", "damage_mask", "d.jpg").max() == 2


def test_what_a_user_wrote_into_the_config_stays(tmp_path: Path) -> None:
    first = draw_via_set(tmp_path / "one", {"a.jpg": [box("dent")]})
    run_import("--format", "via", first, "--to", tmp_path / "out")
    path = tmp_path / "out" / "config.json"
    config = json.loads(path.read_text())
    config["training"] = {"views": 4}
    config["heads"]["damage_mask"]["empty_where"] = {"column": "damage", "value": "whole"}
    text = json.dumps(config)
    path.write_text(text)
    run_import("--format", "via", first, "--to", tmp_path / "out")
    assert path.read_text() == text
    run_import("--format", "via", first, "--to", tmp_path / "out", "--head", "second_mask")
    after = json.loads(path.read_text())
    assert list(after["heads"]) == ["damage_mask", "second_mask"]
    assert after["heads"]["damage_mask"] == config["heads"]["damage_mask"]
    assert after["training"] == {"views": 4}


def test_a_mask_that_a_user_mended_stays(tmp_path: Path) -> None:
    source = draw_via_set(tmp_path / "set", {"a.jpg": [box("dent")]})
    run_import("--format", "via", source, "--to", tmp_path / "out")
    mask = tmp_path / "out/masks/damage_mask/a.png"
    mended = mask.read_bytes() + b" "
    mask.write_bytes(mended)
    run_import("--format", "via", source, "--to", tmp_path / "out")
    assert mask.read_bytes() == mended


@pytest.mark.parametrize("after", [0, 1, 7, 11])
def test_an_import_that_is_cut_off_goes_on_to_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    photos = {f"{number}.jpg": [box("dent" if number % 2 else "glass")] for number in range(12)}
    source = draw_via_set(tmp_path / "set", photos)
    add = Merger.add
    seen: list[object] = []

    def stop(merger: Merger, photo: object) -> None:
        if len(seen) == after:
            raise KeyboardInterrupt
        seen.append(photo)
        add(merger, photo)  # type: ignore[arg-type]  # as the importer calls it

    words = ["--format", "via", source, "--to"]
    with monkeypatch.context() as patched:
        patched.setattr(Merger, "add", stop)
        assert run_import(*words, tmp_path / "out") == 130
    files = contents(tmp_path / "out")
    assert not {"labels.csv", "config.json", "import.json"} & set(files)
    assert not [name for name in files if ".partial" in name]
    assert run_import(*words, tmp_path / "out") == 0
    assert run_import(*words, tmp_path / "whole") == 0
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_leftovers_of_another_class_map_are_no_conflict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = draw_via_set(tmp_path / "set", {"a.jpg": [box("dent")], "b.jpg": [box("glass")], "c.jpg": [box("dent")]})

    def stop(_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("carclf.importing.whole.save_collection", stop)
        assert run_import("--format", "via", source, "--to", tmp_path / "out") == 130
    words = ["--format", "via", source, "--to", tmp_path / "out", "--map", "dent=", "--strict"]
    assert run_import(*words) == 0
    assert [path.name for path in (tmp_path / "out/masks/damage_mask").iterdir()] == ["b.png"]
    assert not (tmp_path / "out/conflicts.csv").exists()
