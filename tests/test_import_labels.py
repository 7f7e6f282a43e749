"""Labels of whole photos, from a reader that the test makes up."""

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from carclf.annotations import READERS
from carclf.annotations.records import HEAD, Problem, ReadOptions, Record
from carclf.app import read_dataset
from carclf.config import read_config
from tests.drawn_annotations import contents, draw_photo, run_import

Labels = dict[str, dict[str, tuple[str, ...]]]
SetLabels = Callable[[Labels], None]


@pytest.fixture
def set_labels(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SetLabels:
    """Makes the format "fake" yield these labels: photo -> column -> labels."""

    def use(photos: Labels) -> None:
        def read(path: Path, options: ReadOptions) -> Iterator[Record | Problem]:
            for name, labels in photos.items():
                if not (path / name).exists():
                    draw_photo(path / name, seed=sum(map(ord, name)))
                yield Record(name, f"fake: {name}", labels=labels)

        monkeypatch.setitem(READERS, "fake", read)
        monkeypatch.setitem(__import__("carclf.annotations").annotations.FINDERS, "fake", lambda _: [])

    (tmp_path / "set").mkdir()
    return use


def run_fake(tmp_path: Path, *words: object) -> int:
    return run_import("--format", "fake", tmp_path / "set", "--to", tmp_path / "out", *words)


def rows(tmp_path: Path) -> list[dict[str, str]]:
    with (tmp_path / "out" / "labels.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_columns_become_heads_of_the_kind_that_they_look_like(tmp_path: Path, set_labels: SetLabels) -> None:
    set_labels(
        {
            "a.jpg": {"damage": ("minor",), "part": ("door", "light"), "kind": ("NULL",), "group": ("car 1",)},
            "b.jpg": {"damage": ("whole",), "part": ("door",), "kind": ("dent",)},
            "c.jpg": {"damage": ()},
        }
    )
    assert run_fake(tmp_path) == 0
    assert rows(tmp_path)[0] == {
        "name": "a.jpg",
        "damage": "minor",
        "part": "door;light",
        "kind": "NULL",
        "group": "car 1",
    }
    assert rows(tmp_path)[2]["damage"] == ""
    config = read_config(tmp_path / "out" / "config.json")
    kinds = {name: (head.kind, head.none_label) for name, head in config.heads.items()}
    multi = ("multi_label", None)
    assert kinds == {"damage": ("categorical", "whole"), "part": multi, "kind": multi}
    dataset = read_dataset(config)
    assert dataset.heads["damage"].targets.tolist() == [0, 1, -1]
    assert dataset.heads["kind"].targets.tolist() == [[0], [1], [-1]]
    assert dataset.photos[0].table_group == "car 1"


def test_a_kind_can_be_said(tmp_path: Path, set_labels: SetLabels, capsys: pytest.CaptureFixture[str]) -> None:
    set_labels({"a.jpg": {"side": ("left",), "kind": ("NULL",)}, "b.jpg": {"side": ("right",), "kind": ("dent",)}})
    assert run_fake(tmp_path, "--kind", "side=multi_label", "kind=categorical") == 0
    dataset = read_dataset(read_config(tmp_path / "out" / "config.json"))
    assert dataset.heads["side"].targets.tolist() == [[1, 0], [0, 1]]
    assert dataset.heads["kind"].targets.tolist() == [1, 0]
    assert dataset.heads["kind"].label_set.names == ("dent", "NULL")
    set_labels({"a.jpg": {"kind": ("dent", "rust")}})
    assert run_fake(tmp_path) == 2
    assert "kind takes one label (categorical), but some photos have several" in capsys.readouterr().err


def test_labels_of_no_column_need_a_head(
    tmp_path: Path, set_labels: SetLabels, capsys: pytest.CaptureFixture[str]
) -> None:
    set_labels({"a.jpg": {HEAD: ("minor",)}, "b.jpg": {HEAD: ("severe",)}})
    assert run_fake(tmp_path) == 2
    assert "Name it: --head severity" in capsys.readouterr().err
    assert run_fake(tmp_path, "--head", "severity") == 0
    assert [row["severity"] for row in rows(tmp_path)] == ["minor", "severe"]


def test_several_trees_of_the_same_photos_meet_in_one_table(tmp_path: Path, set_labels: SetLabels) -> None:
    set_labels({"a.jpg": {HEAD: ("minor",)}, "b.jpg": {HEAD: ("severe",)}})
    run_fake(tmp_path, "--head", "severity")
    (tmp_path / "set" / "rear").mkdir()
    (tmp_path / "set" / "rear" / "x.jpg").write_bytes((tmp_path / "set" / "b.jpg").read_bytes())
    set_labels({"rear/x.jpg": {HEAD: ("rear",)}, "front/y.jpg": {HEAD: ("front",)}})
    assert run_fake(tmp_path, "--head", "location") == 0
    assert rows(tmp_path) == [
        {"name": "a.jpg", "severity": "minor", "location": ""},
        {"name": "b.jpg", "severity": "severe", "location": "rear"},
        {"name": "front/y.jpg", "severity": "", "location": "front"},
    ]
    assert (tmp_path / "out/labels/location.txt").read_text() == "rear\nfront\n"


def test_differing_cells_are_conflicts_and_stay(
    tmp_path: Path, set_labels: SetLabels, capsys: pytest.CaptureFixture[str]
) -> None:
    set_labels({"a.jpg": {"damage": ("minor",), "part": ("door", "light")}, "b.jpg": {"part": ("door",)}})
    run_fake(tmp_path)
    set_labels({"a.jpg": {"damage": ("severe",), "part": ("light", "door")}, "b.jpg": {"damage": ("minor",)}})
    capsys.readouterr()
    assert run_fake(tmp_path, "--map", "x=y") == 2  # no such class
    assert run_fake(tmp_path) == 0
    assert "a.jpg, damage: there minor, came severe (fake: a.jpg)" in capsys.readouterr().out
    assert [row["damage"] for row in rows(tmp_path)] == ["minor", "minor"]
    with (tmp_path / "out" / "conflicts.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [
            ["photo", "head", "was", "came", "from"],
            ["a.jpg", "damage", "minor", "severe", "fake: a.jpg"],
        ]
    before = contents(tmp_path / "out")
    assert run_fake(tmp_path) == 0
    assert contents(tmp_path / "out") == before
    assert run_fake(tmp_path, "--strict") == 2


def test_what_a_user_wrote_into_the_table_stays(tmp_path: Path, set_labels: SetLabels) -> None:
    set_labels({"a.jpg": {"damage": ("minor",)}})
    run_fake(tmp_path)
    table = tmp_path / "out" / "labels.csv"
    table.write_text("name,damage,note\na.jpg,minor,look again\n")
    set_labels({"a.jpg": {"damage": ("minor",)}, "b.jpg": {"damage": ("severe",)}})
    run_fake(tmp_path)
    assert table.read_text() == "name,damage,note\na.jpg,minor,look again\nb.jpg,severe,\n"


def test_labels_are_renamed_and_left_out(tmp_path: Path, set_labels: SetLabels) -> None:
    set_labels({"a.jpg": {"kind": ("Dent", "dirt")}, "b.jpg": {"kind": ("dirt",)}, "c.jpg": {"kind": ("odd",)}})
    run_fake(tmp_path, "--map", "Dent=dent", "dirt=", "odd=ignore")
    assert [row["kind"] for row in rows(tmp_path)] == ["dent", "", ""]


@pytest.mark.parametrize(
    ("label", "reason"),
    [("a;b", "is no name of a class"), ("#a", "no # before it"), ("[a]", "no brackets"), ("a\nb", "no line break")],
)
def test_labels_that_no_table_can_hold(tmp_path: Path, set_labels: SetLabels, label: str, reason: str) -> None:
    set_labels({"a.jpg": {"kind": (label,)}, "b.jpg": {"kind": ("dent",)}})
    assert run_fake(tmp_path) == 0
    assert [row["name"] for row in rows(tmp_path)] == ["b.jpg"]
    assert reason in (tmp_path / "out" / "skipped.csv").read_text()


def test_none_beside_a_label_is_a_problem(tmp_path: Path, set_labels: SetLabels) -> None:
    set_labels({"a.jpg": {"kind": ("NULL", "dent")}, "b.jpg": {"kind": ("dent",)}})
    assert run_fake(tmp_path, "--kind", "kind=multi_label") == 0
    assert "kind: NULL stands beside NULL, dent" in (tmp_path / "out" / "skipped.csv").read_text()


def test_odd_columns_become_names_of_heads(tmp_path: Path, set_labels: SetLabels) -> None:
    set_labels({"a.jpg": {"Damage type (main)": ("dent",)}, "b.jpg": {"Damage type (main)": ("rust",)}})
    assert run_fake(tmp_path) == 0
    assert list(json.loads((tmp_path / "out/config.json").read_text())["heads"]) == ["Damage_type_main"]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ("状態", '"状態" holds no letter a to z and no digit, so no head can be called so. Rename it'),
        ("damage type,damage_type", '"damage type" and "damage_type" would both be the head damage_type. Rename one'),
    ],
)
def test_columns_that_cannot_be_heads(
    tmp_path: Path, columns: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    draw_photo(tmp_path / "a.jpg")
    (tmp_path / "t.csv").write_text(f"photo,{columns}\na.jpg{',dent' * len(columns.split(','))}\n", encoding="utf-8")
    assert run_import("--format", "table", tmp_path / "t.csv", "--to", tmp_path / "out") == 2
    assert message in capsys.readouterr().err


def test_remarks_on_photos_are_kept_but_are_no_question(
    tmp_path: Path, set_labels: SetLabels, capsys: pytest.CaptureFixture[str]
) -> None:
    photos: Labels = {f"p{number:02d}.jpg": {"damage": (("minor", "whole")[number % 2],)} for number in range(44)}
    for number, labels in enumerate(photos.values()):
        labels["address"] = (f"no. {number}; at the back",)  # a text of its own for each
        labels["case"] = (f"number {number // 8}",)
    photos["p03.jpg"]["caption"] = ("a car",)
    set_labels(photos)
    assert run_fake(tmp_path) == 0
    assert rows(tmp_path)[3] | {"address": "", "case": ""} == {
        "name": "p03.jpg",
        "damage": "whole",
        "caption": "a car",
        "address": "",
        "case": "",
    }
    assert rows(tmp_path)[3]["address"] == "no. 3; at the back"
    assert list(read_config(tmp_path / "out" / "config.json").heads) == ["damage", "case"]
    assert "caption: 1 label made; no head, as they look like remarks: --kind caption=cat" in capsys.readouterr().out
    assert run_fake(tmp_path, "--kind", "caption=categorical") == 0
    assert list(read_config(tmp_path / "out" / "config.json").heads) == ["damage", "case", "caption"]
