"""Near-duplicates are found however they are made, and nothing else is."""

from pathlib import Path

import imagehash
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps

from carclf import groups as module
from carclf.groups import REASONS, Array, Groups, Pair, hash_photos, make_groups
from carclf.images import read_photo

NEVER = 2.0  # a similarity that no two vectors have


def draw_scene(seed: int, size: tuple[int, int] = (320, 240)) -> Image.Image:
    """A coarse random pattern with shapes over it: enough structure for a hash."""
    generator = np.random.default_rng(seed)
    cells = generator.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    image = Image.fromarray(cells).resize(size, Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    for _ in range(6):
        x, y = generator.integers(0, 200, 2).tolist()
        draw.ellipse((x, y, x + 60, y + 40), fill=tuple(generator.integers(0, 256, 3).tolist()))
    return image


def save(image: Image.Image, path: Path, quality: int = 95) -> Path:
    image.save(path, quality=quality)
    return path


def group_vectors(vectors: Array, group_similarity: float) -> Groups:
    """Groups by vectors alone: bytes and hashes all differ by far."""
    num_photos = vectors.shape[1]
    hashes = np.random.default_rng(9).integers(0, 2**63, (num_photos, 2), dtype=np.uint64)
    names = [str(i) for i in range(num_photos)]
    return make_groups(names, [None] * num_photos, hashes, vectors, group_similarity)


def group_photos(paths: list[Path]) -> Groups:
    """Groups by hashes alone."""
    vectors = np.random.default_rng(8).normal(size=(1, len(paths), 4)).astype(np.float32)
    hashes = hash_photos(paths, read_photo, workers=2)
    return make_groups([path.name for path in paths], [None] * len(paths), hashes, vectors, NEVER)


def group_slowly(vectors: Array, least: float) -> Array:
    """The same groups by a plain loop over all pairs."""
    centred = vectors.astype(np.float64) - vectors[0].astype(np.float64).mean(axis=0)
    unit = centred / np.linalg.norm(centred, axis=-1, keepdims=True)
    group = np.arange(vectors.shape[1])
    for i in range(len(group)):
        for j in range(i):
            views = [(0, 0), (0, len(unit) - 1), (len(unit) - 1, 0)]
            if max(unit[a, i] @ unit[b, j] for a, b in views) >= least:
                group[group == group[i]] = group[j]
    return group


def same_partition(one: Array, other: Array) -> bool:
    return bool(np.array_equal(one[:, None] == one[None], other[:, None] == other[None]))


def test_a_resaved_a_shrunken_a_brightened_and_a_mirrored_copy_join_and_other_photos_do_not(
    tmp_path: Path,
) -> None:
    original = draw_scene(0)
    paths = [
        save(original, tmp_path / "original.jpg"),
        save(draw_scene(1), tmp_path / "other.jpg"),
        save(original, tmp_path / "resaved.jpg", quality=40),
        save(original.resize((150, 110)), tmp_path / "shrunken.png"),
        save(original.point([min(255, round(v * 1.1)) for v in range(256)] * 3), tmp_path / "brighter.jpg"),
        save(ImageOps.mirror(original), tmp_path / "mirrored.jpg"),
        save(draw_scene(2), tmp_path / "another.jpg"),
    ]
    found = group_photos(paths)
    assert found.group.tolist() == [0, 1, 0, 0, 0, 0, 2]
    assert {pair.reason for pair in found.pairs} == {"dHash", "dHash, mirrored"}
    assert len(found.pairs) == 4


def test_a_photo_that_lies_on_its_side_joins_its_upright_copy(tmp_path: Path) -> None:
    original = draw_scene(3)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by the viewer
    original.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "b.jpg", exif=exif, quality=95)
    found = group_photos([save(original, tmp_path / "a.jpg"), tmp_path / "b.jpg"])
    assert found.group.tolist() == [0, 0]


def test_hashes_are_those_of_imagehash_on_the_whole_photo(tmp_path: Path) -> None:
    image = draw_scene(4)
    ours = hash_photos([save(image, tmp_path / "a.png")], read_photo, workers=1)
    for view, ours_of_view in zip((image, ImageOps.mirror(image)), ours[0], strict=True):
        whole = int(str(imagehash.dhash(view)), 16)
        assert (whole ^ int(ours_of_view)).bit_count() <= 2


