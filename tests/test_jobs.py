"""Jobs: many photos into one folder, the same to the byte however often killed, nothing twice, nothing lost."""

import csv
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from carclf.cli import main
from carclf.errors import RunDirError
from carclf.jobs.contact_sheet import COLUMNS, ROWS, write_sheets
from carclf.jobs.job import Job
from carclf.jobs.journal import Journal, read_lines
from carclf.jobs.report_page import Report, write_report
from carclf.jobs.request import JobRequest
from carclf.jobs.tables import write_answers
from carclf.jobs.thumbnails import Thumbnails
from carclf.predict import Predictor
from carclf.regions_out import RegionWriter
from carclf.saying import Answer
from tests.drawn_set import REPO

HEAD = "damage_mask"
IMPATIENT = """
import sys
from carclf.cli import main
from carclf.jobs import keeping
keeping._MOST_LINES = 10
main(sys.argv[1:])
"""
PATIENCE = 120  # seconds after which a job that writes nothing counts as hung


@pytest.fixture(scope="module")
def drawn(drawn_set: Path) -> list[Path]:
    return sorted((drawn_set / "photos").iterdir())


def copy_photos(photos: Sequence[Path], to: Path) -> list[Path]:
    """Links photos into a folder."""
    to.mkdir(parents=True, exist_ok=True)
    for photo in photos:
        os.link(photo, to / photo.name)
    return [to / photo.name for photo in photos]


def run(predictor: Predictor, to: Path, *given: Path, **asked: Any) -> int:
    """Runs a job; returns how many photos failed."""
    outputs = {word: to / word for word in asked.pop("outputs", ())}
    return Job(predictor, JobRequest(to, given, outputs, **asked), 2).run(quiet=True)


def answers(folder: Path) -> list[dict[str, Any]]:
    return [said for _, said in read_lines(folder / "answers.jsonl")]


def names(folder: Path) -> list[str]:
    return [Path(said["photo"]).name for said in answers(folder)]


def errors(folder: Path) -> list[tuple[str, str]]:
    with (folder / "errors.csv").open(encoding="utf-8", newline="") as file:
        rows = [(row["name"], row["reason"]) for row in csv.DictReader(file)]
    assert [(said["photo"], said["reason"]) for _, said in read_lines(folder / "errors.jsonl")] == rows
    return rows


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file of a job but the lock and the ledger."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path.name not in (".lock", ".job.sqlite"))
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


# -- what is written


