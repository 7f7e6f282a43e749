"""The whole of prepare: what lies in the folder, and what must never happen."""

import csv
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from carclf.cli import main
from carclf.config import read_config
from carclf.errors import CarclfError, PhotoError, RunDirError
from carclf.label_file import read_label_file
from carclf.preparing import whole as whole_module
from carclf.preparing.options import PrepareOptions
from carclf.preparing.output import mirror_ids
from carclf.preparing.whole import prepare

WIDTH, HEIGHT = 72, 54
SIDES = ("left", "right")
Prepared = Callable[..., Path]


def paint(seed: int) -> tuple[Image.Image, np.ndarray[Any, Any], int]:
    """A soft picture of its own with a bright block; the block's mask; its class: 1 left, 2 right."""
    rng = np.random.default_rng(seed)
    soft = Image.fromarray(rng.integers(0, 130, (5, 6, 3), dtype=np.uint8)).resize((WIDTH, HEIGHT), 3)
    pixels, mask, side = np.array(soft), np.zeros((HEIGHT, WIDTH), np.uint8), seed % 2
    top, left = rng.integers(12, 22), rng.integers(14, 20) if side == 0 else rng.integers(38, 44)
    mask[top : top + 16, left : left + 16] = side + 1
    pixels[mask > 0] = 250
    return Image.fromarray(pixels), mask, side


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 photos: JPEG and PNG, one twice, one mirrored, one on its side, one in a subfolder, three without mask."""
    folder = tmp_path_factory.mktemp("source")
    for part in ("photos/sub", "masks/sub"):
        (folder / part).mkdir(parents=True)
    lines = ["name,side,severity,remark"]
    for number in range(40):
        photo, mask, side = paint(number)
        name = f"{'sub/' if number == 5 else ''}p{number:02d}.{'png' if number % 4 == 3 else 'jpg'}"
        if number == 38:  # twin of p00
            name, (photo, mask, side) = "twin.jpg", paint(0)
        if number == 39:  # p02 in the mirror
            photo, mask, side = paint(2)
            photo, mask, side = ImageOps.mirror(photo), np.array([0, 2, 1], np.uint8)[mask[:, ::-1]], 1 - side
        exif = Image.Exif()
        if number == 7:
            name, exif[0x0112] = "p07.jpg", 6
            photo = photo.transpose(Image.Transpose.ROTATE_90)
        photo.save(folder / "photos" / name, quality=95, exif=exif)
        if number not in (10, 11, 12):
            Image.fromarray(mask).save(folder / "masks" / Path(name).with_suffix(".png"))
        lines.append(f"{name},{SIDES[side]},{('minor', 'severe')[number % 3 == 0]},r{number}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    (folder / "side.txt").write_text("left; mirror=right; color=200,0,0\nright; mirror=left\n")
    (folder / "severity.txt").write_text("minor\nsevere\n")
    mask_head = {"kind": "segmentation", "labels": "side.txt"}
    config = {
        "dataset": {
            "photos": "photos",
            "labels": "labels.csv",
            "annotations": [{"format": "masks", "path": "masks", "head": "mask"}],
        },
        "backbones": {"none": {"local": "no_backbone_here", "image_size": 64}},
        "models": ["none"],
        "heads": {
            "side": {"kind": "multi_label", "labels": "side.txt"},
            "severity": {"kind": "categorical", "labels": "severity.txt"},
            "mask": mask_head,
        },
        "workers": 2,
    }
    (folder / "config.json").write_text(json.dumps(config))
    second = {"format": "masks", "path": "masks", "head": "other"}
    for name, heads, annotations in (
        ("two.json", config["heads"] | {"other": mask_head}, [*config["dataset"]["annotations"], second]),  # type: ignore[operator, index]
        ("labels_only.json", {"side": config["heads"]["side"]}, []),  # type: ignore[index]
    ):
        changed = config | {"heads": heads, "dataset": config["dataset"] | {"annotations": annotations}}  # type: ignore[operator]
        (folder / name).write_text(json.dumps(changed))
    return folder


@pytest.fixture(scope="module")
def prepared(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    to = tmp_path_factory.mktemp("to") / "set"
    prepare(read_config(source / "config.json"), PrepareOptions(copies=2, seed=3), to)
    return to


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests look at the pictures; drawing them takes most of the time."""
    monkeypatch.setattr(whole_module, "draw_statistics", lambda counts, path: path.write_text("statistics"))
    monkeypatch.setattr(whole_module, "draw_samples", lambda folder, written, names, path: path.write_text("samples"))


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def files_of(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def pixels(path: Path) -> np.ndarray[Any, Any]:
    with Image.open(path) as image:
        return np.array(image)


def test_every_photo_is_in_one_part_with_its_mask_and_its_line(prepared: Path) -> None:
    table = rows_of(prepared / "split.csv")
    originals = [row for row in table if not row["copy_of"]]
    assert len(originals) == len({row["source"] for row in originals}) == 37
    for split in ("train", "valid", "test"):
        images = {path.name for path in (prepared / split / "images").iterdir()}
        masks = {path.stem for path in (prepared / split / "masks").iterdir()}
        assert images == {row["photo"] for row in table if row["split"] == split}
        assert masks == {Path(name).stem for name in images}
        assert [row["name"] for row in rows_of(prepared / split / "labels.csv")] == [
            row["photo"] for row in table if row["split"] == split
        ]
        for name in images:
            assert pixels(prepared / split / "images" / name).shape == (HEIGHT, WIDTH, 3)
            assert pixels(prepared / split / "masks" / f"{Path(name).stem}.png").shape == (HEIGHT, WIDTH)


def test_copies_are_made_of_training_photos_alone(prepared: Path) -> None:
    table = rows_of(prepared / "split.csv")
    train = {row["photo"] for row in table if row["split"] == "train" and not row["copy_of"]}
    copies = [row for row in table if row["copy_of"]]
    assert {row["split"] for row in copies} == {"train"}
    assert sorted(row["copy_of"] for row in copies) == sorted([*train, *train])


def test_groups_and_twins_never_straddle_the_parts(prepared: Path) -> None:
    split_of: dict[str, set[str]] = {}
    table = rows_of(prepared / "split.csv")
    for row in table:
        split_of.setdefault(row["group"], set()).add(row["split"])
    assert all(len(splits) == 1 for splits in split_of.values())
    group = {row["source"]: row["group"] for row in table}
    assert group["p00.jpg"] == group["twin.jpg"]  # the same bytes
    assert group["p02.jpg"] == group["p39.png"]  # in the mirror
    assert len(set(group.values())) == 35


def test_no_picture_of_a_judging_part_is_in_training_not_even_mirrored(prepared: Path) -> None:
    def looks(path: Path) -> list[np.ndarray[Any, Any]]:
        with Image.open(path) as image:
            small = np.asarray(image.convert("L").resize((12, 9), 3), np.float64)
        return [small, small[:, ::-1]]

    train = [look for path in (prepared / "train" / "images").iterdir() for look in looks(path)]
    for split in ("valid", "test"):
        for path in (prepared / split / "images").iterdir():
            assert min(np.abs(looks(path)[0] - other).mean() for other in train) > 3
    hashes = {split: set(files_of(prepared / split / "images").values()) for split in ("train", "valid", "test")}
    assert not hashes["train"] & (hashes["valid"] | hashes["test"])


def test_photos_are_upright_without_exif_and_of_their_sources_kind(prepared: Path) -> None:
    for row in rows_of(prepared / "split.csv"):
        path = prepared / row["split"] / "images" / row["photo"]
        assert path.suffix == Path(row["source"]).suffix
        with Image.open(path) as image:
            assert image.format == {".jpg": "JPEG", ".png": "PNG"}[path.suffix]
            assert not image.getexif()
            if not row["copy_of"] and row["source"] == "p07.jpg":
                assert np.abs(np.asarray(image).astype(int) - np.asarray(paint(7)[0])).mean() < 8


def test_masks_hold_the_sources_classes_in_the_label_files_colours(prepared: Path) -> None:
    for row in rows_of(prepared / "split.csv"):
        with Image.open(prepared / row["split"] / "masks" / f"{Path(row['photo']).stem}.png") as mask:
            ids, palette = set(np.unique(np.asarray(mask)).tolist()), mask.getpalette() or []
        assert mask.mode == "P"
        assert palette[:6] == [0, 0, 0, 200, 0, 0]
        if row["copy_of"]:
            assert ids <= {0, 1, 2, 255}
        else:
            assert len(ids) == 2
            assert 0 in ids
            assert 255 not in ids


def test_photo_mask_and_labels_of_a_copy_agree_also_mirrored(prepared: Path) -> None:
    labels = {row["name"]: row for row in rows_of(prepared / "train" / "labels.csv")}
    swap = {"left": "right", "right": "left"}
    mirrored = 0
    for row in rows_of(prepared / "split.csv"):
        if not row["copy_of"]:
            continue
        mirrored += row["mirrored"] == "1"
        line, first = labels[row["photo"]], labels[row["copy_of"]]
        assert line["side"] == (swap[first["side"]] if row["mirrored"] == "1" else first["side"])
        assert (line["severity"], line["remark"]) == (first["severity"], first["remark"])
        mask = pixels(prepared / "train" / "masks" / f"{Path(row['photo']).stem}.png")
        assert set(np.unique(mask)) - {0, 255} == {SIDES.index(line["side"]) + 1}
        photo = pixels(prepared / "train" / "images" / row["photo"]).mean(axis=-1)
        drawn, inside = (mask != 0) & (mask != 255), mask != 255
        # light and noise differ: the block is what is brighter than halfway between both
        bright = photo > (photo[drawn].mean() + photo[inside & ~drawn].mean()) / 2
        assert (bright & drawn).sum() / drawn.sum() > 0.85
    assert 10 < mirrored < 40


def test_the_classes_are_a_label_file_of_the_project(prepared: Path) -> None:
    label_set = read_label_file(prepared / "classes.txt")
    assert label_set.names == SIDES
    assert label_set.mirror == (1, 0)
    assert label_set.colors[0] == (200, 0, 0)
    assert mirror_ids(label_set)[[0, 1, 2, 3, 255]].tolist() == [0, 2, 1, 3, 255]


def test_the_counts_are_those_of_the_files(prepared: Path) -> None:
    tree = json.loads((prepared / "prepare.json").read_text())
    table = rows_of(prepared / "split.csv")
    for split, counts in tree["counts"].items():
        mine = [row for row in table if row["split"] == split]
        assert counts["photos"] == sum(not row["copy_of"] for row in mine)
        assert counts["copies"] == sum(bool(row["copy_of"]) for row in mine)
        labels = {row["name"]: row["side"] for row in rows_of(prepared / split / "labels.csv")}
        for class_id, side in enumerate(SIDES, 1):
            for kind, rows in (
                ("photos", [row for row in mine if not row["copy_of"]]),
                ("copies", [row for row in mine if row["copy_of"]]),
            ):
                masks = [pixels(prepared / split / "masks" / f"{Path(row['photo']).stem}.png") for row in rows]
                assert counts["classes"][side][kind] == sum((mask == class_id).any() for mask in masks)
                key = "pixels" if kind == "photos" else "pixels_of_copies"
                assert counts["classes"][side][key] == sum((mask == class_id).sum() for mask in masks)
                assert counts["labels"]["side"][side][kind] == sum(labels[row["photo"]] == side for row in rows)
    assert tree["left_out"] == {"without_mask": 3, "unreadable": []}
    assert tree["settings"]["seed"] == 3
    assert "no" in tree["grouped_by"]
    for name in ("statistics.png", "samples.png"):
        assert pixels(prepared / name).std() > 10


def test_same_seed_same_bytes_whatever_the_workers_and_the_order(source: Path, prepared: Path, tmp_path: Path) -> None:
    config = read_config(source / "config.json")
    prepare(config.model_copy(update={"workers": 1}), PrepareOptions(copies=2, seed=3), tmp_path / "again")
    assert files_of(tmp_path / "again") == files_of(prepared)
    prepare(config, PrepareOptions(copies=1, seed=3, valid=0.0), tmp_path / "other_parts")
    first, other = files_of(prepared / "train" / "images"), files_of(tmp_path / "other_parts" / "train" / "images")
    shared = set(first) & set(other)
    assert any("_copy1" in name for name in shared)
    assert all(first[name] == other[name] for name in shared)
    assert not (tmp_path / "other_parts" / "valid").exists()


@pytest.mark.usefixtures("no_pictures")
def test_photos_that_cannot_be_read_are_named_or_stop_it(source: Path, tmp_path: Path) -> None:
    shutil.copytree(source, tmp_path / "source")
    cut = tmp_path / "source" / "photos" / "p01.jpg"
    cut.write_bytes(cut.read_bytes()[:400])
    config = read_config(tmp_path / "source" / "config.json")
    tree = prepare(config, PrepareOptions(copies=0), tmp_path / "set")
    assert [photo["name"] for photo in tree["left_out"]["unreadable"]] == ["p01.jpg"]
    assert sum(counts["photos"] for counts in tree["counts"].values()) == 36
    strict = config.model_copy(update={"dataset": config.dataset.model_copy(update={"on_bad_photo": "stop"})})
    with pytest.raises(PhotoError, match=r"p01\.jpg: cannot be decoded"):
        prepare(strict, PrepareOptions(copies=0), tmp_path / "none")
    assert not (tmp_path / "none").exists()


@pytest.mark.usefixtures("no_pictures")
def test_sizes_are_changed_before_anything_else(source: Path, tmp_path: Path) -> None:
    prepare(read_config(source / "config.json"), PrepareOptions(copies=1, size=40), tmp_path / "set")
    for path in (tmp_path / "set").glob("*/*/*"):
        assert pixels(path).shape[:2] == (40, 40)


def test_without_masks_there_are_images_and_labels(source: Path, tmp_path: Path) -> None:
    tree = prepare(read_config(source / "labels_only.json"), PrepareOptions(copies=1), tmp_path / "set")
    assert sum(counts["photos"] for counts in tree["counts"].values()) == 40
    assert not list((tmp_path / "set").glob("*/masks"))
    assert not (tmp_path / "set" / "classes.txt").exists()


@pytest.mark.usefixtures("no_pictures")
def test_heads_that_no_photo_of_these_is_labelled_for_are_left_out(source: Path, tmp_path: Path) -> None:
    config = json.loads((source / "config.json").read_text())
    lines = (source / "labels.csv").read_text().splitlines()
    rare = ["rare", *("left" if line.startswith(("p10", "p11")) else "" for line in lines[1:])]  # they have no mask
    (tmp_path / "labels.csv").write_text("\n".join(f"{line},{cell}" for line, cell in zip(lines, rare, strict=True)))
    config["heads"] = {
        "rare": {"kind": "multi_label", "labels": str(source / "side.txt")},
        "mask": {"kind": "segmentation", "labels": str(source / "side.txt")},
    }
    masks = [{"format": "masks", "path": str(source / "masks")}]
    config["dataset"] = {"photos": str(source / "photos"), "labels": str(tmp_path / "labels.csv"), "annotations": masks}
    (tmp_path / "config.json").write_text(json.dumps(config))
    tree = prepare(read_config(tmp_path / "config.json"), PrepareOptions(copies=1), tmp_path / "set")
    assert "rare" not in json.dumps([tree["counts"], tree["notes"]])
    assert sum(counts["photos"] for counts in tree["counts"].values()) == 37


@pytest.mark.usefixtures("no_pictures")
def test_an_earlier_folder_is_replaced_but_for_what_is_not_ours(source: Path, tmp_path: Path) -> None:
    config, to = read_config(source / "config.json"), tmp_path / "set"
    prepare(config, PrepareOptions(copies=1), to)
    (to / "notes.txt").write_text("mine")
    prepare(config, PrepareOptions(copies=0, valid=0.0, seed=9), to)
    assert (to / "notes.txt").read_text() == "mine"
    (to / "notes.txt").unlink()
    prepare(config, PrepareOptions(copies=0, valid=0.0, seed=9), tmp_path / "fresh")
    assert files_of(to) == files_of(tmp_path / "fresh")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fresh", "set"]


def test_a_failure_leaves_nothing_and_the_earlier_folder_as_it_was(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, to = read_config(source / "config.json"), tmp_path / "set"
    prepare(config, PrepareOptions(copies=0), to)
    before = files_of(tmp_path)

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(whole_module, "draw_statistics", full)
    with pytest.raises(RunDirError, match=r"set: cannot be written \(No space left on device\)"):
        prepare(config, PrepareOptions(copies=0, seed=8), to)
    with pytest.raises(RunDirError):
        prepare(config, PrepareOptions(copies=0), tmp_path / "new")
    assert files_of(tmp_path) == before
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


@pytest.mark.usefixtures("no_pictures")
def test_an_exchange_that_was_cut_off_is_finished_by_the_next_run(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, to = read_config(source / "config.json"), tmp_path / "set"
    prepare(config, PrepareOptions(copies=0), to)
    replace = os.replace

    def stop(old: Path, new: Path) -> None:
        if Path(new).name == "test":
            raise KeyboardInterrupt
        replace(old, new)

    monkeypatch.setattr(os, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        prepare(config, PrepareOptions(copies=0, seed=8), to)
    assert not (to / "prepare.json").exists()  # nobody takes the half for a whole
    monkeypatch.undo()
    prepare(config, PrepareOptions(copies=0, seed=8), to)
    prepare(config, PrepareOptions(copies=0, seed=8), tmp_path / "fresh")
    assert files_of(to) == files_of(tmp_path / "fresh")


def test_foreign_folders_are_refused(source: Path, tmp_path: Path) -> None:
    config = read_config(source / "config.json")
    (tmp_path / "prepare.json").write_text('{"made_by": "hand"}')
    with pytest.raises(RunDirError, match=r"holds prepare\.json and was not made by prepare .* new or empty folder"):
        prepare(config, PrepareOptions(), tmp_path)
    with pytest.raises(RunDirError, match="is a file, and a folder is needed"):
        prepare(config, PrepareOptions(), tmp_path / "prepare.json")


def test_the_head_must_be_one_with_masks(source: Path, tmp_path: Path) -> None:
    def attempt(config: str, head: str | None) -> None:
        prepare(read_config(source / config), PrepareOptions(head=head), tmp_path / "set")

    with pytest.raises(CarclfError, match=r"--head is needed: the config has 2 segmentation heads, mask, other\."):
        attempt("two.json", None)
    with pytest.raises(CarclfError, match=r'--head: "masc" is no segmentation head\. Did you mean "mask"\?'):
        attempt("config.json", "masc")
    with pytest.raises(CarclfError, match=r'"side" is no segmentation head\. The config has none\.'):
        attempt("labels_only.json", "side")
    assert not (tmp_path / "set").exists()


def test_the_command_says_what_was_made(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["prepare", "--config", str(source / "config.json"), "--to", str(tmp_path / "set"), "--copies", "1"]
    assert main(words) == 0
    told = capsys.readouterr().err
    assert "and 2" in told
    assert 'left out, as nobody drew their mask for head "mask": 3.' in told
    assert main([*words, "--valid", "2"]) == 2
    assert "--valid: 2 is no share of the photos" in capsys.readouterr().err
