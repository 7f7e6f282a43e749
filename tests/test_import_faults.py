import csv
import json
import os
from pathlib import Path
from typing import Any

import pytest

from carclf.app import read_dataset
from carclf.config import read_config
from tests.drawn_annotations import box, contents, draw_photo, draw_via_set, read_ids, run_import, write_via
from tests.drawn_set import call_main


def reasons(folder: Path) -> dict[str, str]:
    with (folder / "skipped.csv").open(newline="") as file:
        return {row["record"]: row["reason"] for row in csv.DictReader(file)}


def test_bad_records_are_listed_and_the_others_go_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken: dict[str, Any] = {"shape_attributes": {"name": "polygon", "all_points_x": [1], "all_points_y": [1]}}
    photos = {"good.jpg": [box("dent")], "cut.jpg": [box("dent")], "gone.jpg": [box("dent")], "bad.jpg": [broken]}
    source = draw_via_set(tmp_path / "set", photos)
    cut = tmp_path / "set" / "cut.jpg"
    cut.write_bytes(cut.read_bytes()[:-60])
    (tmp_path / "set" / "gone.jpg").unlink()
    words = ["--format", "via", source, "--to", tmp_path / "out"]
    assert run_import(*words) == 0
    out = capsys.readouterr().out
    assert "4 records read: 1 photo made, 3 skipped" in out
    assert "skipped 1 ×: the photo is not in" in out
    found = reasons(tmp_path / "out")
    assert "cut off" in found["via.json: cut.jpg"]
    assert "--photos FOLDER" in found["via.json: gone.jpg"]
    assert "3 corners or more" in found["via.json: bad.jpg region 1"]
    assert (tmp_path / "out/labels.csv").read_text() == "name\ngood.jpg\n"
    assert run_import(*words, "--strict") == 2
    assert "--strict: 3 records were skipped and 0 are in conflict" in capsys.readouterr().err


def test_records_that_are_mended_leave_the_list(tmp_path: Path) -> None:
    source = draw_via_set(tmp_path / "set", {"a.jpg": [box("dent")], "b.jpg": [box("dent")]})
    photo = (tmp_path / "set" / "b.jpg").read_bytes()
    (tmp_path / "set" / "b.jpg").unlink()
    run_import("--format", "via", source, "--to", tmp_path / "out")
    assert len(reasons(tmp_path / "out")) == 1
    (tmp_path / "set" / "b.jpg").write_bytes(photo)
    run_import("--format", "via", source, "--to", tmp_path / "out")
    assert reasons(tmp_path / "out") == {}


