import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from carclf.checking.findings import SEVERITIES
from carclf.checking.photo_quality import look_at_file
from carclf.checking.survey import survey_data
from carclf.config import read_config
from tests.small_set import SIZE, SmallSet, draw_patches, the, write_photo


@pytest.fixture
def small(tmp_path: Path) -> SmallSet:
    return SmallSet(tmp_path / "set")


def test_a_clean_set_is_sound_and_has_no_findings(small: SmallSet) -> None:
    survey = small.survey()
    assert [(finding.kind, finding.text) for finding in survey.findings] == []
    assert survey.is_sound
    assert survey.kin is not None
    assert (survey.kin.photos, survey.kin.groups, survey.kin.exact, survey.kin.near) == (24, 24, 0, 0)
    assert sum(fold.photos for fold in survey.folds) == 24


def test_each_kind_of_bad_photo_is_named_and_the_others_go_on(small: SmallSet) -> None:
    (small.photos / "p00.png").write_text("this is no photo")
    (small.photos / "p01.png").write_bytes((small.photos / "p01.png").read_bytes()[:300])
    (small.photos / "p02.png").write_bytes(b"")
    write_photo(small.photos / "p03.png", np.zeros((120, 160, 3), np.uint8))
    write_photo(small.photos / "p04.png", draw_patches(4)[:8, :8])
    (small.masks / "p04.png").unlink()
    blurred = Image.fromarray(draw_patches(5)).filter(ImageFilter.GaussianBlur(6))
    write_photo(small.photos / "p05.png", np.array(blurred))
    write_photo(small.photos / "p06.png", draw_patches(6), format="JPEG")
    (small.photos / "Thumbs.db").write_bytes(b"\0\1")
    survey = small.survey()
    assert the(survey, "unreadable photo").photos == ("p00.png", "p02.png")
    assert "empty" in the(survey, "unreadable photo").notes["p02.png"]
    assert the(survey, "truncated photo").photos == ("p01.png",)
    assert the(survey, "dark photo").photos == ("p03.png",)
    assert the(survey, "tiny photo").notes == {"p04.png": "8 × 8 pixels"}
    assert the(survey, "blurred photo").photos == ("p05.png",)
    assert the(survey, "wrong extension").notes == {"p06.png": "is JPEG"}
    assert the(survey, "no photo").photos == ("Thumbs.db",)
    assert survey.is_sound  # a run leaves unreadable photos out
    assert survey.kin is not None
    assert survey.kin.photos == 21
    severities = [SEVERITIES.index(finding.severity) for finding in survey.findings]
    assert severities == sorted(severities)


def test_unreadable_photos_are_unsound_where_a_run_stops_at_them(small: SmallSet) -> None:
    (small.photos / "p00.png").write_text("this is no photo")
    path = small.write()
    path.write_text(path.read_text().replace('"photos": "photos"', '"photos": "photos", "on_bad_photo": "stop"'))
    survey = survey_data(read_config(path))
    assert the(survey, "unreadable photo").severity == "unsound"
    assert not survey.is_sound


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_that_lies_on_its_side_is_measured_as_people_see_it(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    write_photo(tmp_path / "a.jpg", draw_patches(0), exif=exif, quality=95)
    file = look_at_file(tmp_path / "a.jpg", "a.jpg")
    assert file.frame is not None
    size = (file.frame.width, file.frame.height)
    assert size == (SIZE if orientation < 5 else SIZE[::-1])
    assert file.format == "JPEG"
    assert not file.problem


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16", "F"])
def test_photos_of_every_mode_are_measured_or_told(tmp_path: Path, mode: str) -> None:
    grey = Image.fromarray(draw_patches(0)).convert("L")
    image = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257) if mode == "I;16" else grey.convert(mode)
    image.save(tmp_path / "a.tif")
    file = look_at_file(tmp_path / "a.tif", "a.tif")
    assert ("floating-point" in file.problem) == (mode == "F")
    if mode != "F":
        assert file.sharpness > 80
        assert file.brightness > 90


