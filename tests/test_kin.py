import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from carclf.app import read_dataset
from carclf.config import read_config
from carclf.kin import find_kin
from tests.drawn_set import write_config


@pytest.fixture
def config_path(drawn_set: Path, tmp_path: Path) -> Path:
    """A config of eight drawn photos and, among them, a copy, a mirror image and one that is cut off."""
    photos = tmp_path / "photos"
    photos.mkdir()
    lines = (drawn_set / "labels.csv").read_text().splitlines()
    names = [line.split(",")[0] for line in lines[1:9]]
    for name in names:
        (photos / name).write_bytes((drawn_set / "photos" / name).read_bytes())
    (photos / "copy.jpg").write_bytes((photos / names[0]).read_bytes())
    ImageOps.mirror(Image.open(photos / names[2])).save(photos / "mirrored.png")
    (photos / "cut.jpg").write_bytes((photos / names[1]).read_bytes()[:900])
    more = [f"{name},minor,front,dent," for name in ("copy.jpg", "mirrored.png", "cut.jpg")]
    ungrouped = [line.rsplit(",", 1)[0] + "," for line in lines[1:9]]
    (tmp_path / "labels.csv").write_text("\n".join([lines[0], *ungrouped, *more]) + "\n")
    path = write_config(tmp_path / "run", drawn_set)
    config = json.loads(path.read_text())
    config["dataset"] = {"photos": str(photos), "labels": str(tmp_path / "labels.csv")}
    del config["heads"]["damage_mask"]
    path.write_text(json.dumps(config))
    return path


def test_copies_and_mirror_images_are_kin_and_bad_photos_are_left_out(config_path: Path) -> None:
    config = read_config(config_path)
    kin = find_kin(config, read_dataset(config))
    names = [photo.name for photo in kin.dataset.photos]
    assert "cut.jpg" not in names
    assert [skipped.name for skipped in kin.dataset.skipped] == ["cut.jpg"]
    assert kin.groups.group[names.index("copy.jpg")] == kin.groups.group[0]
    assert kin.groups.group[names.index("mirrored.png")] == kin.groups.group[2]
    assert len(np.unique(kin.groups.group)) <= len(names) - 2
    assert "vectors of small" in kin.by


def test_without_a_backbone_photos_are_recognised_by_their_pictures(config_path: Path) -> None:
    config = json.loads(config_path.read_text())
    config["backbones"]["small"]["local"] = "nowhere"
    config_path.write_text(json.dumps(config))
    kin = find_kin(read_config(config_path), read_dataset(read_config(config_path)))
    pairs = {(pair.first, pair.second, pair.reason) for pair in kin.groups.pairs}
    assert pairs == {(0, 8, "same bytes"), (2, 9, "dHash, mirrored")}
    assert "could not be used" in kin.by
    config["embedded_fallback"] = True
    config_path.write_text(json.dumps(config))
    again = find_kin(read_config(config_path), read_dataset(read_config(config_path)))
    assert again.groups.pairs == kin.groups.pairs
    assert "as a run on the embedded backbone does" in again.by
