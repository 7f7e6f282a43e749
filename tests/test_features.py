import json
import os
import signal
import subprocess
import sys
import textwrap
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from carclf import feature_cache, features
from carclf.backbone import Backbone
from carclf.errors import BackboneError, RunDirError
from carclf.features import Features, MapRequest, extract_features
from carclf.hub import Source
from carclf.images import mirror, photo_sha256, read_photo

SIZE = 32
SHAPES = {"P2": (8, 8, 2), "P3": (4, 4, 3)}


@dataclass(frozen=True)
class Photo:
    path: Path
    sha256: str


class Counter:
    """A stand-in for the network that can be checked by hand, and counts what it is given."""

    def __init__(self) -> None:
        self.images = 0
        self.factor = 1.0

    def run(self, images: NDArray[np.float32], maps: bool) -> dict[str, NDArray[np.float32]]:
        self.images += len(images)
        left, right = images[:, :, : SIZE // 2].mean(axis=(1, 2)), images[:, :, SIZE // 2 :].mean(axis=(1, 2))
        outputs = {"vector": np.concatenate([left, right], axis=1) * np.float32(self.factor)}
        if maps:
            outputs |= {"P2": images[:, ::4, ::4, :2], "P3": images[:, ::8, ::8] * np.float32(self.factor)}
        return outputs


@pytest.fixture
def counter() -> Counter:
    return Counter()


@pytest.fixture
def backbone(counter: Counter) -> Backbone:
    source = Source("fake", "local", "here", Path("here"), "ab12", False)
    return Backbone(source, SIZE, (0.0, 1.0), "tensorflow", "1.0", "f32", None, 6, SHAPES, "", counter.run)


@pytest.fixture
def photos(tmp_path: Path) -> list[Photo]:
    return make_photos(tmp_path / "photos", 70)


def make_photos(folder: Path, count: int, first: int = 0) -> list[Photo]:
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{number:03}.png" for number in range(first, first + count)]
    for number, path in enumerate(paths, first):
        pixels = np.random.default_rng(number).integers(0, 256, (5, 6, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((40, 36)).save(path)
    return [Photo(path, photo_sha256(path)) for path in paths]


def ask(photos: Sequence[int], levels: tuple[str, ...] = ("P2", "P3"), views: int = 1) -> MapRequest:
    return MapRequest(photos, levels, views)


def assert_same(one: Features, other: Features) -> None:
    np.testing.assert_array_equal(one.vectors, other.vectors)
    assert one.bad == other.bad
    assert list(one.maps) == list(other.maps)
    for level in one.maps:
        for ours, theirs in zip(one.map_rows[level].ravel(), other.map_rows[level].ravel(), strict=True):
            np.testing.assert_array_equal(one.maps[level][ours], other.maps[level][theirs])


def test_features_are_the_backbones_in_the_photos_order(
    backbone: Backbone, counter: Counter, photos: list[Photo], tmp_path: Path
) -> None:
    request = ask([3, 69, 0], views=2)
    found = extract_features(backbone, photos, 2, tmp_path / "cache", request)
    assert found.vectors.shape == (2, 70, 6)
    assert found.vectors.dtype == np.float32
    assert found.bad == []
    for position in (0, 3, 33, 69):
        image = read_photo(photos[position].path, SIZE)[None]
        for view, pixels in enumerate((image, mirror(image))):
            np.testing.assert_array_equal(found.vectors[view, position], counter.run(pixels, False)["vector"][0])
    for level in SHAPES:
        assert found.maps[level].dtype == np.float16
        assert isinstance(found.maps[level], np.memmap)
        for column, position in enumerate(request.photos):
            image = read_photo(photos[position].path, SIZE)[None]
            for view, pixels in enumerate((image, mirror(image))):
                expected = counter.run(pixels, True)[level][0].astype(np.float16)
                np.testing.assert_array_equal(found.maps[level][found.map_rows[level][view, column]], expected)


def test_a_second_run_computes_nothing_and_one_new_photo_computes_one(
    backbone: Backbone, counter: Counter, photos: list[Photo], tmp_path: Path
) -> None:
    first = extract_features(backbone, photos, 2, tmp_path / "cache", ask(range(5)))
    assert counter.images == 140
    again = extract_features(backbone, photos, 2, tmp_path / "cache", ask(range(5)), workers=1)
    assert counter.images == 140
    assert_same(again, first)
    more = [*make_photos(tmp_path / "photos", 1, first=70), *reversed(photos)]
    extended = extract_features(backbone, more, 2, tmp_path / "cache")
    assert counter.images == 142
    np.testing.assert_array_equal(extended.vectors[:, 1:], first.vectors[:, ::-1])


def test_levels_and_views_can_be_added_later(
    backbone: Backbone, counter: Counter, photos: list[Photo], tmp_path: Path
) -> None:
    extract_features(backbone, photos, 1, tmp_path / "cache", ask([1, 2], levels=("P3",)))
    counter.images = 0
    request = ask([1, 2, 3], views=2)
    found = extract_features(backbone, photos, 2, tmp_path / "cache", request)
    assert counter.images == 70 + 3  # all mirror images; P2 of photos 1 and 2, both levels of photo 3
    assert_same(found, extract_features(backbone, photos, 2, tmp_path / "fresh", request))


def test_workers_and_batches_change_no_bit(
    backbone: Backbone, photos: list[Photo], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = extract_features(backbone, photos, 2, tmp_path / "one", ask(range(70)), workers=1)
    monkeypatch.setattr(features, "_BATCH", 7)
    monkeypatch.setattr(features, "_AHEAD", 3)
    monkeypatch.setattr(features, "_SHARD", 10)
    two = extract_features(backbone, photos, 2, tmp_path / "two", ask(range(70)), workers=4)
    assert_same(one, two)


@pytest.mark.parametrize(
    "change",
    [
        {"source": Source("fake", "local", "here", Path("here"), "cd34", False)},
        {"input_range": (-1.0, 1.0)},
        {"engine": "openvino"},
        {"engine_version": "2.0"},
        {"precision": "bf16"},
        {"grid": (2, 2)},
    ],
)
def test_another_way_of_computing_never_meets_the_cache(
    backbone: Backbone, counter: Counter, photos: list[Photo], tmp_path: Path, change: dict[str, Any]
) -> None:
    extract_features(backbone, photos[:3], 1, tmp_path / "cache")
    extract_features(replace(backbone, **change), photos[:3], 1, tmp_path / "cache")
    assert counter.images == 6


def test_the_same_bytes_are_computed_once(
    backbone: Backbone, counter: Counter, photos: list[Photo], tmp_path: Path
) -> None:
    found = extract_features(backbone, [photos[0], photos[1], photos[0]], 1, tmp_path / "cache")
    assert counter.images == 2
    np.testing.assert_array_equal(found.vectors[0, 0], found.vectors[0, 2])


def test_bad_photos_are_named_and_the_rest_goes_on(backbone: Backbone, photos: list[Photo], tmp_path: Path) -> None:
    photos[1].path.write_bytes(b"junk")
    photos[1] = Photo(photos[1].path, photo_sha256(photos[1].path))
    photos[4].path.write_bytes(photos[5].path.read_bytes())
    photos[6].path.unlink()
    for _ in range(2):
        found = extract_features(backbone, photos, 2, tmp_path / "cache", ask([0, 1]))
        assert [position for position, _ in found.bad] == [1, 4, 6]
        for (_, reason), words in zip(
            found.bad, ("001.png: is not a photo", "was changed", "no such file"), strict=True
        ):
            assert words in reason
        assert np.isnan(found.vectors).all(axis=(0, 2)).tolist() == [position in (1, 4, 6) for position in range(70)]
        assert (found.map_rows["P3"] == -1).tolist() == [[False, True]]


@pytest.mark.parametrize("damage", ["flip", "cut", "delete"])
@pytest.mark.parametrize("pattern", ["vectors-*.npz", "P3.f16", "P2-rows-*.json"])
def test_damaged_caches_are_noticed_and_computed_again(
    backbone: Backbone,
    photos: list[Photo],
    tmp_path: Path,
    damage: str,
    pattern: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    request = ask(range(40))
    first = extract_features(backbone, photos, 2, tmp_path / "cache", request)
    kept = {level: np.array(first.maps[level]) for level in first.maps}
    first = replace(first, maps=kept)
    path = next((tmp_path / "cache").glob(f"features-*/{pattern}"))
    data = path.read_bytes()
    if damage == "flip":
        middle = len(data) // 2
        path.write_bytes(data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :])
    elif damage == "cut":
        path.write_bytes(data[: len(data) // 2])
    else:
        path.unlink()
    assert_same(extract_features(backbone, photos, 2, tmp_path / "cache", request), first)
    assert ("damaged" in caplog.text) == (damage != "delete")
    caplog.clear()
    assert_same(extract_features(backbone, photos, 2, tmp_path / "cache", request), first)


def test_a_killed_run_keeps_whole_shards(
    photos: list[Photo], tmp_path: Path, backbone: Backbone, counter: Counter
) -> None:
    script = """
        import os, signal, sys
        from pathlib import Path
        from tests.test_features import Counter, Photo, SHAPES, SIZE
        from carclf import features
        from carclf.backbone import Backbone
        from carclf.hub import Source
        from carclf.images import find_photos, photo_sha256
        features._BATCH, features._SHARD = 8, 16
        counter, calls = Counter(), []
        def run(images, maps):
            calls.append(1)
            if len(calls) == 8:
                os.kill(os.getpid(), signal.SIGKILL)
            return counter.run(images, maps)
        source = Source("fake", "local", "here", Path("here"), "ab12", False)
        backbone = Backbone(source, SIZE, (0.0, 1.0), "tensorflow", "1.0", "f32", None, 6, SHAPES, "", run)
        photos = [Photo(path, photo_sha256(path)) for path in find_photos(Path(sys.argv[1]))]
        features.extract_features(backbone, photos, 2, Path(sys.argv[2]), features.MapRequest(range(20), ('P2', 'P3')))
    """
    arguments = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "photos"), str(tmp_path / "cache")]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    ended = subprocess.run(arguments, env=environment, check=False, capture_output=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    resumed = extract_features(backbone, photos, 2, tmp_path / "cache", ask(range(20)))
    assert 70 <= counter.images < 140
    assert_same(resumed, extract_features(backbone, photos, 2, tmp_path / "fresh", ask(range(20))))


def test_a_full_disk_is_told_before_and_while(
    backbone: Backbone, photos: list[Photo], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(feature_cache, "_SPARE_BYTES", 10**18)
        with pytest.raises(RunDirError, match=r"the features need 0\.00 GB of disk, .* GB are free"):
            extract_features(backbone, photos, 1, tmp_path / "cache")
    first = extract_features(backbone, photos[:5], 1, tmp_path / "cache")
    with monkeypatch.context() as patched:

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        patched.setattr(os, "replace", full)
        with pytest.raises(RunDirError, match=r"cannot be written \(No space left on device"):
            extract_features(backbone, photos, 1, tmp_path / "cache")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(RunDirError, match="cannot be written"):
        extract_features(backbone, photos, 1, tmp_path / "file" / "cache")
    assert_same(extract_features(backbone, photos[:5], 1, tmp_path / "cache"), first)


def test_features_that_are_not_finite_name_the_photo(
    backbone: Backbone, counter: Counter, photos: list[Photo], tmp_path: Path
) -> None:
    counter.factor = 1e5  # fits into float32, not into float16
    with pytest.raises(BackboneError, match=r"\d\d\d\.png: the backbone's map P3 in float16 is not finite"):
        extract_features(backbone, photos, 1, tmp_path / "cache", ask([0]))
    counter.factor = np.inf
    with pytest.raises(BackboneError, match=r"000\.png: the backbone's vector is not finite"):
        extract_features(backbone, photos, 1, tmp_path / "cache")
    with pytest.raises(BackboneError, match=r"backbone fake: has no map P5, it has P2, P3\."):
        extract_features(backbone, photos, 1, tmp_path / "cache", ask([0], levels=("P3", "P5")))


def test_only_a_bounded_number_of_photos_is_decoded_ahead(
    backbone: Backbone, photos: list[Photo], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "_AHEAD", 4)
    monkeypatch.setattr(features, "_BATCH", 2)
    decoded: list[int] = []
    used: list[int] = []
    decode, run = features._decode, backbone.run

    def counted_decode(*arguments: Any) -> Any:
        decoded.append(1)
        assert len(decoded) - sum(used) <= 4 + 2
        return decode(*arguments)

    def counted_run(images: NDArray[np.float32], maps: bool) -> dict[str, NDArray[np.float32]]:
        used.append(len(images))
        return run(images, maps)

    monkeypatch.setattr(features, "_decode", counted_decode)
    extract_features(replace(backbone, run=counted_run), photos, 1, tmp_path / "cache", workers=4)
    assert sum(used) == len(decoded) == 70


def test_row_checksums_are_crc32(backbone: Backbone, photos: list[Photo], tmp_path: Path) -> None:
    found = extract_features(backbone, photos[:2], 1, tmp_path / "cache", ask([0, 1]))
    index = json.loads(next((tmp_path / "cache").glob("features-*/P3-rows-*.json")).read_text())
    assert index["sums"] == [zlib.crc32(np.array(row).tobytes()) for row in found.maps["P3"]]