def test_nothing_usable_is_an_error_with_the_reasons(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_via(tmp_path / "set" / "via.json", {"a.jpg": [box("dent")], "b.jpg": [box("dent")]})
    assert run_import("--format", "via", source, "--to", tmp_path / "out") == 2
    err = capsys.readouterr().err
    assert "Nothing here is usable." in err
    assert "skipped 2 ×: the photo is not in" in err
    assert [name for name in contents(tmp_path / "out") if not name.startswith(".")] == []


def test_regions_of_several_names_ask_for_the_attribute(tmp_path: Path) -> None:
    source = draw_via_set(tmp_path / "set", {"a.jpg": [box("dent", "minor")], "b.jpg": [box("dent")]})
    run_import("--format", "via", source, "--to", tmp_path / "one")
    assert (tmp_path / "one/labels.csv").read_text() == "name\na.jpg\nb.jpg\n"  # dent alone is a class
    both = draw_via_set(
        tmp_path / "both", {"a.jpg": [box("dent", "minor")], "b.jpg": [box("dent")], "c.jpg": [box("minor")]}
    )
    run_import("--format", "via", both, "--to", tmp_path / "two")
    assert "--attribute NAME" in reasons(tmp_path / "two")["via.json: a.jpg"]
    assert run_import("--format", "via", both, "--to", tmp_path / "three", "--attribute", "type1", "--map", "=x") == 0
    assert (tmp_path / "three/labels/damage_mask.txt").read_text().startswith("x;")


@pytest.mark.parametrize("name", ["../out.jpg", "/etc/a.jpg", "sub/../../a.jpg", "C:\\a.jpg", "..\\a.jpg"])
def test_names_that_leave_the_source_are_refused(tmp_path: Path, name: str) -> None:
    source = draw_via_set(tmp_path / "set", {"a.jpg": [box("dent")]})
    draw_photo(tmp_path / "out.jpg")
    write_via(source, {"a.jpg": [box("dent")], name: [box("dent")]})
    assert run_import("--format", "via", source, "--to", tmp_path / "to" / "out") == 0
    assert len(reasons(tmp_path / "to" / "out")) == 1
    assert (tmp_path / "to/out/labels.csv").read_text() == "name\na.jpg\n"
    assert sorted(path.name for path in (tmp_path / "to").iterdir()) == ["out"]


def test_links_out_of_the_source_are_refused(tmp_path: Path) -> None:
    source = draw_via_set(tmp_path / "set", {"a.jpg": [box("dent")]})
    secret = draw_photo(tmp_path / "elsewhere" / "secret.jpg", seed=5)
    (tmp_path / "set" / "b.jpg").symlink_to(secret)
    write_via(source, {"a.jpg": [box("dent")], "b.jpg": [box("dent")]})
    assert run_import("--format", "via", source, "--to", tmp_path / "out") == 0
    assert "leads out of" in reasons(tmp_path / "out")["via.json: b.jpg"]


def test_links_out_of_the_source_are_not_found_by_their_bare_name(tmp_path: Path) -> None:
    source = draw_via_set(tmp_path / "set", {"a.jpg": [box("dent")]})
    secret = draw_photo(tmp_path / "elsewhere" / "secret.jpg", seed=5)
    (tmp_path / "set" / "deeper").mkdir()
    (tmp_path / "set" / "deeper" / "b.jpg").symlink_to(secret)
    write_via(source, {"a.jpg": [box("dent")], "b.jpg": [box("dent")]})
    assert run_import("--format", "via", source, "--to", tmp_path / "out") == 0
    assert "the photo is not in" in reasons(tmp_path / "out")["via.json: b.jpg"]


@pytest.mark.parametrize(
    "part", ["photos", "masks", "labels", "labels.csv", "config.json", ".lock", "masks/damage_mask"]
)
def test_links_in_the_folder_are_refused(tmp_path: Path, part: str, capsys: pytest.CaptureFixture[str]) -> None:
    source = draw_via_set(tmp_path / "set", {"a.jpg": [box("dent")]})
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "out" / part).parent.mkdir(parents=True)
    (tmp_path / "out" / part).symlink_to(outside / "file" if "." in part else outside)
    assert run_import("--format", "via", source, "--to", tmp_path / "out") == 2
    assert "is a link; writing there would leave the folder" in capsys.readouterr().err
    assert not any(outside.iterdir())


def test_a_linked_folder_deeper_down_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = draw_via_set(tmp_path / "set", {"a.jpg": [box("dent")], "sub/b.jpg": [box("dent")]})
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "out" / "photos").mkdir(parents=True)
    (tmp_path / "out" / "photos" / "sub").symlink_to(outside)
    (tmp_path / "out" / "import.json").write_text("{}")
    assert run_import("--format", "via", source, "--to", tmp_path / "out") == 2
    assert "is a link; writing there would leave" in capsys.readouterr().err
    assert not any(outside.iterdir())


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = draw_via_set(tmp_path / "set", {"a.jpg": [box("dent")]})
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    assert run_import("--format", "via", source, "--to", tmp_path / "mine") == 2
    assert "holds thesis.txt and is no imported set" in capsys.readouterr().err
    assert list(contents(tmp_path / "mine")) == ["thesis.txt"]
    assert run_import("--format", "via", source, "--to", tmp_path / "mine" / "thesis.txt") == 2
    assert "is a file, and an import needs a folder" in capsys.readouterr().err


def test_hidden_and_odd_names_become_plain_ones(tmp_path: Path) -> None:
    source = draw_via_set(tmp_path / "set", {".hidden/a.jpg": [box("dent")], "b\nc.jpg": [box("dent")]})
    assert run_import("--format", "via", source, "--to", tmp_path / "out", "--strict") == 0
    assert (tmp_path / "out/labels.csv").read_text() == "name\n_hidden/a.jpg\nb_c.jpg\n"


def test_a_full_disk_is_a_clear_error_and_leaves_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = draw_via_set(tmp_path / "set", {"a.jpg": [box("dent")]})

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        assert run_import("--format", "via", source, "--to", tmp_path / "out") == 2
    assert "No space left on device" in capsys.readouterr().err
    assert not [name for name in contents(tmp_path / "out") if ".partial" in name or name.endswith(".png")]
    assert run_import("--format", "via", source, "--to", tmp_path / "out") == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--map", "dent"], '--map "dent": two names with "=" between them'),
        (["--map", "a=b", "a=c"], '--map: "a" is given twice'),
        (["--color", "1,2=a"], "red,green,blue with whole numbers"),
        (["--kind", "damage=catgorical"], 'is no kind of labels. Did you mean "categorical"'),
        (["--kind", "damage=categorical"], "--kind: damage is no head of these labels"),
        (["--derive", "x=share:damage_mask:5,1"], "no rising percents"),
        (["--derive", "x=shares:damage_mask"], "is none of classes:HEAD"),
        (["--derive", "x=classes:part_mask"], '"part_mask" has no masks here. Heads with masks: damage_mask'),
        (["--head", "a/b"], '"a/b" is no name of a head'),
        (["--tolerance", "300"], "from 0 to 255"),
        (["--photos", "nowhere"], "no such folder"),
        (["--format", "viaa"], 'is no annotation format. Did you mean "via"'),
    ],
)
def test_wrong_options(tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str) -> None:
    source = draw_via_set(tmp_path / "set", {"a.jpg": [box("dent")]})
    assert run_import(source, "--format", "via", "--to", tmp_path / "out", *words) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out" / "labels.csv").exists()


