import base64
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from carclf.annotations.shapes import Polygon, rectangle_points
from carclf.checking.findings import Finding, by_severity
from carclf.checking.page import make_page
from carclf.checking.suspects import find_suspects
from carclf.checking.thumbnails import make_thumbnail
from carclf.cli import main
from carclf.config import read_config
from carclf.label_errors import LabelIssue
from carclf.labels import LabelSet
from carclf.mask_sources import MaskSource
from carclf.rundir import RunDir
from tests.small_set import SmallSet, draw_patches, write_mask, write_photo


@pytest.fixture
def small(tmp_path: Path) -> SmallSet:
    return SmallSet(tmp_path / "set")


def check(small: SmallSet, *options: str) -> tuple[int, dict[str, Any]]:
    code = main(["check", "--config", str(small.write()), "--to", str(small.folder / "told"), *options])
    return code, json.loads((small.folder / "told" / "check.json").read_text(encoding="utf-8"))


class _Addresses(HTMLParser):
    """Collects what a page would load, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action")]

    def handle_data(self, data: str) -> None:
        self.text += data


def parse(page: str) -> _Addresses:
    parser = _Addresses()
    parser.feed(page)
    return parser


def test_a_sound_set_exits_with_0(small: SmallSet, capsys: pytest.CaptureFixture[str]) -> None:
    code, tree = check(small)
    assert code == 0
    assert tree["sound"]
    assert tree["photos"]["labelled"] == {"severity": 24, "location": 24, "damage_mask": 24}
    assert [fold["photos"] for fold in tree["folds"]] == [12, 12]
    out = capsys.readouterr().out
    assert "Sound." in out
    assert "24 groups" in out


def test_an_unsound_set_exits_with_2_and_says_what_to_do(small: SmallSet, capsys: pytest.CaptureFixture[str]) -> None:
    write_mask(small.masks / "p02.png")
    code, tree = check(small)
    assert code == 2
    assert tree["counts"] == {"unsound": 1, "warning": 0, "note": 0}
    assert tree["findings"][0]["photos"] == ["p02.png"]
    out = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert 'severity says "whole", but damage_mask shows something: 1 photo.' in out
    assert "Not sound: 1 finding to mend" in out


def test_nothing_but_json_is_written_without_a_page(small: SmallSet, capsys: pytest.CaptureFixture[str]) -> None:
    check(small, "--no-html", "--quiet")
    assert [path.name for path in (small.folder / "told").iterdir()] == ["check.json"]
    assert capsys.readouterr().out == ""


def test_the_files_go_into_the_results_by_default(small: SmallSet) -> None:
    main(["check", "--config", str(small.write()), "--quiet"])
    assert {path.name for path in (small.folder / "results" / "check").iterdir()} == {"check.json", "check.html"}


def test_the_page_loads_nothing_and_runs_nothing(small: SmallSet) -> None:
    write_mask(small.masks / "p02.png")
    check(small)
    page = (small.folder / "told" / "check.html").read_text(encoding="utf-8")
    parsed = parse(page)
    assert parsed.addresses
    assert all(address.startswith("data:image/jpeg;base64,") for address in parsed.addresses)
    assert not {"script", "link", "iframe"} & set(parsed.tags)
    assert "url(" not in page
    assert "@import" not in page
    assert "prefers-color-scheme: dark" in page


def test_names_from_the_data_cannot_become_markup(small: SmallSet, capsys: pytest.CaptureFixture[str]) -> None:
    name = "<img src=x onerror=alert(1)>[bold].png"
    (small.photos / "p00.png").rename(small.photos / name)
    (small.photos / "p01.png").write_text("no photo")
    small.row("p01.png")["damage"] = "<script>alert(2)</script>[/red]"
    check(small)
    page = (small.folder / "told" / "check.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "<img src=x" not in page
    assert "&lt;script&gt;alert(2)" in page
    assert "[bold]" in capsys.readouterr().out.replace("│", "").replace("\n", "")


def test_a_file_name_cannot_steer_the_terminal(small: SmallSet, capsys: pytest.CaptureFixture[str]) -> None:
    write_photo(small.photos / "a\x1b[31mred.png", draw_patches(90))
    check(small, "--no-html")
    out = capsys.readouterr().out
    assert "red.png" in out
    assert "\x1b" not in out


def test_the_page_shows_a_photo_for_each_finding_and_at_most_as_many_as_asked(small: SmallSet) -> None:
    for number in range(9):
        write_photo(small.photos / f"p{number:02}.png", draw_patches(number)[:60, :60])
        (small.masks / f"p{number:02}.png").unlink(missing_ok=True)
    survey = small.survey()
    pictures = [parse(make_page(survey, most, 1)).tags.count("img") for most in (0, 4, 24)]
    assert pictures[0] == 0
    assert pictures[2] > pictures[1] >= 4
    assert "and 5 more photos: check.json names all" in make_page(survey, 4, 1)


def test_labels_most_likely_wrong_have_their_place_by_kind(small: SmallSet) -> None:
    issues = [
        LabelIssue("severity", "p00.png", ("minor",), ("severe",), 0.93, "wrong class"),
        LabelIssue("location", "p01.png", ("front",), (), 0.9, "extra label"),
        LabelIssue("location", "p02.png", (), ("rear",), 0.8, "missing label"),
        LabelIssue("location", "p03.png", ("rear",), (), 0.7, "extra label"),
    ]
    page = make_page(replace(small.survey(), suspects={"severity": issues[:1], "location": issues[1:]}), 24, 1)
    text = re.sub(r"\s+", " ", parse(page).text)
    likeliest = "in doubt, the likeliest errors first"
    assert f"severity, wrong class: 1 label {likeliest} p00.png given minor, believed severe 93 %" in text
    assert f"location, extra label: 2 labels {likeliest} p01.png given front; too much: front 90 % p03.png" in text
    assert f"location, missing label: 1 label {likeliest} p02.png given nothing; missing: rear 80 %" in text


def test_labels_changed_since_the_run_are_no_longer_suspected(small: SmallSet, monkeypatch: pytest.MonkeyPatch) -> None:
    survey = small.survey()
    assert survey.suspects == {}  # nothing was trained
    names = [row["name"] for row in small.rows]
    issues = [
        LabelIssue("severity", "p00.png", ("minor",), ("severe",), 0.9, "wrong class"),
        LabelIssue("severity", "p01.png", ("minor",), ("severe",), 0.8, "wrong class"),  # corrected since
        LabelIssue("severity", "gone.png", ("minor",), ("severe",), 0.7, "wrong class"),
    ]
    monkeypatch.setattr("carclf.checking.suspects.find_label_issues", lambda run, heads: {"severity": issues})
    config = read_config(small.folder / "config.json")
    run = RunDir(config.results / "none")
    (run.path / "severity").mkdir(parents=True)
    (run.path / "severity" / "predictions.csv").touch()
    assert find_suspects(run, survey.labels.heads, names) == {"severity": issues[:1]}


def test_masks_drawn_or_emptied_since_the_run_are_no_longer_suspected(
    small: SmallSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = [
        LabelIssue("damage_mask", "p00.png", ("dent",), (), 0.9, "nothing found"),
        LabelIssue("damage_mask", "p02.png", (), ("dent",), 0.8, "known empty"),
    ]
    changed = [
        LabelIssue("damage_mask", "p05.png", ("dent",), (), 0.7, "nothing found"),
        LabelIssue("damage_mask", "p01.png", (), ("dent",), 0.6, "known empty"),
    ]
    monkeypatch.setattr(
        "carclf.checking.suspects.find_label_issues", lambda run, heads: {"damage_mask": kept + changed}
    )
    run = RunDir(small.folder / "run")
    (run.path / "damage_mask").mkdir(parents=True)
    (run.path / "damage_mask" / "predictions.csv").touch()
    heads = {"damage_mask": small.survey().labels.heads["damage_mask"]}
    assert find_suspects(run, heads, [row["name"] for row in small.rows]) == {"damage_mask": kept}


def test_thumbnails_are_small_and_show_the_mask(tmp_path: Path, small: SmallSet) -> None:
    survey = small.survey()
    mask = survey.labels.heads["damage_mask"].masks[0]
    assert isinstance(mask, MaskSource)
    photo = small.photos / "p00.png"
    assert 1000 < len(make_thumbnail(photo)) < 40_000
    assert make_thumbnail(photo) != make_thumbnail(photo, mask)
    (tmp_path / "broken.jpg").write_text("no photo")
    assert make_thumbnail(tmp_path / "broken.jpg") == ""


def test_thumbnails_lie_over_white_and_show_masks_in_their_color(tmp_path: Path) -> None:
    Image.new("RGBA", (40, 30), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    label_set = LabelSet(("dent",), (0,), ((0, 0, 255),), tmp_path / "labels.txt")
    mask = MaskSource(label_set, ((1, Polygon((rectangle_points(0, 0, 20, 30),))),))
    jpeg = base64.b64decode(make_thumbnail(tmp_path / "clear.png", mask).split(",")[1])
    pixels = np.asarray(Image.open(io.BytesIO(jpeg)))
    assert pixels[15, 35].min() > 240
    np.testing.assert_allclose(pixels[15, 5], (140, 140, 255), atol=15)  # nearly half of it is the mask's blue


def test_the_worst_comes_first_and_kinds_stay_together() -> None:
    findings = [
        Finding("b", "note", "1"), Finding("a", "warning", "2"), Finding("c", "unsound", "3"),
        Finding("d", "warning", "4"), Finding("a", "warning", "5"),
    ]  # fmt: skip
    assert [finding.text for finding in by_severity(findings)] == ["3", "2", "5", "4", "1"]


def test_the_demo_is_drawn_and_sound(tmp_path: Path) -> None:
    labels = Path(__file__).resolve().parents[1] / "labels"
    config = {
        "dataset": {"demo": {"count": 40, "image_size": 96}},
        "backbones": {"none": {"local": "nowhere"}},
        "models": ["none"],
        "heads": {
            "severity": {
                "kind": "categorical",
                "labels": str(labels / "severity.txt"),
                "column": "damage",
                "none_label": "whole",
            }
        },
        "cross_validation": {"folds": 2},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert main(["check", "--config", str(tmp_path / "config.json"), "--quiet"]) == 0
    findings = json.loads((tmp_path / "results" / "check" / "check.json").read_text())["findings"]
    kinds = {finding["kind"] for finding in findings}
    assert kinds - {"rare class", "near duplicates", "dark photo"} == {"missing backbone"}
    (missing,) = (finding for finding in findings if finding["kind"] == "missing backbone")
    assert missing["severity"] == "warning"
    assert "backbone none: not found: " in missing["text"]