def test_sharpness_falls_with_blur_and_brightness_with_light(tmp_path: Path) -> None:
    pixels = draw_patches(1)
    measured = []
    for radius in (0, 1, 2, 4):
        Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(radius)).save(tmp_path / "a.png")
        measured.append(look_at_file(tmp_path / "a.png", "a.png").sharpness)
    assert measured == sorted(measured, reverse=True)
    write_photo(tmp_path / "b.png", (pixels * 0.25).astype(np.uint8))
    dark = look_at_file(tmp_path / "b.png", "b.png").brightness
    write_photo(tmp_path / "c.png", pixels)
    assert dark == pytest.approx(look_at_file(tmp_path / "c.png", "c.png").brightness / 4, abs=1)


def test_sharpness_does_not_depend_on_the_size_of_a_large_photo(tmp_path: Path) -> None:
    pixels = np.array(Image.fromarray(draw_patches(1)).resize((1024, 768), Image.Resampling.BICUBIC))
    write_photo(tmp_path / "large.png", pixels)
    half = Image.fromarray(pixels).resize((512, 384), Image.Resampling.BOX)
    write_photo(tmp_path / "half.png", np.array(half))
    large, small = (look_at_file(tmp_path / f"{name}.png", name).sharpness for name in ("large", "half"))
    assert large == pytest.approx(small, rel=0.02)


def test_duplicates_are_told_with_what_their_labels_say(small: SmallSet) -> None:
    def copy(source: str, target: str, pixels: bool = False, **cells: str) -> None:
        if pixels:
            write_photo(small.photos / target, np.array(Image.open(small.photos / source))[:, ::-1])
        else:
            shutil.copy(small.photos / source, small.photos / target)
        small.rows.append({**small.row(source), "name": target, **cells})
        if (small.masks / source).exists():
            mask = Image.open(small.masks / source)
            (mask.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if pixels else mask).save(small.masks / target)

    copy("p00.png", "same.png")
    copy("p01.png", "other.png", damage="minor")
    copy("p03.png", "turned.png", pixels=True, location="left")
    small.row("p03.png")["location"] = "right"
    copy("p15.png", "unturned.png", pixels=True)
    small.row("p15.png")["location"] = small.row("unturned.png")["location"] = "left"
    survey = small.survey()
    assert the(survey, "exact duplicates").photos == ("p00.png", "same.png")
    contradicting = the(survey, "duplicates with other labels")
    assert contradicting.severity == "unsound"
    assert "severity severe and minor" in contradicting.text
    agreeing = the(survey, "near duplicates")  # left in one is right in the other, and that is as it should be
    assert agreeing.photos == ("p03.png", "turned.png")
    assert "mirrored" in agreeing.text
    assert "location left and right" in the(survey, "near duplicates with other labels").text
    assert survey.kin is not None
    assert (survey.kin.exact, survey.kin.near, survey.kin.mirrored) == (2, 2, 2)


def test_the_group_column_makes_groups_but_no_duplicates(small: SmallSet) -> None:
    for row in small.rows:
        row["group"] = "car" if row["name"] in ("p00.png", "p01.png") else ""
    survey = small.survey()
    assert survey.findings == ()
    assert survey.kin is not None
    assert (survey.kin.groups, survey.kin.shared, survey.kin.largest) == (23, 1, 2)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes")
def test_a_pipe_among_the_photos_is_not_waited_for(small: SmallSet) -> None:
    os.mkfifo(small.photos / "pipe.jpg")
    (reason,) = the(small.survey(), "photo without label").notes.values()
    assert reason.endswith("pipe.jpg: cannot be read: it is no file.")


def test_names_that_are_no_text_can_be_shown(small: SmallSet) -> None:
    try:
        (small.photos / os.fsdecode(b"\xff\xfe.jpg")).write_text("no photo")
        (small.photos / os.fsdecode(b"\xff\xfe.txt")).write_text("no photo")
    except OSError:
        pytest.skip("this disk takes no such names")
    survey = small.survey()
    assert the(survey, "photo without label").photos == ("\\udcff\\udcfe.jpg",)
    assert the(survey, "no photo").photos == ("\\udcff\\udcfe.txt",)