def test_hashes_do_not_depend_on_the_number_of_workers(tmp_path: Path) -> None:
    paths = [save(draw_scene(seed), tmp_path / f"{seed}.jpg") for seed in range(6)]
    assert np.array_equal(hash_photos(paths, read_photo, 1), hash_photos(paths, read_photo, 4))


def test_hashes_up_to_six_bits_apart_join() -> None:
    base = 0x0123456789ABCDEF
    six, seven = base ^ 0b111111, base ^ (0b1111111 << 20)
    hashes = np.array([[base, 2**64 - 1], [six, 0], [seven, 0xFFFFFFFF]], dtype=np.uint64)
    found = make_groups(["a", "b", "c"], [None] * 3, hashes, np.eye(3, dtype=np.float32)[None], NEVER)
    assert found.group.tolist() == [0, 0, 1]
    assert found.pairs == (Pair(0, 1, round(1 - 6 / 64, 4), "dHash"),)


def test_same_bytes_and_the_group_column_join() -> None:
    hashes = np.random.default_rng(0).integers(0, 2**63, (6, 2), dtype=np.uint64)
    table_groups = ["car 1", None, "", "car 1", "car 2", ""]
    vectors = np.eye(6, dtype=np.float32)[None]
    found = make_groups(["a", "b", "c", "d", "b", "e"], table_groups, hashes, vectors, NEVER)
    assert found.group.tolist() == [0, 1, 2, 0, 1, 3]
    assert found.pairs == (Pair(0, 3, 1.0, "group column"), Pair(1, 4, 1.0, "same bytes"))


@pytest.mark.parametrize("views", [1, 2])
@pytest.mark.parametrize("least", [0.0, 0.3, 0.6])
@pytest.mark.parametrize("block", [7, 512])
def test_groups_by_vectors_equal_a_slow_loop(
    views: int, least: float, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_BLOCK", block)
    vectors = np.random.default_rng(views).normal(1.0, 1.0, (views, 60, 12)).astype(np.float32)
    assert same_partition(group_vectors(vectors, least).group, group_slowly(vectors, least))


def test_the_order_of_the_photos_changes_nothing_but_the_numbers() -> None:
    vectors = np.random.default_rng(3).normal(size=(2, 80, 6)).astype(np.float32)
    order = np.random.default_rng(4).permutation(80)
    straight, shuffled = group_vectors(vectors, 0.8), group_vectors(vectors[:, order], 0.8)
    assert same_partition(straight.group[order], shuffled.group)
    assert 1 < straight.group.max() < 79


def test_a_mirrored_vector_joins() -> None:
    vectors = np.random.default_rng(5).normal(size=(2, 20, 64)).astype(np.float32)
    vectors[0, 11] = vectors[1, 4]
    found = group_vectors(vectors, 0.84)
    assert [(pair.first, pair.second, pair.reason) for pair in found.pairs] == [(4, 11, "vectors, mirrored")]


def test_each_group_is_held_together_by_its_surest_pairs() -> None:
    vectors = np.random.default_rng(6).normal(size=(1, 70, 5)).astype(np.float32)
    found = group_vectors(vectors, 0.7)
    assert len(found.pairs) == 70 - (found.group.max() + 1)
    assert all(found.group[pair.first] == found.group[pair.second] for pair in found.pairs)
    assert all(pair.first < pair.second and pair.reason in REASONS for pair in found.pairs)
    unit = vectors[0] - vectors[0].mean(axis=0)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    cosines = unit @ unit.T - 2 * np.eye(70)
    listed = {(pair.first, pair.second) for pair in found.pairs}
    for i in np.flatnonzero(cosines.max(axis=1) >= 0.7):  # everyone's nearest is among them
        j = int(cosines[i].argmax())
        assert (min(i, j), max(i, j)) in listed


def test_groups_are_numbered_by_their_first_photos() -> None:
    found = make_groups(
        ["a", "b", "a", "c", "b"],
        [None] * 5,
        np.random.default_rng(1).integers(0, 2**63, (5, 2), dtype=np.uint64),
        np.eye(5, dtype=np.float32)[None],
        NEVER,
    )
    assert found.group.tolist() == [0, 1, 0, 2, 1]
    assert found.group.dtype == np.int64


def test_equal_vectors_and_a_single_photo_are_no_trouble() -> None:
    same = np.ones((2, 3, 4), dtype=np.float32)  # centred they are zero: like nothing
    assert group_vectors(same, 0.84).group.tolist() == [0, 1, 2]
    assert group_vectors(same[:, :1], 0.84).group.tolist() == [0]