def test_the_source_may_stand_behind_an_option_of_several_words(tmp_path: Path) -> None:
    source = draw_via_set(tmp_path / "set", {"a.jpg": [box("dent")]})
    assert run_import("--format", "via", "--to", tmp_path / "out", "--map", "dent=scratch", source) == 0


def test_places_that_would_read_themselves_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draw_via_set(tmp_path / "set", {"a.jpg": [box("dent")]})
    assert run_import("--format", "via", tmp_path / "set", "--to", tmp_path / "set" / "out") == 0  # a file is meant
    assert run_import("--format", "masks", tmp_path / "set", "--to", tmp_path / "set" / "in") == 2
    assert "lies inside" in capsys.readouterr().err


def test_a_head_of_another_kind_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = draw_via_set(tmp_path / "set", {"a.jpg": [box("dent")]})
    run_import("--format", "via", source, "--to", tmp_path / "out")
    path = tmp_path / "out" / "config.json"
    config = json.loads(path.read_text())
    config["heads"]["damage_mask"]["kind"] = "multi_label"
    config["dataset"]["annotations"] = []
    path.write_text(json.dumps(config))
    assert run_import("--format", "via", source, "--to", tmp_path / "out") == 2
    assert 'damage_mask is of kind "multi_label" in config.json' in capsys.readouterr().err


