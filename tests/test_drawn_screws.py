"""The drawn screws are a category of MVTec AD as people have it, and their copies are what a careless split leaks."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter, ImageOps

from carclf.annotations.mvtec import read_mvtec
from carclf.annotations.records import ReadOptions, Record
from carclf.app import read_dataset
from carclf.config import check_paths, read_config
from carclf.folds import make_folds
from carclf.groups import hash_photos, make_groups
from carclf.images import read_photo
from tests.drawn_annotations import contents, draw_shape, read_ids, run_import
from tests.drawn_screws import DEFECTS, GOOD, MARKS, Array, Mark, draw_screw, draw_screws, lay_down, photograph
from tests.screw_copies import augment_before_splitting, origin_of

SIZE = 64
COUNT = 2 * (len(DEFECTS) + 1)


@pytest.fixture(scope="module")
def screws(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_screws(tmp_path_factory.mktemp("sets") / "screw", COUNT, seed=1, size=SIZE)


def load(path: Path) -> Array:
    with Image.open(path) as image:
        assert image.mode == "L"
        return np.array(image)


def load_masks(folder: Path) -> dict[str, Array]:
    return {origin_of(str(path)): load(path) for path in sorted((folder / "ground_truth").rglob("*.png"))}


def test_it_reads_as_mvtec_ad(screws: Path) -> None:
    records = list(read_mvtec(screws, ReadOptions()))
    assert len(records) == COUNT
    for record in records:
        assert isinstance(record, Record), record
        defect = Path(record.photo).parent.name
        assert record.path is not None
        assert load(record.path).shape == (SIZE, SIZE)
        assert record.known_empty == (defect == GOOD)
        assert [region.names for region in record.regions] == ([] if defect == GOOD else [(defect,)])
        assert all(draw_shape(region.shape, SIZE, SIZE).any() for region in record.regions)
    assert {Path(record.photo).parent.name for record in records if isinstance(record, Record)} == {*DEFECTS, GOOD}


def test_the_same_seed_gives_the_same_bytes(screws: Path, tmp_path: Path) -> None:
    drawn = contents(screws)
    assert contents(draw_screws(tmp_path / "again", COUNT, seed=1, size=SIZE)) == drawn
    fewer = contents(draw_screws(tmp_path / "fewer", 3, seed=1, size=SIZE))
    assert fewer.items() <= drawn.items()
    other = contents(draw_screws(tmp_path / "other", 3, seed=2, size=SIZE))
    assert not set(other.values()) & set(drawn.values())


@pytest.mark.parametrize("kind", DEFECTS)
def test_defects_are_small_and_on_the_screw(kind: str) -> None:
    for seed in range(6):
        photo, mask = draw_screw(kind, np.random.default_rng(seed), 128)
        assert photo.dtype == mask.dtype == np.uint8
        assert set(np.unique(mask)) == {0, 255}
        assert 0.002 <= (mask > 0).mean() <= 0.02
        screw = Image.fromarray((np.abs(photo.astype(int) - np.median(photo)) > 30).astype(np.uint8))
        surroundings = np.asarray(screw.filter(ImageFilter.MaxFilter(9))) > 0
        assert surroundings[mask > 0].all()
        assert surroundings.mean() < 0.3


@pytest.mark.parametrize("kind", DEFECTS)
def test_a_defect_changes_the_photo_where_its_mask_is(kind: str) -> None:
    """Against the photo of the same screw, unharmed, in the same light and with the same noise."""
    for seed in range(6):
        frame = lay_down(np.random.default_rng(seed), 128)
        mark = MARKS[kind](frame, np.random.default_rng(seed))
        harmed, mask = photograph(frame, mark, np.random.default_rng(seed))
        whole, _ = photograph(frame, Mark(mark.region), np.random.default_rng(seed))
        change = np.abs(harmed.astype(int) - whole)
        assert change[mask > 0].mean() > 4  # of 255; noise is 2 to 4
        assert change[mask > 0].mean() > 50 * change[mask == 0].mean()


def test_an_import_makes_five_classes(screws: Path, tmp_path: Path) -> None:
    assert run_import("--format", "mvtec", screws, "--to", tmp_path, "--head", "defect", "--strict", "--quiet") == 0
    names = [line.split(";")[0] for line in (tmp_path / "labels" / "defect.txt").read_text().splitlines()]
    assert tuple(names) == DEFECTS
    config = read_config(tmp_path / "config.json")
    check_paths(config)
    dataset = read_dataset(config)
    assert len(dataset.photos) == COUNT
    masks = load_masks(screws)
    for photo in dataset.photos:
        ids = read_ids(tmp_path, "defect", photo.name)
        defect = Path(photo.name).parent.name
        true = masks[origin_of(photo.name)] > 0 if defect != GOOD else np.zeros((SIZE, SIZE), bool)
        np.testing.assert_array_equal(ids, true * (DEFECTS.index(defect) + 1 if defect != GOOD else 0))
    on = dict(zip([photo.name for photo in dataset.photos], dataset.heads["defect"].targets.tolist(), strict=True))
    assert all(target == (Path(name).parent.name != GOOD) for name, target in on.items())


def test_copies_carry_their_masks_and_name_their_origin(screws: Path, tmp_path: Path) -> None:
    copies = augment_before_splitting(screws, tmp_path / "copies", turns=(0, 90, 10))
    records = [record for record in read_mvtec(copies, ReadOptions()) if isinstance(record, Record)]
    assert len(records) == len(list(copies.rglob("test/*/*.png"))) == 6 * COUNT
    origins = [origin_of(record.photo) for record in records]
    assert {origins.count(origin) for origin in origins} == {6}
    assert set(origins) == {
        origin_of(record.photo) for record in read_mvtec(screws, ReadOptions()) if isinstance(record, Record)
    }
    for place, mask in (("test/thread_top/000", ""), ("ground_truth/thread_top/000", "_mask")):
        with Image.open(screws / f"{place}{mask}.png") as original:
            np.testing.assert_array_equal(load(copies / f"{place}{mask}.png"), np.array(original))
            turned = ImageOps.mirror(original).transpose(Image.Transpose.ROTATE_90)
        np.testing.assert_array_equal(load(copies / f"{place}_mirror_rot90{mask}.png"), np.array(turned))


def test_turned_by_part_of_a_right_angle_mask_and_photo_stay_together(tmp_path: Path) -> None:
    """A white square on grey is found by its brightness wherever it was turned."""
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[10:20, 30:50] = 255
    for name, pixels in (("test/a/000.png", np.maximum(mask, 90)), ("ground_truth/a/000_mask.png", mask)):
        (tmp_path / "set" / name).parent.mkdir(parents=True)
        Image.fromarray(pixels).save(tmp_path / "set" / name)
    copies = augment_before_splitting(tmp_path / "set", tmp_path / "copies", turns=(30,), mirrored=(True,))
    photo, turned = (
        load(copies / "test/a/000_mirror_rot30.png"),
        load(copies / "ground_truth/a/000_mirror_rot30_mask.png"),
    )
    assert set(np.unique(turned)) == {0, 255}
    assert ((photo > 172) == (turned > 0)).mean() > 0.995
    assert photo.min() > 45  # half the ground's grey: no black corners


def make_run_groups(folder: Path, names: Sequence[str], column: Sequence[str | None]) -> Array:
    """The groups that a run without vectors would make: int64 (n,)."""
    hashes = hash_photos([folder / name for name in names], read_photo, workers=2)
    return make_groups(names, column, hashes, np.zeros((1, len(names), 0), np.float32), 1.0).group


def count_folds(origins: Sequence[str], group: Array) -> list[int]:
    """Over how many of three folds the copies of each screw are spread."""
    has_defect = np.array([[not origin.startswith(GOOD)] for origin in origins]).astype(np.int8)
    fold = make_folds(group, {"defect": has_defect}, 3, seed=42)
    return [len(np.unique(fold[np.array(origins) == origin])) for origin in sorted(set(origins))]


def test_folds_keep_turned_copies_together_only_by_the_group_column(screws: Path, tmp_path: Path) -> None:
    """Mirrored copies a run recognises by itself; so benchmarks/screws.py leaks without switching anything off."""
    copies = augment_before_splitting(screws, tmp_path / "copies")
    names = [path.relative_to(copies).as_posix() for path in sorted(copies.glob("test/*/*.png"))]
    origins = [origin_of(name) for name in names]
    group = make_run_groups(copies, names, [None] * len(names))
    group_of = dict(zip(names, group.tolist(), strict=True))
    for origin in set(origins):
        assert group_of[f"test/{origin}.png"] == group_of[f"test/{origin}_mirror.png"]
        assert group_of[f"test/{origin}.png"] != group_of[f"test/{origin}_rot90.png"]
    assert min(count_folds(origins, group)) > 1
    assert set(count_folds(origins, make_run_groups(copies, names, origins))) == {1}