def test_a_job_writes_what_is_printed_without_one(
    drawn_run: Path, drawn: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = copy_photos(drawn[:20], tmp_path / "photos")
    (tmp_path / "photos" / "broken.jpg").write_bytes(drawn[0].read_bytes()[:500])
    config, to = str(drawn_run / "config.json"), tmp_path / "out"
    words = ["predict", "--config", config, str(tmp_path / "photos"), str(tmp_path / "nowhere.jpg")]
    assert main(words) == 2
    printed = capsys.readouterr()
    again = [str(photos[3]), str(photos[3].parent / ".." / "photos" / photos[4].name)]  # asked about twice
    assert main([*words, *again, "--to", str(to), "--with", "overlays,masks,regions"]) == 2
    told = capsys.readouterr()
    assert (to / "answers.jsonl").read_text(encoding="utf-8") == printed.out
    assert [f"{name}: {reason}" for name, reason in errors(to)] == printed.err.splitlines()[-2:]
    assert told.err.splitlines()[-2:] == printed.err.splitlines()[-2:]
    assert "\r" not in told.err  # no progress bar where nobody looks
    assert "What the folder holds" in told.out
    assert "{" not in told.out
    assert str(to / "report.html") in told.out
    stems = sorted(path.stem for path in photos)
    assert sorted(path.name for path in (to / "overlays").iterdir()) == [f"{stem}_{HEAD}.png" for stem in stems]
    assert sorted(path.name for path in (to / "masks" / HEAD).iterdir()) == [f"{stem}.png" for stem in stems]
    job = json.loads((to / "job.json").read_text())
    assert (job["views"], job["outputs"]["masks"], list(job["heads"])) == (2, "masks", list(answers(to)[0]["heads"]))


def test_the_table_says_what_the_lines_say(predictor: Predictor, drawn: list[Path], tmp_path: Path) -> None:
    run(predictor, tmp_path, *drawn[:12])
    with (tmp_path / "answers.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row, said in zip(rows, answers(tmp_path), strict=True):
        severity, kind, mask = (said["heads"][name] for name in ("severity", "damage_type", HEAD))
        assert (row["photo"], row["photo_sha256"]) == (said["photo"], said["photo_sha256"])
        assert row["severity"] == severity["label"]
        assert {label: float(row[f"severity_p_{label}"]) for label in severity["probabilities"]} == severity[
            "probabilities"
        ]
        assert float(row["severity_probability"]) == max(severity["probabilities"].values())
        assert row["damage_type"] == (";".join(kind["labels"]) or "NULL")
        assert float(row[f"{HEAD}_percent"]) == mask["damaged_percent"]
        assert row[f"{HEAD}_regions"].count("[") == len(mask["regions"])


def test_regions_are_those_that_predict_writes_without_a_job(
    predictor: Predictor, drawn: list[Path], tmp_path: Path
) -> None:
    unsure = {name: replace(head, min_probability=0.0) for name, head in predictor.mask_heads.items()}
    unsure_predictor = replace(predictor, mask_heads=unsure)
    photos = copy_photos(drawn[:6], tmp_path / "photos" / "deep")
    writer = RegionWriter(tmp_path / "plain", {HEAD: unsure[HEAD].label_set}, [tmp_path / "photos"])
    for answer in unsure_predictor.predict(photos):
        assert isinstance(answer, Answer)
        writer.write(answer)
    writer.finish()
    run(unsure_predictor, tmp_path / "out", tmp_path / "photos", outputs=["regions"])
    plain, written = (json.loads((tmp_path / path / f"{HEAD}.json").read_text()) for path in ("plain", "out/regions"))
    assert len(plain["annotations"]) >= 6
    for note in plain["annotations"]:
        note["score"] = round(note["score"], 4)  # as the lines have it
    assert written == plain
    assert written["images"][0]["file_name"].startswith("deep/")
    copy_photos(drawn[6:8], tmp_path / "more")
    run(unsure_predictor, tmp_path / "out", tmp_path / "more", outputs=["regions"])
    extended = json.loads((tmp_path / "out/regions" / f"{HEAD}.json").read_text())
    assert extended["images"][:6] == written["images"]  # what was loaded into a tool keeps its names


# -- killed, changed, mended


def test_a_job_that_was_killed_ends_as_if_it_had_been_left_alone(
    predictor: Predictor, drawn_run: Path, drawn: list[Path], tmp_path: Path
) -> None:
    photos, killed = tmp_path / "photos", tmp_path / "killed"
    for number in range(3):  # the same photos by other names, in folders of their own
        copy_photos(drawn, photos / f"car {number}")
    (photos / "car 0" / "broken.jpg").write_bytes(b"no photo")
    asked: dict[str, Any] = {"outputs": ["overlays", "masks", "regions"], "report_photos": 50}
    assert run(predictor, tmp_path / "alone", photos, **asked) == 1
    words = [photos, "--to", killed, "--with", "overlays,masks,regions", "--report-photos", 50]
    command = [sys.executable, "-c", IMPATIENT, "predict", "--config", drawn_run / "config.json", *words]
    process = subprocess.Popen([*map(str, command)], cwd=REPO, stderr=subprocess.DEVNULL)
    hung = time.monotonic() + PATIENCE
    while len(list(killed.glob("overlays/*"))) < 60 and time.monotonic() < hung:
        time.sleep(0.005)
    process.kill()
    process.wait()
    assert 30 <= len(answers(killed)) < 144
    with (killed / "answers.jsonl").open("ab") as journal:
        journal.write(b'{"photo": "half a li')
    assert run(predictor, killed, photos, **asked) == 1
    expected, found = files_of(tmp_path / "alone"), files_of(killed)
    assert expected.keys() == found.keys()
    assert [name for name in expected if expected[name] != found[name]] == []
    assert len(names(killed)) == 144
    assert run(predictor, killed, photos, **asked) == 1  # once more: nothing is left to do but what failed
    assert files_of(killed) == expected


def test_what_changed_is_answered_anew_and_what_failed_is_tried_again(
    predictor: Predictor, drawn: list[Path], tmp_path: Path
) -> None:
    folder, to = tmp_path / "photos", tmp_path / "out"
    photos = copy_photos(drawn[:4], folder)
    late = folder / "late.jpg"
    late.write_bytes(b"still being copied")
    assert run(predictor, to, folder, outputs=["overlays"]) == 1
    assert [name for name, _ in errors(to)] == [str(late)]
    before = answers(to)
    photos[0].unlink()  # which was a link
    shutil.copy(drawn[10], photos[0])  # another photo
    late.unlink()
    shutil.copy(drawn[11], late)
    photos[1].unlink()  # gone: nobody can say that it changed
    copy_photos(drawn[5:6], folder)  # new
    photos[2].unlink()
    photos[2].write_bytes(b"no photo any more")
    assert run(predictor, to, folder, photos[1], outputs=["overlays"]) == 1
    after = answers(to)
    assert names(to) == [photos[0].name, photos[1].name, photos[3].name, drawn[5].name, "late.jpg"]
    assert after[0]["photo_sha256"] == sha256(drawn[10].read_bytes()).hexdigest() != before[0]["photo_sha256"]
    assert after[1:3] == [before[1], before[3]]
    assert [name for name, _ in errors(to)] == [str(photos[2])]
    with Image.open(to / "overlays" / f"{photos[0].stem}_{HEAD}.png") as overlay, Image.open(drawn[10]) as original:
        assert overlay.size == original.size


def test_pictures_keep_their_names_from_run_to_run(predictor: Predictor, drawn: list[Path], tmp_path: Path) -> None:
    paths = [tmp_path / folder / "car.jpg" for folder in ("a", "b", "c")]
    for path, photo in zip(paths, drawn, strict=False):
        path.parent.mkdir()
        shutil.copy(photo, path)
    run(predictor, tmp_path / "out", paths[1], outputs=["overlays", "masks"])
    run(predictor, tmp_path / "out", tmp_path / "a", tmp_path / "c", outputs=["overlays", "masks"])
    shutil.copy(drawn[7], paths[1])
    run(predictor, tmp_path / "out", *paths, outputs=["overlays", "masks"])
    shown = {path.name for path in (tmp_path / "out" / "overlays").iterdir()}
    assert shown == {f"car_{HEAD}.png", f"car-2_{HEAD}.png", f"car-3_{HEAD}.png"}
    masks = {str(path.relative_to(tmp_path / "out" / "masks" / HEAD)) for path in tmp_path.glob("out/masks/*/**/*.png")}
    assert masks == {"car.png", "a/car.jpg.png", "c/car.jpg.png"}
    with Image.open(tmp_path / "out" / "overlays" / f"car_{HEAD}.png") as overlay, Image.open(drawn[7]) as original:
        assert overlay.size == original.size


def test_two_jobs_in_one_folder_do_not_answer_twice(predictor: Predictor, drawn: list[Path], tmp_path: Path) -> None:
    both = [threading.Thread(target=run, args=(predictor, tmp_path, *drawn[:20])) for _ in range(2)]
    for each in both:
        each.start()
    for each in both:
        each.join()
    assert names(tmp_path) == [photo.name for photo in drawn[:20]]


def test_a_folder_holds_the_answers_of_one_model_asked_in_one_way(
    predictor: Predictor, drawn: list[Path], tmp_path: Path
) -> None:
    run(predictor, tmp_path / "out", drawn[0])
    other = replace(predictor, model_sha256="ab" * 32)
    with pytest.raises(RunDirError, match=r"out: holds a job that was asked otherwise: model_sha256 .*, now abab"):
        run(other, tmp_path / "out", drawn[0])
    with pytest.raises(
        RunDirError, match=r'outputs \{\}, now \{"masks": "masks"\}, report_photos 300, now 5\. Give an'
    ):
        run(predictor, tmp_path / "out", drawn[0], outputs=["masks"], report_photos=5)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "answers.csv").touch()
    with pytest.raises(RunDirError, match=r"mine: has answers\.csv, but no job\.json: no job has written that"):
        run(predictor, tmp_path / "mine", drawn[0])
    (tmp_path / "out" / "job.json").write_text("[]")
    with pytest.raises(RunDirError, match=r"job\.json: an object of JSON was expected"):
        run(predictor, tmp_path / "out", drawn[0])


def test_a_damaged_journal_is_told(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    with Journal(path) as journal:
        places = [journal.append({"photo": name}) for name in ("a", "\udcff", "ü" * 100_000)]
    assert [where for where, _ in read_lines(path)] == places
    assert [said["photo"] for _, said in read_lines(path)] == ["a", "\udcff", "ü" * 100_000]
    path.write_bytes(path.read_bytes()[:-1])  # the last line has not come to its end
    with Journal(path) as journal:
        assert journal.append({"photo": "b"}) == places[2]
    assert [said["photo"] for _, said in read_lines(path)] == ["a", "\udcff", "b"]
    path.write_bytes(b"\0\0\n")
    with pytest.raises(RunDirError, match=r"answers\.jsonl, line 1: is damaged"):
        list(read_lines(path))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_is_told_in_one_line() -> None:
    journal = Journal(Path("/dev/full"))
    journal.append({"photo": "a"})
    with pytest.raises(RunDirError, match=r"/dev/full: cannot be written \(No space left on device\)"), journal:
        journal.keep()


# -- the page and the sheets


class _Page(HTMLParser):
    """Collects what a page would load, its cards, its script and its rules."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.cards: list[dict[str, str]] = []
        self.script, self.policy, self.text, self._inside = "", "", "", ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self._inside = tag
        self.addresses += [found[name] for name in ("src", "href", "srcset", "action") if name in found]
        assert not any(name.startswith("on") for name in found)
        if found.get("class") == "card":
            self.cards.append(found)
        if found.get("http-equiv") == "Content-Security-Policy":
            self.policy = found["content"]

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.script += data
        elif self._inside != "style":
            self.text += data

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""


def test_the_page_needs_nothing_else_and_runs_no_other_script(
    predictor: Predictor, drawn: list[Path], tmp_path: Path
) -> None:
    hostile = tmp_path / "photos" / '!<script>alert(1)<\\script>" onload="x&amp;.jpg'
    hostile.parent.mkdir()
    shutil.copy(drawn[0], hostile)
    copy_photos(drawn[1:9], tmp_path / "photos")
    run(predictor, tmp_path / "out", tmp_path / "photos", tmp_path / "<b>gone", report_photos=8)
    page = _Page((tmp_path / "out" / "report.html").read_text(encoding="utf-8"))
    assert len(page.cards) == 8
    assert len(page.addresses) == 16  # a photo and its mask each
    assert all(address.startswith("data:image/") for address in page.addresses)
    assert page.cards[0]["data-name"] == str(hostile)
    assert hostile.name in page.text
    assert "<b>gone" in page.text
    assert "The first 8 photos of 9 are shown" in page.text
    assert page.script.count("<") == page.script.count("</script") + page.script.count(" < ")
    digest = b64encode(sha256(page.script.encode()).digest()).decode()
    assert page.policy.endswith(f"script-src 'sha256-{digest}'")
    assert page.policy.startswith("default-src 'none'; img-src data:;")


def test_what_is_left_to_people_is_shown_with_its_reason(tmp_path: Path) -> None:
    heads: dict[str, Any] = {
        "severity": {"kind": "categorical", "label": None, "probabilities": {"minor": 0.6, "whole": 0.4}},
        "type": {"kind": "multi_label", "labels": None, "probabilities": {"dent": 0.5}},
        "mask": {
            "kind": "segmentation",
            "damaged_percent": None,
            "percent": {"damage": 4.5},
            "regions": [],
            "regions_left_out": 2,
        },
    }
    for head in heads.values():
        head |= {"confidence": 0.41, "reason": "its confidence 0.41 is below min_probability 0.60"}
    sure = {"kind": "categorical", "label": "whole", "probabilities": {"minor": 0, "whole": 1}, "confidence": 1.0}
    none = {"kind": "multi_label", "labels": [], "probabilities": {"dent": 0.01}, "confidence": 0.99}
    with Journal(tmp_path / "answers.jsonl") as journal:
        journal.append({"photo": "a.jpg", "photo_sha256": "0", "heads": heads})
        journal.append({"photo": "b.jpg", "photo_sha256": "1", "heads": {**heads, "severity": sure, "type": none}})
    kinds = {"severity": ["minor", "whole"], "type": ["dent"], "mask": ["damage"]}
    told = {name: {"kind": heads[name]["kind"], "classes": classes} for name, classes in kinds.items()}
    counts = write_answers(tmp_path / "answers.jsonl", tmp_path / "answers.csv", told)
    assert (counts.photos, counts.left_open) == (2, 2)
    assert counts.labels == {
        "severity": {"cannot say": 1, "whole": 1},
        "type": {"cannot say": 1, "none": 1},
        "mask": {"cannot say": 2},
    }
    with (tmp_path / "answers.csv").open(newline="") as file:
        first, second = csv.DictReader(file)
    assert [first[column] for column in ("severity", "type", "mask_percent")] == ["", "", ""]
    assert (first["severity_probability"], first["mask_percent_damage"]) == ("0.41", "4.5")
    assert first["type_reason"] == "its confidence 0.41 is below min_probability 0.60"
    assert (second["severity"], second["type"], second["severity_reason"]) == ("whole", "NULL", "")
    job = {"model": "m", "model_sha256": "0" * 64, "carclf_version": "1", "views": 6, "trained_views": 2}
    report = Report(
        job | {"report_photos": 9, "heads": told},
        tmp_path / "answers.jsonl",
        tmp_path / "errors.jsonl",
        counts,
        Thumbnails(tmp_path, {}),
    )
    write_report(report, tmp_path / "report.html")
    page = _Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert [(card["data-groups"], card["data-open"], card["data-damaged"]) for card in page.cards] == [
        ("2", "1", "-1.0"),
        ("1", "1", "-1.0"),
    ]
    assert page.text.count("its confidence 0.41 is below min_probability 0.60") == 4
    assert "Looked at in 6 views; the heads were fitted, calibrated and judged with 2." in page.text
    (sheet,) = write_sheets(report.shown, Thumbnails(tmp_path, {}), tmp_path)
    assert sheet.name == "contact_sheet.png"


def test_a_sheet_holds_so_many_photos_and_no_more(predictor: Predictor, drawn: list[Path], tmp_path: Path) -> None:
    copy_photos(drawn, tmp_path / "photos" / "a")
    copy_photos(drawn[:7], tmp_path / "photos" / "b")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "contact_sheet_mine.png").touch()
    run(predictor, tmp_path / "out", tmp_path / "photos")
    (tmp_path / "out" / "contact_sheet_mine.png").unlink()  # it was let alone
    sheets = sorted((tmp_path / "out").glob("*.png"))
    assert [sheet.name for sheet in sheets] == ["contact_sheet_01.png", "contact_sheet_02.png"]
    assert len(drawn) == COLUMNS * ROWS
    sizes = []
    for sheet in sheets:
        with Image.open(sheet) as image:
            sizes.append(image.size)
    assert sizes[0][0] == sizes[1][0]
    assert sizes[0][1] > 3 * sizes[1][1]


# -- views, and what is refused


def test_other_views_are_said_wherever_answers_are(
    drawn_run: Path, drawn: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["predict", "--config", str(drawn_run / "config.json"), str(drawn[0])]
    probabilities = []
    for views in ("2", "1"):
        assert main([*words, "--views", views]) == 0
        said = capsys.readouterr()
        assert ("1 views: the classification heads were fitted" in said.err) is (views == "1")
        probabilities.append(json.loads(said.out)["heads"]["severity"]["probabilities"])
    assert probabilities[0] != probabilities[1]
    assert main([*words, "--views", "1", "--to", str(tmp_path / "out")]) == 0
    assert json.loads((tmp_path / "out" / "job.json").read_text())["views"] == 1
    assert "Their scores do not hold for these answers" in (tmp_path / "out" / "report.html").read_text()
    assert main([*words, "--to", str(tmp_path / "out")]) == 2
    assert "holds a job that was asked otherwise: views 1, now 2." in capsys.readouterr().err


def test_wrong_words_are_told_before_a_model_is_loaded(
    drawn_run: Path, drawn: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*words: object) -> str:
        assert main(["predict", "--config", str(drawn_run / "config.json"), *map(str, words)]) == 2
        return capsys.readouterr().err

    to = ("--to", tmp_path / "out")
    assert 'is none of overlays, masks, color-masks, probabilities, regions. Did you mean "overlays"?' in refused(
        drawn[0], *to, "--with", "masks,overlay"
    )
    assert "--with masks: names folders in that of --to. Add --to DIR." in refused(drawn[0], "--with", "masks")
    assert "--prompt asks for the photos" in refused("--prompt", *to)
    assert "lies in" in refused(tmp_path, "--to", tmp_path)
    assert "--to and --masks: both write into" in refused(drawn[0], *to, "--masks", tmp_path / "out")
    assert '"x" is no number of photos' in refused(drawn[0], *to, "--report-photos", "x")
    assert "no such file or folder" in refused(tmp_path / "*.jpg", *to)
    assert "is a file. Give a folder" in refused(drawn[0], "--to", drawn[1])
    assert not (tmp_path / "out").exists()