def test_auto_recognises_and_lists_several(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draw_via_set(tmp_path / "set", {"a.jpg": [box("dent")]})
    assert run_import("--format", "auto", tmp_path / "set", "--to", tmp_path / "out") == 0
    assert capsys.readouterr().out.startswith("via ")
    write_via(tmp_path / "set" / "second.json", {"a.jpg": [box("dent")]})
    for name in ("auto", "via"):
        assert run_import("--format", name, tmp_path / "set", "--to", tmp_path / "out") == 2
        err = capsys.readouterr().err
        assert "second.json (via)" in err
        assert "via.json (via)" in err
        assert "--format via" in err
    (tmp_path / "empty").mkdir()
    assert run_import("--format", "auto", tmp_path / "empty", "--to", tmp_path / "out") == 2
    assert "no annotations were recognised. Say what they are with --format: via, " in capsys.readouterr().err


def test_a_config_that_was_edited_wrongly_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = draw_via_set(tmp_path / "set", {"a.jpg": [box("dent")]})
    words = ["--format", "via", source, "--to", tmp_path / "out"]
    assert run_import(*words, "--derive", "extent=share:damage_mask:0,5") == 0
    assert run_import(*words, "--derive", "extent=share:damage_mask:0,9") == 2
    assert "config.json has another head of this name" in capsys.readouterr().err
    path = tmp_path / "out" / "config.json"
    text = path.read_text()
    path.write_text(text.replace('"heads": {', '"heads": {"x": 3, '))
    assert run_import(*words) == 2
    assert "config.json: heads.x" in capsys.readouterr().err
    path.write_text(text.replace("labels/damage_mask.txt", "elsewhere.txt"))
    assert run_import(*words) == 2
    assert "where imports add their classes" in capsys.readouterr().err
    (tmp_path / "out" / "import.json").write_text('{"version": 99}')
    assert run_import(*words) == 2
    assert "another version" in capsys.readouterr().err


def test_names_that_no_disk_can_hold_and_links_to_themselves_are_skipped(tmp_path: Path) -> None:
    names = ("a.jpg", "loop.jpg", "x" * 300 + ".jpg", "a\0b.jpg")
    write_via(tmp_path / "set" / "via.json", {name: [box("dent")] for name in names})
    draw_photo(tmp_path / "set" / "deep" / "a.jpg")  # is searched for, past the link
    (tmp_path / "set" / "loop.jpg").symlink_to("loop.jpg")
    assert run_import("--format", "via", tmp_path / "set", "--to", tmp_path / "out") == 0
    found = list(reasons(tmp_path / "out").values())
    assert len(found) == 3
    assert all("cannot be looked at" in what and "Rename or delete it." in what for what in found)


def test_photos_left_there_count_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_via(tmp_path / "set" / "via.json", {"a.jpg": [box("dent")]})
    for name in ("a.jpg", "b.jpg"):
        draw_photo(tmp_path / "set" / "photos" / name)
    assert run_import(source, "--photos", tmp_path / "set" / "photos", "--to", tmp_path / "out") == 0
    assert "1 photo of the source not mentioned" in capsys.readouterr().out


@pytest.mark.parametrize("more", [["--map", "dent="], []])
def test_photos_alone_are_no_success(tmp_path: Path, more: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    source = draw_via_set(tmp_path / "set", {"a.jpg": [box("dent")] if more else []})
    assert run_import(source, "--to", tmp_path / "out", *more) == 2
    said = capsys.readouterr()
    assert "no label and no mask came of it, photos alone" in said.err
    assert "Next:" not in said.out
    assert run_import(source, "--to", tmp_path / "out", *more, "--empty") == 0


def test_a_new_name_that_is_no_class_is_refused_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = draw_via_set(tmp_path / "set", {"a.jpg": [box("dent")], "b.jpg": []})
    assert run_import(source, "--to", tmp_path / "out", "--map", "dent=a;b") == 2
    assert '--map dent: "a;b" is no name of a class' in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["via", "coco", "cvat", "table"])
def test_a_folder_without_a_file_of_the_format_is_told(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    draw_photo(tmp_path / "set" / "a.jpg")
    assert run_import("--format", name, tmp_path / "set", "--to", tmp_path / "out") == 2
    assert f"set: holds no file of the format {name}. Name the file" in capsys.readouterr().err


def test_photos_known_to_be_empty_bring_no_class(tmp_path: Path) -> None:
    first = draw_via_set(tmp_path / "one", {"a.jpg": [box("dent")], "b.jpg": [box("scratch")]})
    draw_photo(tmp_path / "two" / "c.jpg", seed=7)
    second = write_via(tmp_path / "two" / "via.json", {"c.jpg": []})
    assert run_import(first, "--to", tmp_path / "out") == 0
    classes = (tmp_path / "out" / "labels" / "damage_mask.txt").read_bytes()
    assert run_import(second, "--to", tmp_path / "out", "--empty") == 0
    assert (tmp_path / "out" / "labels" / "damage_mask.txt").read_bytes() == classes
    assert not read_ids(tmp_path / "out", "damage_mask", "c.jpg").any()


def test_file_names_that_are_no_text_do_not_end_the_import(tmp_path: Path) -> None:
    source = tmp_path / os.fsdecode(b"sch\xe4den")
    draw_photo(source / "minor" / os.fsdecode(b"t\xfcr.jpg"), seed=1)
    draw_photo(source / "minor" / "b.jpg", seed=2)
    (source / "minor" / os.fsdecode(b"k\xe4putt.jpg")).write_bytes(b"none")
    for _ in range(2):
        done = call_main("import", source, "--to", tmp_path / "out", "--format", "folders", "--head", "severity")
        assert done.returncode == 0, done.stderr
        assert r"sch\udce4den" in done.stdout
    assert list(reasons(tmp_path / "out")) == [r"sch\udce4den: minor/k\udce4putt.jpg"]
    assert (tmp_path / "out" / "labels.csv").read_text() == "name,severity\nminor/b.jpg,minor\nminor/t_r.jpg,minor\n"


@pytest.mark.parametrize(
    "names",
    [
        ["b.jpg", "b.jpg.png"],
        ["x_label.jpg", "y_label.jpg"],
        ["x.jpg", "x_seg.jpg", "y.jpg"],
        ["label/a.jpg", "train/images/a.jpg", "train/images/b.jpg"],
        ["masks/a.jpg", "masks/b.jpg", "c.jpg"],
        ["images/a.jpg", "photos/b.jpg", "c.jpg"],
        ["SegmentationObject/a.jpg", "c.jpg"],
    ],
)
def test_masks_of_photos_with_telling_names_are_found_again(tmp_path: Path, names: list[str]) -> None:
    photos = {name: [box("dent", shift=number)] for number, name in enumerate(names)}
    source = write_via(tmp_path / "set" / "via.json", photos)
    for number, name in enumerate(names):
        draw_photo(tmp_path / "set" / name, seed=number)
    for _ in range(2):
        assert run_import(source, "--to", tmp_path / "out") == 0
        head = read_dataset(read_config(tmp_path / "out" / "config.json")).heads["damage_mask"]
        assert head.targets.tolist() == [1] * len(names)
